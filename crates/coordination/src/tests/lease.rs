//! Registration, numbers, covers, horizons.

use super::world::{World, chat, site};
use crate::{Command, Outcome, decide};
use model::{
    CoverKind, Epoch, Incarnation, LogIndex, Millis, Mode, Moment, Refusal, RenewalNumber, StepKind,
    StepOutcome, SystemId, Timeline,
};

fn terms(world: &World) -> model::GrantTerms {
    world.state.policy().expect("a policy").timing.terms()
}

#[test]
fn a_number_is_accepted_once_and_a_copy_is_answered_again_without_effect() {
    let mut world = World::automatic();
    let request = world.request(&site(1));
    let terms = terms(&world);
    let first = world.commit(Command::Renew { request: request.clone(), terms });
    assert!(matches!(first, Outcome::Renewed { repeated: false, .. }));
    let left = world.view.horizon_remaining(&site(1), world.now);
    world.now = world.now.after(Millis(300));
    let again = world.commit(Command::Renew { request: request.clone(), terms });
    assert!(matches!(again, Outcome::Renewed { repeated: true, .. }));
    let later = world.view.horizon_remaining(&site(1), world.now);
    assert!(later < left, "a copy moves no horizon");
    let mut old = request;
    old.number = RenewalNumber(old.number.0 - 1);
    let refused = world.commit(Command::Renew { request: old, terms });
    assert!(matches!(refused, Outcome::Refused(Refusal::StaleNumber { .. })));
}

#[test]
fn the_last_number_of_an_earlier_run_is_not_a_copy() {
    let mut world = World::automatic();
    let mut request = world.request(&site(1));
    let terms = terms(&world);
    world.commit(Command::Renew { request: request.clone(), terms });
    world.register(&site(1), 99);
    request.incarnation = Incarnation(99);
    let outcome = world.commit(Command::Renew { request, terms });
    assert!(matches!(outcome, Outcome::Refused(Refusal::StaleNumber { .. })));
}

#[test]
fn another_run_is_refused_from_the_registration_on() {
    let mut world = World::automatic();
    let old = world.request(&site(1));
    world.register(&site(1), 99);
    let terms = terms(&world);
    let outcome = world.commit(Command::Renew { request: old, terms });
    assert_eq!(outcome, Outcome::Refused(Refusal::OtherIncarnation { registered: Incarnation(99) }));
}

#[test]
fn expire_is_refused_if_anything_newer_was_applied() {
    let mut world = World::automatic();
    let number = world.state.sites()[&site(1)].number;
    world.renew(&site(1));
    let expire = Command::Expire { site: site(1), incarnation: Incarnation(1), number };
    assert!(matches!(world.commit(expire), Outcome::Refused(Refusal::Superseded { .. })));
}

#[test]
fn a_registration_gives_a_lease_but_no_closed_stack() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(9_000));
    let closed = world.stack().closed;
    world.register(&site(1), 5);
    let outcome = world.renew(&site(1));
    let cover = World::granted(&outcome).cover.clone().expect("asked in full");
    assert!(cover.of(&chat()).is_none());
    assert_eq!(closed, Epoch(1));
    let told = world.state.epochs_of(&site(1));
    assert_eq!((told[0].highest, told[0].closed), (Epoch(2), Epoch(2)));
}

#[test]
fn the_cover_is_sent_in_full_only_when_the_revision_differs() {
    let mut world = World::automatic();
    let outcome = world.renew(&site(1));
    let revision = World::granted(&outcome).cover_revision;
    let mut request = world.request(&site(1));
    request.cover_known = revision;
    let terms = terms(&world);
    let outcome = world.commit(Command::Renew { request, terms });
    assert!(World::granted(&outcome).cover.is_none());
}

#[test]
fn a_fence_begin_takes_the_cover_at_once_and_waits_for_its_own_horizon() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(1)).expect("dc1").unstopped = [].to_vec();
    world.commit(Command::BeginTransition {
        stack: chat(),
        epoch: Epoch(1),
        cause: model::Cause::Operator,
        to: None,
    });
    world.commit(Command::FenceBegin { stack: chat(), epoch: Epoch(1) });
    assert!(world.state.cover_of(&site(1)).of(&chat()).is_none());
    let begun = world.stack().fence_begun.expect("begun");
    // The actor goes on renewing but never acknowledges: later renewals do not move this horizon.
    for _ in 0..70 {
        world.turn(false);
        assert!(!world.stack().is_closed());
    }
    for _ in 0..5 {
        world.turn(false);
    }
    assert!(world.stack().is_closed());
    assert!(world.count(|c| matches!(c, Command::FenceByTime { begun: b, .. } if *b == begun)) == 1);
}

#[test]
fn stopping_bars_the_proof_by_time_of_a_fence_begin() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(1)).expect("dc1").stopping = [chat()].to_vec();
    world.commit(Command::BeginTransition {
        stack: chat(),
        epoch: Epoch(1),
        cause: model::Cause::Operator,
        to: None,
    });
    for _ in 0..120 {
        world.turn(false);
    }
    assert_eq!(world.stack().closed, Epoch(0));
    let begun = world.stack().fence_begun.expect("begun");
    let outcome = world.commit(Command::FenceByTime { stack: chat(), epoch: Epoch(1), begun });
    assert_eq!(outcome, Outcome::Refused(Refusal::StillStopping));
}

#[test]
fn after_a_restart_or_snapshot_every_horizon_is_the_longest_wait_from_now() {
    let mut world = World::automatic();
    world.now = world.now.after(Millis(6_000));
    world.view.restored(&world.state, world.now);
    for n in 1..=3 {
        assert_eq!(world.view.horizon_remaining(&site(n), world.now), Some(Millis(7_142)));
    }
}

#[test]
fn a_pause_of_the_witness_itself_renews_all_horizons() {
    let mut world = World::automatic();
    world.now = world.now.after(Millis(7_100));
    world.view.tick(&world.state, world.now);
    world.now = world.now.after(Millis(100));
    world.view.tick(&world.state, world.now);
    let decided = decide(&world.state, &world.view, world.now);
    assert!(decided.iter().all(|c| *c == Command::Nothing), "nobody expires for our own pause: {decided:?}");
}

#[test]
fn a_suspend_seen_by_one_clock_only_expires_nobody() {
    let mut world = World::automatic();
    let now = world.now;
    world.now = Moment { boottime: now.boottime + 60_000_000, raw: now.raw };
    assert!(!world.view.horizon_is_past(&site(1), world.now));
}

#[test]
fn a_longer_grant_is_remembered_until_it_has_surely_ended() {
    let mut world = World::automatic();
    let wide = world.state.wait_max();
    let mut policy = world.state.policy().expect("a policy").clone();
    policy.revision += 1;
    policy.timing = crate::Timing::new(crate::timing::Profile::Fast.values()).expect("it holds");
    assert_eq!(world.commit(Command::SetPolicy(policy)), Outcome::Applied);
    assert_eq!(world.state.wait_max(), wide);
    // The leader has watched its clock for that long: then an entry forgets it.
    for _ in 0..80 {
        world.turn(false);
    }
    assert_eq!(world.state.wait_max(), Millis(3_061));
}

#[test]
fn adoption_begins_held_and_refuses_a_second() {
    let mut world = World::new();
    let adopt =
        Command::Adopt { stack: chat(), site: site(1), system_id: SystemId(7), timeline: Timeline(1) };
    assert_eq!(world.commit(adopt.clone()), Outcome::Applied);
    let cover = world.state.cover_of(&site(1));
    assert!(matches!(cover.of(&chat()).expect("covered").kind, CoverKind::Held { .. }));
    assert_eq!(world.commit(adopt), Outcome::Refused(Refusal::AlreadyAdopted));
    assert_eq!(world.stack().mode, Mode::Observe);
    assert!(world.state.cover_of(&site(2)).of(&chat()).is_none());
    assert!(world.state.cover_of(&site(1)).revision > LogIndex(0));
}

#[test]
fn an_acknowledgement_that_nobody_asked_for_fences_nothing() {
    let mut world = World::automatic();
    let outcome = world.report_step(&site(1), StepKind::FenceDatabase, Epoch(1), StepOutcome::Done, None);
    assert_eq!(outcome, Outcome::Refused(Refusal::StepNotDue(StepKind::FenceDatabase)));
    assert_eq!(world.stack().closed, Epoch(0));
}

#[test]
fn a_gate_that_names_an_earlier_entry_has_not_acknowledged_the_last() {
    let mut world = World::automatic();
    world.commit(Command::SetMode { stack: chat(), mode: Mode::Observe });
    world.commit(Command::SetMode { stack: chat(), mode: Mode::Auto });
    let mut request = world.request(&site(1));
    assert_eq!(request.timed_acks.len(), 1);
    request.timed_acks[0].since = LogIndex(request.timed_acks[0].since.0 - 1);
    let terms = terms(&world);
    world.commit(Command::Renew { request, terms });
    assert!(!world.stack().cover.is_fenced_by_time());
    world.renew(&site(1));
    assert!(world.stack().cover.is_fenced_by_time());
}
