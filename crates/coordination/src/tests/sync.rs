//! Synchronous sets: how they change, how they fence, and who may be elected.

use super::world::{World, chat, site};
use crate::{Command, Outcome, decide};
use alloc::vec::Vec;
use model::{
    Cause, Epoch, FenceMethod, Hold, Lsn, Millis, Refusal, RenewalNumber, Replication, SiteId, StandbyLoss,
    StepKind, StepOutcome, SyncSet, Timeline, WalPosition,
};

fn any(k: u8, members: &[usize]) -> SyncSet {
    SyncSet { k, members: members.iter().map(|n| site(*n)).collect() }
}

/// dc1 waits for one of dc2 and dc3.
fn synchronous(loss: StandbyLoss) -> World {
    let mut world = World::automatic();
    let replication = Replication::Sync { k: 1, loss };
    assert_eq!(world.commit(Command::SetReplication { stack: chat(), replication }), Outcome::Applied);
    world.run(Millis(1_000));
    assert_eq!(world.stack().sync.sets, [any(1, &[2, 3])]);
    world
}

fn holds(world: &World) -> Vec<Hold> {
    decide::holds(&world.state, &world.view, &chat(), world.now)
}

fn ends(world: &mut World, n: usize, timeline: u32, lsn: u64) -> Outcome {
    let end = WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) };
    let epoch = world.stack().epoch();
    world.report_step(&site(n), StepKind::Detach, epoch, StepOutcome::Done, Some(end))
}

#[test]
fn a_set_grows_by_three_entries_and_both_sets_count_meanwhile() {
    let mut world = World::automatic();
    let replication = Replication::Sync { k: 1, loss: StandbyLoss::Strict };
    world.commit(Command::SetReplication { stack: chat(), replication });
    world.until("the first entry", |w| !w.stack().sync.is_settled());
    assert_eq!(world.stack().sync.sets, [SyncSet::NONE, any(1, &[2, 3])]);
    assert!(!world.stack().sync.is_synchronous(), "the empty one may be in effect");
    world.until("the last entry", |w| w.stack().sync.is_settled());
    assert!(world.stack().sync.is_synchronous());
}

#[test]
fn a_set_is_not_settled_before_it_is_seen_and_its_members_have_caught_up() {
    let mut world = World::automatic();
    let replication = Replication::Sync { k: 1, loss: StandbyLoss::Strict };
    world.commit(Command::SetReplication { stack: chat(), replication });
    world.hands.get_mut(&site(1)).expect("dc1").lsn = Lsn(9_000);
    world.run(Millis(2_000));
    assert!(!world.stack().sync.is_settled(), "nobody has what dc1 had when the set came into force");
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(9_000);
    world.run(Millis(300));
    assert!(world.stack().sync.is_settled(), "one of two has");
}

#[test]
fn standbys_alone_prove_the_fence_long_before_the_lease_ends() {
    let mut world = synchronous(StandbyLoss::Strict);
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.run(Millis(4_000));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(3), Epoch(2)), "the longer log");
    let fenced = world.count(|c| matches!(c, Command::FenceByReplication { .. }));
    assert_eq!(fenced, 1);
    assert_eq!(world.stack().fence.as_ref().expect("fenced").method, FenceMethod::Replication);
}

#[test]
fn a_primary_whose_wal_still_arrives_is_not_fenced_by_its_standbys() {
    let mut world = synchronous(StandbyLoss::Strict);
    // Its actor and its witness are gone; its database is not.
    world.lose(&site(1));
    world.primary_sends = true;
    world.run(Millis(5_000));
    assert!(world.stack().transition.is_none());
    world.run(Millis(4_000));
    assert_eq!(world.stack().fence.as_ref().expect("fenced").method, FenceMethod::Time);
}

#[test]
fn a_renewal_after_the_beginning_voids_the_proof_by_replication() {
    let mut world = synchronous(StandbyLoss::Strict);
    let number = world.hands[&site(1)].number;
    let (stack, epoch) = (chat(), Epoch(1));
    let begin = |number| Command::BeginTransition {
        stack: chat(),
        epoch,
        cause: Cause::Silence { number },
        to: None,
    };
    let stale = world.commit(begin(RenewalNumber(number.0 - 1)));
    assert_eq!(stale, Outcome::Refused(Refusal::Superseded { last: number }));
    assert_eq!(world.commit(begin(number)), Outcome::Applied);
    assert_eq!(ends(&mut world, 2, 1, 1_000), Outcome::Applied);
    assert_eq!(ends(&mut world, 3, 1, 1_000), Outcome::Applied);
    world.renew(&site(1));
    let late = world.commit(Command::FenceByReplication { stack, epoch });
    assert_eq!(late, Outcome::Refused(Refusal::Superseded { last: number.next() }));
    world.run(Millis(300));
    assert_eq!(world.state.active(&chat()).expect("adopted"), (&site(1), Epoch(2)), "it goes on");
    assert_eq!(world.stack().sync.sets, [any(1, &[2, 3])], "with its set");
}

#[test]
fn nobody_is_elected_while_a_commit_may_be_with_a_member_that_was_not_heard() {
    let mut world = synchronous(StandbyLoss::Available);
    world.lose(&site(1));
    world.lose(&site(3));
    world.run(Millis(20_000));
    assert!(world.stack().is_closed(), "by time");
    assert_eq!(world.stack().epoch(), Epoch(1));
    assert_eq!(holds(&world), [Hold::SetNotHeard { missing: [site(3)].into() }]);
    world.register(&site(3), 33);
    world.run(Millis(2_000));
    assert_eq!(world.stack().epoch(), Epoch(2));
}

#[test]
fn the_old_sets_count_until_the_new_one_has_caught_up_with_the_promotion() {
    let mut world = synchronous(StandbyLoss::Strict);
    world.hands.get_mut(&site(2)).expect("dc2").lsn = Lsn(2_000);
    world.lose(&site(1));
    world.until("an election", |w| w.stack().epoch() == Epoch(2));
    assert_eq!(world.stack().sync.sets, [any(1, &[2, 3]), any(1, &[3])]);
    world.run(Millis(2_000));
    assert!(!world.stack().sync.is_settled(), "dc3 lacks what dc2 has");
    world.hands.get_mut(&site(3)).expect("dc3").lsn = Lsn(2_000);
    world.run(Millis(500));
    assert_eq!(world.stack().sync.sets, [any(1, &[3])]);
}

#[test]
fn a_promotion_that_nobody_heard_of_is_a_longer_log() {
    let mut world = synchronous(StandbyLoss::Strict);
    world.lose(&site(1));
    world.until("an election", |w| w.stack().epoch() == Epoch(2));
    let elected = world.state.active(&chat()).expect("adopted").0.clone();
    assert_eq!(elected, site(2));
    world.report_step(&site(2), StepKind::Promote, Epoch(2), StepOutcome::Failed, None);
    world.until("the way out", |w| w.stack().fence_begun.is_some() || w.stack().is_closed());
    // It was promoted, and says so by the timeline that it lets go with.
    ends(&mut world, 2, 2, 1_500);
    ends(&mut world, 3, 1, 1_000);
    world.report_step(&site(2), StepKind::FenceDatabase, Epoch(2), StepOutcome::Done, None);
    let third = world.commit(Command::Elect { stack: chat(), epoch: Epoch(2), site: site(3) });
    assert_eq!(third, Outcome::Refused(Refusal::LongerLog(site(2))));
}

#[test]
fn a_set_shrinks_and_degrades_as_the_operator_asked() {
    let mut available = synchronous(StandbyLoss::Available);
    available.lose(&site(3));
    available.run(Millis(8_000));
    assert_eq!(available.stack().sync.sets, [any(1, &[2])]);
    available.lose(&site(2));
    available.run(Millis(8_000));
    assert_eq!(available.stack().sync.sets, [SyncSet::NONE], "degraded, and that is an entry");

    let mut strict = synchronous(StandbyLoss::Strict);
    strict.lose(&site(3));
    strict.run(Millis(8_000));
    assert_eq!(strict.stack().sync.sets, [any(1, &[2])]);
    strict.lose(&site(2));
    strict.run(Millis(8_000));
    assert_eq!(strict.stack().sync.wanted().k, 1, "writes wait");
    assert!(strict.stack().sync.is_synchronous());
}

#[test]
fn what_nobody_could_satisfy_is_refused() {
    let mut world = World::automatic();
    for k in [0, 3, 200] {
        let replication = Replication::Sync { k, loss: StandbyLoss::Strict };
        let refused = world.commit(Command::SetReplication { stack: chat(), replication });
        assert_eq!(refused, Outcome::Refused(Refusal::ImpossibleSet { standbys: 2 }), "{k}");
    }
    let world = &mut synchronous(StandbyLoss::Strict);
    let begin = |world: &mut World, set| {
        let since = world.stack().sync.since;
        world.commit(Command::BeginSet { stack: chat(), epoch: Epoch(1), since, set })
    };
    let stranger = SiteId::new("dc9").expect("a valid name");
    let with = |who: &SiteId| SyncSet { k: 1, members: [who.clone()].into() };
    let refused = begin(world, with(&stranger));
    assert_eq!(refused, Outcome::Refused(Refusal::NotAtSite(chat(), stranger)));
    assert_eq!(begin(world, with(&site(1))), Outcome::Refused(Refusal::NotAtSite(chat(), site(1))));
    assert_eq!(begin(world, any(2, &[2, 3])), Outcome::Refused(Refusal::ImpossibleSet { standbys: 2 }));
    assert_eq!(begin(world, SyncSet::NONE), Outcome::Refused(Refusal::ImpossibleSet { standbys: 0 }));
}
