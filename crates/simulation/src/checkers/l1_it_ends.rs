//! L1: while a majority of witnesses can talk and an eligible site exists, a lost active site is
//! replaced within the bound that the policy gives.
//!
//! Judged after the last fault is healed: then every process runs and every line is whole, so
//! that each adopted stack that is not held by a human must acknowledge a row within the bound,
//! unless every site that had its rows has lost its data directory, or only a human may give up
//! rows that are nowhere else.
//! A run that ends before the bound says nothing.

use super::agreed::Agreed;
use super::{Checker, Found};
use crate::history::{History, MILLI, Record, SECOND, Setup, Time, What};
use coordination::Policy;
use coordination::invariants::Invariant::L1ItEnds;

/// Databases, gates and actors start, and standbys attach again, within this.
const SETTLED_AFTER: Time = 30 * SECOND;

/// How long after the last fault the worst case may take: the lease runs out on the slowest clock
/// and an election follows, each attempt's promotion fails at its deadline, and the database that
/// is the last one is unhealthy for as long as the policy waits.
#[must_use]
pub fn bound(policy: &Policy) -> Time {
    let attempts = u64::from(policy.attempts_max.max(1));
    let fence = policy.timing.outage_by_time_max().plus(policy.timing.suspect_after());
    let one = fence.plus(policy.elect_wait).plus(policy.promote_deadline);
    one.times(attempts).plus(policy.unhealthy_after).0 * MILLI + SETTLED_AFTER
}

/// Judges L1.
pub(super) struct ItEnds {
    bound: Time,
    healed: Option<Time>,
    /// By stack: the first acknowledgement since the last fault.
    acked: Vec<Option<Time>>,
}

impl ItEnds {
    pub(super) fn new(setup: &Setup) -> Self {
        Self { bound: bound(&setup.policy), healed: None, acked: vec![None; usize::from(setup.stacks)] }
    }
}

impl Checker for ItEnds {
    fn take(&mut self, record: &Record, _: &Agreed, _: &History, _: &mut Found) {
        match record.what {
            What::Healed => {
                self.healed = Some(record.at);
                self.acked.fill(None);
            }
            What::Acked { stack, sent, .. } if self.healed.is_some_and(|healed| sent >= healed) => {
                self.acked[usize::from(stack)].get_or_insert(record.at);
            }
            _ => {}
        }
    }

    fn finish(&mut self, agreed: &Agreed, history: &History, found: &mut Found) {
        let Some(healed) = self.healed else { return };
        let due = healed + self.bound;
        for (stack, (known, acked)) in (0..).zip(agreed.stacks.iter().zip(&self.acked)) {
            let possible = known.has_heir() && !known.waits_for_consent();
            let expected = possible && known.mode.is_some_and(|mode| !mode.holds_cover());
            let late = acked.map_or(history.ended >= due, |at| at > due);
            if expected && late {
                let after = (acked.unwrap_or(history.ended) - healed) / SECOND;
                let text = format!(
                    "{after} s after the last fault {}; the bound is {} s",
                    if acked.is_some() { "only came the first row" } else { "no row was acknowledged" },
                    self.bound / SECOND
                );
                found.add(L1ItEnds, due, stack, text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover};
    use super::*;

    fn judge(story: &mut Story) -> Vec<super::super::Violation> {
        story.history.ended = story.now;
        story.judge(ItEnds::new(&story.history.setup))
    }

    #[test]
    fn a_row_after_the_last_fault_is_enough() {
        let mut story = failover();
        story.tell(What::Healed).wait(1_000).acked(1, 7, 2, 500, false).wait(900_000);
        assert_eq!(judge(&mut story), []);
        let mut soon = failover();
        soon.tell(What::Healed).wait(10_000);
        assert_eq!(judge(&mut soon), []);
    }

    #[test]
    fn nothing_is_demanded_once_every_copy_is_lost() {
        let mut story = failover();
        story.tell(What::DataLost { stack: 0, site: 1 }).tell(What::Healed).wait(900_000);
        assert_eq!(judge(&mut story), []);
    }

    #[test]
    fn none_within_the_bound_is_caught() {
        let mut story = failover();
        story.tell(What::Healed).wait(900_000);
        assert_eq!(judge(&mut story).len(), 1);
        story.acked(1, 7, 2, 500, false);
        assert_eq!(judge(&mut story).len(), 1);
    }
}
