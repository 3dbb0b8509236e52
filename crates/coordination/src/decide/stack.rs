//! What the leader proposes for one stack: at most one command at a time.

use super::sync;
use crate::candidates::{self, Candidate};
use crate::state::{Assignment, Stack, State, Transition};
use crate::view::{Heard, LocalView};
use crate::{Command, Policy};
use alloc::{collections::BTreeSet, vec::Vec};
use model::{
    Cause, FenceMethod, Hold, Millis, Mode, Moment, Refusal, SiteId, StackId, StepState, Upstream, Verdict,
};

/// A data directory must be reported gone for this long before it counts as lost.
const GONE_FOR: Millis = Millis(1_000);
/// A standby's link must be down for this long, seen by a healthy primary, before that is committed.
const NOT_STREAMING_FOR: Millis = Millis(2_000);
/// Pause before the second election of a transition; it doubles with each further one.
const PAUSE_FIRST: Millis = Millis(500);
/// Longest pause between two elections of a transition.
const PAUSE_MAX: Millis = Millis(30_000);

pub(super) fn decide_stack(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    settled: bool,
    now: Moment,
) -> Vec<Command> {
    let one = match &stack.transition {
        None => begin(state, view, policy, id, stack, settled, now),
        Some(transition) if stack.is_closed() => elect(state, view, policy, id, stack, transition, now),
        Some(transition) if transition.elected == Some(stack.epoch()) => {
            finish(state, view, policy, id, stack, transition, now)
        }
        Some(transition) => fence(state, view, id, stack, transition, now),
    };
    match one {
        Some(command) => alloc::vec![command],
        None if stack.is_closed() => Vec::new(),
        None => {
            let mut commands = streaming(state, view, policy, id, stack, now);
            commands.extend(sync::change_set(view, id, stack, policy.timing.suspect_after(), now));
            commands
        }
    }
}

fn begin(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    settled: bool,
    now: Moment,
) -> Option<Command> {
    let active = stack.active.as_ref()?;
    let cause = begin_cause(state, view, policy, id, stack, settled, now)?;
    let epoch = active.epoch;
    let stack_id = id.clone();
    if stack.mode != Mode::Auto {
        let known = stack.would.as_ref().is_some_and(|(e, c)| *e == epoch && same_kind(c, &cause));
        return (!known).then_some(Command::RecordWouldBegin { stack: stack_id, epoch, cause });
    }
    Some(Command::BeginTransition { stack: stack_id, epoch, cause, to: None })
}

fn same_kind(one: &Cause, other: &Cause) -> bool {
    core::mem::discriminant(one) == core::mem::discriminant(other)
}

/// Why a transition should begin, if it should.
fn begin_cause(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    settled: bool,
    now: Moment,
) -> Option<Cause> {
    let active = stack.active.as_ref()?;
    if stack.is_closed() {
        return Some(Cause::Expired);
    }
    let site = state.sites().get(&active.site)?;
    match site.verdict {
        Verdict::Suspect => {
            let alive =
                stack.sync.is_synchronous() && is_heard_by_standby(view, policy, id, stack, active, now);
            return (!alive).then_some(Cause::Silence { number: site.number });
        }
        Verdict::Lost => return (stack.mode != Mode::Auto).then_some(Cause::Expired),
        Verdict::Up => {}
    }
    if !settled || !candidates::answers(state, view, &active.site, policy.timing.suspect_after(), now) {
        return None;
    }
    let cause = unhealthy(view, policy, id, &active.site, now)?;
    // With nobody to take over, the active site is left in peace.
    let judged = candidates::judge(state, view, id, now);
    let takeover = judged.iter().any(Candidate::is_eligible);
    let free = anti_flap(view, policy, id, stack, &cause, now).is_none();
    (takeover && free).then_some(cause)
}

/// WAL or keepalives from the primary within `detect.after` are a veto against a fence that acts
/// before the lease has ended.
fn is_heard_by_standby(
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    active: &Assignment,
    now: Moment,
) -> bool {
    let detect = policy.timing.values().detect_after;
    let hears = |site: &SiteId| {
        view.heard(site, id).is_some_and(|heard| {
            let up = heard.report.database.upstream.as_ref();
            let follows = |up: &&Upstream| up.streaming && up.site.as_ref().is_none_or(|s| *s == active.site);
            let since = now.elapsed_longest(heard.at);
            up.filter(follows).is_some_and(|up| up.message_age.plus(since) <= detect)
        })
    };
    stack.sites.iter().any(hears)
}

/// The site answers, but its database does not: only a report that says so counts.
fn unhealthy(view: &LocalView, policy: &Policy, id: &StackId, site: &SiteId, now: Moment) -> Option<Cause> {
    let heard = view.heard(site, id)?;
    let recent = now.elapsed_longest(heard.at) <= policy.timing.suspect_after();
    if !recent {
        return None;
    }
    if heard.gone.is_some_and(|since| now.elapsed_shortest(since) >= GONE_FOR) {
        return Some(Cause::DatabaseLost);
    }
    let patience = if planted!(UnhealthyAtOnce) { GONE_FOR } else { policy.unhealthy_after };
    let ill = now.elapsed_shortest(heard.healthy) >= patience;
    ill.then_some(Cause::Unhealthy)
}

/// Before the fence is proven.
fn fence(
    state: &State,
    view: &LocalView,
    id: &StackId,
    stack: &Stack,
    transition: &Transition,
    now: Moment,
) -> Option<Command> {
    let active = stack.active.as_ref()?;
    let epoch = active.epoch;
    match (&transition.cause, stack.fence_begun) {
        // A renewal was applied before any proof: the abort entry.
        (Cause::Silence { number }, None) => {
            let last = state.sites().get(&active.site)?.number;
            let back = last > *number && state.is_registered(&active.site);
            if !back {
                return by_replication(id, stack);
            }
            Some(Command::Elect { stack: id.clone(), epoch, site: active.site.clone() })
        }
        (_, None) => Some(Command::FenceBegin { stack: id.clone(), epoch }),
        (_, Some(begun)) => by_replication(id, stack).or_else(|| by_time(state, view, id, stack, begun, now)),
    }
}

/// Every commit needs a standby that has let go.
fn by_replication(id: &StackId, stack: &Stack) -> Option<Command> {
    let epoch = stack.epoch();
    let known = stack.sync.is_known_to(|member| stack.let_go(member, epoch).is_some());
    let proven = stack.is_fenced_by_replication() && known;
    proven.then(|| Command::FenceByReplication { stack: id.clone(), epoch })
}

fn by_time(
    state: &State,
    view: &LocalView,
    id: &StackId,
    stack: &Stack,
    begun: model::LogIndex,
    now: Moment,
) -> Option<Command> {
    let site = state.sites().get(&stack.active.as_ref()?.site)?;
    let left = (site.stopping.contains(id) || site.unstopped.contains(id)) && !planted!(StoppingIgnored);
    let past = view.fence_horizon_past(id, now) == Some(begun);
    let proven = past && !left && stack.cover.is_fenced_by_time();
    proven.then(|| Command::FenceByTime { stack: id.clone(), epoch: stack.epoch(), begun })
}

/// The epoch is closed: choose the next site, or hold.
fn elect(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    transition: &Transition,
    now: Moment,
) -> Option<Command> {
    let judged = candidates::judge(state, view, id, now);
    if hold_election(view, policy, id, stack, transition, &judged, now).is_some() {
        return None;
    }
    let wish = transition.wish.as_ref().filter(|_| transition.attempts == 0);
    let ran_last = stack.active.as_ref().map(|a| &a.site);
    // A wish costs no rows: another standby that was heard with a longer log goes before it.
    let longest = judged.iter().filter(|c| Some(&c.site) != ran_last).map(|c| c.reach).max().flatten();
    let long = |c: &Candidate| c.reach >= longest || planted!(WishCostsRows);
    let granted = |c: &&Candidate| c.is_eligible() && (Some(&c.site) == ran_last || long(c));
    let wished = wish.and_then(|wish| judged.iter().find(|c| c.site == *wish).filter(granted));
    // A wish that cannot be granted is waited for as a standby is: the epoch is closed, and the
    // stack must run elsewhere rather than nowhere.
    if wish.is_some() && wished.is_none() && view.since_closed(id, now) < policy.elect_wait {
        return None;
    }
    let chosen = wished.or_else(|| candidates::best(&judged))?;
    Some(Command::Elect { stack: id.clone(), epoch: stack.epoch(), site: chosen.site.clone() })
}

/// Why no election is made now, if none is.
fn hold_election(
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    transition: &Transition,
    judged: &[Candidate],
    now: Moment,
) -> Option<Hold> {
    if transition.attempts >= policy.attempts_max {
        return Some(Hold::TooManyFailovers);
    }
    // The epoch is closed: cooldown and redundancy have been weighed before; now it must run again.
    let weigh_all = || anti_flap(view, policy, id, stack, &transition.cause, now);
    let weigh = || too_many(view, policy, id, &transition.cause, now);
    if let Some(hold) = if planted!(ClosedStaysClosed) { weigh_all() } else { weigh() } {
        return Some(hold);
    }
    let closed_for = view.since_closed(id, now);
    if closed_for < pause_before(transition.attempts) {
        return Some(Hold::Pausing);
    }
    let ran_last = stack.active.as_ref().map(|a| &a.site);
    let back = judged.iter().any(|c| c.is_eligible() && Some(&c.site) == ran_last);
    if stack.needs_consent() && !back {
        return Some(Hold::NeedsConsent);
    }
    if !judged.iter().any(Candidate::is_eligible) {
        return Some(Hold::NoCandidate);
    }
    let best = candidates::best(judged);
    let unknown =
        best.filter(|best| Some(&best.site) != ran_last).and_then(|best| set_hold(stack, &best.site));
    if unknown.is_some() {
        return unknown;
    }
    let missed =
        |c: &Candidate| best.is_some_and(|best| c.is_missed_by(best)) && !planted!(LongestNotAwaited);
    let silent = judged.iter().any(|c| c.is_awaited() && Some(&c.site) != ran_last);
    let patience = if planted!(AwaitedSinceFence) { closed_for } else { view.since_detached(id, now) };
    // A wish waits, too: nobody knows yet whether another standby has the longer log.
    let waits = (silent && closed_for < policy.elect_wait)
        || (judged.iter().any(missed) && patience < policy.elect_wait);
    waits.then_some(Hold::WaitingForStandbys)
}

/// In synchronous mode nobody is elected who may lack a commit.
fn set_hold(stack: &Stack, best: &SiteId) -> Option<Hold> {
    let epoch = stack.epoch();
    match stack.knows_all(best) {
        Err(Refusal::LongerLog(site)) => Some(Hold::LongestAway(site)),
        Err(_) => {
            let members = stack.sync.sets.iter().flat_map(|set| &set.members);
            let missing: BTreeSet<&SiteId> = members.filter(|m| stack.let_go(m, epoch).is_none()).collect();
            Some(Hold::SetNotHeard { missing: missing.into_iter().cloned().collect() })
        }
        Ok(()) => None,
    }
}

fn pause_before(attempts: u32) -> Millis {
    match attempts {
        0 => Millis::ZERO,
        n => Millis(PAUSE_FIRST.0.saturating_mul(1 << (n - 1).min(10))).min(PAUSE_MAX),
    }
}

/// Automatic elections within the window, finished or not.
fn too_many(view: &LocalView, policy: &Policy, id: &StackId, cause: &Cause, now: Moment) -> Option<Hold> {
    if *cause == Cause::Operator {
        return None;
    }
    let attempts = view.automatic_within(id, policy.window, now);
    if attempts >= policy.failovers_max as usize {
        return Some(Hold::TooManyFailovers);
    }
    (planted!(CooldownCountsUnfinished) && attempts > 0).then_some(Hold::Cooldown)
}

/// Anti-flap and the redundancy rule. A lost site, or a lost database, is always cured.
fn anti_flap(
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    cause: &Cause,
    now: Moment,
) -> Option<Hold> {
    if let Some(hold) = too_many(view, policy, id, cause, now) {
        return Some(hold);
    }
    if *cause != Cause::Unhealthy {
        return None;
    }
    if view.since_completed(id, now).is_some_and(|since| since < policy.cooldown) {
        return Some(Hold::Cooldown);
    }
    let second = stack.completed.is_some();
    (second && stack.streaming.is_empty()).then_some(Hold::NoRedundancy)
}

/// After the election: complete, or give the promotion up.
fn finish(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    transition: &Transition,
    now: Moment,
) -> Option<Command> {
    let epoch = stack.epoch();
    if let Some(begun) = stack.fence_begun {
        return by_replication(id, stack).or_else(|| by_time(state, view, id, stack, begun, now));
    }
    if transition.promote == StepState::Done && transition.verify == StepState::Done {
        return Some(Command::Complete { stack: id.clone(), epoch });
    }
    let give_up = |cause| match planted!(RollbackAfterElection) {
        false => Some(Command::PromoteGivenUp { stack: id.clone(), epoch, cause }),
        true => Some(Command::Elect { stack: id.clone(), epoch, site: transition.from.clone() }),
    };
    let site = &stack.active.as_ref()?.site;
    let gone = view.heard(site, id).and_then(|h| h.gone);
    if gone.is_some_and(|since| now.elapsed_shortest(since) >= GONE_FOR) {
        return give_up(Cause::DatabaseLost);
    }
    let started = if transition.promote == StepState::Done {
        view.since_promoted(id, now)
    } else {
        view.since_elected(id, now)
    };
    let late = started >= policy.promote_deadline && !planted!(PromoteBlocksForEver);
    if transition.promote == StepState::Failed || late {
        return give_up(Cause::PromoteFailed);
    }
    None
}

/// Committed changes of "streams from the active site, on its timeline, within `max_lag`".
fn streaming(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    now: Moment,
) -> Vec<Command> {
    let Some(active) = &stack.active else { return Vec::new() };
    let primary = view.heard(&active.site, id);
    let max_lag = if planted!(LagIgnored) { u64::MAX } else { policy.max_lag_bytes };
    let patience = policy.timing.suspect_after();
    // Only a primary in good health proves that it is the standby that went away.
    let renews =
        candidates::answers(state, view, &active.site, policy.timing.values().renew_every.times(2), now);
    let writes = primary.is_some_and(|p| p.takes_writes(NOT_STREAMING_FOR, now));
    let well = renews && (writes || planted!(SickPrimaryTakesOff));
    let change = |site: &SiteId| {
        let known = stack.streaming.get(site);
        let heard = view.heard(site, id);
        let lag = lag_at_primary(primary, site);
        let within = lag.is_some_and(|lag| lag <= max_lag);
        let streams = match heard.filter(|h| now.elapsed_longest(h.at) <= patience) {
            Some(heard) if within && streams_now(max_lag, stack, active, heard) => Some(stack.timeline),
            Some(heard) if well && (lag.is_some_and(|_| !within) || went_away(max_lag, heard, now)) => None,
            // Silent for long: the primary's word alone.
            None if well && !within && silent_for(view, heard, now) > patience => None,
            _ => return None,
        };
        (streams.as_ref() != known).then(|| Command::SetStreaming {
            stack: id.clone(),
            site: site.clone(),
            epoch: active.epoch,
            streams,
        })
    };
    stack.sites.iter().filter(|site| **site != active.site).filter_map(change).collect()
}

/// How far a standby is behind, by the word of the primary: one that gets nothing does not know.
/// None: it does not stream to it. A position that is not known yet is not held against it.
fn lag_at_primary(primary: Option<&Heard>, site: &SiteId) -> Option<u64> {
    let database = &primary?.report.database;
    let replica = database.replicas.iter().find(|r| r.name == site.as_str() && r.streaming)?;
    Some(database.received.zip(replica.flushed).map_or(0, |(end, flushed)| end.bytes_since(flushed)))
}

/// By its own word: it has not streamed for a while, or streams and is too far behind.
fn went_away(max_lag: u64, heard: &Heard, now: Moment) -> bool {
    let long = heard.not_streaming.is_some_and(|at| now.elapsed_shortest(at) >= NOT_STREAMING_FOR);
    let behind = |up: &Upstream| up.streaming && up.lag_bytes > max_lag;
    long || heard.report.database.upstream.as_ref().is_some_and(behind)
}

/// Since its last report, or since this witness leads and could have heard one.
fn silent_for(view: &LocalView, heard: Option<&Heard>, now: Moment) -> Millis {
    let since = [heard.map(|h| h.at), view.leading_since()].into_iter().flatten();
    since.map(|at| now.elapsed_shortest(at)).min().unwrap_or_default()
}

/// Streaming means status `streaming` on both sides and the right received timeline.
fn streams_now(max_lag: u64, stack: &Stack, active: &Assignment, heard: &Heard) -> bool {
    let database = &heard.report.database;
    let standby_side = database.upstream.as_ref().is_some_and(|up| {
        up.streaming
            && up.timeline == stack.timeline
            && up.site.as_ref().is_none_or(|s| *s == active.site)
            && up.lag_bytes <= max_lag
    });
    standby_side && database.system_id == stack.system_id
}

/// Why the group waits, for people.
#[must_use]
pub fn holds(state: &State, view: &LocalView, id: &StackId, now: Moment) -> Vec<Hold> {
    let (Some(stack), Some(policy)) = (state.stacks().get(id), state.policy()) else { return Vec::new() };
    let Some(active) = &stack.active else { return Vec::new() };
    let mut holds = Vec::new();
    let lost = state.sites().get(&active.site).is_some_and(|s| s.verdict != Verdict::Up);
    if lost && !stack.is_closed() && !stack.cover.is_fenced_by_time() {
        holds.push(Hold::HeldCover);
    }
    let unstopped = state.sites().get(&active.site).is_some_and(|s| s.unstopped.contains(id));
    if unstopped && !stack.is_closed() {
        holds.push(Hold::Unstopped(active.site.clone()));
    }
    match &stack.transition {
        Some(transition) if stack.is_closed() => {
            let judged = candidates::judge(state, view, id, now);
            holds.extend(hold_election(view, policy, id, stack, transition, &judged, now));
        }
        Some(transition) if transition.elected != Some(stack.epoch()) => {
            holds.push(Hold::WaitingForFence { method: FenceMethod::Time });
        }
        Some(_) => {}
        None if stack.mode != Mode::Auto && lost => holds.push(Hold::Mode(stack.mode)),
        None => {
            let ill = unhealthy(view, policy, id, &active.site, now);
            holds.extend(ill.and_then(|cause| anti_flap(view, policy, id, stack, &cause, now)));
        }
    }
    holds
}
