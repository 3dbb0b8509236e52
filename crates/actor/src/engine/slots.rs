//! Slots that keep WAL for the other sites: there on every site, so that the WAL is still there
//! after a promotion, and bounded (`max_slot_wal_keep_size`, which the gate sets).

use super::Engine;
use crate::config::slot_name;
use crate::event::Event;
use model::{DatabaseRole, Epoch, Millis, Moment, StackId};

/// Between two looks; at once when the database's role changes.
const KEEP_EVERY: Millis = Millis(5_000);

impl Engine {
    pub(super) fn keep_slots_if_due(&mut self, now: Moment) {
        for (id, stack) in &mut self.stacks {
            let adopted = stack.book.epochs().is_some_and(|epochs| epochs.highest > Epoch::NONE);
            let answers = matches!(stack.book.database().role, DatabaseRole::Primary | DatabaseRole::Standby);
            let recent = stack.slots_kept.is_some_and(|at| now.elapsed_shortest(at) < KEEP_EVERY);
            if !stack.config.slots || stack.keeping_slots || !adopted || !answers || recent {
                continue;
            }
            (stack.keeping_slots, stack.slots_kept) = (true, Some(now));
            let slots = stack.config.primary_conninfo.keys().map(slot_name).collect();
            let (driver, events, id) = (stack.driver.clone(), self.events.clone(), id.clone());
            tokio::spawn(async move {
                let result = driver.keep_slots(slots).await.map_err(|e| e.to_string());
                let _loop_ended = events.send(Event::SlotsKept { stack: id, result }).await;
            });
        }
    }

    pub(super) fn slots_kept(&mut self, id: &StackId, result: Result<Vec<String>, String>) {
        let Some(stack) = self.stacks.get_mut(id) else { return };
        stack.keeping_slots = false;
        match result {
            Ok(done) => {
                stack.slots_problem = None;
                for what in done {
                    tracing::info!(stack = %id, what, "replication slot");
                }
            }
            Err(why) => {
                if stack.slots_problem.as_ref() != Some(&why) {
                    tracing::warn!(stack = %id, why, "the replication slots can't be looked after");
                    stack.slots_problem = Some(why);
                }
            }
        }
    }
}
