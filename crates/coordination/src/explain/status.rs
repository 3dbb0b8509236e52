//! The status that people see, and the long answer of `tripoint explain`.

use super::reason::{cause_text, hold_text, ineligible_text};
use crate::candidates;
use crate::decide::holds;
use crate::state::{Stack, State, Transition};
use crate::view::LocalView;
use alloc::{format, string::String, string::ToString, vec::Vec};
use model::{
    GroupStatus, Millis, Moment, SiteId, SiteView, StackId, StackView, StepKind, StepState, StepView,
    TakeoverView, TransitionView, WallMillis, WitnessView,
};

/// Who answers, and what it knows of the group's leader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answering {
    /// The group's name.
    pub group: String,
    /// True for a local view that may be old.
    pub stale: bool,
    /// The leader, if known.
    pub leader: Option<SiteId>,
    /// Raft term.
    pub term: u64,
    /// Last round trips to the other witnesses.
    pub round_trips: Vec<(SiteId, Millis)>,
    /// The answering witness's wall clock, for "since"; decides nothing.
    pub wall: WallMillis,
}

/// The status of the whole group.
#[must_use]
pub fn status(state: &State, view: &LocalView, answering: &Answering, now: Moment) -> GroupStatus {
    let stacks: Vec<StackView> =
        state.stacks().iter().map(|(id, stack)| stack_view(state, view, id, stack, now)).collect();
    GroupStatus {
        group: answering.group.clone(),
        answered_by: view.me().clone(),
        stale: answering.stale,
        leader: answering.leader.clone(),
        term: answering.term,
        index: state.index(),
        sentences: stacks
            .iter()
            .map(|stack| lapsed(view, stack, now).unwrap_or_else(|| sentence(stack, answering.wall)))
            .collect(),
        witnesses: view
            .witnesses()
            .iter()
            .map(|site| witness_view(state, view, answering, site, now))
            .collect(),
        sites: state
            .sites()
            .iter()
            .filter(|(_, site)| site.actor)
            .map(|(id, site)| SiteView {
                site: id.clone(),
                verdict: site.verdict,
                incarnation: site.lease.as_ref().map(|l| l.incarnation),
                renewed_ago: view.renewed(id).map(|at| now.elapsed_longest(at)),
                expired: site.lease.as_ref().is_some_and(|l| l.expired),
                actor_reachable: reached_within_detection(state, view, id, now, |r| r.actor),
            })
            .collect(),
        stacks,
    }
}

fn reached_within_detection(
    state: &State,
    view: &LocalView,
    site: &SiteId,
    now: Moment,
    which: impl Fn(&crate::view::Reached) -> Option<Moment>,
) -> bool {
    let span = state.policy().map_or(Millis(5_000), |p| p.timing.values().detect_after);
    let at = view.reached(view.me(), site).and_then(|reached| which(&reached));
    at.is_some_and(|at| now.elapsed_longest(at) <= span)
}

fn witness_view(
    state: &State,
    view: &LocalView,
    answering: &Answering,
    site: &SiteId,
    now: Moment,
) -> WitnessView {
    let me = view.me() == site;
    WitnessView {
        site: site.clone(),
        reachable: me || reached_within_detection(state, view, site, now, |r| r.witness),
        round_trip: answering.round_trips.iter().find(|(s, _)| s == site).map(|(_, rtt)| *rtt),
    }
}

fn stack_view(state: &State, view: &LocalView, id: &StackId, stack: &Stack, now: Moment) -> StackView {
    let judged = candidates::judge(state, view, id, now);
    let to = candidates::best(&judged).map(|c| c.site.clone());
    let lag_bytes = to.as_ref().and_then(|site| lag(view, id, stack, site));
    StackView {
        stack: id.clone(),
        mode: stack.mode,
        active: stack.active.as_ref().map(|a| a.site.clone()),
        epoch: stack.epoch(),
        since: stack.active.as_ref().map(|a| a.at),
        held: stack.active.is_some() && !stack.cover.is_fenced_by_time(),
        closed: stack.is_closed(),
        transition: stack.transition.as_ref().map(|t| transition_view(stack, t)),
        takeover: TakeoverView {
            to,
            outage_max: state.policy().map_or(Millis::ZERO, |p| p.timing.outage_by_time_max()),
            lag_bytes,
            candidates: candidates::views(&judged),
        },
        holds: holds(state, view, id, now),
        reports: stack.sites.iter().filter_map(|s| view.heard(s, id)).map(|h| h.report.clone()).collect(),
    }
}

/// Bytes that the candidate lacked by the last reports of both.
fn lag(view: &LocalView, id: &StackId, stack: &Stack, site: &SiteId) -> Option<u64> {
    let active = &stack.active.as_ref()?.site;
    let written = view.heard(active, id)?.report.database.received?;
    let received = view.heard(site, id)?.report.database.received?;
    Some(written.bytes_since(received))
}

fn transition_view(stack: &Stack, transition: &Transition) -> TransitionView {
    let elected = transition.elected.filter(|e| *e == stack.epoch());
    TransitionView {
        from: transition.from.clone(),
        from_epoch: transition.from_epoch,
        to: elected.and_then(|_| stack.active.as_ref().map(|a| a.site.clone())),
        cause: transition.cause.clone(),
        attempts: transition.attempts,
        steps: StepKind::ALL
            .into_iter()
            .map(|kind| StepView {
                kind,
                state: transition.step_state(kind, stack),
                attempts: if kind == StepKind::Promote { transition.promote_attempts } else { 0 },
            })
            .collect(),
    }
}

fn ago(since: WallMillis, wall: WallMillis) -> String {
    let seconds = wall.0.saturating_sub(since.0) / 1_000;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3_600 => format!("{} min", seconds / 60),
        3_600..86_400 => format!("{} h {} min", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{} d {} h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// What this witness says of a stack whose lease has surely ended for all that it knows, while nobody
/// could agree on that: without a majority there is nobody who could.
fn lapsed(view: &LocalView, stack: &StackView, now: Moment) -> Option<String> {
    let active = stack.active.as_ref()?;
    let open = !stack.closed && !stack.held && stack.transition.is_none();
    if !open || !view.horizon_is_past(active, now) {
        return None;
    }
    Some(format!(
        "{} was active at {active} (epoch {}); this witness has heard of no renewal of its lease for {}: unless others have, {active} has closed it and nobody runs it.",
        stack.stack,
        stack.epoch,
        view.silence(active, now)
    ))
}

fn sentence(stack: &StackView, wall: WallMillis) -> String {
    let name = &stack.stack;
    let (Some(active), Some(since)) = (&stack.active, stack.since) else {
        return format!("{name} is not adopted: nothing is touched (`tripoint adopt`).");
    };
    if let Some(transition) = &stack.transition {
        return in_transition(stack, transition);
    }
    if stack.closed {
        return format!(
            "{name} is fenced at {active} (epoch {}): nobody runs it.{}",
            stack.epoch,
            why(stack)
        );
    }
    let so_far = format!("{name} is active at {active} (epoch {}) for {}", stack.epoch, ago(since, wall));
    let Some(to) = &stack.takeover.to else {
        return format!("{so_far}; if it is lost now, nobody can take over.{}{}", against(stack), why(stack));
    };
    if stack.held {
        return format!(
            "{so_far}, mode {}: the group watches and does not act; {to} would be next.",
            stack.mode
        );
    }
    let lost = stack.takeover.lag_bytes.map_or_else(|| "an unknown number of".to_string(), |b| b.to_string());
    format!(
        "{so_far}; if it is lost now, {to} takes over within {}, losing about {lost} bytes of WAL.{}",
        stack.takeover.outage_max,
        why(stack)
    )
}

fn in_transition(stack: &StackView, transition: &TransitionView) -> String {
    let running: Vec<String> = transition
        .steps
        .iter()
        .filter(|step| step.state == StepState::Running)
        .map(|step| step.kind.to_string())
        .collect();
    let to = transition.to.as_ref().map_or_else(String::new, |to| format!(" to {to}"));
    format!(
        "{} moves away from {}{to} (epoch {}): {}; now: {}.{}",
        stack.stack,
        transition.from,
        stack.epoch,
        cause_text(&transition.cause),
        if running.is_empty() { "waiting".to_string() } else { running.join(", ") },
        why(stack)
    )
}

fn why(stack: &StackView) -> String {
    stack.holds.iter().fold(String::new(), |all, hold| format!("{all} HOLD: {}.", hold_text(hold)))
}

fn against(stack: &StackView) -> String {
    stack
        .takeover
        .candidates
        .iter()
        .filter(|c| Some(&c.site) != stack.active.as_ref())
        .filter_map(|c| c.against.first().map(|reason| format!(" {}: {}.", c.site, ineligible_text(reason))))
        .collect()
}

/// Why the group thinks what it thinks, line by line.
#[must_use]
pub fn explain(state: &State, view: &LocalView, only: Option<&StackId>, now: Moment) -> Vec<String> {
    let mut lines = Vec::new();
    for (id, site) in state.sites().iter().filter(|(_, site)| site.actor) {
        let horizon = view.horizon_remaining(id, now).unwrap_or(Millis::ZERO);
        let silence = view.silence(id, now);
        let unreached = state
            .policy()
            .map_or_else(Vec::new, |p| view.unreached_by(id, p.timing.values().detect_after, now));
        let names: Vec<&str> = unreached.iter().map(SiteId::as_str).collect();
        let seen = if names.is_empty() { "nobody".into() } else { names.join(", ") };
        lines.push(format!(
            "site {id}: {}; last renewal number {} applied {silence} ago; its lease has surely ended in {horizon}; witnesses that reach nothing of it: {seen}",
            site.verdict, site.number
        ));
    }
    for (id, stack) in state.stacks().iter().filter(|(id, _)| only.is_none_or(|o| o == *id)) {
        let seen = stack_view(state, view, id, stack, now);
        lines.push(format!(
            "stack {id}: mode {}, epoch {}, closed up to {}",
            stack.mode,
            stack.epoch(),
            stack.closed
        ));
        if let Some(fence) = &stack.fence {
            lines.push(format!("  last fence: {} (entry {}): {}", fence.method, fence.index, fence.evidence));
        }
        for candidate in &seen.takeover.candidates {
            let reasons: Vec<String> = candidate.against.iter().map(ineligible_text).collect();
            let verdict = if reasons.is_empty() { "eligible".into() } else { reasons.join("; ") };
            lines.push(format!("  {}: {verdict}", candidate.site));
        }
        lines.extend(seen.holds.iter().map(|hold| format!("  holds: {}", hold_text(hold))));
    }
    lines
}
