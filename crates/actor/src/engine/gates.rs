//! The gates' streams: asks are answered from the lease table, orders are given and their ends
//! noted.

use super::Engine;
use crate::event::{Session, ToGate};
use crate::stack::{Gate, Pending};
use coordination::reconcile::{Check, OrderKind};
use model::{CoverEntry, GateReport, Millis, Moment, StackId, StepOutcome, TimedAck};
use rpc::v1;
use rpc::v1::to_gate::Kind;

/// An order without an answer counts as unknown after this, and is repeated.
const ORDER_DEADLINE: Millis = Millis(5_000);
/// Stopping a database takes up to F, and more if it is asked to be clean.
const RELINQUISH_DEADLINE: Millis = Millis(15_000);
/// Replay of what was received comes before the end of the recovery.
const PROMOTE_DEADLINE: Millis = Millis(30_000);

impl Engine {
    pub(super) fn attended(&mut self, session: Session, id: &StackId, to_gate: ToGate, now: Moment) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        tracing::info!(stack = %id, "a gate attends");
        // Dropping the earlier gate's sender ends its stream.
        stack.gate_changed(Some(Gate { session, to_gate, report: None }), now);
    }

    pub(super) fn left(&mut self, session: Session, id: &StackId, now: Moment) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        if stack.gate.as_ref().is_some_and(|gate| gate.session == session) {
            tracing::warn!(stack = %id, "the gate's stream ended");
            stack.gate_changed(None, now);
        }
    }

    pub(super) fn said(&mut self, session: Session, id: &StackId, message: v1::from_gate::Kind, now: Moment) {
        let current = self
            .stacks
            .get(id)
            .and_then(|stack| stack.gate.as_ref())
            .is_some_and(|gate| gate.session == session);
        if !current {
            return;
        }
        match message {
            v1::from_gate::Kind::Hello(_) => {}
            v1::from_gate::Kind::Ask(ask) => self.asked(id, ask, now),
            v1::from_gate::Kind::Done(done) => self.order_ended(id, &done, now),
        }
    }

    fn asked(&mut self, id: &StackId, ask: v1::Ask, now: Moment) {
        let read = ask.report.map(GateReport::try_from).transpose();
        let ack = ask.timed_ack.map(TimedAck::try_from).transpose();
        let (report, ack) = match (read, ack) {
            (Ok(report), Ok(ack)) => (report, ack),
            (Err(e), _) | (_, Err(e)) => {
                tracing::warn!(stack = %id, error = %e, "the gate asked something that says nothing");
                return;
            }
        };
        self.answer(id, ask.number, now);
        if let Some(stack) = self.stacks.get_mut(id) {
            if stack.gate_report() != report {
                self.report_due = now;
            }
            if let Some(gate) = &mut stack.gate {
                gate.report = report;
            }
            stack.gone = None;
        }
        if ack.is_some_and(|ack| ack.stack == *id && self.acknowledge(ack)) {
            self.hurry(now);
        }
    }

    /// At once, from what is known at this instant.
    fn answer(&mut self, id: &StackId, number: u64, now: Moment) {
        let view = self.lease_view(id, now);
        // Nothing opens before a lost store is refilled.
        let refilled = self.stacks.get(id).is_some_and(|stack| stack.epochs.is_some());
        let known = self.lease.is_heard() && refilled;
        let remaining = self.lease.remaining(id, now);
        let entry: Option<CoverEntry> =
            self.lease.valid(id, now).map(|valid| valid.entry).filter(|_| known && view.right.is_some());
        let epoch = entry.as_ref().map(|entry| entry.epoch);
        let (index, terms) = (self.lease.index(), self.lease.terms());
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let answer = v1::Answer {
            number,
            known,
            index: if known { index.0 } else { 0 },
            epochs: stack.told.clone().filter(|_| known).map(Into::into),
            cover: entry.map(Into::into),
            remaining_ms: if epoch.is_some() { remaining.0 } else { 0 },
            terms: terms.filter(|_| known).map(Into::into),
            database: known.then(|| stack.database_report(now).into()),
        };
        if stack.tell_gate(Kind::Answer(answer)) {
            stack.progress.cover_told = epoch;
        }
    }

    pub(super) fn nudge_all(&mut self) {
        for stack in self.stacks.values_mut() {
            stack.nudge();
        }
    }

    /// Gives an order. A promotion needs the right in this very step; the gate looks again.
    pub(super) fn give_order(&mut self, id: &StackId, kind: OrderKind, now: Moment) {
        if let OrderKind::Promote { epoch, .. } = &kind
            && !self.guard.permits(id, *epoch)
        {
            return;
        }
        let next = self.order_number + 1;
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let Some(message) = order_message(stack, &kind) else {
            tracing::warn!(stack = %id, ?kind, "no primary_conninfo for that site in the configuration; add it");
            stack.pause_orders(now);
            return;
        };
        // An order whose end never became known keeps its number.
        let number = match &stack.pending {
            Some(pending) if pending.kind == kind => pending.number,
            _ => next,
        };
        self.order_number = self.order_number.max(number);
        if !stack.tell_gate(Kind::Order(v1::Order { number, kind: Some(message) })) {
            return;
        }
        tracing::info!(stack = %id, number, ?kind, "ordered");
        let limit = match kind {
            OrderKind::Relinquish { .. } => RELINQUISH_DEADLINE,
            OrderKind::Promote { .. } => PROMOTE_DEADLINE,
            OrderKind::Detach { .. } | OrderKind::Follow { .. } => ORDER_DEADLINE,
        };
        if let OrderKind::Promote { epoch, .. } = &kind {
            stack.progress.promote_ordered = Some(*epoch);
        }
        stack.progress.ordered = Some(kind.clone());
        stack.pending = Some(Pending { number, kind, until: now.after(limit) });
    }

    pub(super) fn expire_orders(&mut self, now: Moment) {
        for (id, stack) in &mut self.stacks {
            let late = stack.progress.ordered.is_some()
                && stack.pending.as_ref().is_some_and(|pending| now.boottime >= pending.until.boottime);
            if late {
                tracing::warn!(stack = %id, order = ?stack.progress.ordered, "no answer in time: unknown, repeated");
                stack.pause_orders(now);
            }
        }
    }

    fn order_ended(&mut self, id: &StackId, done: &v1::Done, now: Moment) {
        let outcome = v1::StepOutcome::try_from(done.outcome).unwrap_or(v1::StepOutcome::OutcomeUnknown);
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let Some(pending) = stack.pending.clone().filter(|pending| pending.number == done.order) else {
            return;
        };
        tracing::info!(stack = %id, number = done.order, ?outcome, evidence = done.evidence, "order ended");
        match StepOutcome::from(outcome) {
            StepOutcome::Done => {
                stack.pending = None;
                stack.progress.ordered = None;
                stack.progress.order_after = None;
                stack.order_failures = 0;
                let p = &mut stack.progress;
                match pending.kind {
                    OrderKind::Relinquish { epoch } => p.relinquished = Some((epoch, done.evidence.clone())),
                    OrderKind::Detach { epoch } => {
                        p.detach_ordered = Some(epoch);
                        p.following = None;
                    }
                    OrderKind::Follow { epoch, site } => p.following = Some((epoch, site)),
                    OrderKind::Promote { epoch, .. } => {
                        p.promote_failed = p.promote_failed.take().filter(|f| f.0 != epoch)
                    }
                }
            }
            StepOutcome::Failed => {
                stack.pending = None;
                stack.pause_orders(now);
                if let OrderKind::Promote { epoch, .. } = pending.kind {
                    let p = &mut stack.progress;
                    let times = p.promote_failed.as_ref().filter(|f| f.0 == epoch).map_or(0, |f| f.1) + 1;
                    p.promote_failed = Some((epoch, times, done.evidence.clone()));
                    p.promote_ordered = None;
                    stack.running.take_if(|running| running.check == Check::Promoted(epoch));
                }
            }
            StepOutcome::Unknown => {
                // The next one has a number of its own: this one's answer would stay the same.
                stack.pending = None;
                stack.pause_orders(now);
                if let OrderKind::Promote { .. } = pending.kind {
                    stack.progress.promote_ordered = None;
                }
            }
        }
    }
}

fn order_message(stack: &crate::stack::Stack, kind: &OrderKind) -> Option<v1::order::Kind> {
    Some(match kind {
        OrderKind::Relinquish { epoch } => v1::order::Kind::Relinquish(v1::Relinquish { epoch: epoch.0 }),
        OrderKind::Detach { epoch } => v1::order::Kind::Detach(v1::Detach { epoch: epoch.0 }),
        OrderKind::Follow { epoch, site } => v1::order::Kind::Follow(v1::Follow {
            epoch: epoch.0,
            primary_conninfo: stack.config.primary_conninfo.get(site)?.clone(),
        }),
        OrderKind::Promote { epoch, timeline_highest } => {
            v1::order::Kind::Promote(v1::Promote { epoch: epoch.0, timeline_highest: timeline_highest.0 })
        }
    })
}
