//! One stack in the event loop: its book, its gate's stream, its driver and the check under way.

use crate::config::StackConfig;
use crate::drivers::DatabaseDriver;
use crate::event::{Session, ToGate};
use coordination::book::Book;
use coordination::reconcile::{Check, StackEpochs};
use model::{Moment, SystemId};
use rpc::v1;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// An attached gate.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Its stream.
    pub session: Session,
    /// What to send it by.
    pub to_gate: ToGate,
}

/// A check under way.
#[derive(Debug)]
pub(crate) struct Running {
    /// Which.
    pub check: Check,
    /// Its task.
    pub task: AbortHandle,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One stack.
pub(crate) struct Stack {
    pub config: StackConfig,
    pub driver: Arc<dyn DatabaseDriver>,
    pub book: Book,
    /// The database's identity, as the group has it.
    pub system_id: Option<SystemId>,
    pub gate: Option<Gate>,
    pub running: Option<Running>,
    pub probing: bool,
    pub probed: Option<Moment>,
    /// When the slots were looked after last, whether they are now, and what was wrong.
    pub slots_kept: Option<Moment>,
    pub keeping_slots: bool,
    pub slots_problem: Option<String>,
}

impl Stack {
    pub(crate) fn new(
        config: StackConfig,
        driver: Arc<dyn DatabaseDriver>,
        epochs: Option<StackEpochs>,
    ) -> Self {
        let book = Book::new(config.stack.clone(), epochs);
        Self {
            config,
            driver,
            book,
            system_id: None,
            gate: None,
            running: None,
            probing: false,
            probed: None,
            slots_kept: None,
            keeping_slots: false,
            slots_problem: None,
        }
    }

    /// What was observed and begun is dropped; the gate's stream stays, and is asked anew.
    pub(crate) fn forget(&mut self) {
        self.book.forget();
        self.probing = false;
        self.probed = None;
        self.running = None;
        self.nudge();
    }

    /// The gate is another one, or gone.
    pub(crate) fn gate_changed(&mut self, gate: Option<Gate>, now: Moment) {
        self.gate = gate;
        self.book.gate_changed(now);
    }

    /// Ends a check that nobody waits for any more.
    pub(crate) fn end_stale_check(&mut self) {
        let awaited = self.book.check();
        self.running.take_if(|running| Some(running.check) != awaited);
    }

    /// Sends something to the gate; a gate that does not take it is dropped and comes back.
    pub(crate) fn tell_gate(&mut self, kind: v1::to_gate::Kind) -> bool {
        let Some(gate) = &self.gate else { return false };
        if gate.to_gate.try_send(Ok(v1::ToGate { kind: Some(kind) })).is_ok() {
            return true;
        }
        tracing::warn!(stack = %self.config.stack, "the gate does not take messages; its stream is dropped");
        let now = rpc::clock::now();
        self.gate_changed(None, now);
        false
    }

    /// "Ask now, something changed."
    pub(crate) fn nudge(&mut self) {
        self.tell_gate(v1::to_gate::Kind::Nudge(v1::Nudge {}));
    }
}
