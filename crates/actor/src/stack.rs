//! What the event loop remembers of one stack.

use crate::config::StackConfig;
use crate::drivers::DatabaseDriver;
use crate::event::{Session, ToGate};
use coordination::reconcile::StackEpochs;
use coordination::reconcile::{Check, Observed, OrderKind, Progress};
use model::{
    DatabaseReport, Epoch, GateReport, Instruction, Millis, Moment, SiteEpochs, SiteId, StepKind, TimedAck,
};
use rpc::v1;
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::task::AbortHandle;

/// Pause after the first failure of an order; each further one doubles it.
const ORDER_PAUSE_MIN: Millis = Millis(200);
const ORDER_PAUSE_MAX: Millis = Millis(3_000);

/// An attached gate.
#[derive(Debug)]
pub(crate) struct Gate {
    /// Its stream.
    pub session: Session,
    /// What to send it by.
    pub to_gate: ToGate,
    /// Its last word.
    pub report: Option<GateReport>,
}

/// An order whose outcome is not known yet. Its number stays its own until it is: a gate that was
/// asked twice answers twice, and acts once.
#[derive(Clone, Debug)]
pub(crate) struct Pending {
    /// Its number.
    pub number: u64,
    /// What was ordered.
    pub kind: OrderKind,
    /// When it counts as unknown.
    pub until: Moment,
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
    /// On disk; none until the store is refilled.
    pub epochs: Option<StackEpochs>,
    /// What the group said last, for the gate.
    pub told: Option<SiteEpochs>,
    pub database: DatabaseReport,
    /// When a write probe was acknowledged last.
    pub written: Option<Moment>,
    pub probing: bool,
    pub probed: Option<Moment>,
    pub gate: Option<Gate>,
    /// The last word of a gate that has left, and when it left.
    pub gone: Option<(GateReport, Moment)>,
    pub timed_ack: Option<TimedAck>,
    pub progress: Progress,
    pub pending: Option<Pending>,
    pub order_failures: u32,
    pub running: Option<Running>,
    /// The instruction that the checks belong to.
    pub instruction: Option<(u8, Epoch)>,
    /// Reports of steps: under way without an end, or not to be repeated before it.
    pub reporting: BTreeMap<(StepKind, Epoch), Option<Moment>>,
    /// Since when something of the stack has been left without a right.
    pub lapsed: Option<Moment>,
    /// What was last complained of.
    pub problem: Option<&'static str>,
}

impl Stack {
    pub(crate) fn new(
        config: StackConfig,
        driver: Arc<dyn DatabaseDriver>,
        epochs: Option<StackEpochs>,
    ) -> Self {
        Self {
            config,
            driver,
            epochs,
            told: None,
            database: DatabaseReport::unknown(),
            written: None,
            probing: false,
            probed: None,
            gate: None,
            gone: None,
            timed_ack: None,
            progress: Progress::default(),
            pending: None,
            order_failures: 0,
            running: None,
            instruction: None,
            reporting: BTreeMap::new(),
            lapsed: None,
            problem: None,
        }
    }

    /// All that [`coordination::reconcile::reconcile`] wants to know.
    pub(crate) fn observed(&mut self, site: &SiteId, now: Moment) -> Observed {
        self.reporting.retain(|_, until| until.is_none_or(|until| now.boottime < until.boottime));
        self.progress.reporting = self.reporting.keys().copied().collect();
        self.progress.check = self.running.as_ref().map(|running| running.check);
        Observed {
            site: site.clone(),
            database: self.database.clone(),
            gate: self.gate_report(),
            epochs: self.epochs,
            progress: self.progress.clone(),
        }
    }

    pub(crate) fn gate_report(&self) -> Option<GateReport> {
        self.gate.as_ref().and_then(|gate| gate.report.clone())
    }

    /// The database's report, with the age of the last write, which only the actor knows.
    pub(crate) fn database_report(&self, now: Moment) -> DatabaseReport {
        let mut report = self.database.clone();
        report.write_age = self.written.map(|at| now.elapsed_longest(at));
        if report.problem.is_none() {
            report.problem = self.problem.map(str::to_owned);
        }
        report
    }

    /// Everything that was observed or begun is dropped (design, section 4): the process may have
    /// stood still. What is on disk, and the gate's stream, stay.
    pub(crate) fn forget(&mut self) {
        self.database = DatabaseReport::unknown();
        self.written = None;
        self.probing = false;
        self.probed = None;
        self.progress = Progress::default();
        self.pending = None;
        self.order_failures = 0;
        self.running = None;
        self.instruction = None;
        self.reporting.clear();
        if let Some(gate) = &mut self.gate {
            gate.report = None;
        }
        self.nudge();
    }

    /// The gate is another one, or gone: what hangs on its word is unknown.
    pub(crate) fn gate_changed(&mut self, gate: Option<Gate>, now: Moment) {
        if let Some(report) = self.gate_report() {
            self.gone = Some((report, now));
        }
        self.gate = gate;
        self.timed_ack = None;
        self.pending = None;
        self.order_failures = 0;
        let p = &mut self.progress;
        p.cover_told = None;
        p.ordered = None;
        p.order_after = None;
        p.promote_failed = None;
        p.relinquished = None;
        p.detach_ordered = None;
        p.following = None;
        p.promote_ordered = None;
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

    /// An order failed or was not answered: not at once again.
    pub(crate) fn pause_orders(&mut self, now: Moment) {
        let pause = ORDER_PAUSE_MIN.times(1 << self.order_failures.min(5));
        self.order_failures = self.order_failures.saturating_add(1);
        self.progress.ordered = None;
        self.progress.order_after = Some(now.after(Millis(pause.0.min(ORDER_PAUSE_MAX.0))));
    }

    /// Another instruction, or the same for another epoch, ends what was being found out.
    pub(crate) fn follow_instruction(&mut self, instruction: &Instruction) {
        let key = match instruction {
            Instruction::Leave => (0, Epoch::NONE),
            Instruction::Stay => (1, Epoch::NONE),
            Instruction::Run { epoch, .. } => (2, *epoch),
            Instruction::Fence { epoch } => (3, *epoch),
            Instruction::Detach { epoch } => (4, *epoch),
            Instruction::Follow { epoch, .. } => (5, *epoch),
        };
        if self.instruction != Some(key) {
            self.instruction = Some(key);
            self.running = None;
            self.problem = None;
            self.order_failures = 0;
            self.progress.order_after = None;
        }
    }

    /// What a renewal says of a stack that may not run (design, section 5, rule 5): true while
    /// something of it may be left, and whether that is so longer than F.
    pub(crate) fn left_over(&mut self, has_right: bool, fence: Millis, now: Moment) -> Option<bool> {
        let report = self.gate_report();
        let gone = self.gone.as_ref().filter(|(_, since)| now.elapsed_shortest(*since) <= fence);
        let runs = match (&report, gone) {
            (Some(gate), _) => gate.running && (gate.open.is_some() || !gate.standby),
            // Whoever held it has died or hangs; its timers end it within F.
            (None, Some((gate, _))) => gate.open.is_some(),
            (None, None) => false,
        };
        let adopted = self.epochs.is_some_and(|epochs| epochs.highest > Epoch::NONE);
        if has_right || !runs || !adopted {
            self.lapsed = None;
            return None;
        }
        let since = *self.lapsed.get_or_insert(now);
        Some(now.elapsed_shortest(since) > fence)
    }
}
