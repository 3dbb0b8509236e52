//! L2: with no fault longer than `detect.after` there is no change of the active site.

use super::agreed::{Agreed, entry};
use super::{Checker, Found};
use crate::history::{History, Record, What};
use coordination::invariants::Invariant::L2NoNeedlessFailover;
use coordination::{Command, Outcome};

/// Judges L2, in runs whose faults are all that short.
pub(super) struct NoNeedlessFailover;

impl Checker for NoNeedlessFailover {
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found) {
        let What::Committed { index } = record.what else { return };
        if !history.setup.short_faults {
            return;
        }
        let Some(committed) = entry(history, index) else { return };
        if let (Command::Elect { stack, site, epoch }, Outcome::Applied) =
            (&committed.entry.command, &committed.outcome)
            && let Some(stack) = History::stack_named(stack)
            && let Some(active) = agreed.stacks[usize::from(stack)].active()
            && History::site_named(site) != Some(active.site)
        {
            let text =
                format!("{site} is elected after dc{} and epoch {epoch}, for nothing", active.site + 1);
            found.add(L2NoNeedlessFailover, record.at, stack, text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover};
    use super::*;

    #[test]
    fn an_election_of_the_same_site_is_no_failover() {
        let mut story = Story::adopted(|setup| setup.short_faults = true);
        story.begin(1).elect(1, 0);
        assert_eq!(story.judge(NoNeedlessFailover), []);
        assert_eq!(failover().judge(NoNeedlessFailover), []);
    }

    #[test]
    fn a_change_of_site_for_short_faults_is_caught() {
        let mut story = Story::adopted(|setup| setup.short_faults = true);
        story.begin(1).elect(1, 1);
        assert_eq!(story.judge(NoNeedlessFailover).len(), 1);
    }
}
