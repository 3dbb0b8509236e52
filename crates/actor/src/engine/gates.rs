//! The gates' streams: asks are answered from the lease table, orders are given and their ends
//! noted.

use super::Engine;
use crate::config::slot_name;
use crate::event::{Session, ToGate};
use crate::stack::Gate;
use coordination::reconcile::OrderKind;
use coordination::rejoin::Way;
use model::{GateReport, Moment, SiteId, StackId, SystemId, TimedAck};
use rpc::v1;
use rpc::v1::to_gate::Kind;

impl Engine {
    pub(super) fn attended(&mut self, session: Session, id: &StackId, to_gate: ToGate, now: Moment) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        tracing::info!(stack = %id, "a gate attends");
        // Dropping the earlier gate's sender ends its stream.
        stack.gate_changed(Some(Gate { session, to_gate }), now);
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
        if let Some(stack) = self.stacks.get_mut(id)
            && stack.gate.is_some()
            && stack.book.gate_says(report)
        {
            self.report_due = now;
        }
        if ack.is_some_and(|ack| ack.stack == *id && self.renewals.acknowledge(ack)) {
            self.hurry(now);
        }
    }

    /// At once, from what is known at this instant.
    fn answer(&mut self, id: &StackId, number: u64, now: Moment) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let word = stack.book.answer(self.renewals.lease(), now);
        let database = word.known.then(|| stack.book.database_report(now).into());
        let answer = v1::Answer {
            number,
            known: word.known,
            index: word.index.0,
            epochs: word.epochs.clone().map(Into::into),
            cover: word.cover.clone().map(Into::into),
            remaining_ms: word.remaining.0,
            terms: word.terms.map(Into::into),
            database,
        };
        if stack.tell_gate(Kind::Answer(answer)) {
            stack.book.answered(&word);
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
        let (next, own) = (self.order_number + 1, self.site.clone());
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let Some(message) = order_message(stack, &kind, &own, stack.system_id) else {
            tracing::warn!(stack = %id, ?kind, "no primary_conninfo for that site in the configuration; add it");
            stack.book.pause_orders(now);
            return;
        };
        let number = stack.book.order_number(&kind, next);
        self.order_number = self.order_number.max(number);
        if !stack.tell_gate(Kind::Order(v1::Order { number, kind: Some(message) })) {
            return;
        }
        tracing::info!(stack = %id, number, ?kind, "ordered");
        stack.book.ordered(number, kind, now);
    }

    pub(super) fn expire_orders(&mut self, now: Moment) {
        for (id, stack) in &mut self.stacks {
            if let Some(order) = stack.book.order_expired(now) {
                tracing::warn!(stack = %id, ?order, "no answer in time: unknown, repeated");
            }
        }
    }

    fn order_ended(&mut self, id: &StackId, done: &v1::Done, now: Moment) {
        let outcome = v1::StepOutcome::try_from(done.outcome).unwrap_or(v1::StepOutcome::OutcomeUnknown);
        let Some(stack) = self.stacks.get_mut(id) else { return };
        if stack.book.order_ended(done.order, outcome.into(), &done.evidence, now) {
            tracing::info!(stack = %id, number = done.order, ?outcome, evidence = done.evidence, "order ended");
            stack.end_stale_check();
        }
    }
}

fn order_message(
    stack: &crate::stack::Stack,
    kind: &OrderKind,
    own: &SiteId,
    system_id: Option<SystemId>,
) -> Option<v1::order::Kind> {
    Some(match kind {
        OrderKind::Relinquish { epoch } => v1::order::Kind::Relinquish(v1::Relinquish { epoch: epoch.0 }),
        OrderKind::Detach { epoch } => v1::order::Kind::Detach(v1::Detach { epoch: epoch.0 }),
        OrderKind::Follow { epoch, site, slot } => v1::order::Kind::Follow(v1::Follow {
            epoch: epoch.0,
            primary_conninfo: stack.config.primary_conninfo.get(site)?.clone(),
            primary_slot: (*slot && stack.config.slots).then(|| slot_name(own)),
        }),
        OrderKind::Rejoin { epoch, site, way, .. } => {
            let (kind, fork) = match way {
                Way::Follow => (v1::RejoinWay::RejoinFollow, None),
                Way::Inspect { fork } => (v1::RejoinWay::RejoinInspect, Some(*fork)),
                Way::Rewind { fork } => (v1::RejoinWay::RejoinRewind, Some(*fork)),
                Way::Clone => (v1::RejoinWay::RejoinClone, None),
            };
            let slot = stack.config.slots && stack.book.slotless() != Some(*epoch);
            v1::order::Kind::Rejoin(v1::Rejoin {
                epoch: epoch.0,
                way: kind.into(),
                primary_conninfo: stack.config.primary_conninfo.get(site)?.clone(),
                primary_slot: slot.then(|| slot_name(own)),
                rewind_conninfo: stack.config.rewind_conninfo_of(site)?,
                fork: fork.map(Into::into),
                system_id: system_id.map(|id| id.0),
            })
        }
        OrderKind::Promote { epoch, timeline_highest } => {
            v1::order::Kind::Promote(v1::Promote { epoch: epoch.0, timeline_highest: timeline_highest.0 })
        }
    })
}
