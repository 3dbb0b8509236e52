//! What the frames hold: our own layouts for all that openraft wants stored or sent. Fields and
//! variants are only ever added with a new frame version; `testdata/` holds bytes that must
//! always decode.

use coordination::Entry;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeSet};

/// Place of an entry in the log: the term of the leader that proposed it, and its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Position {
    pub term: u64,
    pub index: u64,
}

/// A vote: for whom in which term, and whether a quorum granted it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Ballot {
    pub term: u64,
    pub node: u64,
    pub granted: bool,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct LogRecord<'a> {
    pub position: Position,
    pub payload: Payload<'a>,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) enum Payload<'a> {
    /// A leader's first entry.
    Blank,
    /// A command of the core.
    Command(Cow<'a, Entry>),
    /// Another set of members.
    Members(Members),
}

/// Who votes: more than one set while one takes over from the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Members {
    pub voters: Vec<BTreeSet<u64>>,
    pub nodes: BTreeSet<u64>,
}

/// What a snapshot covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotMeta {
    pub last: Option<Position>,
    pub members_at: Option<Position>,
    pub members: Members,
}

/// A snapshot on disk; `state` is a frame of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotRecord<'a> {
    pub meta: SnapshotMeta,
    pub state: &'a [u8],
}

/// Whose store this is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoreIdentity {
    pub group: String,
    pub node: u64,
    pub site: String,
    /// Digest of the group's name and its first members.
    pub founding: u64,
    /// Drawn when the store was made.
    pub store: u64,
    /// Made in place of a lost one.
    pub rejoining: bool,
}

/// Entries for a follower; each is a [`LogRecord`] frame.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AppendRequest {
    pub founding: u64,
    pub leader: Ballot,
    pub previous: Option<Position>,
    pub entries: Vec<Vec<u8>>,
    pub committed: Option<Position>,
}

/// The follower's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum AppendResponse {
    /// All entries up to here are on its disk.
    Reached(Option<Position>),
    /// It has another entry, or none, at this place.
    Conflict(Option<Position>),
    /// It knows a later leader or candidate.
    Higher(Ballot),
}

/// A candidate asks for a vote, or whether it would get one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteRequest {
    pub founding: u64,
    pub ballot: Ballot,
    pub last: Option<Position>,
    pub transfer: bool,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct VoteResponse {
    pub ballot: Ballot,
    pub granted: bool,
    pub last: Option<Position>,
}

/// The leader wants this node to take over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TransferRequest {
    pub founding: u64,
    pub from: Ballot,
    pub to: u64,
    pub last: Option<Position>,
}

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TransferResponse {
    Taken,
    VoteChanged { expected: Ballot, actual: Ballot },
    LogNotFlushed { expected: Option<Position>, actual: Option<Position> },
}

/// First message of a snapshot's transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SnapshotHeader {
    pub founding: u64,
    pub leader: Ballot,
    pub meta: SnapshotMeta,
    /// Bytes in the pieces that follow.
    pub length: u64,
}

/// Why a forwarded proposal was not committed by the receiver.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// The receiver isn't the leader, or none that a quorum acknowledges. Nothing was appended.
    NoLeader,
    /// It may or may not have been committed.
    Unknown,
    /// The receiver is stopping.
    Stopped,
    /// Longer than the limit.
    TooLong(u64),
}
