//! Directed scenarios over the production functions: for rules whose breach the world meets too
//! seldom, and for guards of `apply` that only a leader with a bug of its own would run into.

use crate::group::{Group, START, site, stack};
use crate::methods::Seen;
use coordination::invariants::Invariant::{
    L1ItEnds, S1OneWriter, S2FenceFirst, S4NoLostAcknowledgement, S6OneTransition, S7AgreedNotGuessed,
};
use coordination::lease::LeaseTable;
use coordination::timing::Profile;
use coordination::{Command, Entry, LinkRow, LocalView, Outcome, Timing, candidates, decide};
use model::{
    Epoch, GrantTerms, Hold, Ineligible, Instruction, LogIndex, Millis, Mode, RenewRequest, RenewalNumber,
    StepKind, TimedAck, Timeline, Verdict,
};

/// A leader elects before the fence is proven.
pub fn unfenced_election() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    group.broken.filter(|(invariant, _)| *invariant == S2FenceFirst)
}

/// An actor reports its promotion twice: the first answer was lost.
pub fn promotion_reported_twice() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    group.expire();
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    group.report(2, StepKind::Promote, 2, 2, 100);
    let before = group.state.stacks()[&stack()].clone();
    group.report(2, StepKind::Promote, 2, 2, 100);
    let after = &group.state.stacks()[&stack()];
    let text = format!("{} promotions of one epoch", after.promotions.len() - 1);
    (before != *after).then_some((S6OneTransition, text))
}

/// A verdict is proposed, and a renewal is applied before it.
pub fn verdict_after_a_renewal() -> Seen {
    let mut group = Group::new();
    let number = group.number(1);
    group.renew(1, Vec::new());
    let unreached_by = vec![site(2), site(3)];
    let verdict = Verdict::Suspect;
    let outcome = group.commit(Command::SetVerdict { site: site(1), verdict, number, unreached_by });
    let text = "suspected though a later renewal was applied";
    (outcome == Outcome::Applied).then(|| (S7AgreedNotGuessed, text.to_owned()))
}

/// `dc1` is silent; one witness of three reaches nothing of it.
pub fn one_accuser() -> Seen {
    let group = Group::new();
    let sites: Vec<_> = (1..=3).map(site).collect();
    let mut view = LocalView::new(site(3), sites.clone(), START);
    view.restored(&group.state, START);
    view.leading(true, START);
    let mut now = START;
    for _ in 0..35 {
        now = now.after(Millis(100));
        view.tick(&group.state, now);
        commits(&group, &mut view, now);
        for from in &sites {
            let rows: Vec<LinkRow> = sites
                .iter()
                .filter(|to| *from != site(2) || **to != site(1))
                .map(|to| LinkRow {
                    site: to.clone(),
                    witness_age: Some(Millis(0)),
                    actor_age: None,
                    endpoint_age: None,
                })
                .collect();
            view.linked(from, &rows, now);
        }
    }
    let accused = decide(&group.state, &view, now).into_iter().find_map(|command| match command {
        Command::SetVerdict { unreached_by, .. } => Some(unreached_by.len()),
        _ => None,
    });
    accused.map(|by| (S7AgreedNotGuessed, format!("suspected by {by} of 3")))
}

/// Two witnesses whose states differ, and the leader's digest.
pub fn states_that_differ() -> Seen {
    let mut group = Group::new();
    while !group.index.0.is_multiple_of(coordination::state::DIGEST_EVERY) {
        group.commit(Command::Nothing);
    }
    let (index, digest) = group.state.digest_due()?;
    let outcome = group.commit(Command::Digest { index, digest: digest ^ 1 });
    let text = "a witness with another state goes on";
    (outcome != Outcome::Diverged).then(|| (S7AgreedNotGuessed, text.to_owned()))
}

/// An operator says that `dc1` is off. It is not.
pub fn attested_while_it_renews() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    let (operator, reason) = (String::from("somebody"), String::from("it must be off"));
    group.commit(Command::Attest { stack: stack(), epoch: Epoch(1), operator, reason });
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    let elected = group.state.active(&stack()).is_some_and(|(active, _)| *active == site(2));
    let leased = group.state.is_registered(&site(1));
    (elected && leased).then(|| (S1OneWriter, String::from("dc2 is elected while dc1's lease goes on")))
}

/// A second failover: `dc3` never followed the first one, and its LSN is higher.
pub fn a_longer_log_of_an_older_timeline() -> Seen {
    let mut group = Group::new();
    group.begin(1);
    group.expire();
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.report(3, StepKind::Detach, 1, 1, 90);
    group.elect(2, 1);
    group.report(2, StepKind::Promote, 2, 2, 100);
    group.commit(Command::PromoteGivenUp {
        stack: stack(),
        epoch: Epoch(2),
        cause: model::Cause::PromoteFailed,
    });
    group.report(2, StepKind::FenceDatabase, 2, 2, 150);
    group.report(3, StepKind::Detach, 2, 1, 900);
    group.report(1, StepKind::Detach, 2, 2, 140);
    let view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
    let judged = candidates::judge(&group.state, &view, &stack(), START);
    let reach = |n: u64| judged.iter().find(|c| c.site == site(n)).and_then(|c| c.reach);
    let wrong = reach(3) > reach(1);
    wrong.then(|| (S4NoLostAcknowledgement, String::from("LSN 900 of timeline 1 beats 140 of timeline 2")))
}

/// A renewal was applied after the leader looked, before its `Expire` was.
pub fn expire_after_a_renewal() -> Seen {
    let mut group = Group::new();
    let before = group.number(1);
    group.renew(1, Vec::new());
    let incarnation = model::Incarnation(1);
    let outcome = group.commit(Command::Expire { site: site(1), incarnation, number: before });
    let applied = outcome == Outcome::Applied && before != RenewalNumber(0);
    applied.then(|| (S1OneWriter, String::from("the epoch is closed while a later grant runs")))
}

/// A renewal of an earlier run of the actor is committed after the next run has registered; both
/// use one number.
pub fn a_late_renewal_of_an_earlier_run() -> Seen {
    let mut group = Group::new();
    let mut view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
    view.restored(&group.state, START);
    let (old, new, number) = (model::Incarnation(1), model::Incarnation(2), group.number(1));
    let register = Command::Register { site: site(1), incarnation: new, terms: group.terms() };
    let Outcome::Registered(answer) = group.commit(register) else { return None };
    let mut lease = LeaseTable::default();
    lease.register(new, &answer);
    let arrives = START.after(Millis(1_000));
    group.renew_with(1, |late| (late.incarnation, late.number) = (old, number.next()));
    let moved = group.number(1) != number;
    // The new run's first send has the same number, and leaves later.
    let sent = arrives.after(Millis(3_000));
    let send = lease.send(sent)?;
    let copy = group.renew_with(1, |own| (own.incarnation, own.number) = (new, send.number));
    let granted = matches!(copy, Outcome::Renewed { repeated: true, .. });
    (moved && granted).then(|| (S1OneWriter, String::from("a lease is granted that moves no horizon")))
}

/// What runs at `dc1` could not be stopped; then the site is lost.
pub fn lost_with_something_unstopped() -> Seen {
    let mut group = Group::new();
    group.renew_with(1, |request| request.unstopped = vec![stack()]);
    group.expire();
    let text = "fenced by time though its site said that it could not be stopped";
    group.is_closed().then(|| (S1OneWriter, text.to_owned()))
}

/// `dc1` renews, and says that it is still stopping what the cover no longer holds.
pub fn fenced_while_stopping() -> Seen {
    let mut group = Group::new();
    let cause = model::Cause::Unhealthy;
    group.commit(Command::BeginTransition { stack: stack(), epoch: Epoch(1), cause, to: None });
    group.commit(Command::FenceBegin { stack: stack(), epoch: Epoch(1) });
    let begun = group.index;
    group.renew_with(1, |request| request.stopping = vec![stack()]);
    group.commit(Command::FenceByTime { stack: stack(), epoch: Epoch(1), begun });
    let text = "fenced by time while its site is stopping it";
    group.is_closed().then(|| (S1OneWriter, text.to_owned()))
}

/// Both clocks of a witness jump by a minute.
pub fn a_clock_that_jumps() -> Seen {
    let group = Group::new();
    let mut view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
    view.restored(&group.state, START);
    let mut now = START.after(Millis(100));
    view.tick(&group.state, now);
    now = now.after(Millis(60_000));
    view.tick(&group.state, now);
    let past = view.horizon_is_past(&site(1), now);
    past.then(|| (S1OneWriter, String::from("a jump of the witness's clock ends a site's lease")))
}

/// A renewal under a longer D was proposed before the policy was changed, and commits after it.
pub fn a_longer_grant_that_commits_late() -> Seen {
    let mut longer = LongerGrant::new();
    longer.shorten();
    longer.send();
    longer.ends_early()
}

/// The policy's D was made shorter while a longer grant runs; then a witness restarts.
pub fn a_restart_while_a_longer_grant_runs() -> Seen {
    let mut longer = LongerGrant::new();
    longer.send();
    longer.shorten();
    longer.view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
    longer.view.restored(&longer.group.state, START);
    longer.ends_early()
}

/// A witness that has just started, and a D that is made shorter.
struct LongerGrant {
    group: Group,
    view: LocalView,
    terms: GrantTerms,
}

impl LongerGrant {
    fn new() -> Self {
        let group = Group::new();
        let view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
        let terms = group.terms();
        Self { group, view, terms }
    }

    fn shorten(&mut self) {
        let mut policy = self.group.state.policy().expect("there is one").clone();
        policy.revision += 1;
        policy.timing = Timing::new(Profile::Fast.values()).expect("the profile holds");
        self.group.commit(Command::SetPolicy(policy));
    }

    fn send(&mut self) {
        let request = RenewRequest {
            site: site(1),
            incarnation: model::Incarnation(1),
            number: self.group.number(1).next(),
            cover_known: LogIndex(0),
            stopping: vec![],
            unstopped: vec![],
            timed_acks: vec![],
        };
        let command = Command::Renew { request, terms: self.terms };
        let entry = Entry { at: model::WallMillis(0), command: command.clone() };
        let outcome = self.group.commit(command);
        self.view.applied(self.group.index, &entry, &outcome, &self.group.state, START);
    }

    fn ends_early(&self) -> Seen {
        let last = START.after(self.terms.lease_duration);
        let early = self.view.horizon_is_past(&site(1), last);
        early.then(|| (S1OneWriter, String::from("the horizon is past before F of the grant is over")))
    }
}

/// Timed, held again, and then the acknowledgement of the first change comes.
pub fn an_acknowledgement_of_an_earlier_entry() -> Seen {
    let mut group = Group::new();
    group.commit(Command::SetMode { stack: stack(), mode: Mode::Observe });
    group.commit(Command::SetMode { stack: stack(), mode: Mode::Auto });
    let since = group.index;
    group.commit(Command::SetMode { stack: stack(), mode: Mode::Observe });
    group.commit(Command::SetMode { stack: stack(), mode: Mode::Auto });
    group.renew(1, vec![TimedAck { stack: stack(), epoch: Epoch(1), since }]);
    fenced_by_time_without_acknowledgement(group)
}

/// An abort entry while the gate has not acknowledged that its cover is timed.
pub fn an_abort_before_the_acknowledgement() -> Seen {
    let mut group = Group::new();
    group.commit(Command::SetMode { stack: stack(), mode: Mode::Observe });
    group.commit(Command::SetMode { stack: stack(), mode: Mode::Auto });
    group.begin(1);
    group.renew(1, Vec::new());
    group.elect(1, 1);
    fenced_by_time_without_acknowledgement(group)
}

fn fenced_by_time_without_acknowledgement(mut group: Group) -> Seen {
    group.expire();
    let text = "time fences a cover that its gate still holds without a deadline";
    group.is_closed().then(|| (S1OneWriter, text.to_owned()))
}

/// The promotion of `dc2` is given up; nobody knows yet what became of it.
fn given_up() -> Group {
    let mut group = Group::new();
    group.begin(1);
    group.expire();
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    let cause = model::Cause::PromoteFailed;
    group.commit(Command::PromoteGivenUp { stack: stack(), epoch: Epoch(2), cause });
    group
}

/// A failed promotion, and a leader that gives the stack back.
pub fn given_back() -> Seen {
    let mut group = given_up();
    let terms = group.terms();
    let incarnation = model::Incarnation(2);
    group.commit(Command::Register { site: site(1), incarnation, terms });
    group.elect(1, 2);
    group.broken.filter(|(invariant, _)| *invariant == S2FenceFirst)
}

/// The next promotion, after one that may have made its timeline unseen.
pub fn the_number_after_an_unseen_promotion() -> Seen {
    let mut group = given_up();
    let (site, epoch) = (site(3), Epoch(2));
    group.report(2, StepKind::FenceDatabase, 2, 1, 100);
    group.report(3, StepKind::Detach, 2, 1, 100);
    group.commit(Command::Elect { stack: stack(), epoch, site: site.clone() });
    let view = coordination::desired(&group.state, &site);
    let told = view.of(&stack()).and_then(|desired| match desired.instruction {
        Instruction::Run { timeline_highest, .. } => Some(timeline_highest),
        _ => None,
    });
    let again = told?;
    (again < Timeline(2)).then(|| (S6OneTransition, format!("dc3 is to skip {again}; dc2 may have made 2")))
}

/// A witness that lags installs a snapshot: a renewal that it never applied is in it.
pub fn a_snapshot_with_a_later_renewal() -> Seen {
    let mut group = Group::new();
    let mut view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
    view.restored(&group.state, START);
    let renewed = START.after(Millis(5_000));
    group.renew(1, Vec::new());
    view.restored(&group.state, renewed);
    let last = renewed.after(group.terms().lease_duration);
    let past = view.horizon_is_past(&site(1), last);
    past.then(|| (S1OneWriter, String::from("the horizon is past before F of the grant is over")))
}

/// A site renews though the group has begun to fence its stack.
pub fn a_renewal_after_the_fence_began() -> Seen {
    let mut group = Group::new();
    let cause = model::Cause::Unhealthy;
    group.commit(Command::BeginTransition { stack: stack(), epoch: Epoch(1), cause, to: None });
    group.commit(Command::FenceBegin { stack: stack(), epoch: Epoch(1) });
    let Outcome::Renewed { grant, .. } = group.renew(1, Vec::new()) else { return None };
    let covered = grant.cover.is_some_and(|cover| cover.of(&stack()).is_some());
    covered.then(|| (S1OneWriter, String::from("a cover goes beyond the horizon of the FenceBegin")))
}

/// The holder's clock is the slowest that is allowed, the witness's the fastest.
pub fn the_slowest_holder_and_the_fastest_witness() -> Seen {
    let mut values = Profile::Wan.values();
    values.drift_max_ppm = 90_000;
    let timing = Timing::new(values).expect("nine in a hundred is allowed");
    let wait = timing.wait(timing.terms());
    // True time in which the holder's clock counts D + F; what the witness's clock counts then.
    let span = values.lease_duration.plus(values.fence_deadline).0 * 1_000;
    let counted = (span * 1_000 / 910) * 1_090 / 1_000;
    let text = format!("W is {wait}, and the holder acts for {} ms of the witness's clock", counted / 1_000);
    (wait.0 * 1_000 < counted).then_some((S1OneWriter, text))
}

/// A leader that has applied what `group` went through, and reaches every witness.
fn leader(group: &Group) -> LocalView {
    let sites: Vec<_> = (1..=3).map(site).collect();
    let mut view = LocalView::new(site(3), sites.clone(), START);
    view.restored(&group.state, START);
    view.leading(true, START);
    for from in &sites {
        let reached = |to: &model::SiteId| LinkRow {
            site: to.clone(),
            witness_age: Some(Millis(0)),
            actor_age: None,
            endpoint_age: None,
        };
        view.linked(from, &sites.iter().map(reached).collect::<Vec<_>>(), START);
    }
    view
}

/// The leader can commit: it has a majority.
fn commits(group: &Group, view: &mut LocalView, now: model::Moment) {
    let entry = Entry { at: model::WallMillis(0), command: Command::Nothing };
    view.applied(group.index, &entry, &Outcome::Applied, &group.state, now);
}

/// What this leader proposes after a while in which nobody renewed.
fn proposed(group: &Group, view: &mut LocalView, wait: Millis) -> Vec<Command> {
    let mut now = START;
    while now.elapsed_shortest(START) < wait {
        now = now.after(Millis(200));
        view.tick(&group.state, now);
        commits(group, view, now);
    }
    decide(&group.state, view, now)
}

/// The actor is dead, its witness is well.
pub fn a_dead_actor_beside_a_living_witness() -> Seen {
    let group = Group::new();
    let commands = proposed(&group, &mut leader(&group), Millis(60_000));
    let expires =
        commands.iter().any(|c| matches!(c, Command::Expire { site: lost, .. } if *lost == site(1)));
    (!expires).then(|| (L1ItEnds, String::from("a minute of silence, and nothing expires")))
}

/// Elected, and its promotion is never reported.
fn elected() -> Group {
    let mut group = Group::new();
    group.begin(1);
    group.expire();
    group.report(2, StepKind::Detach, 1, 1, 100);
    group.elect(2, 1);
    group
}

/// A promotion that hangs.
pub fn a_promotion_that_hangs() -> Seen {
    let group = elected();
    let patience = group.state.policy()?.promote_deadline.plus(Millis(1_000));
    let commands = proposed(&group, &mut leader(&group), patience);
    let given_up = commands.iter().any(|c| matches!(c, Command::PromoteGivenUp { .. }));
    (!given_up).then(|| (L1ItEnds, String::from("nobody gives the promotion up")))
}

/// The first promotion of a transition failed: the second election is due.
pub fn the_second_attempt_of_a_transition() -> Seen {
    let mut group = given_up();
    group.report(2, StepKind::FenceDatabase, 2, 1, 100);
    let holds = decide::holds(&group.state, &leader(&group), &stack(), START);
    let text = "an unfinished failover holds up its own next attempt";
    holds.contains(&Hold::Cooldown).then(|| (L1ItEnds, text.to_owned()))
}

/// `dc3` had stopped streaming long before the loss.
pub fn a_standby_that_did_not_stream() -> Seen {
    let mut group = Group::new();
    let (dc3, epoch) = (site(3), Epoch(1));
    group.commit(Command::SetStreaming { stack: stack(), site: dc3.clone(), epoch, streams: None });
    group.begin(1);
    group.expire();
    group.report(3, StepKind::Detach, 1, 1, 5);
    let judged = candidates::judge(&group.state, &leader(&group), &stack(), START);
    let candidate = judged.into_iter().find(|candidate| candidate.site == dc3)?;
    let barred = candidate.against.contains(&Ineligible::NotStreaming);
    (!barred).then(|| (S4NoLostAcknowledgement, String::from("what it missed is not bounded by max_lag")))
}
