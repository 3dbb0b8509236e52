//! Elapsed time, measured on two clocks at once (design, section 5).
//!
//! CLOCK_BOOTTIME counts a suspend but may be slewed by NTP; CLOCK_MONOTONIC_RAW
//! is never slewed but does not count a suspend. Who *holds* a right takes the
//! larger elapsed time ([`Deadline`]), who *waits* for another's right to end
//! takes the smaller ([`Horizon`]). No wall clock decides anything.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A duration in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Millis(pub u64);

impl Millis {
    /// None at all.
    pub const ZERO: Self = Self(0);

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// This less the other, not below zero.
    #[must_use]
    pub const fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// This many times over.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }

    const fn micros(self) -> u64 {
        self.0.saturating_mul(1_000)
    }
}

impl From<Millis> for core::time::Duration {
    fn from(millis: Millis) -> Self {
        Self::from_millis(millis.0)
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_000 {
            write!(f, "{} ms", self.0)
        } else if self.0.is_multiple_of(1_000) {
            write!(f, "{} s", self.0 / 1_000)
        } else {
            write!(f, "{}.{:03} s", self.0 / 1_000, self.0 % 1_000)
        }
    }
}

/// Milliseconds since 1970 by somebody's wall clock. For display alone: nothing is decided by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct WallMillis(pub u64);

/// One reading of both clocks, in microseconds. Meaningful only in the process's own host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// CLOCK_BOOTTIME.
    pub boottime: u64,
    /// CLOCK_MONOTONIC_RAW.
    pub raw: u64,
}

impl Moment {
    /// Both clocks moved on by `span`.
    #[must_use]
    pub const fn after(self, span: Millis) -> Self {
        Self {
            boottime: self.boottime.saturating_add(span.micros()),
            raw: self.raw.saturating_add(span.micros()),
        }
    }

    /// Both clocks `span` earlier, not before zero.
    #[must_use]
    pub const fn before(self, span: Millis) -> Self {
        Self {
            boottime: self.boottime.saturating_sub(span.micros()),
            raw: self.raw.saturating_sub(span.micros()),
        }
    }

    /// The larger of the elapsed times since `earlier`: for who holds a right.
    #[must_use]
    pub const fn elapsed_longest(self, earlier: Self) -> Millis {
        let (b, r) = self.elapsed_micros(earlier);
        Millis(if b > r { b } else { r }.div_ceil(1_000))
    }

    /// The smaller of the elapsed times since `earlier`: for who waits.
    #[must_use]
    pub const fn elapsed_shortest(self, earlier: Self) -> Millis {
        let (b, r) = self.elapsed_micros(earlier);
        Millis(if b < r { b } else { r } / 1_000)
    }

    const fn elapsed_micros(self, earlier: Self) -> (u64, u64) {
        (self.boottime.saturating_sub(earlier.boottime), self.raw.saturating_sub(earlier.raw))
    }
}

/// End of a right that the reader *holds*: over as soon as either clock says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadline(Moment);

impl Deadline {
    /// The right ends `span` after `start`.
    #[must_use]
    pub const fn new(start: Moment, span: Millis) -> Self {
        Self(start.after(span))
    }

    /// True from the instant at which the first of the two clocks reaches it.
    #[must_use]
    pub const fn is_over(self, now: Moment) -> bool {
        now.boottime >= self.0.boottime || now.raw >= self.0.raw
    }

    /// What is left, by the clock that has less left, rounded down.
    #[must_use]
    pub const fn remaining(self, now: Moment) -> Millis {
        let b = self.0.boottime.saturating_sub(now.boottime);
        let r = self.0.raw.saturating_sub(now.raw);
        Millis(if b < r { b } else { r } / 1_000)
    }

    /// The later of two rights of the same holder, clock by clock the more careful way:
    /// the one with more left at `now`.
    #[must_use]
    pub const fn later(self, other: Self, now: Moment) -> Self {
        if self.remaining(now).0 >= other.remaining(now).0 { self } else { other }
    }

    /// The two readings at which it ends.
    #[must_use]
    pub const fn moment(self) -> Moment {
        self.0
    }
}

/// When, on a witness's own clocks, a site's last grant has surely ended: only once
/// both clocks are past it. May be late, never early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Horizon(Moment);

impl Horizon {
    /// `wait` from `now`.
    #[must_use]
    pub const fn new(now: Moment, wait: Millis) -> Self {
        Self(now.after(wait))
    }

    /// The later on each clock.
    #[must_use]
    pub const fn max(self, other: Self) -> Self {
        let (a, b) = (self.0, other.0);
        Self(Moment {
            boottime: if a.boottime > b.boottime { a.boottime } else { b.boottime },
            raw: if a.raw > b.raw { a.raw } else { b.raw },
        })
    }

    /// True once both clocks have passed it.
    #[must_use]
    pub const fn is_past(self, now: Moment) -> bool {
        now.boottime > self.0.boottime && now.raw > self.0.raw
    }

    /// What is left, by the clock that has more left, rounded up.
    #[must_use]
    pub const fn remaining(self, now: Moment) -> Millis {
        let b = self.0.boottime.saturating_sub(now.boottime);
        let r = self.0.raw.saturating_sub(now.raw);
        Millis(if b > r { b } else { r }.div_ceil(1_000))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Moment = Moment { boottime: 1_000_000, raw: 500_000 };

    #[test]
    fn a_holder_stops_at_the_first_clock() {
        let deadline = Deadline::new(START, Millis(5_000));
        let suspended = Moment { boottime: START.boottime + 5_000_000, raw: START.raw + 10 };
        let slewed = Moment { boottime: START.boottime + 10, raw: START.raw + 5_000_000 };
        assert!(deadline.is_over(suspended) && deadline.is_over(slewed));
        assert!(!deadline.is_over(START.after(Millis(4_999))));
        assert_eq!(deadline.remaining(suspended), Millis::ZERO);
    }

    #[test]
    fn who_waits_waits_for_both_clocks() {
        let horizon = Horizon::new(START, Millis(5_000));
        let suspended = Moment { boottime: START.boottime + 6_000_000, raw: START.raw + 10 };
        assert!(!horizon.is_past(suspended));
        assert!(!horizon.is_past(START.after(Millis(5_000))));
        assert!(horizon.is_past(START.after(Millis(5_001))));
    }
}
