//! Orders to the gate: their numbers, their ends, and the pauses after failures.

use super::Book;
use crate::reconcile::{Check, OrderKind};
use crate::rejoin::{Way, because_text};
use alloc::{format, string::String};
use model::{Millis, Moment, StepKind, StepOutcome};
use serde::Serialize;

/// Pause after the first failure of an order; each further one doubles it.
const ORDER_PAUSE_MIN: Millis = Millis(200);
const ORDER_PAUSE_MAX: Millis = Millis(3_000);
/// The same for a way home.
const REJOIN_PAUSE_MIN: Millis = Millis(500);
const REJOIN_PAUSE_MAX: Millis = Millis(30_000);
/// How the gate begins when the source did not take a connection: that says nothing of the way.
pub const SOURCE_AWAY: &str = "the source at ";
/// An order without an answer counts as unknown after this, and is repeated.
const ORDER_DEADLINE: Millis = Millis(5_000);
/// Stopping a database takes up to F, and more if it is asked to be clean.
const RELINQUISH_DEADLINE: Millis = Millis(15_000);
/// The gate tells how far it is; the order is only repeated after this, under its number.
const REJOIN_DEADLINE: Millis = Millis(60_000);
/// Replay of what was received comes before the end of the recovery.
const PROMOTE_DEADLINE: Millis = Millis(30_000);

/// An order whose outcome is not known yet. Its number stays its own until it is: a gate that was
/// asked twice answers twice, and acts once.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// Its number.
    pub number: u64,
    /// What was ordered.
    pub kind: OrderKind,
    /// When it counts as unknown.
    pub until: Moment,
}

impl Book {
    /// The number to give this order: its own, if it was given before and its end never became
    /// known; else `next`.
    #[must_use]
    pub fn order_number(&self, kind: &OrderKind, next: u64) -> u64 {
        match &self.pending {
            Some(pending) if pending.kind == *kind => pending.number,
            _ => next,
        }
    }

    /// The gate was sent this order.
    pub fn ordered(&mut self, number: u64, kind: OrderKind, now: Moment) {
        let limit = match kind {
            OrderKind::Relinquish { .. } => RELINQUISH_DEADLINE,
            OrderKind::Promote { .. } => PROMOTE_DEADLINE,
            OrderKind::Rejoin { .. } => REJOIN_DEADLINE,
            OrderKind::Detach { .. } | OrderKind::Follow { .. } => ORDER_DEADLINE,
        };
        if let OrderKind::Promote { epoch, .. } = &kind {
            self.progress.promote_ordered = Some(*epoch);
        }
        self.progress.ordered = Some(kind.clone());
        self.pending = Some(Pending { number, kind, until: now.after(limit) });
    }

    /// An order failed, or was not answered: not at once again.
    pub fn pause_orders(&mut self, now: Moment) {
        let pause = ORDER_PAUSE_MIN.times(1 << self.order_failures.min(5));
        self.order_failures = self.order_failures.saturating_add(1);
        self.progress.ordered = None;
        self.progress.order_after = Some(now.after(Millis(pause.0.min(ORDER_PAUSE_MAX.0))));
    }

    /// A way home that failed stops a standby each time that it is tried: longer pauses.
    fn pause_rejoin(&mut self, now: Moment) {
        let pause = REJOIN_PAUSE_MIN.times(1 << self.order_failures.min(6));
        self.progress.order_after = Some(now.after(Millis(pause.0.min(REJOIN_PAUSE_MAX.0))));
    }

    /// The order that the gate has left unanswered for too long, if any: unknown, to be repeated.
    pub fn order_expired(&mut self, now: Moment) -> Option<OrderKind> {
        let late = self.pending.as_ref().is_some_and(|pending| now.boottime >= pending.until.boottime);
        let kind = self.progress.ordered.clone().filter(|_| late)?;
        self.pause_orders(now);
        Some(kind)
    }

    /// The gate says how an order ended. False if it is not waited for.
    pub fn order_ended(&mut self, number: u64, outcome: StepOutcome, evidence: &str, now: Moment) -> bool {
        let Some(pending) = self.pending.take_if(|pending| pending.number == number) else { return false };
        if let OrderKind::Rejoin { .. } = pending.kind
            && let Some(gate) = &mut self.gate
        {
            // What it said before is about the copy as it was.
            gate.copy = None;
        }
        match outcome {
            StepOutcome::Done => self.order_done(pending.kind, evidence),
            StepOutcome::Failed => {
                self.pause_orders(now);
                if let OrderKind::Rejoin { epoch, way, .. } = pending.kind {
                    self.pause_rejoin(now);
                    // A source of an earlier version has no slots.
                    if way == Way::Clone && evidence.contains("replication slot") {
                        self.progress.slotless = Some(epoch);
                    }
                }
                if let OrderKind::Rejoin { epoch, way: Way::Rewind { .. }, .. } = pending.kind
                    && !evidence.starts_with(SOURCE_AWAY)
                {
                    let before = self.progress.rewind_refused.filter(|(at, _)| *at == epoch);
                    self.progress.rewind_refused = Some((epoch, before.map_or(0, |(_, n)| n) + 1));
                }
                if let OrderKind::Promote { epoch, .. } = pending.kind {
                    let p = &mut self.progress;
                    let times = p.promote_failed.as_ref().filter(|f| f.0 == epoch).map_or(0, |f| f.1) + 1;
                    p.promote_failed = Some((epoch, times, String::from(evidence)));
                    p.promote_ordered = None;
                    p.check.take_if(|check| *check == Check::Promoted(epoch));
                }
            }
            StepOutcome::Unknown => {
                // The next one has a number of its own: this one's answer would stay the same.
                self.pause_orders(now);
                if let OrderKind::Promote { .. } = pending.kind {
                    self.progress.promote_ordered = None;
                }
            }
        }
        true
    }

    fn order_done(&mut self, kind: OrderKind, evidence: &str) {
        self.order_failures = 0;
        let p = &mut self.progress;
        p.ordered = None;
        p.order_after = None;
        match kind {
            OrderKind::Relinquish { epoch } => p.relinquished = Some((epoch, String::from(evidence))),
            OrderKind::Detach { epoch } => {
                p.detach_ordered = Some(epoch);
                p.following = None;
            }
            OrderKind::Follow { epoch, site, slot } => {
                p.following = Some((epoch, site));
                p.slotless = (!slot).then_some(epoch);
                p.unstreamed = None;
            }
            OrderKind::Rejoin { way: Way::Inspect { .. }, .. } => {}
            OrderKind::Rejoin { epoch, site, because, .. } => {
                p.following = Some((epoch, site));
                p.rejoined = Some((epoch, format!("{evidence} ({})", because_text(because))));
                p.told.remove(&(StepKind::Rejoin, epoch));
                p.rewind_refused = None;
                p.unstreamed = None;
            }
            OrderKind::Promote { epoch, .. } => {
                p.promote_failed = p.promote_failed.take().filter(|f| f.0 != epoch);
            }
        }
    }
}
