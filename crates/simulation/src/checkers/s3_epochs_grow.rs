//! S3: a stack's epoch never goes back. No gate obeys an epoch below the highest that it obeyed
//! before, nor opens one at or below one that it has closed; election entries count up by one.
//!
//! Closing an old epoch once more is no going back.

use super::agreed::Agreed;
use super::{Checker, Found};
use crate::history::{History, Record, Setup, Stack, What};
use coordination::invariants::Invariant::S3EpochsGrow;
use coordination::{Command, Outcome};
use model::{Epoch, StepKind};

/// What one gate has obeyed and closed.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    obeyed: Epoch,
    closed: Epoch,
}

/// Judges S3.
pub(super) struct EpochsGrow {
    sites: usize,
    gates: Vec<Gate>,
    epochs: Vec<Epoch>,
}

impl EpochsGrow {
    pub(super) fn new(setup: &Setup) -> Self {
        let (sites, stacks) = (usize::from(setup.sites), usize::from(setup.stacks));
        Self { sites, gates: vec![Gate::default(); sites * stacks], epochs: vec![Epoch::NONE; stacks] }
    }

    fn agreed(&mut self, record: &Record, stack: Stack, epoch: Epoch, found: &mut Found) {
        let last = &mut self.epochs[usize::from(stack)];
        if epoch != last.next() {
            found.add(S3EpochsGrow, record.at, stack, format!("epoch {epoch} was agreed after {last}"));
        }
        *last = epoch.max(*last);
    }
}

impl Checker for EpochsGrow {
    fn take(&mut self, record: &Record, _: &Agreed, history: &History, found: &mut Found) {
        match record.what {
            What::StepBegan { stack, site, epoch, step } if step != StepKind::FenceDatabase => {
                let gate = &mut self.gates[usize::from(stack) * self.sites + usize::from(site)];
                if epoch < gate.obeyed {
                    let text = format!("dc{} obeys {step} of epoch {epoch} after {}", site + 1, gate.obeyed);
                    found.add(S3EpochsGrow, record.at, stack, text);
                }
                if step == StepKind::Promote && epoch <= gate.closed {
                    let text = format!("dc{} opens epoch {epoch}; it closed {}", site + 1, gate.closed);
                    found.add(S3EpochsGrow, record.at, stack, text);
                }
                gate.obeyed = gate.obeyed.max(epoch);
            }
            What::Relinquished { stack, site, epoch } => {
                let gate = &mut self.gates[usize::from(stack) * self.sites + usize::from(site)];
                gate.closed = gate.closed.max(epoch);
            }
            What::Committed { index } => {
                let Some(committed) = super::agreed::entry(history, index) else { return };
                if !matches!(committed.outcome, Outcome::Applied) {
                    return;
                }
                let (name, epoch) = match &committed.entry.command {
                    Command::Elect { stack, epoch, .. } => (stack, epoch.next()),
                    Command::Adopt { stack, .. } => (stack, Epoch(1)),
                    _ => return,
                };
                if let Some(stack) = History::stack_named(name) {
                    self.agreed(record, stack, epoch, found);
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
        story.judge(EpochsGrow::new(&story.history.setup))
    }

    #[test]
    fn a_clean_failover_only_goes_up() {
        assert_eq!(judge(&failover()), []);
    }

    #[test]
    fn an_instruction_of_an_older_epoch_is_caught() {
        let mut story = failover();
        story.step(2, 2, StepKind::Follow).step(2, 1, StepKind::Detach);
        assert_eq!(judge(&story).len(), 1);
    }

    #[test]
    fn a_closed_epoch_that_is_opened_again_is_caught() {
        let mut story = failover();
        story.step(0, 1, StepKind::FenceDatabase);
        assert_eq!(judge(&story), []);
        story.step(0, 1, StepKind::Promote);
        assert_eq!(judge(&story).len(), 1);
    }

    #[test]
    fn an_epoch_that_is_agreed_twice_is_caught() {
        let mut story = failover();
        story.begin(1).elect(1, 2);
        assert_eq!(judge(&story).len(), 1);
    }
}
