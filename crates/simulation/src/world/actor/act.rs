//! Doing what `reconcile` says, and remembering how it went.

use super::{Actor, Finding, StepCall};
use crate::history::{Stack, Time};
use crate::message::{Message, Process};
use crate::postgres::Detached;
use crate::world::World;
use coordination::book::Found;
use coordination::planted::Bug;
use coordination::reconcile::{Action, Check, OrderKind, reconcile};
use model::{Instruction, Moment, Timeline};

/// A step's report without an answer after this goes to the next witness, too.
const STEP_HEDGE: Time = 300_000;
/// Between two polls of a check in its first second, and after it.
const POLL_FAST: Time = 20_000;
const POLL_SLOW: Time = 100_000;
/// Polls at the fast pace.
const POLLS_FAST_MAX: u32 = 50;
/// What hangs on time alone is looked at again after this.
const ACT_AGAIN: Time = 100_000;

impl World {
    /// What follows from all that is known now, for every stack.
    pub(super) fn act(&mut self, a: &mut Actor, now: Moment) {
        a.dirty = false;
        a.act_at = Time::MAX;
        let Some(view) = a.view.clone() else { return };
        let mut persist = vec![None; a.sides.len()];
        let mut renew = Vec::new();
        let mut waits = false;
        for desired in &view.stacks {
            let Some(stack) = self.stack_of(&desired.stack) else { continue };
            if a.sides[usize::from(stack)].book.order_expired(now).is_some() {
                a.dirty = true;
            }
            let lease = a.sides[usize::from(stack)].book.lease_view(a.renewals.lease(), now);
            let observed =
                a.sides[usize::from(stack)].book.observed(&self.site_ids[usize::from(a.site)], now);
            waits |= observed.progress.order_after.is_some() || !observed.progress.reporting.is_empty();
            waits |= observed.progress.ordered.is_some();
            let actions = reconcile(desired, &observed, &lease, now);
            if self.bug == Some(Bug::PromoteBeforeElection)
                && let Instruction::Detach { epoch } = desired.instruction
                && observed.progress.detached.is_some_and(|(at, _)| at == epoch)
                && observed.progress.ordered.is_none()
            {
                let kind = OrderKind::Promote { epoch: epoch.next(), timeline_highest: Timeline(0) };
                self.give_order(a, stack, kind, now);
            }
            let mut complaint = None;
            for action in actions {
                match action {
                    Action::Persist(epochs) => persist[usize::from(stack)] = Some(epochs),
                    Action::Renew => renew.push(stack),
                    Action::Order(kind) => self.give_order(a, stack, kind, now),
                    Action::Check(check) => {
                        let side = &mut a.sides[usize::from(stack)];
                        side.book.checking(check);
                        side.finding = Some(Finding { check, next: self.now, polls: 0 });
                    }
                    Action::Report(report) => {
                        let side = &mut a.sides[usize::from(stack)];
                        side.book.reporting(report.step, report.epoch);
                        let witness = a.renewals.witness();
                        a.steps.push(StepCall { report, stack, witness, next: self.now });
                        self.send_steps(a);
                    }
                    Action::Problem(text) => complaint = Some(text),
                }
            }
            a.sides[usize::from(stack)].book.complain(complaint);
        }
        if persist.iter().any(Option::is_some) {
            self.persist_some(a, &persist, now);
            waits = true;
        }
        if !renew.is_empty() && self.hurry(a, now) {
            for desired in &view.stacks {
                if let Instruction::Run { epoch, .. } = desired.instruction
                    && let Some(stack) = self.stack_of(&desired.stack)
                    && renew.contains(&stack)
                {
                    a.sides[usize::from(stack)].book.renewed_for(epoch);
                }
            }
        }
        if waits {
            a.act_at = self.now + ACT_AGAIN;
        }
    }

    /// Gives an order. A promotion needs the right in this very step; the gate looks again.
    fn give_order(&mut self, a: &mut Actor, stack: Stack, kind: OrderKind, now: Moment) {
        let side = &mut a.sides[usize::from(stack)];
        if let OrderKind::Promote { epoch, .. } = &kind
            && self.bug != Some(Bug::PromoteBeforeElection)
            && !side.book.lease_view(a.renewals.lease(), now).permits(*epoch, now)
        {
            return;
        }
        let Some(session) = side.gate else { return };
        if let OrderKind::Detach { .. } = &kind {
            side.early = side.early.or(side.book.database().received);
        }
        let number = side.book.order_number(&kind, a.order_number + 1);
        a.order_number = a.order_number.max(number);
        side.book.ordered(number, kind.clone(), now);
        self.say(|w| format!("the actor of {} orders {}: {kind:?}", w.name(a.site), w.stack_name(stack)));
        self.order_given(stack, a.site, &kind);
        self.send(a.site, Process::Gate(stack, a.site), Message::Order(stack, session, number, kind));
    }

    /// Reports of steps go to one witness after the other until one is answered.
    pub(super) fn send_steps(&mut self, a: &mut Actor) {
        for place in 0..a.steps.len() {
            if self.now < a.steps[place].next {
                continue;
            }
            let call = &mut a.steps[place];
            call.next = self.now + STEP_HEDGE;
            let witness = call.witness;
            call.witness += 1;
            let message = Message::Step(a.site, Box::new(call.report.clone()), call.stack, a.generation);
            let to = self.witness_at(a.site, witness);
            self.send(a.site, Process::Witness(to), message);
        }
    }

    /// Asks the databases what is waited for.
    pub(super) fn find_out(&mut self, a: &mut Actor, now: Moment) {
        for stack in 0..self.stacks {
            let s = usize::from(stack);
            let Some(finding) = a.sides[s].finding else { continue };
            if self.now < finding.next {
                continue;
            }
            let Some(found) = self.ask_database(a, stack, finding.check, now) else {
                let pause = if finding.polls < POLLS_FAST_MAX { POLL_FAST } else { POLL_SLOW };
                let next = self.now + pause;
                a.sides[s].finding = Some(Finding { next, polls: finding.polls + 1, ..finding });
                continue;
            };
            a.sides[s].finding = None;
            if a.sides[s].book.found(finding.check, found, now) {
                a.dirty = true;
                if found == Found::Written {
                    a.report_due = self.now;
                }
            }
        }
    }

    fn ask_database(&mut self, a: &Actor, stack: Stack, check: Check, now: Moment) -> Option<Found> {
        let s = usize::from(stack);
        let database = &mut self.databases[s];
        match check {
            Check::Detached(_) => match database.detachment(a.site, self.now)? {
                Detached::Done(mut position) => {
                    if self.bug == Some(Bug::LsnBeforeDetach) {
                        position.lsn = a.sides[s].early.map_or(position.lsn, |early| early.min(position.lsn));
                    }
                    Some(Found::Position(position))
                }
                Detached::Attached | Detached::Replaying(_) => None,
            },
            Check::Promoted(_) => match database.in_recovery(a.site)? {
                false => database.promotion(a.site).map(Found::Position),
                true => None,
            },
            Check::Written(epoch) => {
                let permitted = a.sides[s].book.lease_view(a.renewals.lease(), now).permits(epoch, now);
                let written = permitted && database.write_probe(a.site, self.now);
                self.mind_database(stack);
                written.then_some(Found::Written)
            }
        }
    }
}
