//! What a leader must have heard before it gives a site up, or takes a standby for a successor.

use super::world::{STEP, World, site};
use crate::explain::{Answering, status};
use crate::{Command, decide};
use alloc::vec::Vec;
use model::{DatabaseReport, Epoch, Lsn, Millis, Verdict, WallMillis};

#[test]
fn after_a_time_without_a_quorum_sites_are_heard_before_they_are_given_up() {
    for stays in [true, false] {
        let mut world = World::automatic();
        world.view.leading(stays, world.now);
        let gives_up = |c: &Command| matches!(c, Command::Expire { .. } | Command::SetVerdict { .. });
        // Without a cover dc1's database is closed: that is no illness.
        let mut closed = world.report(&site(1));
        closed.database = DatabaseReport { problem: Some("closed".into()), ..DatabaseReport::unknown() };
        for _ in 0..400 {
            world.now = world.now.after(STEP);
            world.view.tick(&world.state, world.now);
            world.view.report(closed.clone(), world.now);
            assert!(!decide(&world.state, &world.view, world.now).iter().any(gives_up));
        }
        assert!(world.view.horizon_is_past(&site(1), world.now), "nothing could be committed");
        world.view.leading(true, world.now);
        // dc1 and dc2 answer again, dc3 does not.
        world.lose(&site(3));
        world.renew(&site(1));
        assert_eq!(decide(&world.state, &world.view, world.now), [], "dc1 is given time to open");
        world.run(Millis(3_000));
        assert_eq!(world.stack().epoch(), Epoch(1), "dc1 goes on as if nothing had been");
        assert_eq!(world.state.sites()[&site(3)].verdict, Verdict::Lost);
    }
}

#[test]
fn without_a_quorum_the_status_says_that_nobody_runs_the_stack() {
    let mut world = World::automatic();
    let answering = Answering {
        group: "g".into(),
        stale: true,
        leader: None,
        term: 1,
        round_trips: Vec::new(),
        wall: WallMillis(0),
    };
    let says = |world: &World| status(&world.state, &world.view, &answering, world.now).sentences.remove(0);
    assert!(says(&world).contains("chat is active at dc1 (epoch 1)"), "{}", says(&world));
    world.view.leading(false, world.now);
    for _ in 0..100 {
        world.now = world.now.after(STEP);
        world.view.tick(&world.state, world.now);
    }
    assert!(says(&world).contains("dc1 has closed it and nobody runs it"), "{}", says(&world));
    world.renew(&site(1));
    assert!(says(&world).contains("chat is active at dc1 (epoch 1)"), "{}", says(&world));
}

#[test]
fn sites_are_given_up_though_nobody_renews_any_more() {
    let mut world = World::automatic();
    for n in 1..=3 {
        world.lose(&site(n));
    }
    world.run(Millis(12_000));
    assert!((1..=3).all(|n| world.state.sites()[&site(n)].verdict == Verdict::Lost));
}

/// Scenario datadog-game-day-lag: the line to the primary was cut, and both sides show it as streaming.
#[test]
fn a_standby_that_is_told_nothing_of_what_is_written_does_not_stream() {
    let mut world = World::automatic();
    let max = world.state.policy().expect("a policy").max_lag_bytes;
    let streams = |world: &World| world.stack().streaming.contains_key(&site(2));
    for (written, known) in [(max, true), (max + 1, false), (max, true)] {
        world.hands.get_mut(&site(1)).expect("dc1").lsn = Lsn(1_000 + written);
        world.run(Millis(300));
        assert_eq!(streams(&world), known, "{written}");
    }
}

#[test]
fn a_primary_that_writes_nothing_says_nothing_about_its_standbys() {
    let mut world = World::automatic();
    let stalled = world.now;
    for _ in 0..40 {
        world.now = world.now.after(STEP);
        world.view.tick(&world.state, world.now);
        for n in 1..=3 {
            world.renew(&site(n));
            let mut report = world.report(&site(n));
            let age = Millis(world.now.elapsed_longest(stalled).0);
            report.database.write_age = report.database.write_age.map(|_| age);
            report.database.upstream.iter_mut().for_each(|up| up.message_age = age);
            world.view.report(report, world.now);
        }
        assert_eq!(decide(&world.state, &world.view, world.now), []);
    }
}

#[test]
fn a_standby_that_lacks_more_than_max_lag_does_not_stream() {
    let mut world = World::automatic();
    let max = world.state.policy().expect("a policy").max_lag_bytes;
    for (received, lag, streams) in
        [(0, max, true), (0, max + 1, false), (max, 2 * max, false), (2 * max, max, true)]
    {
        let mut report = world.report(&site(2));
        // What it has replayed and what it has received: only the latter is lacking.
        let replayed = Lsn(1_000);
        (report.database.replayed, report.database.received) = (Some(replayed), Some(Lsn(1_000 + received)));
        report.database.upstream.iter_mut().for_each(|up| up.lag_bytes = lag);
        world.view.report(report, world.now);
        for command in decide(&world.state, &world.view, world.now) {
            world.commit(command);
        }
        assert_eq!(world.stack().streaming.contains_key(&site(2)), streams, "{received} {lag}");
    }
}
