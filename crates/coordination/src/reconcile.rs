//! What an actor does next about one stack. Pure: called after every event, it says what is
//! still to be done; doing it, remembering that it is under way and reporting how it went is the
//! shell's part.
//!
//! A view can close, prepare and hurry; only the lease opens. Every action that runs a database
//! as a primary asks [`LeaseView::permits`] here, the shell asks it again in the step that acts,
//! and the gate a third time on its own deadline.

mod home;

use crate::rejoin::{Because, Way};
use alloc::{borrow::ToOwned, collections::BTreeSet, format, string::String, vec::Vec};
use model::{
    DatabaseReport, DatabaseRole, Deadline, DesiredStack, Epoch, GateReport, Instruction, Moment, SiteId,
    StepKind, StepOutcome, StepReport, Timeline, WalPosition,
};
use serde::{Deserialize, Serialize};

/// What one stack's site must never go back behind: kept on disk by the actor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackEpochs {
    /// Highest epoch seen.
    pub highest: Epoch,
    /// Highest epoch that is closed for this site.
    pub closed: Epoch,
}

impl StackEpochs {
    /// The higher of both, field by field; the closed one is always one that was seen.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        let closed = self.closed.max(other.closed);
        Self { highest: self.highest.max(other.highest).max(closed), closed }
    }
}

/// What this site holds of one stack's lease.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseView {
    /// The epoch of the cover, with its end; no end for a held one. None: nothing may run.
    pub right: Option<(Epoch, Option<Deadline>)>,
}

impl LeaseView {
    /// True while the stack may run at exactly this epoch.
    #[must_use]
    pub fn permits(&self, epoch: Epoch, now: Moment) -> bool {
        match self.right {
            Some((covered, deadline)) => covered == epoch && deadline.is_none_or(|end| !end.is_over(now)),
            None => false,
        }
    }
}

/// Something for the gate to do once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum OrderKind {
    /// Close the epoch on disk and stop the primary.
    Relinquish {
        /// The epoch.
        epoch: Epoch,
    },
    /// Let go of the primary.
    Detach {
        /// The epoch whose primary is left.
        epoch: Epoch,
    },
    /// Stream from a site.
    Follow {
        /// The epoch of its election.
        epoch: Epoch,
        /// The site.
        site: SiteId,
        /// By the slot that the primary keeps for this site.
        slot: bool,
    },
    /// Bring a copy home that can't follow as it is.
    Rejoin {
        /// The epoch of the primary.
        epoch: Epoch,
        /// Its site.
        site: SiteId,
        /// How.
        way: Way,
        /// Why so.
        because: Because,
    },
    /// Leave recovery.
    Promote {
        /// The epoch of the election.
        epoch: Epoch,
        /// Highest timeline that an earlier promote step may have made.
        timeline_highest: Timeline,
    },
}

/// Something to find out by SQL, as often as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Check {
    /// The standby has let go; where its WAL ends.
    Detached(Epoch),
    /// The database is out of recovery; timeline and LSN.
    Promoted(Epoch),
    /// One row can be written.
    Written(Epoch),
}

/// What is known to have happened since the process last looked afresh. Dropped as a whole after
/// a gap between two clock readings; the part that hangs on a gate is dropped with its stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Progress {
    /// The epoch whose cover the attached gate was last told.
    pub cover_told: Option<Epoch>,
    /// The order that the gate has not answered yet.
    pub ordered: Option<OrderKind>,
    /// Orders wait until then, because the last one failed.
    pub order_after: Option<Moment>,
    /// Times in a row that the promote order of this epoch failed, and what the gate said last.
    pub promote_failed: Option<(Epoch, u32, String)>,
    /// The gate wrote down that this epoch is closed, and nothing of it is left.
    pub relinquished: Option<(Epoch, String)>,
    /// The gate has cleared the upstream for this epoch.
    pub detach_ordered: Option<Epoch>,
    /// The detachment is proven.
    pub detached: Option<(Epoch, WalPosition)>,
    /// The gate has set this upstream.
    pub following: Option<(Epoch, SiteId)>,
    /// This epoch's primary is followed without a slot, since it did not work with one.
    pub slotless: Option<Epoch>,
    /// The standby runs, follows, and does not stream, since then.
    pub unstreamed: Option<Moment>,
    /// The copy was brought home for this epoch; what was done.
    pub rejoined: Option<(Epoch, String)>,
    /// Times in a row that a rewind for this epoch was refused before it changed anything.
    pub rewind_refused: Option<(Epoch, u32)>,
    /// Reports of a return that the group has taken.
    pub told: BTreeSet<(StepKind, Epoch)>,
    /// The gate was asked to promote, or did it.
    pub promote_ordered: Option<Epoch>,
    /// Out of recovery.
    pub promoted: Option<(Epoch, WalPosition)>,
    /// A row was written.
    pub written: Option<Epoch>,
    /// What is being found out.
    pub check: Option<Check>,
    /// A renewal was sent because of this epoch's election.
    pub renewed_for: Option<Epoch>,
    /// Reports under way, or answered a moment ago.
    pub reporting: BTreeSet<(StepKind, Epoch)>,
}

/// All that an actor knows of one stack of its site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Observed {
    /// This site.
    pub site: SiteId,
    /// The last observation.
    pub database: DatabaseReport,
    /// The attached gate's last word.
    pub gate: Option<GateReport>,
    /// What is durable; none until the store is refilled.
    pub epochs: Option<StackEpochs>,
    /// What has happened.
    pub progress: Progress,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write these epochs down, durably.
    Persist(StackEpochs),
    /// Send a renewal at once.
    Renew,
    /// Have the gate do this.
    Order(OrderKind),
    /// Find this out.
    Check(Check),
    /// Tell the group.
    Report(StepReport),
    /// Nothing can be done; people should know why.
    Problem(&'static str),
}

/// Times that a promote order may fail before the group is told that this site cannot.
pub const PROMOTE_FAILURES_MAX: u32 = 3;

const NEEDS_REJOIN: &str =
    "this site's copy is a former primary without standby.signal: it needs a rejoin before it can follow";
const NO_GATE: &str = "no gate is attached: it must run beside the database and reach this actor";
const STANDBY_AT_ACTIVE: &str =
    "this site is active but its copy is a standby, and no promotion is due: it stays closed";

/// What to do about one stack, in the order in which it should be begun.
#[must_use]
pub fn reconcile(desired: &DesiredStack, observed: &Observed, lease: &LeaseView, now: Moment) -> Vec<Action> {
    let Some(stored) = observed.epochs else { return Vec::new() };
    let turn = Turn { desired, observed, lease, stored, now };
    let mut actions = Vec::new();
    let wanted = stored.max(turn.epochs_wanted());
    if wanted != stored {
        actions.push(Action::Persist(wanted));
    }
    match &desired.instruction {
        Instruction::Leave | Instruction::Stay => {}
        Instruction::Run { epoch, timeline_highest, promote_due, verify_due } => {
            turn.run(*epoch, *timeline_highest, *promote_due, *verify_due, &mut actions);
        }
        Instruction::Fence { epoch } => turn.fence(*epoch, &mut actions),
        Instruction::Detach { epoch } => turn.detach(*epoch, &mut actions),
        Instruction::Follow { site, epoch, timeline, report_due } => {
            turn.follow(site, *epoch, *timeline, *report_due, &mut actions);
        }
    }
    actions
}

struct Turn<'a> {
    desired: &'a DesiredStack,
    observed: &'a Observed,
    lease: &'a LeaseView,
    stored: StackEpochs,
    now: Moment,
}

impl Turn<'_> {
    /// What the view says must be on disk before anything else of it is done.
    fn epochs_wanted(&self) -> StackEpochs {
        let fenced = match self.desired.instruction {
            Instruction::Fence { epoch } => epoch,
            _ => Epoch::NONE,
        };
        StackEpochs { highest: self.desired.epoch, closed: self.desired.closed.max(fenced) }
    }

    /// True if the instruction's epoch is the highest one on disk: nothing older is obeyed, and
    /// nothing newer before it is written down.
    fn is_current(&self, epoch: Epoch) -> bool {
        self.stored.highest == epoch || planted!(StaleOrderObeyed)
    }

    fn order(&self, kind: OrderKind, actions: &mut Vec<Action>) {
        let p = &self.observed.progress;
        let waits = p.order_after.is_some_and(|until| self.now.boottime < until.boottime);
        if p.ordered.is_none() && !waits {
            actions.push(Action::Order(kind));
        }
    }

    fn check(&self, check: Check, actions: &mut Vec<Action>) {
        if self.observed.progress.check != Some(check) {
            actions.push(Action::Check(check));
        }
    }

    fn report(
        &self,
        step: StepKind,
        epoch: Epoch,
        outcome: StepOutcome,
        position: Option<WalPosition>,
        evidence: String,
        actions: &mut Vec<Action>,
    ) {
        if self.observed.progress.reporting.contains(&(step, epoch)) {
            return;
        }
        let (site, stack) = (self.observed.site.clone(), self.desired.stack.clone());
        actions.push(Action::Report(StepReport { site, stack, epoch, step, outcome, position, evidence }));
    }

    fn run(
        &self,
        epoch: Epoch,
        highest: Timeline,
        promote_due: bool,
        verify_due: bool,
        actions: &mut Vec<Action>,
    ) {
        let p = &self.observed.progress;
        if epoch < self.stored.highest || epoch <= self.stored.closed {
            return;
        }
        if !self.lease.permits(epoch, self.now) {
            if p.renewed_for != Some(epoch) {
                actions.push(Action::Renew);
            }
            return;
        }
        if !self.is_current(epoch) {
            return;
        }
        if promote_due {
            self.promote(epoch, highest, actions);
        }
        let open = self.observed.gate.as_ref().is_some_and(|gate| gate.open == Some(epoch));
        let runs = p.promoted.as_ref().is_some_and(|(at, _)| *at == epoch) || (!promote_due && open);
        if runs && p.written != Some(epoch) && (promote_due || verify_due) {
            self.check(Check::Written(epoch), actions);
        }
        if verify_due && p.written == Some(epoch) {
            let evidence = "one row was written and flushed".to_owned();
            self.report(StepKind::VerifyWrite, epoch, StepOutcome::Done, None, evidence, actions);
        }
        let standby = self.observed.gate.as_ref().is_some_and(|gate| gate.standby && gate.open.is_none());
        if standby && !promote_due && !runs && self.observed.database.role == DatabaseRole::Standby {
            actions.push(Action::Problem(STANDBY_AT_ACTIVE));
        }
    }

    /// A standby gets the promote order; a primary that the gate opened at this epoch counts as
    /// promoted once SQL says that it is out of recovery.
    fn promote(&self, epoch: Epoch, timeline_highest: Timeline, actions: &mut Vec<Action>) {
        let p = &self.observed.progress;
        if let Some((at, position)) = &p.promoted
            && *at == epoch
        {
            let evidence = format!("out of recovery on timeline {} at {}", position.timeline, position.lsn);
            self.report(StepKind::Promote, epoch, StepOutcome::Done, Some(*position), evidence, actions);
            return;
        }
        if let Some((at, times, said)) = &p.promote_failed
            && *at == epoch
            && *times >= PROMOTE_FAILURES_MAX
        {
            self.report(StepKind::Promote, epoch, StepOutcome::Failed, None, said.clone(), actions);
            return;
        }
        let Some(gate) = &self.observed.gate else {
            actions.push(Action::Problem(NO_GATE));
            return;
        };
        let ordered = p.promote_ordered == Some(epoch);
        if !ordered && gate.standby && gate.running && p.cover_told == Some(epoch) {
            self.order(OrderKind::Promote { epoch, timeline_highest }, actions);
        }
        if ordered || gate.open == Some(epoch) {
            self.check(Check::Promoted(epoch), actions);
        }
    }

    fn fence(&self, epoch: Epoch, actions: &mut Vec<Action>) {
        if self.stored.closed < epoch {
            return;
        }
        let p = &self.observed.progress;
        match &p.relinquished {
            Some((at, evidence)) if *at >= epoch => {
                self.report(
                    StepKind::FenceDatabase,
                    epoch,
                    StepOutcome::Done,
                    None,
                    evidence.clone(),
                    actions,
                );
            }
            _ if self.observed.gate.is_none() => actions.push(Action::Problem(NO_GATE)),
            _ => self.order(OrderKind::Relinquish { epoch }, actions),
        }
    }

    fn detach(&self, epoch: Epoch, actions: &mut Vec<Action>) {
        let p = &self.observed.progress;
        if !self.is_current(epoch) {
            return;
        }
        let Some(gate) = &self.observed.gate else {
            actions.push(Action::Problem(NO_GATE));
            return;
        };
        if !gate.standby {
            if gate.data_present {
                actions.push(Action::Problem(NEEDS_REJOIN));
            }
            return;
        }
        match p.detached {
            Some((at, position)) if at == epoch => {
                let evidence = format!(
                    "no walreceiver, no upstream; WAL to {} on timeline {}",
                    position.lsn, position.timeline
                );
                self.report(StepKind::Detach, epoch, StepOutcome::Done, Some(position), evidence, actions);
            }
            _ if p.detach_ordered == Some(epoch) => self.check(Check::Detached(epoch), actions),
            _ => self.order(OrderKind::Detach { epoch }, actions),
        }
    }
}

#[cfg(test)]
#[path = "reconcile/tests.rs"]
mod tests;
