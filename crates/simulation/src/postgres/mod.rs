//! A modelled PostgreSQL: the servers of one stack at all sites, the replication between them,
//! and clients that write.
//!
//! | part | what it does |
//! | --- | --- |
//! | `wal` | the logs of all servers as one tree |
//! | `server` | what is on one server's disk, its processes, its timers |
//! | `hands` | what a gate can do to a server, and see without SQL |
//! | `driver` | what an actor can ask it |
//! | `faults` | what can befall it; an operator's base backup |
//! | `life` | start, stop, promotion, reload, end: what takes time |
//! | `replication` | walreceivers and walsenders |
//! | `clients` | sessions, commits, waiting for standbys, acknowledgements |
//!
//! It behaves as `../shared/facts/postgres.md` measured the real one, its nasty sides first:
//! backends outlive their postmaster and acknowledge seconds later; a standby attaches again
//! after a restart; clearing `primary_conninfo` does nothing to a paused replay; a promotion
//! sleeps five seconds unless it is nudged; two promotions take the same timeline number.
//!
//! No ticks: [`Database::due`] says when something happens next, and nothing is looked at before.

mod clients;
mod driver;
mod faults;
mod hands;
mod life;
mod replication;
mod server;
mod settings;
mod wal;

pub use driver::Detached;
pub use faults::Ill;
pub use hands::Signal;
pub use server::{Control, ControlState};
pub use settings::{Settings, SyncSet};

use crate::dice::Dice;
use crate::history::{History, MILLI, Site, Time, What};
use clients::Client;
use model::{Lsn, SiteId, SystemId};
use server::{NEVER, Server, Tell};
use wal::{Tip, Wal};

/// Where clients outside of all sites are.
pub const OUTSIDE: Site = Site::MAX;

/// Bytes of a commit record, of a checkpoint's, of the record that begins a timeline, of a probe.
/// Equal rows are equally long: so two branches have their boundaries at the same positions.
const SIZE_COMMIT: u64 = 104;
const SIZE_CHECKPOINT: u64 = 120;
const SIZE_TIMELINE: u64 = 104;
const SIZE_PROBE: u64 = 104;

/// Turns within one instant; more are a defect of the model.
const TURNS_MAX: u32 = 10_000;

/// Is there a way from one site to another at the moment? Directed.
pub(crate) type Reach<'a> = &'a dyn Fn(Site, Site) -> bool;

/// What lies around the servers during one advance.
struct Around<'a> {
    now: Time,
    reach: Reach<'a>,
    history: &'a mut History,
}

impl Around<'_> {
    fn reaches(&self, from: Site, to: Site) -> bool {
        from == to || (self.reach)(from, to)
    }
}

/// The databases of one stack, at all sites.
pub struct Database {
    settings: Settings,
    names: Vec<SiteId>,
    dice: Dice,
    wal: Wal,
    servers: Vec<Server>,
    clients: Vec<Client>,
    links: u32,
    changed: u32,
}

impl Database {
    /// A primary that runs, and standbys that stream from it, all on timeline 1.
    #[must_use]
    pub fn new(names: &[SiteId], primary: Site, seed: u64) -> Self {
        Self::with(names, primary, seed, Settings::new(0))
    }

    /// The same, with settings of its own.
    #[must_use]
    pub fn with(names: &[SiteId], primary: Site, seed: u64, settings: Settings) -> Self {
        let wal = Wal::new();
        let (tip, end) = (Tip::ROOT, wal.end(Tip::ROOT));
        let system = SystemId(0x7000_0000 + u64::from(settings.stack));
        let count = Site::try_from(names.len()).unwrap_or(Site::MAX);
        let servers = (0..count)
            .map(|site| {
                let standby = (site != primary).then_some(primary);
                let mut server = Server::new(tip, end, system, standby, settings.sync);
                server.timers.receiver = if standby.is_some() { 0 } else { NEVER };
                server.timers.ready = if standby.is_some() { NEVER } else { 0 };
                server
            })
            .collect();
        let dice = Dice::new(seed, 100 + u64::from(settings.stack));
        let clients = Client::all(&settings, count);
        Self { settings, names: names.to_vec(), dice, wal, servers, clients, links: 0, changed: 0 }
    }

    /// When something happens next by itself; `Time::MAX`: nothing.
    #[must_use]
    pub fn due(&self) -> Time {
        let servers = self.servers.iter().map(Server::due);
        servers.chain(self.clients.iter().map(|c| c.due)).min().unwrap_or(NEVER)
    }

    /// Everything that is due at `now`. Bits of sites whose role, processes, streaming or control
    /// file changed are set in `changed`.
    pub fn advance(&mut self, now: Time, reach: Reach<'_>, history: &mut History, changed: &mut u32) {
        let mut around = Around { now, reach, history };
        for _ in 0..TURNS_MAX {
            let mut idle = true;
            for site in 0..self.servers.len() {
                if self.servers[site].due() <= now {
                    self.turn(site, &mut around);
                    idle = false;
                }
            }
            for client in 0..self.clients.len() {
                if self.clients[client].due <= now {
                    self.client_turn(client, &mut around);
                    idle = false;
                }
            }
            if idle {
                break;
            }
        }
        *changed |= std::mem::take(&mut self.changed);
    }

    /// Notes what every server holds at the end of the run.
    pub fn finish(&self, history: &mut History) {
        let databases = self.servers.iter().map(|server| crate::history::FinalDatabase {
            rows: if server.disk.present { self.wal.rows(server.disk.tip) } else { Vec::new() },
            primary: server.takes_writes(),
            streams: server.receiver.is_some_and(|r| r.state == server::Link::Streaming),
            running: server.phase != server::Phase::Down,
        });
        history.databases.push(databases.collect());
    }

    fn turn(&mut self, site: usize, around: &mut Around<'_>) {
        let (stack, now) = (self.settings.stack, around.now);
        let name = index(site);
        let server = &mut self.servers[site];
        match server.to_tell.take() {
            Some(Tell::Frozen) if server.began => around.history.add(now, What::Frozen { stack, site: name }),
            Some(Tell::DataLost) => around.history.add(now, What::DataLost { stack, site: name }),
            _ => {}
        }
        if server.is_frozen() && server.timers.gone > now {
            if server.frozen_until > now {
                return;
            }
            server.frozen_until = 0;
            if server.began {
                around.history.add(now, What::Thawed { stack, site: name });
            }
            self.mark(site);
        }
        self.live(site, around);
    }

    fn mark(&mut self, site: usize) {
        self.changed |= 1 << site;
    }

    fn end_of(&self, site: usize) -> Lsn {
        self.wal.end(self.servers[site].disk.tip)
    }

    fn millis(&mut self, from: u64, to: u64) -> Time {
        self.dice.between(from * MILLI, to * MILLI)
    }

    fn latency(&mut self) -> Time {
        let mean = self.settings.latency;
        self.dice.delay(mean)
    }
}

/// Places fit: there are at most 31 sites.
fn index(site: usize) -> Site {
    Site::try_from(site).unwrap_or(Site::MAX)
}

#[cfg(test)]
mod tests;
