//! Groups of witnesses on loopback, from founding to partition.

mod harness;
mod membership;
mod partition;
mod proxy;
mod restart;
mod speed;

use consensus::Applied;
use coordination::Outcome;
use harness::{DEADLINE, Group, define};
use model::LogIndex;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn proposals_through_any_witness_reach_all_in_order() {
    let group = Group::running().await;
    let mut last = LogIndex(0);
    for n in 0..30 {
        let at = n as u64 % 3 + 1;
        let (index, outcome) = group.handle(at).propose(define(n), DEADLINE).await.expect("committed");
        assert_eq!(outcome, Outcome::Applied);
        assert!(index > last, "{index} after {last}");
        last = index;
    }
    let (_, refused) = group
        .handle(2)
        .propose(
            coordination::Command::DefineSite { site: "s1".parse().expect("a name"), actor: false },
            DEADLINE,
        )
        .await
        .expect("committed");
    assert!(matches!(refused, Outcome::Refused(_)), "apply's answer comes back: {refused:?}");
    group.agree(last.next()).await;
    for node in group.nodes.values() {
        let applied = node.applied.lock().expect("not poisoned");
        assert!(matches!(applied[0], Applied::Restored { .. }), "it begins with the state as restored");
        let mut next = None;
        for item in &applied[1..] {
            let Applied::Entry { index, state, .. } = item else { panic!("restored in between") };
            assert!(next.is_none_or(|next| next == *index), "{index} where {next:?} was due");
            assert_eq!(state.index(), *index);
            next = Some(index.next());
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_sees_what_was_committed_before_it() {
    let group = Group::running().await;
    for n in 0..10 {
        let index = group.commit(1, define(n)).await;
        for id in 1..=3 {
            let read = group.handle(id).read_index(DEADLINE).await.expect("there is a leader");
            assert!(read >= index, "read at {read}, committed at {index}");
            assert!(group.handle(id).state().index() >= index, "node {id} has not applied it");
        }
    }
}
