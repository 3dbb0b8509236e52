//! A host's two clocks in model time: true time goes in ticks, each clock by its own rate.

use coordination::planted::{Bug, is_on};
use model::{Millis, Moment};

/// Drift that the worlds allow: the fastest clock shows 6/5 of the slowest.
pub const DRIFT_PPM: u64 = 90_909;
/// What the slowest allowed clock shows for one tick.
pub const SLOW: u64 = 100;
/// What the fastest allowed clock shows for one tick.
pub const FAST: u64 = 120;

/// Milliseconds that the two clocks show for one tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rates {
    /// CLOCK_BOOTTIME.
    pub boottime: u64,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: u64,
}

impl Rates {
    /// Both alike.
    #[must_use]
    pub const fn both(rate: u64) -> Self {
        Self { boottime: rate, raw: rate }
    }
}

/// How far a clock jumps: above `detect.after`.
const JUMP: u64 = 2 * SLOW;

/// One host's clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clock {
    /// What they show.
    pub now: Moment,
    /// How they go.
    pub rates: Rates,
}

/// Where clocks begin: far enough from zero that an age can be taken from it.
const BEGIN: Moment = Moment { boottime: 10_000_000, raw: 10_000_000 };

impl Clock {
    /// Clocks of these rates.
    #[must_use]
    pub const fn new(rates: Rates) -> Self {
        Self { now: BEGIN, rates }
    }

    /// One tick passes; a suspended host's CLOCK_MONOTONIC_RAW stands still.
    pub fn tick(&mut self, suspended: bool) {
        let raw = if suspended { Millis::ZERO } else { Millis(self.rates.raw) };
        let counted = if is_on(Bug::OneClock) { raw } else { Millis(self.rates.boottime) };
        self.now = Moment { boottime: self.now.after(counted).boottime, raw: self.now.after(raw).raw };
    }

    /// Both clocks leap.
    pub const fn jump(&mut self) {
        self.now = self.now.after(Millis(JUMP));
    }
}
