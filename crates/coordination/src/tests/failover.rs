//! From the loss of the active site to the next one, and what must not lead there.

use super::world::{STEP, World, chat, site};
use crate::{Command, LocalView, Outcome, decide, desired};
use alloc::vec::Vec;
use model::{
    Cause, DatabaseReport, DatabaseRole, Epoch, Instruction, Lsn, Millis, Mode, Refusal, SiteId, StepKind,
    StepOutcome, Timeline, Verdict, WalPosition,
};

#[test]
fn a_lost_site_is_replaced_and_never_before_its_lease_has_ended() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(7_000));
    assert_eq!(world.state.sites()[&site(1)].verdict, Verdict::Suspect);
    assert!(!world.stack().is_closed(), "7.0 s is below W (7.142 s)");
    world.run(Millis(1_000));
    let (active, epoch) = world.state.active(&chat()).expect("adopted");
    assert_eq!((active, epoch), (&site(2), Epoch(2)));
    assert!(world.stack().transition.is_none(), "complete");
    assert_eq!(world.stack().timeline, Timeline(2));
    assert_eq!(world.count(|c| matches!(c, Command::Elect { .. })), 1);
}

#[test]
fn the_longest_log_wins_over_the_priority() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.run(Millis(9_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").0, &site(3));
}

#[test]
fn a_standby_with_the_longer_log_is_waited_for_though_it_is_silent_for_a_moment() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.run(Millis(7_000));
    // dc3's actor is restarted in the very moment of the expiry.
    world.lose(&site(3));
    world.until("the fence", |w| w.stack().is_closed());
    world.turn(true);
    world.turn(true);
    world.register(&site(3), 33);
    world.run(Millis(2_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").0, &site(3));
}

/// Seed 21 of the simulator: all sites had been away, and the holder of the longest log had let go
/// but was not registered again yet when the other one was elected.
#[test]
fn the_longest_log_of_all_heard_is_waited_for_though_its_lease_had_expired() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.lose(&site(3));
    world.until("the transition", |w| w.stack().is_closed() && w.stack().transition.is_some());
    let end = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(2_000) });
    let heard = world.report_step(&site(3), StepKind::Detach, Epoch(1), StepOutcome::Done, end);
    assert_eq!(heard, Outcome::Applied);
    world.turn(true);
    world.turn(true);
    world.register(&site(3), 33);
    world.run(Millis(2_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").0, &site(3));
}

/// Seed 1017: the fence had been proven long ago, and the longest log was heard a moment before.
#[test]
fn a_longer_log_that_was_heard_just_now_is_waited_for_though_the_fence_is_old() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    (1..=3).for_each(|n| world.lose(&site(n)));
    world.until("the transition", |w| w.stack().is_closed() && w.stack().transition.is_some());
    world.run(Millis(5_000));
    let end = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(2_000) });
    world.report_step(&site(3), StepKind::Detach, Epoch(1), StepOutcome::Done, end);
    world.register(&site(2), 22);
    world.turn(true);
    world.turn(true);
    world.register(&site(3), 33);
    world.run(Millis(2_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").0, &site(3));
}

#[test]
fn the_longest_log_is_not_waited_for_for_ever() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.lose(&site(3));
    world.until("the transition", |w| w.stack().is_closed() && w.stack().transition.is_some());
    let end = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(2_000) });
    world.report_step(&site(3), StepKind::Detach, Epoch(1), StepOutcome::Done, end);
    world.run(Millis(3_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").0, &site(2));
}

/// dc3 is elected for its log, and its lease expires before it promotes; dc2 and dc3 let go again.
fn elected_and_lost_before_its_promotion() -> World {
    let mut world = World::automatic();
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.until("an election", |w| w.state.active(&chat()).expect("adopted") == (&site(3), Epoch(2)));
    world.lose(&site(3));
    world.lose(&site(2));
    world.until("the fence", |w| w.stack().is_closed());
    for (n, lsn) in [(2, 1_000), (3, 2_000)] {
        world.register(&site(n), 20 + n as u64);
        let end = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(lsn) });
        let heard = world.report_step(&site(n), StepKind::Detach, Epoch(2), StepOutcome::Done, end);
        assert_eq!(heard, Outcome::Applied);
    }
    world
}

/// Seed 111484: dc3's last report was older than its committed word that it had let go.
#[test]
fn who_was_elected_last_has_let_go_by_its_committed_word_whatever_its_report_says() {
    let mut world = elected_and_lost_before_its_promotion();
    world.run(Millis(100));
    for n in [2, 3] {
        world.renew(&site(n));
        let mut report = world.report(&site(n));
        report.gate.as_mut().expect("a gate").closed = Epoch(1);
        world.view.report(report, world.now);
    }
    let chosen = world.decided_election();
    assert!(chosen.is_none_or(|to| to == site(3)), "the longer log");
    world.run(Millis(3_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").0, &site(3));
}

/// It was elected and never opened: what it has is what it let go with.
#[test]
fn who_was_elected_last_and_never_promoted_is_not_beyond_all() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("an election", |w| w.state.active(&chat()).expect("adopted") == (&site(2), Epoch(2)));
    world.lose(&site(2));
    world.lose(&site(3));
    world.until("the fence", |w| w.stack().is_closed());
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    for n in [2, 3] {
        world.register(&site(n), 20 + n as u64);
    }
    world.run(Millis(3_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(3), Epoch(3)));
}

#[test]
fn a_blip_shorter_than_detection_changes_nothing() {
    let mut world = World::automatic();
    for _ in 0..20 {
        world.lose(&site(1));
        world.run(Millis(1_900));
        world.hands.get_mut(&site(1)).expect("dc1").alive = true;
        world.run(Millis(500));
    }
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(1), Epoch(1)));
    assert_eq!(world.count(|c| matches!(c, Command::BeginTransition { .. })), 0);
}

#[test]
fn a_renewal_before_any_proof_ends_the_transition_by_an_abort_entry() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(4_000));
    assert!(world.stack().transition.is_some(), "begun for silence");
    world.hands.get_mut(&site(1)).expect("dc1").alive = true;
    world.run(Millis(500));
    assert!(world.stack().transition.is_none());
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(1), Epoch(2)));
    assert_eq!(world.state.cover_of(&site(1)).of(&chat()).expect("covered").epoch, Epoch(2));
}

#[test]
fn an_election_needs_the_fence_first() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(4_000));
    let elect = Command::Elect { stack: chat(), epoch: Epoch(1), site: site(2) };
    let outcome = world.commit(elect);
    assert_eq!(outcome, Outcome::Refused(Refusal::NotFenced { site: site(1), epoch: Epoch(1) }));
}

#[test]
fn a_held_cover_is_not_fenced_by_time() {
    let mut world = World::automatic();
    world.commit(Command::SetMode { stack: chat(), mode: Mode::Observe });
    world.lose(&site(1));
    world.run(Millis(20_000));
    assert_eq!(world.stack().closed, Epoch(0));
    assert!(world.state.sites()[&site(1)].lease.as_ref().is_some_and(|l| l.expired));
    assert!(world.count(|c| matches!(c, Command::RecordWouldBegin { .. })) >= 1);
    assert!(world.count(|c| matches!(c, Command::BeginTransition { .. })) == 0);
    let attest = Command::Attest {
        stack: chat(),
        epoch: Epoch(1),
        operator: "ada".into(),
        reason: "power is off".into(),
    };
    assert_eq!(world.commit(attest), Outcome::Applied);
    assert!(world.stack().is_closed());
}

#[test]
fn nobody_attests_against_a_site_that_renews() {
    let mut world = World::automatic();
    let attest = Command::Attest {
        stack: chat(),
        epoch: Epoch(1),
        operator: "ada".into(),
        reason: "I think that it is off".into(),
    };
    assert_eq!(world.commit(attest), Outcome::Refused(Refusal::StillLeased(site(1))));
}

#[test]
fn held_to_timed_counts_only_once_the_gate_says_so() {
    let mut world = World::automatic();
    world.commit(Command::SetMode { stack: chat(), mode: Mode::Observe });
    world.hands.get_mut(&site(1)).expect("dc1").acknowledges_timed = false;
    world.commit(Command::SetMode { stack: chat(), mode: Mode::Auto });
    world.run(Millis(1_000));
    world.lose(&site(1));
    world.run(Millis(20_000));
    assert_eq!(world.stack().closed, Epoch(0), "its gate may still believe that it has no deadline");
}

#[test]
fn an_expired_lease_is_not_renewed_by_what_was_under_way() {
    let mut world = World::automatic();
    let late = world.request(&site(1));
    let terms = world.state.policy().expect("a policy").timing.terms();
    world.lose(&site(1));
    world.run(Millis(9_000));
    let outcome = world.commit(Command::Renew { request: late, terms });
    assert_eq!(outcome, Outcome::Refused(Refusal::LeaseExpired));
}

#[test]
fn unstopped_bars_the_proof_by_time() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(1)).expect("dc1").unstopped = [chat()].to_vec();
    world.run(Millis(500));
    world.lose(&site(1));
    world.run(Millis(20_000));
    assert_eq!(world.stack().closed, Epoch(0));
}

#[test]
fn a_second_site_lost_in_the_transition_leads_to_the_third() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("an election", |w| w.state.active(&chat()).expect("adopted").1 > Epoch(1));
    // dc2 is elected, but dies before it promotes.
    world.lose(&site(2));
    world.run(Millis(10_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(3), Epoch(3)));
    assert!(world.stack().timeline > Timeline(2), "no timeline number is used twice");
}

#[test]
fn a_failed_promotion_is_fenced_before_another_election() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("an election", |w| w.state.active(&chat()).expect("adopted").1 > Epoch(1));
    world.report_step(&site(2), StepKind::Promote, Epoch(2), StepOutcome::Failed, None);
    world.turn(false);
    assert!(matches!(
        desired(&world.state, &site(2)).of(&chat()).expect("there").instruction,
        Instruction::Fence { epoch: Epoch(2) }
    ));
    world.run(Millis(3_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(3), Epoch(3)));
}

#[test]
fn the_old_active_site_is_elected_when_it_alone_returns() {
    let mut world = World::automatic();
    for n in 1..=3 {
        world.lose(&site(n));
    }
    world.run(Millis(12_000));
    assert!(world.stack().is_closed());
    world.register(&site(1), 11);
    world.run(Millis(2_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(1), Epoch(2)));
}

#[test]
fn a_takeover_from_a_site_that_nobody_streamed_from_needs_a_human() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("a promotion", |w| w.stack().promoted().is_some_and(|p| p.epoch > Epoch(1)));
    world.lose(&site(2));
    // dc3 never reports that it streams from dc2.
    for _ in 0..150 {
        world.turn(true);
    }
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(2), Epoch(2)));
    assert!(world.stack().is_closed());
    assert!(
        decide::holds(&world.state, &world.view, &chat(), world.now).contains(&model::Hold::NeedsConsent)
    );
}

/// Seeds 200419, 202529, 202701, 205431: its first write was late, it was fenced, and it is back.
#[test]
fn a_site_that_alone_has_what_it_acknowledged_is_tried_again_though_it_failed() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("a promotion", |w| w.stack().promoted().is_some_and(|p| p.epoch > Epoch(1)));
    let (stack, epoch, cause) = (chat(), Epoch(2), Cause::PromoteFailed);
    assert_eq!(world.commit(Command::PromoteGivenUp { stack, epoch, cause }), Outcome::Applied);
    world.run(Millis(25_000));
    assert_eq!(world.stack().closed, Epoch(2), "dc3 is well, but nobody may give up what dc2 has");
    world.run(Millis(15_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(2), Epoch(3)));
}

/// Seeds 384 and 4517: the holder of the longest log renews and has let go; the new leader has not
/// heard its report yet.
#[test]
fn a_committed_detachment_is_a_report_that_a_new_leader_has() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.until("the fence", |w| w.stack().is_closed() && w.stack().transition.is_some());
    for (n, lsn) in [(2, 1_000), (3, 2_000)] {
        let end = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(lsn) });
        world.report_step(&site(n), StepKind::Detach, Epoch(1), StepOutcome::Done, end);
    }
    let witnesses: Vec<SiteId> = (1..=3).map(site).collect();
    world.view = LocalView::new(site(2), witnesses, world.now);
    world.view.restored(&world.state, world.now);
    world.view.leading(true, world.now);
    world.renew(&site(2));
    world.renew(&site(3));
    world.view.report(world.report(&site(2)), world.now);
    assert_eq!(world.decided_election(), Some(site(3)));
}

#[test]
fn a_new_leader_does_not_suspect_before_it_has_listened() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(1_000));
    world.view.leading(false, world.now);
    world.run(Millis(3_000));
    world.view.leading(true, world.now);
    assert!(
        !decide(&world.state, &world.view, world.now).iter().any(|c| matches!(c, Command::SetVerdict { .. }))
    );
    world.run(Millis(1_200));
    assert_eq!(world.state.sites()[&site(1)].verdict, Verdict::Suspect);
}

#[test]
fn a_site_that_others_reach_is_not_suspected() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.reached.push(site(1));
    world.run(Millis(6_000));
    assert_eq!(world.state.sites()[&site(1)].verdict, Verdict::Up);
}

#[test]
fn an_operator_moves_the_stack_by_a_stop_and_an_election() {
    let mut world = World::automatic();
    let begin = Command::BeginTransition {
        stack: chat(),
        epoch: Epoch(1),
        cause: Cause::Operator,
        to: Some(site(3)),
    };
    assert_eq!(world.commit(begin), Outcome::Applied);
    world.run(Millis(2_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(3), Epoch(2)));
    assert_eq!(world.stack().fence.as_ref().map(|f| f.method), Some(model::FenceMethod::Acknowledged));
}

/// Seed 1185 of the simulator: rows that another standby had reported to have were given up.
#[test]
fn a_wish_does_not_cost_rows_that_another_standby_has() {
    let mut world = World::automatic();
    world.hands.get_mut(&site(2)).expect("dc2").lsn = Lsn(2_000);
    let (cause, to) = (Cause::Operator, Some(site(3)));
    let begin = Command::BeginTransition { stack: chat(), epoch: Epoch(1), cause, to };
    assert_eq!(world.commit(begin), Outcome::Applied);
    world.run(Millis(4_000));
    let (active, epoch) = world.state.active(&chat()).expect("adopted");
    assert_eq!(epoch, Epoch(2));
    assert_ne!(*active, site(3));
}

/// Seed 277 of the simulator: while the primary was being closed its last standby ceased to stream,
/// and the redundancy rule held the stack closed for ever.
#[test]
fn cooldown_and_redundancy_do_not_keep_a_closed_stack_closed() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("a failover", |w| w.stack().completed.is_some());
    let (cause, to) = (Cause::Unhealthy, None);
    let begin = Command::BeginTransition { stack: chat(), epoch: Epoch(2), cause, to };
    assert_eq!(world.commit(begin), Outcome::Applied);
    world.run(Millis(5_000));
    assert_eq!(world.state.active(&chat()).expect("adopted").1, Epoch(3));
    assert!(!world.stack().is_closed());
}

/// Seed 224 of the simulator: the stack stood still for ever, with two eligible sites.
#[test]
fn a_wished_site_that_cannot_take_over_leaves_the_stack_to_another() {
    let mut world = World::automatic();
    world.lose(&site(3));
    world.run(Millis(8_000));
    let (cause, to) = (Cause::Operator, Some(site(3)));
    let begin = Command::BeginTransition { stack: chat(), epoch: Epoch(1), cause, to };
    assert_eq!(world.commit(begin), Outcome::Applied);
    world.run(Millis(4_000));
    let (active, epoch) = world.state.active(&chat()).expect("adopted");
    assert_eq!(epoch, Epoch(2));
    assert_ne!(*active, site(3));
    assert!(world.stack().transition.is_none());
}

/// Seeds 41855 and 62433 of the simulator: a primary that was lost with its data took its own
/// successors away, since a first report counted as good health for two seconds.
#[test]
fn a_primary_whose_data_is_gone_says_nothing_about_its_standbys() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(500));
    // The leader stood still for longer than R: what it had observed is dropped.
    world.now = world.now.after(Millis(800));
    world.run(Millis(1_000));
    let mut report = world.report(&site(1));
    report.database = DatabaseReport { role: DatabaseRole::Down, write_age: None, ..report.database };
    for _ in 0..30 {
        world.renew(&site(1));
        world.view.report(report.clone(), world.now);
        world.turn(true);
    }
    assert_eq!(world.count(|c| matches!(c, Command::SetStreaming { streams: None, .. })), 0);
}

/// Seeds 31, 593 and 915 of the simulator: the stack stood still for ever.
#[test]
fn the_only_copy_left_is_elected_again_though_its_promotion_failed_once() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.lose(&site(3));
    let elected = |w: &World| w.state.active(&chat()).is_some_and(|(s, _)| *s == site(2));
    world.until("the election", elected);
    let failed = world.report_step(&site(2), StepKind::Promote, Epoch(2), StepOutcome::Failed, None);
    assert_eq!(failed, Outcome::Applied);
    world.run(Millis(20_000));
    assert!(world.stack().is_closed(), "others are waited for");
    world.run(Millis(20_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(2), Epoch(3)));
    assert!(world.stack().transition.is_none());
}

/// Seed 13258 of the simulator: at the second attempt nobody waited for a standby that had just let
/// go, with the longer log, and was away for a moment.
#[test]
fn the_longest_log_is_waited_for_at_a_later_attempt_too() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("the election", |w| w.state.active(&chat()).is_some_and(|(s, _)| *s == site(2)));
    let failed = world.report_step(&site(2), StepKind::Promote, Epoch(2), StepOutcome::Failed, None);
    assert_eq!(failed, Outcome::Applied);
    world.until("the fence", |w| w.stack().is_closed());
    let since = |w: &World| w.view.since_detached(&chat(), w.now);
    world.until("a second detachment", |w| {
        let detached = &w.stack().transition.as_ref().expect("it runs").detached;
        detached.values().any(|d| d.epoch == Epoch(2)) || w.stack().epoch() > Epoch(2)
    });
    assert!(
        since(&world) <= STEP,
        "counted from the last detachment, not from the first attempt: {}",
        since(&world)
    );
}

#[test]
fn a_standby_that_reports_a_used_timeline_is_refused() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.until("an election", |w| w.state.active(&chat()).expect("adopted").1 > Epoch(1));
    let position = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(1_000) });
    let outcome = world.report_step(&site(2), StepKind::Promote, Epoch(2), StepOutcome::Done, position);
    assert_eq!(outcome, Outcome::Refused(Refusal::TimelineUsed));
}

#[test]
fn nothing_else_happens_twice_when_commands_are_repeated() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(9_000));
    let done = world.state.clone();
    let log: Vec<Command> = world
        .log
        .iter()
        .map(|(_, c, _)| c.clone())
        .filter(|c| {
            matches!(
                c,
                Command::Elect { .. }
                    | Command::Step(_)
                    | Command::BeginTransition { .. }
                    | Command::Expire { .. }
                    | Command::Complete { .. }
            )
        })
        .collect();
    for command in log {
        world.commit(command);
    }
    assert_eq!(world.stack(), &done.stacks()[&chat()]);
}

#[test]
fn a_standby_that_has_not_let_go_is_not_elected() {
    let mut world = World::automatic();
    world.lose(&site(1));
    for _ in 0..90 {
        world.turn(false);
    }
    assert!(world.stack().is_closed());
    let outcome = world.commit(Command::Elect { stack: chat(), epoch: Epoch(1), site: site(2) });
    assert_eq!(outcome, Outcome::Refused(Refusal::NotDetached(site(2))));
}

#[test]
fn a_return_is_told_once_by_the_site_that_returns_and_changes_nothing_else() {
    let mut world = World::automatic();
    world.lose(&site(1));
    world.run(Millis(9_000));
    let chain = desired(&world.state, &site(1)).of(&chat()).expect("it carries it").chain.clone();
    let links: Vec<_> = chain.iter().map(|l| (l.site.clone(), l.timeline)).collect();
    assert_eq!(links, [(site(1), Timeline(1)), (site(2), Timeline(2))], "what a copy is compared with");
    let before = world.stack().clone();
    let fork = WalPosition { timeline: Timeline(1), lsn: chain[1].start };
    let told = |w: &mut World, n: usize, step, position| {
        w.report_step(&site(n), step, Epoch(2), StepOutcome::Done, position)
    };
    let events = |w: &World| {
        let ours = |e: &&model::Event| {
            matches!(e.kind, model::EventKind::DivergedListed { .. } | model::EventKind::Rejoined { .. })
        };
        w.state.events().filter(ours).count()
    };
    for _ in 0..2 {
        assert_eq!(told(&mut world, 1, StepKind::ListDiverged, Some(fork)), Outcome::Applied);
        assert_eq!(told(&mut world, 1, StepKind::Rejoin, None), Outcome::Applied);
    }
    assert_eq!(events(&world), 2, "an actor that restarts tells it again");
    assert_eq!(*world.stack(), before);
    let refused = told(&mut world, 2, StepKind::Rejoin, None);
    assert!(matches!(refused, Outcome::Refused(Refusal::StepNotDue(_))), "the active site: {refused:?}");
    let old = world.report_step(&site(1), StepKind::Rejoin, Epoch(1), StepOutcome::Done, None);
    assert!(matches!(old, Outcome::Refused(Refusal::StaleEpoch { .. })), "{old:?}");
}
