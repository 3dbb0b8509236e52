//! Closing one epoch of one stack (design, section 5 rule 5, section 6).

use super::Applied;
use crate::Outcome;
use crate::state::{Stack, State};
use alloc::{format, string::String};
use model::{
    Cause, Epoch, EventKind, FenceMethod, LogIndex, Refusal, SiteId, StackId, StepReport, WallMillis,
};

/// The site that runs the epoch, if it is still open.
fn open_site(stack: &Stack) -> Result<SiteId, Refusal> {
    match &stack.active {
        None => Err(Refusal::NotAdopted),
        Some(_) if stack.is_closed() => Err(Refusal::EpochClosed { closed: stack.closed }),
        Some(active) => Ok(active.site.clone()),
    }
}

impl State {
    pub(super) fn fence_begin(&mut self, at: WallMillis, id: &StackId, epoch: Epoch) -> Applied {
        let index = self.index;
        let stack = self.stack_at(id, epoch)?;
        let site = open_site(stack)?;
        if stack.transition.is_none() {
            return Err(Refusal::NoTransition);
        }
        if stack.fence_begun.is_some() {
            return Err(Refusal::TransitionRunning);
        }
        stack.fence_begun = Some(index);
        self.record(at, EventKind::FenceBegun { stack: id.clone(), site, epoch });
        Ok(Outcome::Applied)
    }

    /// The horizon of the `FenceBegin` is past. `stopping` and `unstopped` bar this proof.
    pub(super) fn fence_by_time(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        begun: LogIndex,
    ) -> Applied {
        let stack = self.stack_at(id, epoch)?;
        let site = open_site(stack)?;
        match stack.fence_begun {
            Some(last) if last == begun => {}
            Some(last) => return Err(Refusal::OtherEntry { last }),
            None => return Err(Refusal::NoTransition),
        }
        if !stack.cover.is_fenced_by_time() {
            return Err(Refusal::CoverHeld);
        }
        let left = self.sites.get(&site).is_some_and(|s| s.stopping.contains(id) || s.unstopped.contains(id));
        if left && !planted!(StoppingIgnored) {
            return Err(Refusal::StillStopping);
        }
        let evidence = format!("the cover lapsed a horizon after entry {begun}");
        self.close(at, id, site, epoch, FenceMethod::Time, evidence)
    }

    /// Enough members of every set that may be in effect have let go: no commit is acknowledged any
    /// more. A renewal of after the beginning voids it where the transition was begun for silence.
    pub(super) fn fence_by_replication(&mut self, at: WallMillis, id: &StackId, epoch: Epoch) -> Applied {
        let stack = self.stacks.get(id).ok_or_else(|| Refusal::UnknownStack(id.clone()))?;
        let number = stack.active.as_ref().and_then(|a| self.sites.get(&a.site)).map(|site| site.number);
        let stack = self.stack_at(id, epoch)?;
        let site = open_site(stack)?;
        let transition = stack.transition.as_ref().ok_or(Refusal::NoTransition)?;
        if let (Cause::Silence { number: known }, Some(last)) = (&transition.cause, number)
            && last > *known
        {
            return Err(Refusal::Superseded { last });
        }
        let known = stack.sync.is_known_to(|member| stack.let_go(member, epoch).is_some());
        if !stack.is_fenced_by_replication() || !known {
            return Err(Refusal::SetNotHeard);
        }
        let evidence = String::from("the standbys that every commit needs let go");
        self.close(at, id, site, epoch, FenceMethod::Replication, evidence)
    }

    /// The old site's actor: no process left, the epoch relinquished on disk. It names (stack,
    /// epoch) alone and is taken only after the group asked for it.
    pub(super) fn acknowledge_fence(&mut self, at: WallMillis, report: &StepReport) -> Applied {
        let stack = self.stack_at(&report.stack, report.epoch)?;
        let site = open_site(stack)?;
        if site != report.site || stack.fence_begun.is_none() {
            return Err(Refusal::StepNotDue(report.step));
        }
        let evidence = report.evidence.clone();
        self.close(at, &report.stack, site, report.epoch, FenceMethod::Acknowledged, evidence)
    }

    pub(super) fn attest(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        operator: &str,
        reason: &str,
    ) -> Applied {
        let stack = self.stack_at(id, epoch)?;
        let site = open_site(stack)?;
        // Nobody's word is taken against a site that renews.
        if self.is_registered(&site) && !planted!(AttestedWhileLeased) {
            return Err(Refusal::StillLeased(site));
        }
        let evidence = format!("{operator}: {reason}");
        self.record(
            at,
            EventKind::Attested {
                stack: id.clone(),
                epoch,
                operator: String::from(operator),
                reason: String::from(reason),
            },
        );
        self.close(at, id, site, epoch, FenceMethod::Attested, evidence)
    }

    fn close(
        &mut self,
        at: WallMillis,
        id: &StackId,
        site: SiteId,
        epoch: Epoch,
        method: FenceMethod,
        evidence: String,
    ) -> Applied {
        let index = self.index;
        self.stack_mut(id)?.close(method, index, evidence);
        self.record(at, EventKind::Fenced { stack: id.clone(), site, epoch, method });
        Ok(Outcome::Applied)
    }
}
