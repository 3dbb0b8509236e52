//! The synchronous sets: three entries for each change (design, section 7).

use super::Applied;
use crate::Outcome;
use crate::state::{Stack, State};
use alloc::collections::BTreeSet;
use model::{Epoch, EventKind, LogIndex, Refusal, Replication, SiteId, StackId, SyncSet, WallMillis};

/// During a fence, and until the elected site has opened, no set changes.
fn may_change(stack: &Stack, since: LogIndex) -> Result<(), Refusal> {
    let epoch = stack.epoch();
    let leaving = stack.transition.as_ref().is_some_and(|t| t.elected != Some(epoch));
    if stack.is_closed() {
        return Err(Refusal::EpochClosed { closed: stack.closed });
    }
    if leaving || stack.fence_begun.is_some() {
        return Err(Refusal::TransitionRunning);
    }
    if stack.sync.since != since {
        return Err(Refusal::OtherEntry { last: stack.sync.since });
    }
    Ok(())
}

impl State {
    pub(super) fn set_replication(
        &mut self,
        at: WallMillis,
        id: &StackId,
        replication: Replication,
    ) -> Applied {
        let stack = self.stack_mut(id)?;
        if stack.active.is_none() {
            return Err(Refusal::NotAdopted);
        }
        if stack.transition.is_some() {
            return Err(Refusal::TransitionRunning);
        }
        if let Replication::Sync { k, .. } = replication
            && (k == 0 || usize::from(k) >= stack.sites.len())
        {
            return Err(Refusal::ImpossibleSet { standbys: stack.sites.len().saturating_sub(1) });
        }
        stack.sync.replication = replication;
        self.record(at, EventKind::ReplicationSet { stack: id.clone(), replication });
        Ok(Outcome::Applied)
    }

    /// From here on both the old sets and `set` may be in effect.
    pub(super) fn begin_set(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        since: LogIndex,
        set: &SyncSet,
    ) -> Applied {
        let index = self.index;
        let stack = self.stack_at(id, epoch)?;
        may_change(stack, since)?;
        let stranger = |m: &&SiteId| !stack.carries(m) || stack.is_open_at(m);
        if let Some(stranger) = set.members.iter().find(stranger) {
            return Err(Refusal::NotAtSite(id.clone(), stranger.clone()));
        }
        if !stack.sync.allows(set) {
            return Err(Refusal::ImpossibleSet { standbys: set.members.len() });
        }
        if !stack.sync.begin(set.clone(), index) {
            return Err(Refusal::LimitReached);
        }
        if planted!(JointSkipped) {
            stack.sync.settle();
        }
        self.record(at, EventKind::SetBegun { stack: id.clone(), set: set.clone() });
        Ok(Outcome::Applied)
    }

    /// The last set is in force in every walsender, and enough members of it have flushed what the
    /// primary had by then.
    pub(super) fn settle_set(
        &mut self,
        at: WallMillis,
        id: &StackId,
        epoch: Epoch,
        since: LogIndex,
    ) -> Applied {
        let stack = self.stack_at(id, epoch)?;
        may_change(stack, since)?;
        if stack.sync.is_settled() {
            return Ok(Outcome::Applied);
        }
        stack.sync.settle();
        let set = stack.sync.wanted().clone();
        self.record(at, EventKind::SetSettled { stack: id.clone(), set });
        Ok(Outcome::Applied)
    }
}

/// An election entry: those that were heard, less the winner, are the set that the winner has
/// before it opens. What was acknowledged before is with the old sets, so they count until enough
/// members of the new one have caught up.
pub(super) fn elect_set(
    stack: &mut Stack,
    winner: &SiteId,
    epoch: Epoch,
    index: LogIndex,
) -> Result<(), Refusal> {
    let heard = |site: &&SiteId| stack.let_go(site, epoch).is_some();
    let others: BTreeSet<SiteId> = stack.sites.iter().filter(|s| *s != winner).cloned().collect();
    let members = others.iter().filter(heard).cloned().collect();
    let set = stack.sync.set_of(members, others);
    if set == *stack.sync.wanted() && stack.sync.is_settled() && set.is_empty() {
        return Ok(());
    }
    if !stack.sync.begin(set, index) {
        return Err(Refusal::LimitReached);
    }
    if planted!(ElectionSetAtOnce) {
        stack.sync.settle();
    }
    Ok(())
}
