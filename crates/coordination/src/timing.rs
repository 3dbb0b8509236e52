//! Durations of the lease, checked against each other (design, section 12).

use alloc::vec::Vec;
use core::fmt;
use model::{GrantTerms, Millis};
use serde::{Deserialize, Serialize};

/// Parts in a million: clock drift is kept without floats.
pub const MILLION: u64 = 1_000_000;

/// The durations as configured, unchecked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimingValues {
    /// D.
    pub lease_duration: Millis,
    /// R.
    pub renew_every: Millis,
    /// F.
    pub fence_deadline: Millis,
    /// rho, in parts in a million.
    pub drift_max_ppm: u64,
    /// Silence after which a site may be suspected.
    pub detect_after: Millis,
    /// Raft heartbeat.
    pub heartbeat: Millis,
    /// Shortest Raft election timeout.
    pub election_min: Millis,
    /// Longest Raft election timeout.
    pub election_max: Millis,
    /// 99th percentile of the round trip between sites.
    pub round_trip_p99: Millis,
    /// 99th percentile of one fsync.
    pub fsync_p99: Millis,
}

/// Durations that fit together. Built by [`Timing::new`] alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "TimingValues", into = "TimingValues")]
pub struct Timing(TimingValues);

/// The rules between the durations, by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TimingRule {
    /// 6 R + renew_p99 <= D: five renewals may be lost.
    RenewalsMayBeLost,
    /// detect.after + R + rtt_p99 < D: suspicion comes before expiry.
    SuspicionBeforeExpiry,
    /// heartbeat + 3 election_max + 3 rtt + R + renew_p99 <= D - R: a leader change with one
    /// split vote costs no healthy site its lease.
    LeaderChangeCostsNoLease,
    /// election_min >= 10 rtt.
    ElectionAboveRoundTrip,
    /// election_min < election_max, heartbeat < election_min.
    ElectionOrder,
    /// Every duration is above zero, and drift is below 10 %.
    Positive,
}

/// A rule that does not hold, with its two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimingError {
    /// The rule.
    pub rule: TimingRule,
    /// The side that must be the smaller.
    pub left: Millis,
    /// The side that must be the larger.
    pub right: Millis,
}

impl fmt::Display for TimingRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RenewalsMayBeLost => "6 x lease.renew_every + renew_p99 <= lease.duration",
            Self::SuspicionBeforeExpiry => "detect.after + lease.renew_every + rtt_p99 < lease.duration",
            Self::LeaderChangeCostsNoLease => {
                "raft.heartbeat + 3 x raft.election_max + 3 x rtt_p99 + lease.renew_every + renew_p99 <= lease.duration - lease.renew_every"
            }
            Self::ElectionAboveRoundTrip => "10 x rtt_p99 <= raft.election_min",
            Self::ElectionOrder => "raft.heartbeat < raft.election_min < raft.election_max",
            Self::Positive => "every duration > 0, clock.max_drift < 10 %",
        })
    }
}

impl fmt::Display for TimingError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "timing rule broken: {} (here {} against {})", self.rule, self.left, self.right)
    }
}

impl core::error::Error for TimingError {}

/// One term of the worst-case outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutageTerm {
    /// What takes the time.
    pub what: &'static str,
    /// At most this long.
    pub at_most: Millis,
}

/// A named set of durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Profile {
    /// Sites over the internet, noisy machines.
    Wan,
    /// Own lines.
    Metro,
    /// One region.
    Fast,
}

impl Profile {
    /// All, the default first.
    pub const ALL: [Self; 3] = [Self::Wan, Self::Metro, Self::Fast];

    /// Its durations (design, section 12).
    #[must_use]
    pub const fn values(self) -> TimingValues {
        let (d, r, f, detect, heartbeat, emin, emax, rtt) = match self {
            Self::Wan => (12_000, 1_500, 4_000, 5_000, 400, 1_000, 2_000, 100),
            Self::Metro => (5_000, 700, 2_000, 2_000, 250, 600, 1_000, 60),
            Self::Fast => (2_000, 300, 1_000, 800, 100, 200, 350, 20),
        };
        TimingValues {
            lease_duration: Millis(d),
            renew_every: Millis(r),
            fence_deadline: Millis(f),
            drift_max_ppm: 10_000,
            detect_after: Millis(detect),
            heartbeat: Millis(heartbeat),
            election_min: Millis(emin),
            election_max: Millis(emax),
            round_trip_p99: Millis(rtt),
            fsync_p99: Millis(20),
        }
    }
}

impl Timing {
    /// Checks every rule.
    ///
    /// # Errors
    /// All rules that do not hold, each with its two sides.
    pub fn new(values: TimingValues) -> Result<Self, Vec<TimingError>> {
        let errors = broken_rules(&values);
        if errors.is_empty() { Ok(Self(values)) } else { Err(errors) }
    }

    /// The checked durations.
    #[must_use]
    pub const fn values(&self) -> &TimingValues {
        &self.0
    }

    /// D and F as a grant carries them.
    #[must_use]
    pub const fn terms(&self) -> GrantTerms {
        GrantTerms { lease_duration: self.0.lease_duration, fence_deadline: self.0.fence_deadline }
    }

    /// W for grants of these terms: (D + F)(1 + rho)/(1 - rho), rounded up.
    #[must_use]
    pub fn wait(&self, terms: GrantTerms) -> Millis {
        grantor_wait(terms, self.0.drift_max_ppm)
    }

    /// Two round trips and two fsyncs.
    #[must_use]
    pub const fn renew_p99(&self) -> Millis {
        renew_p99(&self.0)
    }

    /// Silence after which a site is suspected: detect.after + R + rtt_p99.
    #[must_use]
    pub const fn suspect_after(&self) -> Millis {
        self.0.detect_after.plus(self.0.renew_every).plus(self.0.round_trip_p99)
    }

    /// The worst outage of a lost site in asynchronous mode, fenced by time, term by term.
    #[must_use]
    pub fn outage_by_time(&self) -> Vec<OutageTerm> {
        let v = &self.0;
        let commit = Millis(v.round_trip_p99.0 + v.fsync_p99.0 * 2);
        [
            ("the last renewal is committed: one commit after the loss at most", commit),
            ("the lease and the fence run out on the slowest clock: W", self.wait(self.terms())),
            ("the expiry is noticed and committed", commit.plus(Millis(20))),
            (
                "the standbys let go and report the end of their WAL",
                commit.plus(v.round_trip_p99).plus(Millis(50)),
            ),
            ("the election is committed", commit),
            ("the elected actor renews at once", self.renew_p99()),
            ("PostgreSQL leaves recovery and takes a write", Millis(60)),
        ]
        .into_iter()
        .map(|(what, at_most)| OutageTerm { what, at_most })
        .collect()
    }

    /// The sum of [`Self::outage_by_time`].
    #[must_use]
    pub fn outage_by_time_max(&self) -> Millis {
        self.outage_by_time().iter().fold(Millis::ZERO, |sum, term| sum.plus(term.at_most))
    }
}

/// W = (D + F)(1 + rho)/(1 - rho), rounded up to 1 ms: the longest that a holder may act after a
/// grant was committed, on the slowest clock, seen from the fastest.
#[must_use]
pub fn grantor_wait(terms: GrantTerms, drift_max_ppm: u64) -> Millis {
    let span = terms.lease_duration.plus(terms.fence_deadline).0 as u128;
    let rho = if drift_max_ppm >= MILLION { MILLION - 1 } else { drift_max_ppm } as u128;
    let million = MILLION as u128;
    let rho = if planted!(DriftIgnored) { 0 } else { rho };
    let wait = (span * (million + rho)).div_ceil(million - rho);
    let wait = if planted!(FactorOnePlusTwoRho) { span + span * 2 * rho / million } else { wait };
    Millis(if wait > u64::MAX as u128 { u64::MAX } else { wait as u64 })
}

const fn renew_p99(v: &TimingValues) -> Millis {
    v.round_trip_p99.times(2).plus(v.fsync_p99.times(2))
}

/// Every rule with its two sides, whether it holds or not: what `tripoint timing` prints.
#[must_use]
pub fn rules(v: &TimingValues) -> Vec<(TimingRule, Millis, Millis, bool)> {
    let renew = renew_p99(v);
    let le = |rule, left: Millis, right: Millis| (rule, left, right, left <= right);
    let lt = |rule, left: Millis, right: Millis| (rule, left, right, left < right);
    let shortest = [
        v.lease_duration,
        v.renew_every,
        v.fence_deadline,
        v.detect_after,
        v.heartbeat,
        v.election_min,
        v.election_max,
        v.round_trip_p99,
    ]
    .into_iter()
    .min()
    .unwrap_or(Millis::ZERO);
    let positive = shortest > Millis::ZERO && v.drift_max_ppm < MILLION / 10;
    alloc::vec![
        (TimingRule::Positive, Millis::ZERO, shortest, positive),
        le(TimingRule::RenewalsMayBeLost, v.renew_every.times(6).plus(renew), v.lease_duration),
        lt(
            TimingRule::SuspicionBeforeExpiry,
            v.detect_after.plus(v.renew_every).plus(v.round_trip_p99),
            v.lease_duration,
        ),
        le(
            TimingRule::LeaderChangeCostsNoLease,
            v.heartbeat
                .plus(v.election_max.times(3))
                .plus(v.round_trip_p99.times(3))
                .plus(v.renew_every)
                .plus(renew),
            v.lease_duration.minus(v.renew_every),
        ),
        le(TimingRule::ElectionAboveRoundTrip, v.round_trip_p99.times(10), v.election_min),
        if v.heartbeat >= v.election_min {
            lt(TimingRule::ElectionOrder, v.heartbeat, v.election_min)
        } else {
            lt(TimingRule::ElectionOrder, v.election_min, v.election_max)
        },
    ]
}

fn broken_rules(v: &TimingValues) -> Vec<TimingError> {
    rules(v)
        .into_iter()
        .filter(|(.., holds)| !holds)
        .map(|(rule, left, right, _)| TimingError { rule, left, right })
        .collect()
}

impl TryFrom<TimingValues> for Timing {
    type Error = TimingError;
    fn try_from(values: TimingValues) -> Result<Self, TimingError> {
        Self::new(values).map_err(|errors| errors[0])
    }
}

impl From<Timing> for TimingValues {
    fn from(timing: Timing) -> Self {
        timing.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_of_the_design_hold() {
        for profile in Profile::ALL {
            assert!(
                Timing::new(profile.values()).is_ok(),
                "{profile:?}: {:?}",
                broken_rules(&profile.values())
            );
        }
    }

    #[test]
    fn the_wait_is_rounded_up_and_uses_both_rates() {
        let terms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };
        assert_eq!(grantor_wait(terms, 10_000), Millis(7_142)); // 7000 * 1.01 / 0.99 = 7141.4
        assert_eq!(grantor_wait(terms, 0), Millis(7_000));
    }

    #[test]
    fn each_rule_is_refused_by_name() {
        let good = Profile::Metro.values();
        let cases = [
            (TimingRule::RenewalsMayBeLost, TimingValues { renew_every: Millis(1_000), ..good }),
            (TimingRule::SuspicionBeforeExpiry, TimingValues { detect_after: Millis(4_300), ..good }),
            (TimingRule::LeaderChangeCostsNoLease, TimingValues { election_max: Millis(1_200), ..good }),
            (TimingRule::ElectionAboveRoundTrip, TimingValues { election_min: Millis(590), ..good }),
            (TimingRule::ElectionOrder, TimingValues { election_min: Millis(1_000), ..good }),
            (TimingRule::ElectionOrder, TimingValues { heartbeat: Millis(600), ..good }),
            (TimingRule::Positive, TimingValues { fence_deadline: Millis::ZERO, ..good }),
            (TimingRule::Positive, TimingValues { drift_max_ppm: 100_000, ..good }),
        ];
        for (rule, values) in cases {
            let errors = Timing::new(values).expect_err("a broken rule");
            assert!(errors.iter().any(|e| e.rule == rule), "{rule:?} in {errors:?}");
        }
    }
}
