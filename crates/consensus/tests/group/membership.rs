//! Who may speak, and who leads.

use crate::harness::{DEADLINE, Group, define, site, until};
use consensus::{Error, ServiceError};
use rpc::{
    identity::{PeerIdentity, Role},
    v1::{ProposeRequest, RaftRequest, ReadIndexRequest},
};

fn peer(role: Role, name: &str) -> PeerIdentity {
    PeerIdentity::new("test", role, name).expect("a name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_members_own_certificate_speaks_for_it() {
    let group = Group::running().await;
    let service = &group.nodes[&1].service;
    let message = |from, to| RaftRequest { from, to, frame: Vec::new() };
    let refused = [
        (peer(Role::Actor, "dc2"), message(2, 1)),
        (peer(Role::Witness, "dc3"), message(2, 1)),
        (peer(Role::Witness, "dc9"), message(9, 1)),
        (peer(Role::Witness, "dc2"), message(2, 3)),
        (peer(Role::Witness, "dc1"), message(1, 1)),
        (PeerIdentity::new("other", Role::Witness, "dc2").expect("a name"), message(2, 1)),
    ];
    for (from, message) in refused {
        let answer = service.raft(&from, message).await;
        assert!(matches!(answer, Err(ServiceError::Refused(_))), "{from}: {answer:?}");
    }
    let answer = service.raft(&peer(Role::Witness, "dc2"), message(2, 1)).await;
    assert!(matches!(answer, Err(ServiceError::Invalid(_))), "an empty frame: {answer:?}");
    let actor = peer(Role::Actor, "dc2");
    assert!(service.propose(&actor, ProposeRequest::default()).await.is_err());
    assert!(service.read_index(&actor, ReadIndexRequest {}).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_certificate_or_list_of_members_does_not_start() {
    let mut group = Group::new(3).await;
    let mut config = group.config(1);
    config.members.remove(&1);
    assert!(matches!(group.start_with(config).await, Err(Error::Config(_))));
    let mut config = group.config(1);
    config.group = "other".to_owned();
    assert!(matches!(group.start_with(config).await, Err(Error::Config(_))));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_with_other_members_founds_nothing_with_us() {
    let mut group = Group::new(3).await;
    group.start(1).await.expect("it starts");
    let mut config = group.config(2);
    config.members.remove(&3);
    group.start_with(config).await.expect("it starts");
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    for id in [1, 2] {
        assert!(group.handle(id).leader().is_none(), "node {id} has a leader");
        assert_eq!(group.handle(id).state().index(), model::LogIndex(0));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_seat_moves_on_request() {
    let group = Group::running().await;
    let old = group.leader().await;
    group.commit(old, define(0)).await;
    let to = group.follower(old);
    group.handle(old).transfer_leader(to).await.expect("it leads");
    until("the seat has moved", || group.handle(to).watch_leadership().borrow().me_leading.then_some(()))
        .await;
    let index = group.commit(old, define(1)).await;
    group.agree(index).await;
    let leadership = group.handle(old).watch_leadership();
    until("all know it", || (leadership.borrow().leader == Some(site(to))).then_some(())).await;
    assert_eq!(group.handle(old).leader(), Some((to, site(to))));
    assert!(group.handle(old).transfer_leader(to).await.is_err(), "it doesn't lead any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn five_witnesses_go_on_with_three() {
    let mut group = Group::new(5).await;
    group.start_all().await;
    let leader = group.leader().await;
    group.commit(leader, define(0)).await;
    group.stop(leader).await;
    let second = group.follower(0);
    group.stop(second).await;
    let next = group.leader().await;
    let index = group.commit(group.follower(next), define(1)).await;
    group.agree(index).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_witness_alone_is_a_group_too() {
    let mut group = Group::new(1).await;
    group.start(1).await.expect("it starts");
    let index = group.commit(1, define(0)).await;
    assert!(group.handle(1).read_index(DEADLINE).await.expect("it leads") >= index);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    assert!(group.handle(1).watch_leadership().borrow().me_leading, "nobody else has to acknowledge it");
    group.commit(1, define(1)).await;
}
