//! openraft's types, as this crate fills them in, under short names.

use coordination::{Entry, Outcome};
use model::LogIndex;
use openraft::alias;
use std::{fmt, sync::Arc};

openraft::declare_raft_types!(
    /// One leader per term, so that a term is a plain number that only grows.
    pub(crate) Group:
        D = Proposal,
        R = Outcome,
        NodeId = u64,
        Node = openraft::EmptyNode,
        Term = u64,
        LeaderId = openraft::impls::leader_id_std::LeaderId<u64, u64>,
        AsyncRuntime = openraft_rt_tokio::TokioRuntime,
);

pub(crate) type Vote = alias::VoteOf<Group>;
pub(crate) type LogId = alias::LogIdOf<Group>;
pub(crate) type LogEntry = alias::EntryOf<Group>;
pub(crate) type Membership = openraft::Membership<u64, openraft::EmptyNode>;
pub(crate) type StoredMembership = alias::StoredMembershipOf<Group>;
pub(crate) type SnapshotMeta = alias::SnapshotMetaOf<Group>;
/// The encoded state.
pub(crate) type SnapshotBytes = Arc<[u8]>;
pub(crate) type Snapshot = alias::SnapshotOf<Group, SnapshotBytes>;
pub(crate) type Raft = openraft::Raft<Group, crate::state_machine::StateMachine>;
pub(crate) type Metrics = openraft::RaftMetrics<Group>;

/// An entry of the core in the log; shared, for it goes to disk, to followers and to `apply`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Proposal(pub Arc<Entry>);

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("command")
    }
}

/// The core's index of a Raft entry. Raft counts from 0; in the core 0 is "nothing applied".
pub(crate) const fn log_index(raft: u64) -> LogIndex {
    LogIndex(raft.saturating_add(1))
}

/// The core's index of the last of the entries up to `last`.
pub(crate) fn log_index_of(last: Option<&LogId>) -> LogIndex {
    last.map_or(LogIndex(0), |id| log_index(id.index))
}
