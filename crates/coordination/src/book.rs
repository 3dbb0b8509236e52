//! What an actor remembers of one stack, how it takes in what it hears, and when it forgets.
//!
//! The shell observes, orders and reports; after each it says so here. [`Book::observed`] is what
//! [`reconcile`](crate::reconcile::reconcile) decides on, [`Book::answer`] what a gate is told.

mod leftover;
mod orders;

pub use leftover::Left;
pub use orders::{Pending, SOURCE_AWAY};

use crate::lease::LeaseTable;
use crate::permit::Answer;
use crate::reconcile::{Check, LeaseView, Observed, Progress, StackEpochs};
use alloc::borrow::ToOwned;
use alloc::collections::BTreeMap;
use model::{
    DatabaseReport, DatabaseRole, DesiredStack, Epoch, GateReport, Instruction, LogIndex, Millis, Moment,
    SiteEpochs, SiteId, StackId, StepKind, Timeline, WalPosition,
};
use serde::Serialize;

/// An answered report is repeated after this if the view still asks for it.
const REPORT_AGAIN: Millis = Millis(500);
/// One that was refused.
const REPORT_AGAIN_REFUSED: Millis = Millis(150);

/// What a check found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// The end of a detached standby's WAL, or where a primary left recovery.
    Position(WalPosition),
    /// A row was written.
    Written,
}

/// One stack of an actor.
#[derive(Clone, Debug, Serialize)]
pub struct Book {
    stack: StackId,
    /// On disk; none until the store is refilled.
    epochs: Option<StackEpochs>,
    /// What the group said last, for the gate.
    told: Option<SiteEpochs>,
    database: DatabaseReport,
    /// When a write was acknowledged last.
    written: Option<Moment>,
    /// The attached gate's last word.
    gate: Option<GateReport>,
    /// The last word of a gate that has left, and when it left.
    gone: Option<(GateReport, Moment)>,
    progress: Progress,
    pending: Option<Pending>,
    order_failures: u32,
    /// The instruction that the checks belong to.
    instruction: Option<(u8, Epoch)>,
    /// Reports of steps: under way without an end, or not to be repeated before it.
    reporting: BTreeMap<(StepKind, Epoch), Option<Moment>>,
    /// Since when something of the stack has been left without a right.
    lapsed: Option<Moment>,
    /// What was last complained of.
    problem: Option<&'static str>,
}

impl Book {
    /// After a start: `epochs` is what the disk has; none if it is lost.
    #[must_use]
    pub fn new(stack: StackId, epochs: Option<StackEpochs>) -> Self {
        Self {
            stack,
            epochs,
            told: None,
            database: DatabaseReport::unknown(),
            written: None,
            gate: None,
            gone: None,
            progress: Progress::default(),
            pending: None,
            order_failures: 0,
            instruction: None,
            reporting: BTreeMap::new(),
            lapsed: None,
            problem: None,
        }
    }

    /// All that [`reconcile`](crate::reconcile::reconcile) wants to know.
    pub fn observed(&mut self, site: &SiteId, now: Moment) -> Observed {
        self.reporting.retain(|_, until| until.is_none_or(|until| now.boottime < until.boottime));
        self.progress.reporting = self.reporting.keys().copied().collect();
        Observed {
            site: site.clone(),
            database: self.database.clone(),
            gate: self.gate.clone(),
            epochs: self.epochs,
            progress: self.progress.clone(),
        }
    }

    /// What this stack may run: as the lease has it, less what this site has closed by itself.
    #[must_use]
    pub fn lease_view(&self, lease: &LeaseTable, now: Moment) -> LeaseView {
        let closed = self.epochs.map_or(Epoch::NONE, |epochs| epochs.closed);
        let right = lease.valid(&self.stack, now).filter(|valid| valid.entry.epoch > closed);
        LeaseView { right: right.map(|valid| (valid.entry.epoch, valid.deadline)) }
    }

    /// What the gate is told at `now`. Nothing opens before a lost store is refilled.
    #[must_use]
    pub fn answer(&self, lease: &LeaseTable, now: Moment) -> Answer {
        let known = lease.is_heard() && self.epochs.is_some();
        let right = self.lease_view(lease, now).right.is_some();
        let cover = lease.valid(&self.stack, now).map(|valid| valid.entry).filter(|_| known && right);
        Answer {
            known,
            index: if known { lease.index() } else { LogIndex(0) },
            epochs: self.told.clone().filter(|_| known),
            remaining: if cover.is_some() { lease.remaining(&self.stack, now) } else { Millis::ZERO },
            cover,
            terms: lease.terms().filter(|_| known),
        }
    }

    /// The gate was sent this answer.
    pub fn answered(&mut self, answer: &Answer) {
        self.progress.cover_told = answer.cover.as_ref().map(|cover| cover.epoch);
    }

    /// The database was looked at. True if its role is another one.
    pub fn observe(&mut self, report: DatabaseReport) -> bool {
        let changed = self.database.role != report.role;
        if changed && report.role != DatabaseRole::Primary {
            self.written = None;
        }
        self.database = report;
        changed
    }

    /// After an observation: since when the standby has run and followed without streaming.
    pub fn note_streaming(&mut self, now: Moment) {
        let streams = self.database.upstream.as_ref().is_some_and(|up| up.streaming);
        let runs = self.gate.as_ref().is_some_and(|gate| gate.running && gate.standby);
        let p = &mut self.progress;
        if streams || !runs || p.following.is_none() {
            p.unstreamed = None;
        } else {
            p.unstreamed.get_or_insert(now);
        }
    }

    /// The epoch whose primary is followed without a slot, since it did not work with one.
    #[must_use]
    pub const fn slotless(&self) -> Option<Epoch> {
        self.progress.slotless
    }

    /// A row was written. True if none was before.
    pub fn wrote(&mut self, now: Moment) -> bool {
        self.written.replace(now).is_none()
    }

    /// The last observation.
    #[must_use]
    pub const fn database(&self) -> &DatabaseReport {
        &self.database
    }

    /// The same with what only the actor knows: the age of the last write, and its complaint.
    #[must_use]
    pub fn database_report(&self, now: Moment) -> DatabaseReport {
        let mut report = self.database.clone();
        report.write_age = self.written.map(|at| now.elapsed_longest(at));
        if report.problem.is_none() {
            report.problem = self.problem.map(ToOwned::to_owned);
        }
        report
    }

    /// The attached gate's last word.
    #[must_use]
    pub const fn gate(&self) -> Option<&GateReport> {
        self.gate.as_ref()
    }

    /// The gate said how things are. True if that is news.
    pub fn gate_says(&mut self, report: Option<GateReport>) -> bool {
        let news = self.gate != report;
        self.gate = report;
        self.gone = None;
        news
    }

    /// The gate is another one, or gone: what hangs on its word is unknown.
    pub fn gate_changed(&mut self, now: Moment) {
        if let Some(report) = self.gate.take() {
            self.gone = Some((report, now));
        }
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
        p.unstreamed = None;
        p.promote_ordered = None;
    }

    /// Everything that was observed or begun is dropped (design, section 4): the process may have
    /// stood still. What is on disk, and the gate's stream, stay.
    pub fn forget(&mut self) {
        self.database = DatabaseReport::unknown();
        self.written = None;
        self.progress = Progress::default();
        self.pending = None;
        self.order_failures = 0;
        self.instruction = None;
        self.reporting.clear();
        self.gate = None;
    }

    /// The group's word on the epochs, from a registration.
    pub fn hear(&mut self, told: &SiteEpochs) {
        self.told = Some(match &self.told {
            None => told.clone(),
            Some(known) => SiteEpochs {
                stack: known.stack.clone(),
                highest: known.highest.max(told.highest),
                closed: known.closed.max(told.closed),
                timeline_highest: known.timeline_highest.max(told.timeline_highest),
            },
        });
    }

    /// What must be on disk after a registration that said this, or nothing, of the stack.
    pub fn refill(&mut self, told: Option<&SiteEpochs>) -> StackEpochs {
        let known = self.epochs.unwrap_or_default();
        let Some(told) = told else { return known };
        self.hear(told);
        known.max(StackEpochs { highest: told.highest, closed: told.closed })
    }

    /// What is on disk; none until the store is refilled.
    #[must_use]
    pub const fn epochs(&self) -> Option<StackEpochs> {
        self.epochs
    }

    /// These epochs are on disk now.
    pub fn persisted(&mut self, durable: StackEpochs) {
        self.epochs = Some(self.epochs.unwrap_or_default().max(durable));
    }

    /// A view came. Another instruction, or the same for another epoch, ends what was being found
    /// out.
    pub fn follow(&mut self, desired: &DesiredStack) {
        let (timeline_highest, key) = match &desired.instruction {
            Instruction::Leave => (Timeline(0), (0, Epoch::NONE)),
            Instruction::Stay => (Timeline(0), (1, Epoch::NONE)),
            Instruction::Run { epoch, timeline_highest, .. } => (*timeline_highest, (2, *epoch)),
            Instruction::Fence { epoch } => (Timeline(0), (3, *epoch)),
            Instruction::Detach { epoch } => (Timeline(0), (4, *epoch)),
            Instruction::Follow { epoch, .. } => (Timeline(0), (5, *epoch)),
        };
        let (stack, highest, closed) = (desired.stack.clone(), desired.epoch, desired.closed);
        self.hear(&SiteEpochs { stack, highest, closed, timeline_highest });
        if self.instruction != Some(key) {
            self.instruction = Some(key);
            self.progress.check = None;
            self.problem = None;
            self.order_failures = 0;
            self.progress.order_after = None;
        }
    }

    /// A check is under way; it ends the one before.
    pub const fn checking(&mut self, check: Check) {
        self.progress.check = Some(check);
    }

    /// A check ended. False if nobody waits for this one any more: it counts for nothing.
    pub fn found(&mut self, check: Check, found: Found, now: Moment) -> bool {
        if self.progress.check != Some(check) {
            return false;
        }
        self.progress.check = None;
        match (check, found) {
            (Check::Detached(epoch), Found::Position(position)) => {
                self.progress.detached = Some((epoch, position));
            }
            (Check::Promoted(epoch), Found::Position(position)) => {
                self.progress.promoted = Some((epoch, position));
            }
            (Check::Written(epoch), Found::Written) => {
                self.progress.written = Some(epoch);
                self.written = Some(now);
            }
            _ => {}
        }
        true
    }

    /// The check that is waited for.
    #[must_use]
    pub const fn check(&self) -> Option<Check> {
        self.progress.check
    }

    /// A renewal left because of this epoch's election.
    pub const fn renewed_for(&mut self, epoch: Epoch) {
        self.progress.renewed_for = Some(epoch);
    }

    /// The report of a step is under way.
    pub fn reporting(&mut self, step: StepKind, epoch: Epoch) {
        self.reporting.insert((step, epoch), None);
    }

    /// The group took the report of a step, or refused it.
    pub fn report_answered(&mut self, step: StepKind, epoch: Epoch, refused: bool, now: Moment) {
        if !refused && matches!(step, StepKind::ListDiverged | StepKind::Rejoin) {
            // Nothing in the view asks for these: they are told once.
            self.progress.told.insert((step, epoch));
        }
        let pause = if refused { REPORT_AGAIN_REFUSED } else { REPORT_AGAIN };
        self.reporting.insert((step, epoch), Some(now.after(pause)));
    }

    /// Nothing can be done about this, or nothing is wrong. True if that is news.
    pub fn complain(&mut self, problem: Option<&'static str>) -> bool {
        core::mem::replace(&mut self.problem, problem) != problem
    }
}

#[cfg(test)]
#[path = "book/tests.rs"]
mod tests;
