//! What the plots of a plan wait for, and what they do then.

use super::World;
use crate::history::{Site, Stack};
use crate::message::{Betrayal, Event, Process};
use coordination::reconcile::OrderKind;
use coordination::{Command, Outcome};
use model::{StepKind, StepOutcome};

impl World {
    /// An actor has given an order.
    pub(super) fn order_given(&mut self, stack: Stack, site: Site, kind: &OrderKind) {
        let host = &mut self.hosts[usize::from(site)];
        let (OrderKind::Relinquish { .. }, Some(postmaster)) = (kind, host.dies_ordering) else { return };
        host.dies_ordering = None;
        // The actor: before the gate, which was nudged, too, can ask it for its cover.
        let (betrayal, after) = match postmaster {
            true => (Betrayal::Postmaster(stack, site), self.dice.between(200, 3_000)),
            false => (Betrayal::Actor(site), self.dice.below(50)),
        };
        self.queue.push(self.now + after, Event::Betray(betrayal));
    }

    /// An entry was applied by the leader.
    pub(super) fn mind_promotion(&mut self, place: usize) {
        if !self.isolates.iter().any(|(waits, _)| *waits) {
            return;
        }
        let committed = &self.history.entries[place];
        let Command::Step(report) = &committed.entry.command else { return };
        let done = report.step == StepKind::Promote && report.outcome == StepOutcome::Done;
        let (stack, site) = (self.stack_of(&report.stack), self.site_of(&report.site));
        let (Some(stack), Some(site), true) = (stack, site, done) else { return };
        if committed.outcome == Outcome::Applied && std::mem::take(&mut self.isolates[usize::from(stack)].0) {
            let at = self.now + self.dice.below(2_000);
            self.queue.push(at, Event::Betray(Betrayal::Isolate(stack, site)));
        }
    }

    pub(super) fn isolate_promoted(&mut self, stack: Stack, begins: bool) {
        let known = &mut self.isolates[usize::from(stack)];
        known.0 = begins;
        if let Some(site) = known.1.take() {
            self.isolate(site, true, true, false);
        }
    }

    /// The moment has come.
    pub(super) fn betray(&mut self, betrayal: Betrayal) {
        if self.healed {
            return;
        }
        self.say(|_| format!("PLOT: {betrayal:?}"));
        self.note_reached();
        match betrayal {
            Betrayal::Actor(site) => {
                self.kill_process(Process::Actor(site));
                let at = self.now + self.dice.between(200_000, 6_000_000);
                self.queue.push(at, Event::Restart(Process::Actor(site)));
            }
            Betrayal::Postmaster(stack, site) => {
                self.databases[usize::from(stack)].crash(site, self.now, true);
                self.touch_database(stack);
            }
            Betrayal::Isolate(stack, site) => {
                self.isolates[usize::from(stack)].1 = Some(site);
                self.isolate(site, true, true, true);
            }
        }
        self.recheck_log();
    }
}
