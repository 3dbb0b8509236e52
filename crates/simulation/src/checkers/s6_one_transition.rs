//! S6: one transition at a time for each stack, and each step has its effect once, whoever dies
//! and repeats it: a promotion of one epoch makes one timeline, and no number is made twice.

use super::agreed::{Agreed, entry};
use super::{Checker, Found};
use crate::history::{History, Record, Setup, Site, What};
use coordination::invariants::Invariant::S6OneTransition;
use coordination::{Command, Outcome};
use model::{Epoch, StepKind, Timeline};
use std::collections::BTreeMap;

#[derive(Default)]
struct OneStack {
    /// A transition runs; ended by its completion, or by an election of the site that is left.
    moving: bool,
    active: Option<Site>,
    /// By site: the epoch that its gate opened last.
    opened: Vec<Epoch>,
    /// Who made a timeline, at which epoch.
    timelines: BTreeMap<Timeline, (Site, Epoch)>,
    /// The timeline that an epoch made.
    epochs: BTreeMap<Epoch, Timeline>,
}

/// Judges S6.
pub(super) struct OneTransition {
    stacks: Vec<OneStack>,
}

impl OneTransition {
    pub(super) fn new(setup: &Setup) -> Self {
        let stack =
            || OneStack { opened: vec![Epoch::NONE; usize::from(setup.sites)], ..OneStack::default() };
        Self { stacks: (0..setup.stacks).map(|_| stack()).collect() }
    }

    fn committed(&mut self, record: &Record, history: &History, index: model::LogIndex, found: &mut Found) {
        let Some(committed) = entry(history, index) else { return };
        if !matches!(committed.outcome, Outcome::Applied) {
            return;
        }
        let (name, command) = match &committed.entry.command {
            command @ (Command::Adopt { stack, .. }
            | Command::BeginTransition { stack, .. }
            | Command::Elect { stack, .. }
            | Command::Complete { stack, .. }) => (stack, command),
            _ => return,
        };
        let Some(stack) = History::stack_named(name) else { return };
        let one = &mut self.stacks[usize::from(stack)];
        match command {
            Command::BeginTransition { .. } => {
                if one.moving {
                    let text = "a transition began while another one ran".to_owned();
                    found.add(S6OneTransition, record.at, stack, text);
                }
                one.moving = true;
            }
            Command::Complete { .. } => one.moving = false,
            Command::Elect { site, .. } | Command::Adopt { site, .. } => {
                let site = History::site_named(site);
                // It may be the abort entry, which ends the transition, or another attempt.
                one.moving &= site != one.active;
                one.active = site;
            }
            _ => {}
        }
    }
}

impl Checker for OneTransition {
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found) {
        match record.what {
            What::Committed { index } => self.committed(record, history, index, found),
            What::StepBegan { stack, site, epoch, step: StepKind::Promote } => {
                self.stacks[usize::from(stack)].opened[usize::from(site)] = epoch;
            }
            What::PrimaryBegan { stack, site, timeline, .. } => {
                let adopted = agreed.stacks[usize::from(stack)].is_adopted();
                let one = &mut self.stacks[usize::from(stack)];
                let epoch = one.opened[usize::from(site)];
                let known = one.timelines.get(&timeline).copied();
                match known {
                    // A restart goes on upon its timeline, and so does a copy of it that is started.
                    Some((maker, _)) if maker == site => return,
                    Some((maker, made)) => {
                        let text = format!(
                            "dc{} makes timeline {timeline} at epoch {epoch}; dc{} made it at {made}",
                            site + 1,
                            maker + 1
                        );
                        found.add(S6OneTransition, record.at, stack, text);
                    }
                    None => {
                        one.timelines.insert(timeline, (site, epoch));
                    }
                }
                if adopted && let Some(before) = one.epochs.insert(epoch, timeline) {
                    let text = format!("epoch {epoch} made timeline {timeline} after {before}");
                    found.add(S6OneTransition, record.at, stack, text);
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
        story.judge(OneTransition::new(&story.history.setup))
    }

    #[test]
    fn a_clean_failover_and_a_restart_in_place_are_one_of_each() {
        let mut story = failover();
        story.ended(1).step(1, 2, StepKind::Promote).began(1, 2, 200);
        assert_eq!(judge(&story), []);
    }

    #[test]
    fn a_second_transition_beside_the_first_is_caught() {
        let mut story = failover();
        story.begin(2);
        assert_eq!(judge(&story), []);
        story.begin(2);
        assert_eq!(judge(&story).len(), 1);
        let mut aborted = failover();
        aborted.begin(2).elect(2, 1).begin(3);
        assert_eq!(judge(&aborted), []);
    }

    #[test]
    fn a_promotion_with_effect_twice_is_caught() {
        let mut story = failover();
        story.ended(1).step(1, 2, StepKind::Promote).began(1, 3, 300);
        assert_eq!(judge(&story).len(), 1);
    }

    #[test]
    fn a_number_that_is_made_twice_is_caught() {
        let mut story = failover();
        story.ended(1).step(2, 3, StepKind::Promote).began(2, 2, 200);
        assert_eq!(judge(&story).len(), 1);
    }
}
