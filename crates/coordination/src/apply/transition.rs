//! Transitions: beginning, election, steps, end (design, section 8).

use super::{Applied, sync};
use crate::Outcome;
use crate::state::{
    ATTEMPTS_REMEMBERED, Assignment, CoverState, Detachment, Promotion, Stack, State, Transition,
};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use model::{
    Cause, Epoch, EventKind, Mode, Refusal, SiteId, StackId, StepKind, StepOutcome, StepReport, StepState,
    WallMillis,
};

/// Characters of a returning site's account that the events keep.
const EVIDENCE_CHARS_MAX: usize = 1_000;

fn may_act(mode: Mode, cause: &Cause) -> Result<(), Refusal> {
    match (mode, cause) {
        (Mode::Auto, _) | (_, Cause::Operator) => Ok(()),
        (other, _) => Err(Refusal::WrongMode(other)),
    }
}

impl State {
    pub(super) fn begin_transition(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        cause: &Cause,
        wish: Option<&SiteId>,
    ) -> Applied {
        let index = self.index;
        self.check_cause(id, cause)?;
        let stack = self.stack_at(id, epoch)?;
        let from = stack.active.as_ref().ok_or(Refusal::NotAdopted)?.site.clone();
        if stack.transition.is_some() && !planted!(TwoTransitions) {
            return Err(Refusal::TransitionRunning);
        }
        may_act(stack.mode, cause)?;
        if let Some(site) = wish
            && !stack.carries(site)
        {
            return Err(Refusal::NotAtSite(id.clone(), site.clone()));
        }
        stack.transition = Some(Transition {
            from: from.clone(),
            from_epoch: epoch,
            cause: cause.clone(),
            wish: wish.cloned(),
            begun: index,
            attempts: 0,
            streamed: stack.streaming.keys().cloned().collect(),
            detached: BTreeMap::new(),
            elected: None,
            promote: StepState::Waiting,
            promote_attempts: 0,
            verify: StepState::Waiting,
            followed: BTreeSet::new(),
            failed: BTreeSet::new(),
        });
        self.record(at, EventKind::TransitionBegun { stack: id.clone(), from, epoch, cause: cause.clone() });
        Ok(Outcome::Applied)
    }

    /// A transition begun for silence names the last renewal; a later one makes it stale. One
    /// begun for expiry needs the closed epoch.
    fn check_cause(&self, id: &StackId, cause: &Cause) -> Result<(), Refusal> {
        let stack = self.stacks.get(id).ok_or_else(|| Refusal::UnknownStack(id.clone()))?;
        let site = stack.active.as_ref().and_then(|a| self.sites.get(&a.site));
        match (cause, site) {
            (Cause::Silence { number }, Some(site)) if site.number != *number => {
                Err(Refusal::Superseded { last: site.number })
            }
            (Cause::Expired, _) if !stack.is_closed() => Err(Refusal::StepNotDue(StepKind::FenceDatabase)),
            _ => Ok(()),
        }
    }

    pub(super) fn record_would_begin(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        cause: &Cause,
    ) -> Applied {
        let stack = self.stack_at(id, epoch)?;
        let from = stack.active.as_ref().ok_or(Refusal::NotAdopted)?.site.clone();
        stack.would = Some((epoch, cause.clone()));
        self.record(at, EventKind::WouldHaveBegun { stack: id.clone(), from, epoch, cause: cause.clone() });
        Ok(Outcome::Applied)
    }

    /// The election entry. S2 is checked here and nowhere else: the current epoch is fenced, or
    /// the elected site is the one that runs it.
    pub(super) fn elect(&mut self, at: WallMillis, id: &StackId, epoch: Epoch, site: &SiteId) -> Applied {
        let registered = self.is_registered(site);
        let stack = self.stack_at(id, epoch)?;
        let transition = stack.transition.as_ref().ok_or(Refusal::NoTransition)?;
        if !stack.carries(site) {
            return Err(Refusal::NotAtSite(id.clone(), site.clone()));
        }
        if !registered {
            return Err(Refusal::NotRegistered);
        }
        if planted!(RollbackAfterElection) && transition.from == *site && transition.elected.is_some() {
            return self.assign(at, id, site, true);
        }
        if stack.is_open_at(site) {
            return self.abort(at, id, epoch, site);
        }
        if !stack.is_closed() && !planted!(ElectUnfenced) {
            let active = stack.active.as_ref().ok_or(Refusal::NotAdopted)?;
            return Err(Refusal::NotFenced { site: active.site.clone(), epoch });
        }
        may_act(stack.mode, &transition.cause)?;
        let same_site = stack.active.as_ref().is_some_and(|a| a.site == *site);
        if !same_site {
            stack.let_go(site, epoch).ok_or_else(|| Refusal::NotDetached(site.clone()))?;
            stack.knows_all(site)?;
        }
        self.assign(at, id, site, same_site)
    }

    /// The abort entry: an election entry that names the same site, before any proof. Standbys
    /// attach again, the gate takes the new epoch over without a restart.
    fn abort(&mut self, at: WallMillis, id: &StackId, epoch: Epoch, site: &SiteId) -> Applied {
        let index = self.index;
        let number = self.sites.get(site).map(|s| s.number);
        let stack = self.stack_at(id, epoch)?;
        let transition = stack.transition.as_ref().ok_or(Refusal::NoTransition)?;
        if transition.elected == Some(epoch) {
            return Err(Refusal::PastElection);
        }
        match (&transition.cause, number) {
            (Cause::Silence { number: known }, Some(last)) if last > *known => {}
            _ => return Err(Refusal::NotFenced { site: site.clone(), epoch }),
        }
        let next = epoch.next();
        stack.active = Some(Assignment { site: site.clone(), epoch: next, index, at });
        stack.cover = inherited(stack.cover, index);
        stack.fence_begun = None;
        stack.transition = None;
        // The database goes on as it is, on its timeline, now under the next epoch.
        carry_promotion(stack, next);
        self.record(at, EventKind::Aborted { stack: id.clone(), site: site.clone(), epoch: next });
        Ok(Outcome::Applied)
    }

    fn assign(&mut self, at: WallMillis, id: &StackId, site: &SiteId, same_site: bool) -> Applied {
        let index = self.index;
        let stack = self.stack_mut(id)?;
        if !same_site {
            sync::elect_set(stack, site, stack.epoch(), index)?;
        }
        let epoch = if planted!(EpochNotRaised) { stack.epoch() } else { stack.epoch().next() };
        stack.active = Some(Assignment { site: site.clone(), epoch, index, at });
        stack.cover = match (same_site, stack.mode.holds_cover()) {
            (_, true) => CoverState::Held { since: index },
            (true, false) => inherited(stack.cover, index),
            (false, false) => CoverState::Timed { since: index },
        };
        stack.fence_begun = None;
        let timeline_highest = stack.timeline_highest;
        stack.timeline_highest =
            if planted!(TimelineNotCounted) { timeline_highest } else { timeline_highest.next() };
        stack.streaming.clear();
        stack.streamed_once = false;
        let operator = stack.transition.as_ref().is_some_and(|t| t.cause == Cause::Operator);
        if !operator {
            if stack.automatic.len() == ATTEMPTS_REMEMBERED {
                stack.automatic.remove(0);
            }
            stack.automatic.push(index);
        }
        if let Some(transition) = &mut stack.transition {
            transition.attempts = transition.attempts.saturating_add(1);
            transition.elected = Some(epoch);
            transition.promote = StepState::Running;
            transition.promote_attempts = 0;
            transition.verify = StepState::Waiting;
            transition.followed.clear();
        }
        let (stack, site) = (id.clone(), site.clone());
        self.record(at, EventKind::Elected { stack, site, epoch, timeline_highest });
        Ok(Outcome::Applied)
    }

    pub(super) fn step(&mut self, at: WallMillis, report: &StepReport) -> Applied {
        let done = report.outcome == StepOutcome::Done;
        match report.step {
            StepKind::FenceDatabase if done => return self.acknowledge_fence(at, report),
            StepKind::Detach if done => return self.detached(at, report),
            StepKind::Elect => return Err(Refusal::StepNotDue(StepKind::Elect)),
            StepKind::ListDiverged | StepKind::Rejoin => return self.told_of_return(at, report),
            _ => {}
        }
        let stack = self.stack_at(&report.stack, report.epoch)?;
        if !stack.carries(&report.site) {
            return Err(Refusal::NotAtSite(report.stack.clone(), report.site.clone()));
        }
        match report.step {
            StepKind::Promote => promoted(stack, report)?,
            StepKind::VerifyWrite if done => verified(stack, report)?,
            StepKind::Follow if done => followed(stack, report)?,
            _ => {}
        }
        self.record_step(at, report);
        Ok(Outcome::Applied)
    }

    fn detached(&mut self, at: WallMillis, report: &StepReport) -> Applied {
        let stack = self.stack_at(&report.stack, report.epoch)?;
        if !stack.carries(&report.site) {
            return Err(Refusal::NotAtSite(report.stack.clone(), report.site.clone()));
        }
        let (closed, early) = (stack.is_closed(), stack.is_fenced_by_replication());
        let position = report.position.ok_or(Refusal::StepNotDue(StepKind::Detach))?;
        let transition = stack.transition.as_mut().ok_or(Refusal::NoTransition)?;
        // In asynchronous mode standbys let go only once the fence is proven.
        if !closed && !early && !planted!(ElectUnfenced) {
            return Err(Refusal::StepNotDue(StepKind::Detach));
        }
        let detachment = Detachment { epoch: report.epoch, position };
        let before = transition.detached.insert(report.site.clone(), detachment);
        if before != Some(detachment) {
            self.record(
                at,
                EventKind::Detached {
                    stack: report.stack.clone(),
                    site: report.site.clone(),
                    epoch: report.epoch,
                    position,
                },
            );
        }
        Ok(Outcome::Applied)
    }

    /// A promotion that failed or passed its deadline: the way away from the elected site is a
    /// fence of it at that epoch and a new election entry, in the same transition.
    pub(super) fn give_up_promote(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        cause: &Cause,
    ) -> Applied {
        let index = self.index;
        let stack = self.stack_at(id, epoch)?;
        if stack.is_closed() {
            return Err(Refusal::EpochClosed { closed: stack.closed });
        }
        if stack.fence_begun.is_some() {
            return Err(Refusal::TransitionRunning);
        }
        let site = stack.active.as_ref().ok_or(Refusal::NotAdopted)?.site.clone();
        let transition = stack.transition.as_mut().ok_or(Refusal::NoTransition)?;
        if transition.elected != Some(epoch) {
            return Err(Refusal::StepNotDue(StepKind::Promote));
        }
        transition.failed.insert(site.clone());
        transition.cause = cause.clone();
        if transition.promote != StepState::Done {
            transition.promote = StepState::Failed;
        }
        stack.fence_begun = Some(index);
        self.record(at, EventKind::FenceBegun { stack: id.clone(), site, epoch });
        Ok(Outcome::Applied)
    }

    pub(super) fn complete(&mut self, at: WallMillis, id: &StackId, epoch: Epoch) -> Applied {
        let index = self.index;
        let stack = self.stack_at(id, epoch)?;
        let site = stack.active.as_ref().ok_or(Refusal::NotAdopted)?.site.clone();
        let transition = stack.transition.as_ref().ok_or(Refusal::NoTransition)?;
        let due = transition.step_state(StepKind::VerifyWrite, stack) == StepState::Done;
        if !due || stack.fence_begun.is_some() {
            return Err(Refusal::StepNotDue(StepKind::VerifyWrite));
        }
        if transition.cause != Cause::Operator {
            stack.completed = Some(index);
        }
        stack.transition = None;
        self.record(at, EventKind::Completed { stack: id.clone(), site, epoch });
        Ok(Outcome::Applied)
    }

    /// A returning site tells what it held, or that it streams again. Nothing rests on it but the
    /// record; what was told before is not written twice (an actor that restarts tells it again).
    fn told_of_return(&mut self, at: WallMillis, report: &StepReport) -> Applied {
        let stack = self.stack_at(&report.stack, report.epoch)?;
        if !stack.carries(&report.site) {
            return Err(Refusal::NotAtSite(report.stack.clone(), report.site.clone()));
        }
        if stack.is_open_at(&report.site) {
            return Err(Refusal::StepNotDue(report.step));
        }
        let evidence: String = report.evidence.chars().take(EVIDENCE_CHARS_MAX).collect();
        let (stack, site, epoch) = (report.stack.clone(), report.site.clone(), report.epoch);
        let kind = match (report.step, report.position) {
            (StepKind::ListDiverged, Some(fork)) => {
                EventKind::DivergedListed { stack, site, epoch, fork, evidence }
            }
            (StepKind::Rejoin, _) => {
                EventKind::Rejoined { stack, site, epoch, outcome: report.outcome, evidence }
            }
            _ => return Err(Refusal::StepNotDue(report.step)),
        };
        if !self.events().any(|event| event.kind == kind) {
            self.record(at, kind);
        }
        Ok(Outcome::Applied)
    }

    fn record_step(&mut self, at: WallMillis, report: &StepReport) {
        self.record(
            at,
            EventKind::StepEnded {
                stack: report.stack.clone(),
                site: report.site.clone(),
                epoch: report.epoch,
                step: report.step,
                outcome: report.outcome,
            },
        );
    }
}

/// An election entry that names the same site inherits "held" until that gate has acknowledged
/// a timed cover of the new epoch.
fn inherited(cover: CoverState, index: model::LogIndex) -> CoverState {
    match cover {
        _ if planted!(InheritsTimed) => CoverState::Timed { since: index },
        CoverState::Timed { since } => CoverState::Timed { since },
        CoverState::TimedUnacknowledged { .. } => CoverState::TimedUnacknowledged { since: index },
        CoverState::Held { since } => CoverState::Held { since },
    }
}

fn carry_promotion(stack: &mut Stack, epoch: Epoch) {
    if let Some(last) = stack.promotions.last().cloned() {
        stack.push_promotion(Promotion { epoch, ..last });
    }
}

fn promoted(stack: &mut Stack, report: &StepReport) -> Result<(), Refusal> {
    let not_due = Refusal::StepNotDue(StepKind::Promote);
    let open = stack.is_open_at(&report.site) && stack.fence_begun.is_none();
    let before = stack.timeline;
    let highest = stack.timeline_highest;
    let ran_last = stack.promotions.last().is_some_and(|p| p.site == report.site);
    let transition = stack.transition.as_mut().ok_or(Refusal::NoTransition)?;
    let repeated = transition.promote == StepState::Done && !planted!(StepRepeated);
    if !open || transition.elected != Some(report.epoch) || repeated {
        return Err(not_due);
    }
    match (report.outcome, report.position) {
        (StepOutcome::Done, Some(position)) => {
            // The old active site, elected again, goes on upon its timeline; any other must have
            // made the one that its step named.
            let restarted = position.timeline == before && ran_last;
            if position.timeline < highest && !restarted {
                return Err(Refusal::TimelineUsed);
            }
            transition.promote = StepState::Done;
            transition.verify = StepState::Running;
            stack.timeline = position.timeline;
            stack.timeline_highest = highest.max(position.timeline);
            stack.push_promotion(Promotion {
                epoch: report.epoch,
                site: report.site.clone(),
                timeline: position.timeline,
                start: position.lsn,
            });
            Ok(())
        }
        (StepOutcome::Done, None) => Err(not_due),
        (StepOutcome::Failed | StepOutcome::Unknown, _) => {
            transition.promote_attempts = transition.promote_attempts.saturating_add(1);
            if report.outcome == StepOutcome::Failed {
                transition.promote = StepState::Failed;
            }
            Ok(())
        }
    }
}

fn verified(stack: &mut Stack, report: &StepReport) -> Result<(), Refusal> {
    let open = stack.is_open_at(&report.site);
    let transition = stack.transition.as_mut().ok_or(Refusal::NoTransition)?;
    let due = open && transition.elected == Some(report.epoch) && transition.verify == StepState::Running;
    if !due {
        return Err(Refusal::StepNotDue(StepKind::VerifyWrite));
    }
    transition.verify = StepState::Done;
    Ok(())
}

fn followed(stack: &mut Stack, report: &StepReport) -> Result<(), Refusal> {
    if stack.is_open_at(&report.site) {
        return Err(Refusal::StepNotDue(StepKind::Follow));
    }
    if let Some(transition) = &mut stack.transition {
        transition.followed.insert(report.site.clone());
    }
    Ok(())
}
