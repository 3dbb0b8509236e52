//! S5: from epoch 1 on, a primary is open only under a cover: at most until F after the lapse of
//! the last renewal whose answer covered its stack.
//!
//! The validity counts from the true time of that renewal's send, by the slowest clock that the
//! design permits. A held cover has no end; it gets one again once its gate has told the group
//! that it knows a timed one, or when another site is elected: that one was fenced. A process that
//! is stopped cannot be ended before it runs again.
//!
//! And no gate opens anything without a cover of its own: one that starts has none until it takes
//! one, whatever an earlier life of it was given, and once it has seen an epoch nothing becomes a
//! primary that it did not open.

use super::agreed::{Agreed, entry};
use super::{Checker, Found};
use crate::history::{History, MILLI, Record, Setup, Site, Stack, Time, What};
use coordination::invariants::Invariant::S5ClosedByDefault;
use coordination::{Command, Outcome};
use model::{
    Cover, CoverKind, Epoch, Grant, GrantTerms, Incarnation, LogIndex, RenewalNumber, SiteId, StackId,
    StepKind,
};
use std::collections::VecDeque;

/// Sends of a site that are remembered; older ones are answered or lost.
const SENDS_MAX: usize = 64;
/// Ends are noted when the last process is gone, a moment after it could last write.
const GRACE: Time = 30 * MILLI;
/// No end.
const HELD: Time = Time::MAX;

/// One stack at one site.
#[derive(Clone, Copy, Debug, Default)]
struct Right {
    /// Until when a primary may be open, F included; none: never covered.
    until: Option<Time>,
    /// It knows of a cover with an end, by this entry.
    timed: Option<LogIndex>,
    /// A primary is open since then.
    open: Option<Time>,
    frozen: bool,
    /// Opened when the stack was the group's business already.
    judged: bool,
    reported: bool,
    gate: Gate,
}

/// One gate, in its present life.
#[derive(Clone, Copy, Debug, Default)]
struct Gate {
    /// It, or an earlier one there, has seen an epoch.
    adopted: bool,
    /// The last cover that this life of it took.
    covered: Option<Epoch>,
    /// It has opened what runs, or is to run.
    opened: bool,
}

impl Gate {
    /// A start or a promotion: only under a cover for this very epoch.
    fn opens(&mut self, epoch: Epoch) -> Option<String> {
        (self.adopted, self.opened) = (true, true);
        let covered = self.covered == Some(epoch);
        (!covered).then(|| format!("opens epoch {epoch}, and its gate took no cover for it since its start"))
    }

    /// It takes writes from now on.
    fn began(&self) -> Option<String> {
        (self.adopted && !self.opened).then(|| String::from("is a primary that its gate did not open"))
    }
}

#[derive(Default)]
struct OneSite {
    sends: VecDeque<(Incarnation, RenewalNumber, Time)>,
    cover: Cover,
    rights: Vec<Right>,
}

/// Judges S5.
pub(super) struct ClosedByDefault {
    judged: bool,
    drift_ppm: u64,
    sites: Vec<OneSite>,
}

impl ClosedByDefault {
    pub(super) fn new(setup: &Setup) -> Self {
        let site =
            || OneSite { rights: vec![Right::default(); usize::from(setup.stacks)], ..OneSite::default() };
        Self {
            judged: setup.clocks_hold,
            drift_ppm: setup.policy.timing.values().drift_max_ppm,
            sites: (0..setup.sites).map(|_| site()).collect(),
        }
    }

    fn right(&mut self, stack: Stack, site: Site) -> &mut Right {
        &mut self.sites[usize::from(site)].rights[usize::from(stack)]
    }

    /// The longest that a grant lasts in true time, F included.
    fn span(&self, terms: GrantTerms) -> Time {
        let slowest = |millis: u64| (millis * 1_000).saturating_mul(1_000_000) / (1_000_000 - self.drift_ppm);
        slowest(terms.lease_duration.0) + slowest(terms.fence_deadline.0)
    }

    /// Another site was elected: nobody else has a right any more, held or not.
    fn elected(&mut self, at: Time, stack: &StackId, site: &SiteId) {
        let (Some(stack), Some(site)) = (History::stack_named(stack), History::site_named(site)) else {
            return;
        };
        for other in (0..).take(self.sites.len()).filter(|other| *other != site) {
            let right = self.right(stack, other);
            right.until = right.until.map(|until| if until == HELD { at } else { until });
        }
    }

    /// Epoch 1 is held from its entry on: what runs there goes on, also while no news gets through.
    fn adopted(&mut self, stack: &StackId, site: &SiteId) {
        let (Some(stack), Some(site)) = (History::stack_named(stack), History::site_named(site)) else {
            return;
        };
        self.right(stack, site).until = Some(HELD);
    }

    fn granted(&mut self, at: Time, name: &SiteId, grant: &Grant, found: &mut Found) {
        let Some(site) = History::site_named(name) else { return };
        let span = self.span(grant.terms);
        let one = &mut self.sites[usize::from(site)];
        if let Some(cover) = &grant.cover {
            one.cover = cover.clone();
        }
        let sent = one.sends.iter().find(|(i, n, _)| *i == grant.incarnation && *n == grant.number);
        let Some((.., sent)) = sent.copied() else { return };
        for entry in &one.cover.entries {
            let Some(stack) = History::stack_named(&entry.stack) else { continue };
            let right = &mut one.rights[usize::from(stack)];
            let until = match entry.kind {
                CoverKind::Timed { since } if right.until != Some(HELD) || right.timed == Some(since) => {
                    sent + span
                }
                // Held, or its gate may not know that it isn't any more.
                CoverKind::Timed { .. } | CoverKind::Held { .. } => HELD,
            };
            let before = right.until.unwrap_or(0);
            judge(right, at, stack, site, found);
            right.until = Some(if until == HELD || before == HELD { until } else { until.max(before) });
        }
    }
}

/// Is it open beyond its end?
fn judge(right: &mut Right, at: Time, stack: Stack, site: Site, found: &mut Found) {
    let until = right.until.unwrap_or(0);
    let over = right.until.is_none_or(|until| at > until.saturating_add(GRACE));
    let beyond = right.open.is_some() && right.judged && !right.frozen && over;
    if beyond && !right.reported {
        right.reported = true;
        let late = (at - until) / MILLI;
        let text = match right.until {
            None => format!("dc{} is open, and never had a cover", site + 1),
            Some(_) => format!("dc{} is open {late} ms after its cover and F were over", site + 1),
        };
        found.add(S5ClosedByDefault, at, stack, text);
    }
}

impl Checker for ClosedByDefault {
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found) {
        self.watch_gate(record, found);
        if !self.judged {
            return;
        }
        let at = record.at;
        match &record.what {
            What::RenewSent { site, incarnation, number } => {
                let sends = &mut self.sites[usize::from(*site)].sends;
                if sends.len() == SENDS_MAX {
                    sends.pop_front();
                }
                sends.push_back((*incarnation, *number, at));
            }
            What::TimedAcked { site, ack } => {
                if let Some(stack) = History::stack_named(&ack.stack) {
                    self.right(stack, *site).timed = Some(ack.since);
                }
            }
            What::Committed { index } => {
                let Some(committed) = entry(history, *index) else { return };
                match (&committed.entry.command, &committed.outcome) {
                    (Command::Renew { request, .. }, Outcome::Renewed { grant, .. }) => {
                        self.granted(at, &request.site, grant, found);
                    }
                    (Command::Adopt { stack, site, .. }, Outcome::Applied) => self.adopted(stack, site),
                    (Command::Elect { stack, site, .. }, Outcome::Applied) => self.elected(at, stack, site),
                    _ => {}
                }
            }
            What::PrimaryBegan { stack, site, .. } => {
                let adopted = agreed.stacks[usize::from(*stack)].is_adopted();
                let right = self.right(*stack, *site);
                (right.open, right.judged, right.reported) = (Some(at), adopted, false);
                judge(right, at, *stack, *site, found);
            }
            What::PrimaryEnded { stack, site, .. } => {
                let right = self.right(*stack, *site);
                judge(right, at, *stack, *site, found);
                (right.open, right.frozen) = (None, false);
            }
            What::Frozen { stack, site } => {
                let right = self.right(*stack, *site);
                judge(right, at, *stack, *site, found);
                right.frozen = true;
            }
            What::Thawed { stack, site } => self.thaw(history, at, *stack, *site),
            _ => {}
        }
    }

    fn finish(&mut self, _: &Agreed, history: &History, found: &mut Found) {
        for (site, one) in (0..).zip(&mut self.sites) {
            for (stack, right) in (0..).zip(&mut one.rights) {
                judge(right, history.ended, stack, site, found);
            }
        }
    }
}

impl ClosedByDefault {
    /// What a gate opens, by which cover; clocks have no part in it.
    fn watch_gate(&mut self, record: &Record, found: &mut Found) {
        let (stack, site, text) = match record.what {
            What::GateBegan { stack, site } => {
                let gate = &mut self.right(stack, site).gate;
                (gate.covered, gate.opened) = (None, false);
                return;
            }
            What::CoverTaken { stack, site, epoch, .. } => {
                let gate = &mut self.right(stack, site).gate;
                (gate.adopted, gate.covered) = (true, Some(epoch));
                return;
            }
            What::PrimaryEnded { stack, site, .. } => {
                self.right(stack, site).gate.opened = false;
                return;
            }
            What::StepBegan { stack, site, epoch, step: StepKind::Promote } => {
                (stack, site, self.right(stack, site).gate.opens(epoch))
            }
            What::PrimaryBegan { stack, site, .. } => (stack, site, self.right(stack, site).gate.began()),
            _ => return,
        };
        if let Some(text) = text {
            found.add(S5ClosedByDefault, record.at, stack, format!("dc{} {text}", site + 1));
        }
    }

    /// From here F counts: nobody could end it before.
    fn thaw(&mut self, history: &History, at: Time, stack: Stack, site: Site) {
        let fence = history.setup.policy.timing.terms().fence_deadline.0 * MILLI;
        let right = self.right(stack, site);
        right.frozen = false;
        right.until = right.until.map(|until| until.max(at + fence));
    }
}

#[cfg(test)]
mod tests {
    use super::super::build::{Story, failover, stack};
    use super::*;
    use model::TimedAck;

    fn judged(story: &mut Story) -> Vec<super::super::Violation> {
        story.history.ended = story.now;
        story.judge(ClosedByDefault::new(&story.history.setup))
    }

    /// dc2 is open at epoch 1, sent its last covered renewal now, D = 12 s, F = 4 s.
    fn open(held: bool) -> Story {
        let mut story = Story::adopted(|_| {});
        story.ended(0).renew(1, 1, Some((1, held))).began(1, 1, 0);
        story
    }

    #[test]
    fn a_clean_failover_is_open_under_covers_only() {
        assert_eq!(judged(&mut failover()), []);
    }

    #[test]
    fn open_until_the_deadline_and_f_is_permitted_and_longer_is_caught() {
        assert_eq!(judged(open(false).wait(16_100)), []);
        assert_eq!(judged(open(false).wait(16_300)).len(), 1);
        assert_eq!(judged(open(false).wait(15_900).ended(1).wait(9_000)), []);
        assert_eq!(judged(open(false).wait(9_000).renew(1, 2, Some((1, false))).wait(9_000)), []);
        assert_eq!(judged(open(false).wait(9_000).renew(1, 2, None).wait(9_000)).len(), 1);
    }

    #[test]
    fn a_held_cover_has_no_end_until_its_gate_knows_a_timed_one() {
        assert_eq!(judged(open(true).wait(99_000)), []);
        assert_eq!(judged(open(true).wait(9).renew(1, 2, Some((1, false))).wait(99_000)), []);
        let ack = TimedAck { stack: stack(), epoch: Epoch(1), since: LogIndex(1) };
        let mut known = open(true);
        known.wait(9).tell(What::TimedAcked { site: 1, ack }).renew(1, 2, Some((1, false))).wait(20_000);
        assert_eq!(judged(&mut known).len(), 1);
    }

    #[test]
    fn what_was_held_is_held_no_more_once_another_site_is_elected() {
        let mut story = Story::adopted(|_| {});
        story.ended(0).begin(1).elect(1, 1);
        assert_eq!(judged(&mut story), []);
        story.wait(1_000).began(0, 1, 0).wait(1_000);
        assert_eq!(judged(&mut story).len(), 1, "adopted there, and long elected elsewhere");
    }

    #[test]
    fn a_gate_that_starts_opens_nothing_by_what_an_earlier_one_was_given() {
        let restarted = |taken_again: bool, orderly: bool| {
            let mut story = Story::adopted(|_| {});
            story.covered(0, 1).step(0, 1, StepKind::Promote).ended(0);
            story.tell(What::GateEnded { stack: 0, site: 0 }).tell(What::GateBegan { stack: 0, site: 0 });
            if taken_again {
                story.covered(0, 1);
            }
            if orderly {
                story.step(0, 1, StepKind::Promote);
            }
            judged(story.began(0, 1, 0)).len()
        };
        assert_eq!(restarted(true, true), 0);
        assert_eq!(restarted(false, true), 1, "without a cover since its start");
        assert_eq!(restarted(true, false), 1, "and nobody opened it");
    }

    #[test]
    fn a_primary_without_any_cover_is_caught_at_once() {
        let mut story = Story::adopted(|_| {});
        story.began(2, 1, 0);
        assert_eq!(judged(&mut story).len(), 1);
    }

    #[test]
    fn one_that_was_stopped_has_f_from_its_return() {
        let mut story = open(false);
        story.wait(5_000).tell(What::Frozen { stack: 0, site: 1 }).wait(60_000);
        story.tell(What::Thawed { stack: 0, site: 1 }).wait(3_000).ended(1);
        assert_eq!(judged(&mut story), []);
        let mut story = open(false);
        story.wait(5_000).tell(What::Frozen { stack: 0, site: 1 }).wait(60_000);
        story.tell(What::Thawed { stack: 0, site: 1 }).wait(4_100);
        assert_eq!(judged(&mut story).len(), 1);
    }
}
