//! A host's two clocks, each with its own rate, which may change.

use crate::history::Time;
use coordination::planted::{Bug, is_on};
use model::{Deadline, Horizon, Millis, Moment};

/// Spans stay below 100 days: their product with this fits.
const PPM: i64 = 1_000_000;

/// The clocks of one host. Rates are errors in parts in a million of true time.
#[derive(Clone, Debug)]
pub struct Clock {
    since: Time,
    at_since: Moment,
    boottime_ppm: i64,
    raw_ppm: i64,
    /// Both stand: a guest that its hypervisor paused together with its clocks.
    stands: bool,
    /// Only the raw one stands: a suspend.
    suspended: bool,
    /// Planted (`OneClock`): what is read as boottime goes, and stands, as the raw one does.
    one: bool,
}

impl Clock {
    /// Clocks that have run for a while.
    #[must_use]
    pub fn new(start: Moment, boottime_ppm: i64, raw_ppm: i64) -> Self {
        let one = is_on(Bug::OneClock);
        Self { since: 0, at_since: start, boottime_ppm, raw_ppm, stands: false, suspended: false, one }
    }

    /// Both clocks at a true instant, which must not be before the last change of a rate.
    #[must_use]
    pub fn read(&self, now: Time) -> Moment {
        if self.stands {
            return self.at_since;
        }
        let span = now.saturating_sub(self.since);
        let raw = if self.suspended { 0 } else { scaled(span, self.raw_ppm) };
        let boottime = if self.one { raw } else { scaled(span, self.boottime_ppm) };
        Moment { boottime: self.at_since.boottime + boottime, raw: self.at_since.raw + raw }
    }

    fn change(&mut self, now: Time) {
        self.at_since = self.read(now);
        self.since = now;
    }

    /// Other rates from now on.
    pub fn set_rates(&mut self, now: Time, boottime_ppm: i64, raw_ppm: i64) {
        self.change(now);
        (self.boottime_ppm, self.raw_ppm) = (boottime_ppm, raw_ppm);
    }

    /// The rates.
    #[must_use]
    pub const fn rates(&self) -> (i64, i64) {
        (self.boottime_ppm, self.raw_ppm)
    }

    /// Both clocks stand still, or run again.
    pub fn stand(&mut self, now: Time, stands: bool) {
        self.change(now);
        self.stands = stands;
    }

    /// The raw clock stands still, or runs again.
    pub fn suspend(&mut self, now: Time, suspended: bool) {
        self.change(now);
        self.suspended = suspended;
    }

    /// Both clocks jump forward.
    pub fn jump(&mut self, now: Time, span: Time) {
        self.change(now);
        self.at_since.boottime += span;
        self.at_since.raw += span;
    }

    /// A restarted host: both clocks begin anew.
    pub fn reboot(&mut self, now: Time) {
        self.since = now;
        self.at_since = Moment { boottime: 5_000_000, raw: 5_000_000 };
        (self.stands, self.suspended) = (false, false);
    }

    /// The first true instant at which boottime shows at least `micros`.
    #[must_use]
    pub fn when_boottime(&self, micros: u64, now: Time) -> Time {
        let left = micros.saturating_sub(self.read(now).boottime);
        if (self.stands || (self.one && self.suspended)) && left > 0 {
            return Time::MAX;
        }
        now + unscaled(left, if self.one { self.raw_ppm } else { self.boottime_ppm })
    }

    fn when_raw(&self, micros: u64, now: Time) -> Time {
        let left = micros.saturating_sub(self.read(now).raw);
        if (self.stands || self.suspended) && left > 0 {
            return Time::MAX;
        }
        now + unscaled(left, self.raw_ppm)
    }

    /// The first true instant at which the deadline is over.
    #[must_use]
    pub fn when_over(&self, deadline: Deadline, now: Time) -> Time {
        let end = deadline.moment();
        self.when_boottime(end.boottime, now).min(self.when_raw(end.raw, now))
    }

    /// A true instant by which the horizon is past, if the rates stay.
    #[must_use]
    pub fn when_past(&self, horizon_left: Millis, now: Time) -> Time {
        let read = self.read(now).after(horizon_left.plus(Millis(1)));
        self.when_boottime(read.boottime, now).max(self.when_raw(read.raw, now))
    }

    /// When `span` has passed on both clocks, as one who waits counts.
    #[must_use]
    pub fn when_elapsed(&self, start: Moment, span: Millis, now: Time) -> Time {
        let end = start.after(span);
        self.when_boottime(end.boottime, now).max(self.when_raw(end.raw, now))
    }

    /// As [`Clock::when_past`], for a horizon itself.
    #[must_use]
    pub fn when_horizon(&self, horizon: Horizon, now: Time) -> Time {
        self.when_past(horizon.remaining(self.read(now)), now)
    }
}

fn scaled(span: u64, ppm: i64) -> u64 {
    let span = i64::try_from(span).unwrap_or(i64::MAX) * (PPM + ppm) / PPM;
    u64::try_from(span).unwrap_or_default()
}

/// Rounded up, so that the clock has reached the reading by then.
fn unscaled(span: u64, ppm: i64) -> u64 {
    if span == 0 {
        return 0;
    }
    let span = i64::try_from(span).unwrap_or(i64::MAX) * PPM / (PPM + ppm) + 2;
    u64::try_from(span).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment { boottime: 7_000_000, raw: 3_000_000 };

    #[test]
    fn the_first_instant_of_a_reading_is_found_whatever_the_rates() {
        for (boottime, raw) in [(0, 0), (-80_000, 10_000), (80_000, -10_000), (123, -4_567)] {
            let mut clock = Clock::new(START, boottime, raw);
            clock.set_rates(1_234_567, raw, boottime);
            let now = 2_000_000;
            let deadline = Deadline::new(clock.read(now), Millis(1_500));
            let over = clock.when_over(deadline, now);
            assert!(deadline.is_over(clock.read(over)), "{boottime} {raw}");
            assert!(!deadline.is_over(clock.read(over - 5)), "{boottime} {raw}");
            let horizon = Horizon::new(clock.read(now), Millis(1_500));
            let past = clock.when_horizon(horizon, now);
            assert!(horizon.is_past(clock.read(past)));
        }
    }

    #[test]
    fn one_clock_is_waited_for_as_it_is_read() {
        let _planted = coordination::planted::Planting::new(Some(Bug::OneClock));
        let mut clock = Clock::new(START, 80_000, -10_000);
        let due = clock.when_boottime(START.boottime + 1_000_000, 0);
        assert!(clock.read(due).boottime >= START.boottime + 1_000_000);
        clock.suspend(2_000_000, true);
        let read = clock.read(5_000_000);
        assert_eq!(read, clock.read(2_000_000), "both stand");
        assert_eq!(clock.when_boottime(read.boottime + 1, 5_000_000), Time::MAX);
    }

    #[test]
    fn a_suspend_stops_the_raw_clock_alone() {
        let mut clock = Clock::new(START, 0, 0);
        clock.suspend(1_000_000, true);
        clock.suspend(4_000_000, false);
        let read = clock.read(5_000_000);
        assert_eq!((read.boottime - START.boottime, read.raw - START.raw), (5_000_000, 2_000_000));
    }
}
