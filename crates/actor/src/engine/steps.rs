//! Doing what [`reconcile`] says, and remembering how it went.

use super::{Engine, PERSIST_PAUSE};
use crate::drivers::{DatabaseDriver, Detachment, Permit};
use crate::epochs::EpochMap;
use crate::event::{Event, Generation};
use crate::stack::Running;
use coordination::book::Found;
use coordination::reconcile::{Action, Check, reconcile};
use model::{DesiredStack, Epoch, Instruction, Moment, StackId, StepKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// Between two polls of a check in its first second, and after it.
const POLL_FAST: Duration = Duration::from_millis(5);
const POLL_SLOW: Duration = Duration::from_millis(50);
/// Polls at the fast pace.
const POLLS_FAST_MAX: u32 = 200;
/// What is done once for all stacks that want it.
#[derive(Default)]
struct Together {
    persist: EpochMap,
    renew: BTreeSet<StackId>,
}

impl Engine {
    /// What follows from all that is known now, for every stack.
    pub(super) fn act(&mut self, now: Moment) {
        let Some(view) = self.view.take() else { return };
        let mut together = Together::default();
        for desired in &view.stacks {
            let lease = self.lease_view(&desired.stack, now);
            let Some(stack) = self.stacks.get_mut(&desired.stack) else { continue };
            let observed = stack.book.observed(&self.site, now);
            let actions = reconcile(desired, &observed, &lease, now);
            let quiet = !actions.iter().any(|action| matches!(action, Action::Problem(_)));
            if quiet {
                stack.book.complain(None);
            }
            for action in actions {
                self.act_on(&desired.stack, action, &mut together, now);
            }
        }
        self.act_together(&together, &view.stacks, now);
        self.view = Some(view);
    }

    /// One write and one renewal, however many stacks want them.
    fn act_together(&mut self, together: &Together, desired: &[DesiredStack], now: Moment) {
        if !together.persist.is_empty() {
            self.persist_some(&together.persist, now);
        }
        // Before the registration the first renewal comes soon enough.
        if together.renew.is_empty() || !self.hurry(now) {
            return;
        }
        for desired in desired.iter().filter(|d| together.renew.contains(&d.stack)) {
            if let Instruction::Run { epoch, .. } = desired.instruction
                && let Some(stack) = self.stacks.get_mut(&desired.stack)
            {
                stack.book.renewed_for(epoch);
            }
        }
    }

    fn act_on(&mut self, id: &StackId, action: Action, together: &mut Together, now: Moment) {
        match action {
            Action::Persist(epochs) => {
                together.persist.insert(id.clone(), epochs);
            }
            Action::Renew => {
                together.renew.insert(id.clone());
            }
            Action::Order(kind) => {
                // The self-fence must know the newest right before the order is weighed.
                self.guard_rights(now);
                self.give_order(id, kind, now);
            }
            Action::Check(check) => {
                self.guard_rights(now);
                self.start_check(id, check);
            }
            Action::Report(report) => {
                tracing::info!(stack = %id, step = %report.step, epoch = %report.epoch, outcome = ?report.outcome,
                    evidence = report.evidence, "reporting");
                let stop = self.stop.clone();
                if let Some(stack) = self.stacks.get_mut(id) {
                    stack.book.reporting(report.step, report.epoch);
                }
                self.witnesses.report_step(
                    self.renewals.witness(),
                    report,
                    self.generation,
                    self.events.clone(),
                    stop,
                );
            }
            Action::Problem(text) => {
                if let Some(stack) = self.stacks.get_mut(id)
                    && stack.book.complain(Some(text))
                {
                    tracing::warn!(stack = %id, text, "nothing can be done");
                }
            }
        }
    }

    fn persist_some(&mut self, wanted: &EpochMap, now: Moment) {
        let waits = self.persist_after.is_some_and(|until| now.boottime < until.boottime);
        if self.persisting.is_some() || waits {
            return;
        }
        let mut map: EpochMap =
            self.stacks.iter().filter_map(|(id, stack)| Some((id.clone(), stack.book.epochs()?))).collect();
        for (id, epochs) in wanted {
            let known = map.get(id).copied().unwrap_or_default();
            map.insert(id.clone(), known.max(*epochs));
        }
        // Otherwise the next turn asks again.
        let _taken = self.persist(map);
    }

    /// Two wait at most: one being written, one newer. False if both places are taken.
    pub(super) fn persist(&mut self, map: EpochMap) -> bool {
        let taken = self.store.try_send(map.clone()).is_ok();
        if taken {
            self.persisting = Some(map);
        }
        taken
    }

    pub(super) fn persisted(&mut self, epochs: &EpochMap, result: Result<(), String>, now: Moment) {
        if self.persisting.as_ref() == Some(epochs) {
            self.persisting = None;
        }
        match result {
            Ok(()) => {
                for (id, durable) in epochs {
                    if let Some(stack) = self.stacks.get_mut(id) {
                        stack.book.persisted(*durable);
                    }
                }
                // A closed epoch is withheld from now on.
                self.nudge_all();
            }
            Err(why) => {
                tracing::error!(why, "the epochs could not be written; nothing new begins before they are");
                self.persist_after = Some(now.after(PERSIST_PAUSE));
                if self.stacks.values().any(|stack| stack.book.epochs().is_none()) {
                    // The store was lost and could not be refilled: the registration brings it again.
                    self.renewals.register_again(now.after(PERSIST_PAUSE));
                }
            }
        }
    }

    fn start_check(&mut self, id: &StackId, check: Check) {
        let (events, generation) = (self.events.clone(), self.generation);
        let epoch = match check {
            Check::Detached(epoch) | Check::Promoted(epoch) | Check::Written(epoch) => epoch,
        };
        let permit = self.permit(id, epoch);
        let Some(stack) = self.stacks.get_mut(id) else { return };
        let (driver, stack_id) = (stack.driver.clone(), id.clone());
        let task = tokio::spawn(async move {
            let found = find_out(driver, check, permit).await;
            let event = Event::Checked { generation, stack: stack_id, check, found };
            let _loop_ended = events.send(event).await;
        });
        stack.book.checking(check);
        stack.running = Some(Running { check, task: task.abort_handle() });
    }

    pub(super) fn checked(
        &mut self,
        generation: Generation,
        id: &StackId,
        check: Check,
        found: Found,
        now: Moment,
    ) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        if generation != self.generation || !stack.book.found(check, found, now) {
            return;
        }
        stack.end_stale_check();
        tracing::info!(stack = %id, ?check, ?found, "found out");
        if found == Found::Written {
            self.report_due = now;
        }
    }

    pub(super) fn step_answered(
        &mut self,
        id: &StackId,
        step: StepKind,
        epoch: Epoch,
        refusal: &str,
        now: Moment,
    ) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        if !refusal.is_empty() {
            tracing::info!(stack = %id, %step, %epoch, refusal, "the group refused the report of a step");
        }
        stack.book.report_answered(step, epoch, !refusal.is_empty(), now);
    }
}

/// Asks until there is an answer. The caller ends it when nobody wants to know any more.
async fn find_out(driver: Arc<dyn DatabaseDriver>, check: Check, permit: Permit) -> Found {
    let mut polls = 0_u32;
    loop {
        let answer = match check {
            Check::Detached(_) => driver.detachment().await.map(|detachment| match detachment {
                Detachment::Detached(position) => Some(Found::Position(position)),
                Detachment::Attached(_) | Detachment::Replaying(_) => None,
            }),
            Check::Promoted(_) => match driver.in_recovery().await {
                Ok(false) => driver.promotion().await.map(|position| Some(Found::Position(position))),
                Ok(true) => Ok(None),
                Err(e) => Err(e),
            },
            Check::Written(_) => driver.write_probe(permit.clone()).await.map(|()| Some(Found::Written)),
        };
        match answer {
            Ok(Some(found)) => return found,
            Ok(None) => {}
            Err(error) => tracing::debug!(?check, %error, "not found out yet"),
        }
        polls = polls.saturating_add(1);
        tokio::time::sleep(if polls < POLLS_FAST_MAX { POLL_FAST } else { POLL_SLOW }).await;
    }
}
