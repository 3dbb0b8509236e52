//! L1: while a majority of witnesses can talk and an eligible site exists, a lost active site is
//! replaced within the bound that the policy gives.
//!
//! Judged after the last fault is healed: then every process runs and every line is whole, so
//! that each adopted stack that is not held by a human must acknowledge a row within the bound,
//! unless every site that had its rows has lost its data directory, only a human may give up rows
//! that are nowhere else (what a failover's new site acknowledged before anybody streamed from it),
//! or the transition's attempts are used up. A run that ends before the bound says nothing.

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
    attempts_max: u32,
    healed: Option<Time>,
    /// By stack: the first acknowledgement since the last fault.
    acked: Vec<Option<Time>>,
}

impl ItEnds {
    pub(super) fn new(setup: &Setup) -> Self {
        let attempts_max = setup.policy.attempts_max;
        let acked = vec![None; usize::from(setup.stacks)];
        Self { bound: bound(&setup.policy), attempts_max, healed: None, acked }
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
            let used_up = known.closed.is_some() && known.moving && known.attempts >= self.attempts_max;
            let possible = known.has_heir() && !known.waits_for_consent() && !used_up;
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
    use super::super::build::{Story, failover, site, stack};
    use super::*;
    use coordination::Command;
    use model::{Cause, Epoch, LogIndex, StepKind, Timeline};

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

    /// dc2 is elected, open and then closed before anybody streamed from it.
    fn closed_alone(operator: bool) -> Story {
        let mut story = Story::adopted(|_| {});
        let cause = if operator { Cause::Operator } else { Cause::Expired };
        story.commit(Command::BeginTransition { stack: stack(), epoch: Epoch(1), cause, to: None });
        story.elect(1, 1).began(1, 2, 100).report(1, 2, StepKind::Promote, 2, 100).complete(2);
        story.begin(2).tell(What::Healed).wait(900_000);
        let begun = LogIndex(1);
        story.commit(Command::FenceByTime { stack: stack(), epoch: Epoch(2), begun });
        story
    }

    #[test]
    fn only_what_a_failover_left_alone_and_gone_may_wait_for_a_human() {
        assert_eq!(judge(&mut closed_alone(false)).len(), 1, "dc2 is there, and has every row");
        assert_eq!(judge(&mut closed_alone(true)).len(), 1, "nor does an operator's election need consent");
        let mut gone = closed_alone(false);
        gone.tell(What::DataLost { stack: 0, site: 1 });
        assert_eq!(judge(&mut gone), []);
    }

    #[test]
    fn an_abort_takes_no_standby_from_the_list() {
        let mut story = Story::adopted(|_| {});
        let (site, streams) = (site(1), Some(Timeline(1)));
        story.commit(Command::SetStreaming { stack: stack(), site, epoch: Epoch(1), streams });
        story.begin(1).elect(1, 0).begin(2);
        story.tell(What::DataLost { stack: 0, site: 0 }).tell(What::Healed).wait(900_000);
        assert_eq!(judge(&mut story).len(), 1, "dc2 still streams");
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
