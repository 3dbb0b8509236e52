//! S2: nothing of an epoch begins before, for every earlier epoch of the stack, the site elected
//! for it is fenced for it, or is the same site.
//!
//! Fenced is what no process can write: at the instant at which a gate starts or promotes a
//! primary, no other site has a process of one (stopped ones apart). And the election entry that
//! names the epoch and the site was committed before.
//!
//! A fence that a site acknowledges, or that time proves, is true when its entry is committed: no
//! process of a primary is left there. (An operator's word and what an expiry closes are not
//! judged here: whoever opens next is.)

use super::agreed::{Agreed, AgreedStack, entry};
use super::s1_one_writer::sites;
use super::{Checker, Found};
use crate::history::{History, Record, Setup, Site, What};
use coordination::invariants::Invariant::S2FenceFirst;
use coordination::{Command, Outcome};
use model::{LogIndex, StackId, StepKind, StepOutcome};

/// Judges S2.
pub(super) struct FenceFirst {
    clocks_hold: bool,
    /// Sites with a primary's processes that run, by stack: one bit each.
    writers: Vec<u32>,
    frozen: Vec<u32>,
}

impl FenceFirst {
    pub(super) fn new(setup: &Setup) -> Self {
        let none = vec![0; usize::from(setup.stacks)];
        Self { clocks_hold: setup.clocks_hold, writers: none.clone(), frozen: none }
    }
}

impl FenceFirst {
    fn committed(
        &self,
        record: &Record,
        agreed: &Agreed,
        history: &History,
        index: LogIndex,
        found: &mut Found,
    ) {
        let Some(committed) = entry(history, index).filter(|c| c.outcome == Outcome::Applied) else { return };
        match &committed.entry.command {
            Command::Step(report)
                if report.step == StepKind::FenceDatabase && report.outcome == StepOutcome::Done =>
            {
                self.fenced(record, agreed, &report.stack, "says that it is fenced", found);
            }
            Command::FenceByTime { stack, .. } if self.clocks_hold => {
                self.fenced(record, agreed, stack, "is fenced by time", found);
            }
            _ => {}
        }
    }

    fn fenced(&self, record: &Record, agreed: &Agreed, name: &StackId, how: &str, found: &mut Found) {
        let Some(stack) = History::stack_named(name) else { return };
        let place = usize::from(stack);
        let Some(active) = agreed.stacks.get(place).and_then(AgreedStack::active) else { return };
        if self.writers[place] & !self.frozen[place] & bit(active.site) != 0 {
            let text = format!("dc{} {how} for epoch {} and still runs", active.site + 1, active.epoch);
            found.add(S2FenceFirst, record.at, stack, text);
        }
    }
}

fn bit(site: Site) -> u32 {
    1 << site
}

impl Checker for FenceFirst {
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found) {
        match record.what {
            What::Committed { index } => self.committed(record, agreed, history, index, found),
            What::PrimaryBegan { stack, site, .. } => self.writers[usize::from(stack)] |= bit(site),
            What::PrimaryEnded { stack, site, .. } => {
                self.writers[usize::from(stack)] &= !bit(site);
                self.frozen[usize::from(stack)] &= !bit(site);
            }
            What::Frozen { stack, site } => self.frozen[usize::from(stack)] |= bit(site),
            What::Thawed { stack, site } => self.frozen[usize::from(stack)] &= !bit(site),
            What::StepBegan { stack, site, epoch, step: StepKind::Promote } => {
                let place = usize::from(stack);
                let others = self.writers[place] & !self.frozen[place] & !bit(site);
                if others != 0 && self.clocks_hold {
                    let text =
                        format!("dc{} opens epoch {epoch} while {} still runs", site + 1, sites(others));
                    found.add(S2FenceFirst, record.at, stack, text);
                }
                let elections = &agreed.stacks[place].elections;
                if !elections.iter().rev().any(|e| e.epoch == epoch && e.site == site) {
                    let text = format!("dc{} opens epoch {epoch}, for which it was not elected", site + 1);
                    found.add(S2FenceFirst, record.at, stack, text);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover};
    use super::*;

    fn judge(story: &Story) -> Vec<super::super::Violation> {
        story.judge(FenceFirst::new(&story.history.setup))
    }

    #[test]
    fn a_clean_failover_fences_first() {
        assert_eq!(judge(&failover()), []);
    }

    #[test]
    fn a_promotion_while_the_old_site_runs_is_caught() {
        let mut story = Story::adopted(|_| {});
        story.begin(1).elect(1, 1).step(1, 2, StepKind::Promote);
        assert_eq!(judge(&story).len(), 1);
        // The same site goes on: nothing to fence.
        let mut story = Story::adopted(|_| {});
        story.begin(1).elect(1, 0).step(0, 2, StepKind::Promote);
        assert_eq!(judge(&story), []);
    }

    #[test]
    fn a_fence_that_is_acknowledged_while_a_process_is_left_is_caught() {
        let fenced = |story: &mut Story| {
            story.begin(1).report(0, 1, StepKind::FenceDatabase, 1, 0);
        };
        let mut story = Story::adopted(|_| {});
        fenced(&mut story);
        assert_eq!(judge(&story).len(), 1);
        let mut story = Story::adopted(|_| {});
        story.ended(0);
        fenced(&mut story);
        assert_eq!(judge(&story), []);
    }

    #[test]
    fn a_promotion_before_the_election_entry_is_caught() {
        let mut story = Story::adopted(|_| {});
        story.ended(0).begin(1).step(1, 2, StepKind::Promote).elect(1, 1);
        assert_eq!(judge(&story).len(), 1);
    }
}
