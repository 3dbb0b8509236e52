//! Changes of the synchronous set: who joins, who leaves, and when a change is at its end.

use crate::Command;
use crate::state::{Assignment, Stack};
use crate::view::{Heard, LocalView};
use alloc::collections::BTreeSet;
use model::{DatabaseReport, Lsn, Millis, Moment, SiteId, StackId, SyncSet};

/// A member that does not stream for this long leaves the set (`set.shrink_after`).
const SHRINK_AFTER: Millis = Millis(5_000);

/// The next entry of a change of the set, if one is due.
pub(super) fn change_set(
    view: &LocalView,
    id: &StackId,
    stack: &Stack,
    span: Millis,
    now: Moment,
) -> Option<Command> {
    let active = stack.active.as_ref()?;
    let epoch = active.epoch;
    let leaving = stack.transition.as_ref().is_some_and(|t| t.elected != Some(epoch));
    if leaving || stack.is_closed() || stack.fence_begun.is_some() || stack.promoted().is_none() {
        return None;
    }
    let primary = view.heard(&active.site, id).filter(|heard| now.elapsed_longest(heard.at) <= span)?;
    let (stack_id, since) = (id.clone(), stack.sync.since);
    let wanted = next_set(view, stack, active, primary, now);
    if wanted != *stack.sync.wanted() {
        return Some(Command::BeginSet { stack: stack_id, epoch, since, set: wanted });
    }
    let due = !stack.sync.is_settled() && set_is_in_force(stack, &primary.report.database);
    due.then_some(Command::SettleSet { stack: stack_id, epoch, since })
}

/// The last set was seen in force in every walsender, and as many of its members as a commit needs
/// have flushed what the primary had by then.
#[must_use]
pub fn set_is_in_force(stack: &Stack, primary: &DatabaseReport) -> bool {
    let Some(seen) = primary.sync.filter(|seen| seen.entry == stack.sync.since) else {
        return planted!(SettledUnseen);
    };
    let flushed = |member: &SiteId| planted!(SettledBeforeCaughtUp) || has_flushed(primary, member, seen.lsn);
    stack.sync.wanted().acknowledges(flushed)
}

fn has_flushed(primary: &DatabaseReport, member: &SiteId, lsn: Lsn) -> bool {
    primary
        .replicas
        .iter()
        .any(|r| r.name == member.as_str() && r.streaming && r.flushed.is_some_and(|f| f >= lsn))
}

/// Members stay until they have not streamed for a while; standbys that stream join.
fn next_set(view: &LocalView, stack: &Stack, active: &Assignment, primary: &Heard, now: Moment) -> SyncSet {
    let sync = &stack.sync;
    let others: BTreeSet<SiteId> = stack.sites.iter().filter(|s| **s != active.site).cloned().collect();
    let streams = |site: &&SiteId| {
        let shown = primary.report.database.replicas.iter().any(|r| r.name == site.as_str() && r.streaming);
        shown && stack.streaming.contains_key(*site)
    };
    let stays = |site: &&SiteId| {
        let member = sync.wanted().members.contains(*site);
        member && primary.missed_for(site, view.leading_since(), now) < SHRINK_AFTER
    };
    let members: BTreeSet<SiteId> =
        others.iter().filter(|site| streams(site) || stays(site)).cloned().collect();
    sync.set_of(members, others)
}
