//! The clocks of the simulated hosts: two each, and each with a rate of its own.

use model::{Moment, WallMillis};
use rpc::clock::Simulated;
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::runtime::{Handle, Id};

/// What a host's clocks showed when the simulation began, in microseconds.
const BEGUN: u64 = 3_600_000_000;
/// Wall clock at that instant: for people alone.
const WALL: u64 = 1_800_000_000_000;
const MILLION: i128 = 1_000_000;

/// How much faster than true time both clocks of a host run, in parts in a million.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rates {
    pub boottime: i64,
    pub raw: i64,
}

impl Rates {
    /// What the clocks show after so much true time.
    pub fn at(self, elapsed: Duration) -> Moment {
        let shown = |rate: i64| {
            let micros = elapsed.as_micros() as i128;
            BEGUN + (micros * (MILLION + i128::from(rate)) / MILLION) as u64
        };
        Moment { boottime: shown(self.boottime), raw: shown(self.raw) }
    }
}

thread_local! {
    static HOSTS: RefCell<BTreeMap<String, Rates>> = const { RefCell::new(BTreeMap::new()) };
    /// Which host runs in which runtime, the latest last.
    static RUNTIMES: RefCell<Vec<(Id, Rates)>> = const { RefCell::new(Vec::new()) };
    static LAST: Cell<Duration> = const { Cell::new(Duration::ZERO) };
}

/// While the guard lives, everything in this thread reads simulated clocks.
pub fn simulated(hosts: BTreeMap<String, Rates>) -> Simulated {
    HOSTS.set(hosts);
    RUNTIMES.take();
    LAST.set(Duration::ZERO);
    Simulated::new(read)
}

/// Called by a host's program at its start: this runtime is that host's.
pub fn here_is(host: &str) {
    let rates = HOSTS.with_borrow(|hosts| hosts[host]);
    let here = Handle::current().id();
    RUNTIMES.with_borrow_mut(|runtimes| runtimes.push((here, rates)));
}

/// What a host's clocks show at a true time.
pub fn of(host: &str, elapsed: Duration) -> Moment {
    HOSTS.with_borrow(|hosts| hosts[host].at(elapsed))
}

/// True time since the simulation began, as the running host has it.
pub fn elapsed() -> Duration {
    // None while the simulation takes a crashed host down: nothing happens then.
    let now = turmoil::sim_elapsed().unwrap_or(LAST.get());
    LAST.set(now);
    now
}

fn read() -> (Moment, WallMillis) {
    let elapsed = elapsed();
    let here = Handle::try_current().ok().map(|handle| handle.id());
    let rates = RUNTIMES.with_borrow(|runtimes| {
        runtimes.iter().rev().find(|(id, _)| Some(*id) == here).map(|(_, rates)| *rates)
    });
    let wall = WALL + elapsed.as_millis() as u64;
    (rates.unwrap_or_default().at(elapsed), WallMillis(wall))
}
