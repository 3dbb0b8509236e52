//! Deaths, restarts, snapshots.

use crate::harness::{DEADLINE, Group, define, until};
use consensus::{Compaction, Error, ProposeError, Stopped, StoreError};
use model::Millis;
use std::fs;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_leaders_death_costs_no_committed_entry() {
    let mut group = Group::running().await;
    let old = group.leader().await;
    group.commit(old, define(0)).await;
    group.stop(old).await;
    let next = group.leader().await;
    let index = group.commit(group.follower(next), define(1)).await;
    group.start(old).await.expect("it starts again");
    let state = group.agree(index).await;
    assert_eq!(state.sites().len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_may_die_and_come_back_in_any_order() {
    let mut group = Group::running().await;
    let mut last = group.commit(1, define(0)).await;
    for (round, order) in [[1, 2, 3], [3, 2, 1], [2, 3, 1]].into_iter().enumerate() {
        for id in order {
            group.stop(id).await;
        }
        for id in order {
            group.start(id).await.expect("it starts again");
        }
        let leader = group.leader().await;
        let index = group.commit(group.follower(leader), define(round + 1)).await;
        assert!(index > last);
        last = index;
        assert_eq!(group.agree(index).await.sites().len(), round + 2);
    }
}

/// Times that a follower is away before it must have got a snapshot.
const SNAPSHOT_ROUNDS: u32 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_away_for_long_gets_a_snapshot() {
    let mut group = Group::new(3).await;
    group.compaction = Compaction { snapshot_every: 50, log_kept: 10 };
    group.start_all().await;
    let leader = group.leader().await;
    let away = group.follower(leader);
    group.stop(away).await;
    for n in 0..20 {
        group.commit(leader, define(n)).await;
    }
    let mut last = None;
    // When the log is cut is openraft's business: now and then not before the other one is back.
    for _ in 0..SNAPSHOT_ROUNDS {
        for _ in 0..130 {
            last = Some(group.commit(leader, coordination::Command::Nothing).await);
        }
        group.start(away).await.expect("it starts again");
        group.agree(last.expect("some")).await;
        if group.nodes[&away].restored() >= 2 {
            break;
        }
        group.stop(away).await;
    }
    assert!(
        group.nodes.get(&away).is_some_and(|node| node.restored() >= 2),
        "it caught up without a snapshot"
    );

    // And from its own disk, where only the snapshot has the beginning.
    group.stop(away).await;
    group.start(away).await.expect("it starts again");
    let state = group.agree(last.expect("some")).await;
    assert_eq!(state.sites().len(), 20);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_missing_store_does_not_start() {
    let mut group = Group::running().await;
    group.commit(1, define(0)).await;
    let leader = group.leader().await;
    let broken = group.follower(leader);
    group.stop(broken).await;
    let database = group.config(broken).data_directory.join("consensus.redb");
    let mut bytes = fs::read(&database).expect("there");
    let half = bytes.len() / 2;
    bytes[..half].fill(0xa5);
    fs::write(&database, bytes).expect("written");
    let error = group.start(broken).await.expect_err("damaged");
    assert!(matches!(error, Error::Store(StoreError::Damaged { .. })), "{error}");
    fs::remove_file(&database).expect("removed");
    let error = group.start(broken).await.expect_err("missing");
    assert!(matches!(error, Error::Store(StoreError::Missing { .. })), "{error}");

    // The way back leads past all others: one of them away is one too few.
    let mut config = group.config(broken);
    config.reset_identity = true;
    let other = (1..=3).find(|id| ![leader, broken].contains(id)).expect("three");
    group.stop(other).await;
    let error = group.start_with(config.clone()).await.expect_err("one does not answer");
    assert!(matches!(&error, Error::Rejoin(who) if *who == format!("dc{other}")), "{error}");
    group.start(other).await.expect("it starts again");
    let leader = group.leader().await;
    group.start_with(config).await.expect("it was asked for, and all answer");
    let index = group.commit(leader, define(1)).await;
    assert_eq!(group.agree(index).await.sites().len(), 2);
    assert_eq!(group.leader().await, leader);

    // It counts again: with the leader gone the two others go on.
    group.stop(leader).await;
    let next = group.leader().await;
    let index = group.commit(next, define(2)).await;
    assert_eq!(group.agree(index).await.sites().len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_was_shut_down_says_so() {
    let group = Group::running().await;
    let handle = group.handle(1).clone();
    handle.shutdown().await;
    assert_eq!(handle.stopped().await, Stopped::Asked);
    assert_eq!(handle.propose(define(0), DEADLINE).await, Err(ProposeError::Stopped));
    until("leadership is given up", || (!handle.watch_leadership().borrow().me_leading).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_majority_nothing_is_committed() {
    let mut group = Group::running().await;
    group.commit(1, define(0)).await;
    group.stop(2).await;
    group.stop(3).await;
    until("no leader any more", || group.handle(1).leader().is_none().then_some(())).await;
    let error = group.handle(1).propose(define(1), Millis(1_000)).await;
    assert_eq!(error, Err(ProposeError::NoLeader));
    assert_eq!(group.handle(1).read_index(Millis(500)).await, Err(ProposeError::NoLeader));
    assert_eq!(group.handle(1).state().sites().len(), 1, "a stale answer is still there");
}
