//! Cut wires.

use crate::harness::{Group, define, until};
use consensus::ProposeError;
use model::Millis;
use std::time::Duration;

fn term(group: &Group, id: u64) -> u64 {
    group.handle(id).watch_leadership().borrow().term
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_was_cut_off_comes_back_without_a_new_election() {
    let group = Group::running().await;
    let leader = group.leader().await;
    let away = group.follower(leader);
    group.commit(leader, define(0)).await;
    let before = term(&group, leader);
    group.isolate(away);
    until("it misses the leader", || group.handle(away).leader().is_none().then_some(())).await;
    // Several of its election timeouts pass.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let index = group.commit(leader, define(1)).await;
    group.mend(away);
    group.agree(index).await;
    let index = group.commit(away, define(2)).await;
    group.agree(index).await;
    assert_eq!((group.leader().await, term(&group, leader)), (leader, before), "it disturbed the leader");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_was_cut_off_is_replaced_and_can_commit_nothing() {
    let group = Group::running().await;
    let old = group.leader().await;
    group.commit(old, define(0)).await;
    group.isolate(old);
    let lost = group.handle(old).propose(define(1), Millis(300)).await;
    assert_eq!(lost, Err(ProposeError::Unknown), "it can't know yet");
    let rest: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    let next = group.leader_among(&rest).await;
    assert!(!group.handle(old).watch_leadership().borrow().me_leading, "two leaders with a quorum's consent");
    assert_eq!(group.handle(old).propose(define(2), Millis(300)).await, Err(ProposeError::NoLeader));
    let index = group.commit(next, define(3)).await;
    group.mend(old);
    let state = group.agree(index).await;
    let names: Vec<String> = state.sites().keys().map(ToString::to_string).collect();
    assert_eq!(names, ["s0", "s3"], "what the old leader took alone is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_link_less_changes_nothing() {
    let group = Group::running().await;
    let leader = group.leader().await;
    let before = term(&group, leader);
    let others: Vec<u64> = (1..=3).filter(|id| *id != leader).collect();
    group.cut(others[0], others[1]);
    for n in 0..20 {
        group.commit(others[n % 2], define(n)).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!((group.leader().await, term(&group, leader)), (leader, before));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deaf_leader_is_replaced() {
    let group = Group::running().await;
    let old = group.leader().await;
    group.commit(old, define(0)).await;
    group.deafen(old);
    let rest: Vec<u64> = (1..=3).filter(|id| *id != old).collect();
    let next = group.leader_among(&rest).await;
    let index = group.commit(next, define(1)).await;
    group.mend(old);
    group.agree(index).await;
}
