//! Between openraft's types and ours.

use super::wire::{
    AppendRequest, AppendResponse, Ballot, LogRecord, Members, Payload, Position, SnapshotMeta,
    TransferRequest, TransferResponse, VoteRequest, VoteResponse,
};
use super::{CodecError, Kind, open, seal};
use crate::group::{Group, LogEntry, LogId, Membership, Proposal, StoredMembership, Vote};
use openraft::{
    EntryPayload,
    impls::leader_id_std,
    raft,
    raft::{StreamAppendError, TransferLeaderError},
    vote::RaftLeaderId,
};
use std::{borrow::Cow, collections::BTreeSet, sync::Arc};

pub(crate) fn position(id: &LogId) -> Position {
    Position { term: id.leader_id.term, index: id.index }
}

pub(crate) fn positions(id: Option<&LogId>) -> Option<Position> {
    id.map(position)
}

pub(crate) fn log_id(position: Position) -> LogId {
    // In this mode the proposer's node id is no part of a log id.
    let leader = leader_id_std::LeaderId::new(position.term, 0).to_committed();
    openraft::LogId { leader_id: leader, index: position.index }
}

pub(crate) fn log_ids(position: Option<Position>) -> Option<LogId> {
    position.map(log_id)
}

pub(crate) fn ballot(vote: &Vote) -> Ballot {
    Ballot { term: vote.leader_id.term, node: vote.leader_id.voted_for, granted: vote.committed }
}

pub(crate) fn vote(ballot: Ballot) -> Vote {
    if ballot.granted {
        Vote::new_committed(ballot.term, ballot.node)
    } else {
        Vote::new(ballot.term, ballot.node)
    }
}

pub(crate) fn members(membership: &Membership) -> Members {
    Members {
        voters: membership.get_joint_config().clone(),
        nodes: membership.nodes().map(|(id, _)| *id).collect::<BTreeSet<_>>(),
    }
}

pub(crate) fn membership(members: Members) -> Membership {
    Membership::new_with_defaults(members.voters, members.nodes)
}

pub(crate) fn record(entry: &LogEntry) -> Result<Vec<u8>, CodecError> {
    let payload = match &entry.payload {
        EntryPayload::Blank => Payload::Blank,
        EntryPayload::Normal(Proposal(entry)) => Payload::Command(Cow::Borrowed(entry)),
        EntryPayload::Membership(m) => Payload::Members(members(m)),
    };
    seal(Kind::LogRecord, &LogRecord { position: position(&entry.log_id), payload })
}

pub(crate) fn entry(bytes: &[u8]) -> Result<LogEntry, CodecError> {
    let record: LogRecord<'static> = open(Kind::LogRecord, bytes)?;
    let payload = match record.payload {
        Payload::Blank => EntryPayload::Blank,
        Payload::Command(entry) => EntryPayload::Normal(Proposal(Arc::new(entry.into_owned()))),
        Payload::Members(m) => EntryPayload::Membership(membership(m)),
    };
    Ok(openraft::Entry { log_id: log_id(record.position), payload })
}

pub(crate) fn snapshot_meta(meta: &crate::group::SnapshotMeta) -> SnapshotMeta {
    SnapshotMeta {
        last: positions(meta.last_log_id.as_ref()),
        members_at: positions(meta.last_membership.log_id().as_ref()),
        members: members(meta.last_membership.membership()),
    }
}

pub(crate) fn snapshot_meta_back(meta: SnapshotMeta) -> crate::group::SnapshotMeta {
    crate::group::SnapshotMeta {
        last_log_id: log_ids(meta.last),
        last_membership: StoredMembership::new(log_ids(meta.members_at), membership(meta.members)),
    }
}

pub(crate) fn append_request(
    founding: u64,
    request: &raft::AppendEntriesRequest<Group>,
) -> Result<Vec<u8>, CodecError> {
    let entries = request.entries.iter().map(record).collect::<Result<Vec<_>, _>>()?;
    let request = AppendRequest {
        founding,
        leader: ballot(&request.vote),
        previous: positions(request.prev_log_id.as_ref()),
        entries,
        committed: positions(request.leader_commit.as_ref()),
    };
    seal(Kind::AppendRequest, &request)
}

pub(crate) fn append_request_back(
    request: AppendRequest,
) -> Result<raft::AppendEntriesRequest<Group>, CodecError> {
    Ok(raft::AppendEntriesRequest {
        vote: vote(request.leader),
        prev_log_id: log_ids(request.previous),
        entries: request.entries.iter().map(|bytes| entry(bytes)).collect::<Result<_, _>>()?,
        leader_commit: log_ids(request.committed),
    })
}

/// `sent` is the request's previous and last position: openraft's unary answer leaves them out.
pub(crate) fn append_response(
    response: &raft::AppendEntriesResponse<Group>,
    previous: Option<Position>,
    last: Option<Position>,
) -> AppendResponse {
    match response {
        raft::AppendEntriesResponse::Success => AppendResponse::Reached(last),
        raft::AppendEntriesResponse::PartialSuccess(reached) => {
            AppendResponse::Reached(positions(reached.as_ref()))
        }
        raft::AppendEntriesResponse::Conflict => AppendResponse::Conflict(previous),
        raft::AppendEntriesResponse::HigherVote(higher) => AppendResponse::Higher(ballot(higher)),
    }
}

pub(crate) fn stream_result(result: &raft::StreamAppendResult<Group>) -> AppendResponse {
    match result {
        Ok(reached) => AppendResponse::Reached(positions(reached.as_ref())),
        Err(StreamAppendError::Conflict(at)) => AppendResponse::Conflict(Some(position(at))),
        Err(StreamAppendError::HigherVote(higher)) => AppendResponse::Higher(ballot(higher)),
    }
}

/// `None`: a conflict without a place, which no follower answers to entries that have one.
pub(crate) fn stream_result_back(response: AppendResponse) -> Option<raft::StreamAppendResult<Group>> {
    match response {
        AppendResponse::Reached(reached) => Some(Ok(log_ids(reached))),
        AppendResponse::Conflict(at) => Some(Err(StreamAppendError::Conflict(log_id(at?)))),
        AppendResponse::Higher(higher) => Some(Err(StreamAppendError::HigherVote(vote(higher)))),
    }
}

pub(crate) fn append_response_back(
    response: AppendResponse,
    last: Option<Position>,
) -> raft::AppendEntriesResponse<Group> {
    match response {
        AppendResponse::Reached(reached) if reached == last => raft::AppendEntriesResponse::Success,
        AppendResponse::Reached(reached) => raft::AppendEntriesResponse::PartialSuccess(log_ids(reached)),
        AppendResponse::Conflict(_) => raft::AppendEntriesResponse::Conflict,
        AppendResponse::Higher(higher) => raft::AppendEntriesResponse::HigherVote(vote(higher)),
    }
}

pub(crate) fn vote_request(founding: u64, request: &raft::VoteRequest<Group>) -> VoteRequest {
    VoteRequest {
        founding,
        ballot: ballot(&request.vote),
        last: positions(request.last_log_id.as_ref()),
        transfer: request.leadership_transfer,
    }
}

pub(crate) fn vote_request_back(request: VoteRequest) -> raft::VoteRequest<Group> {
    let mut back = raft::VoteRequest::new(vote(request.ballot), log_ids(request.last));
    back.leadership_transfer = request.transfer;
    back
}

pub(crate) fn vote_response(response: &raft::VoteResponse<Group>) -> VoteResponse {
    VoteResponse {
        ballot: ballot(&response.vote),
        granted: response.vote_granted,
        last: positions(response.last_log_id.as_ref()),
    }
}

pub(crate) fn vote_response_back(response: VoteResponse) -> raft::VoteResponse<Group> {
    raft::VoteResponse::new(vote(response.ballot), log_ids(response.last), response.granted)
}

pub(crate) fn transfer_request(
    founding: u64,
    request: &raft::TransferLeaderRequest<Group>,
) -> TransferRequest {
    TransferRequest {
        founding,
        from: ballot(request.from_leader()),
        to: *request.to_node_id(),
        last: positions(request.last_log_id()),
    }
}

pub(crate) fn transfer_request_back(request: TransferRequest) -> raft::TransferLeaderRequest<Group> {
    raft::TransferLeaderRequest::new(vote(request.from), request.to, log_ids(request.last))
}

pub(crate) fn transfer_response(response: &raft::TransferLeaderResponse<Group>) -> TransferResponse {
    match response {
        Ok(()) => TransferResponse::Taken,
        Err(TransferLeaderError::VoteChanged { expected, actual }) => {
            TransferResponse::VoteChanged { expected: ballot(expected), actual: ballot(actual) }
        }
        Err(TransferLeaderError::LogNotFlushed { expected, actual }) => TransferResponse::LogNotFlushed {
            expected: positions(expected.as_ref()),
            actual: positions(actual.as_ref()),
        },
    }
}

pub(crate) fn transfer_response_back(response: TransferResponse) -> raft::TransferLeaderResponse<Group> {
    match response {
        TransferResponse::Taken => Ok(()),
        TransferResponse::VoteChanged { expected, actual } => {
            Err(TransferLeaderError::VoteChanged { expected: vote(expected), actual: vote(actual) })
        }
        TransferResponse::LogNotFlushed { expected, actual } => {
            Err(TransferLeaderError::LogNotFlushed { expected: log_ids(expected), actual: log_ids(actual) })
        }
    }
}
