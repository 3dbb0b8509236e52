//! Who may take a stack over, and why each of the others may not (design, section 7).

use crate::policy::Policy;
use crate::state::{Reach, Stack, State};
use crate::view::{Heard, LocalView};
use alloc::vec::Vec;
use model::{
    CandidateView, Ineligible, Lsn, Millis, Moment, SiteId, StackId, Timeline, Verdict, WalPosition,
};

/// A site whose promotion failed is the last choice: only once no other could take over for this
/// long. Attempts stay bounded, and their pauses grow.
const FAILED_AGAIN_AFTER: Millis = Millis(30_000);

/// One site, judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The site.
    pub site: SiteId,
    /// Why it may not; empty: it may.
    pub against: Vec<Ineligible>,
    /// How far its log reaches, where known.
    pub reach: Option<Reach>,
    /// The end of its WAL, for people.
    pub received: Option<Lsn>,
}

impl Candidate {
    /// True if nothing speaks against it.
    #[must_use]
    pub fn is_eligible(&self) -> bool {
        self.against.is_empty()
    }

    /// True if the group may still hear its position: it has not let go yet, and nothing worse
    /// than silence speaks against it. A site whose lease has expired is not waited for.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        let silent = |reason: &Ineligible| *reason == Ineligible::NotDetached || is_silence(reason);
        self.against.contains(&Ineligible::NotDetached) && self.against.iter().all(silent)
    }

    /// True if it was heard, with a longer log than `other`, and nothing but its absence speaks
    /// against it: the longest log over all heard wins, not over all that happen to be here now.
    #[must_use]
    pub fn is_missed_by(&self, other: &Self) -> bool {
        let absent = |reason: &Ineligible| *reason == Ineligible::NotRegistered || is_silence(reason);
        !self.is_eligible() && self.reach > other.reach && self.against.iter().all(absent)
    }
}

/// What a restart of an actor, a gate or a witness looks like.
const fn is_silence(reason: &Ineligible) -> bool {
    matches!(reason, Ineligible::NotRenewing | Ineligible::NoReport | Ineligible::GateAway)
}

/// Judges every site of the stack, in the order of priority.
#[must_use]
pub fn judge(state: &State, view: &LocalView, id: &StackId, now: Moment) -> Vec<Candidate> {
    let (Some(stack), Some(policy)) = (state.stacks().get(id), state.policy()) else {
        return Vec::new();
    };
    let judged = stack.sites.iter().map(|site| judge_one(state, view, policy, id, stack, site, now));
    let mut judged: Vec<Candidate> = judged.collect();
    let waited = view.since_closed(id, now) >= FAILED_AGAIN_AFTER && !planted!(FailedNeverAgain);
    if stack.is_closed() && waited {
        let nobody_else = !judged.iter().any(Candidate::is_eligible);
        // Where only a human may give up what it has, the site that has it is tried again.
        let sole = stack.active.as_ref().map(|a| &a.site).filter(|_| stack.needs_consent());
        for candidate in judged.iter_mut().filter(|c| nobody_else || sole == Some(&c.site)) {
            candidate.against.retain(|reason| *reason != Ineligible::PromoteFailed);
        }
    }
    judged
}

fn judge_one(
    state: &State,
    view: &LocalView,
    policy: &Policy,
    id: &StackId,
    stack: &Stack,
    site: &SiteId,
    now: Moment,
) -> Candidate {
    let heard = view.heard(site, id);
    let mut against = Vec::new();
    if let Some(reason) = away(state, view, policy, site, now) {
        against.push(reason);
    }
    if stack.transition.as_ref().is_some_and(|t| t.failed.contains(site)) {
        against.push(Ineligible::PromoteFailed);
    }
    // A committed detachment is a report: a new leader has it before it has heard anybody.
    let told = stack.let_go(site, stack.epoch()).is_some();
    against.extend(heard.map_or((!told).then_some(Ineligible::NoReport), |h| unfit(stack, h)));
    let ran_last = stack.active.as_ref().is_some_and(|a| a.site == *site);
    let reach = if ran_last && stack.is_closed() && !planted!(OldSiteNeverCandidate) {
        let end = stack.let_go(site, stack.epoch());
        if end.is_none() {
            against.extend(old_active_unfit(stack, heard));
        }
        Some(reach_of_last(stack, end))
    } else if ran_last {
        against.push(Ineligible::Active);
        None
    } else {
        standby_reach(policy, stack, site, heard, &mut against)
    };
    let received = heard.and_then(|h| h.report.database.received);
    Candidate { site: site.clone(), against, reach, received }
}

fn away(state: &State, view: &LocalView, policy: &Policy, site: &SiteId, now: Moment) -> Option<Ineligible> {
    let fresh = policy.timing.values().renew_every.times(2).plus(policy.timing.renew_p99());
    if !state.is_registered(site) {
        Some(Ineligible::NotRegistered)
    } else if !view.renews_within(site, fresh, now) {
        Some(Ineligible::NotRenewing)
    } else {
        None
    }
}

fn unfit(stack: &Stack, heard: &Heard) -> Option<Ineligible> {
    let report = &heard.report;
    match (&report.gate, report.database.system_id, stack.system_id) {
        (None, ..) => Some(Ineligible::GateAway),
        (Some(gate), ..) if !gate.data_present => Some(Ineligible::DatabaseLost),
        (_, Some(own), Some(ours)) if own != ours => Some(Ineligible::OtherDatabase),
        _ => None,
    }
}

/// The site that opened the closed epoch is beyond all. One that was elected and never promoted
/// is a standby like the others, where its own word says so.
fn reach_of_last(stack: &Stack, end: Option<WalPosition>) -> Reach {
    let beyond = Reach { place: usize::MAX, lsn: Lsn::default() };
    let end = end.filter(|_| stack.promoted().is_none());
    end.and_then(|end| stack.reach(end)).unwrap_or(beyond)
}

/// The site that ran the closed epoch may run the next one once nothing of it is left there.
fn old_active_unfit(stack: &Stack, heard: Option<&Heard>) -> Option<Ineligible> {
    // Nobody waits for one that was never heard: a site that is lost, and a leader that is new.
    let Some(gate) = heard.and_then(|heard| heard.report.gate.as_ref()) else {
        return Some(Ineligible::NotDetached);
    };
    let closed = gate.closed >= stack.closed && gate.open.is_none();
    let let_go = closed && (!gate.running || gate.standby);
    (!let_go).then_some(Ineligible::NotDetached)
}

fn standby_reach(
    policy: &Policy,
    stack: &Stack,
    site: &SiteId,
    heard: Option<&Heard>,
    against: &mut Vec<Ineligible>,
) -> Option<Reach> {
    let streamed = match &stack.transition {
        Some(transition) if transition.elected.is_none() => transition.streamed.contains(site),
        Some(transition) => transition.streamed.contains(site) || stack.streaming.contains_key(site),
        None => stack.streaming.contains_key(site),
    };
    // In synchronous mode what the standbys have is known, whoever streamed when.
    let known = stack.is_closed() && stack.sync.is_synchronous();
    if !streamed && !known && !planted!(NeverStreamedEligible) {
        against.push(Ineligible::NotStreaming);
    }
    match stack.let_go(site, stack.epoch()) {
        Some(end) => {
            let reach = stack.reach(end);
            if reach.is_none() {
                against.push(Ineligible::ForkedTimeline);
            }
            reach
        }
        None if stack.is_closed() => {
            against.push(Ineligible::NotDetached);
            None
        }
        None => {
            against.extend(heard.and_then(|h| unready_standby(policy, stack, h)));
            None
        }
    }
}

/// Before a loss: would it do?
fn unready_standby(policy: &Policy, stack: &Stack, heard: &Heard) -> Option<Ineligible> {
    let database = &heard.report.database;
    if database.received.is_none() && database.replayed.is_none() {
        return Some(Ineligible::PositionUnknown);
    }
    let forked = |t: Timeline| !stack.promotions.iter().any(|p| p.timeline == t);
    if database.timeline.is_some_and(forked) {
        return Some(Ineligible::ForkedTimeline);
    }
    let bytes = database.upstream.as_ref().map_or(0, |up| up.lag_bytes);
    (bytes > policy.max_lag_bytes).then_some(Ineligible::Lagging { bytes })
}

/// The one to elect among the eligible: the longest log, among equals the priority.
#[must_use]
pub fn best(candidates: &[Candidate]) -> Option<&Candidate> {
    // Priority order is kept by taking a later one only if it is strictly longer.
    candidates.iter().filter(|c| c.is_eligible()).fold(None, |best, next| match best {
        Some(held) if next.reach <= held.reach => Some(held),
        _ => Some(next),
    })
}

/// The candidates as people see them.
#[must_use]
pub fn views(candidates: &[Candidate]) -> Vec<CandidateView> {
    candidates
        .iter()
        .map(|c| CandidateView { site: c.site.clone(), against: c.against.clone(), received: c.received })
        .collect()
}

/// True if the site answers: it renews, and the group does not suspect it.
#[must_use]
pub fn answers(state: &State, view: &LocalView, site: &SiteId, span: Millis, now: Moment) -> bool {
    let up = state.sites().get(site).is_some_and(|s| s.verdict == Verdict::Up);
    up && state.is_registered(site) && view.renews_within(site, span, now)
}
