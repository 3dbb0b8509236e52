//! What can go wrong, and what to do about it.

use crate::codec::CodecError;
use std::path::PathBuf;

/// Starting failed; nothing runs.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("consensus: {0}")]
    Config(String),
    /// The store can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store that replaces a lost one can't learn what it must know before it may vote.
    #[error(
        "consensus: this witness starts with an empty store in place of a lost one, and must first ask all others how \
         they voted and what they hold; no answer from {0}. Start those, then this one again"
    )]
    Rejoin(String),
    /// openraft refused to start.
    #[error("consensus: Raft does not start: {0}")]
    Raft(String),
}

/// The store can't be opened or used. A witness never votes after one of these.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk failed, or the directory isn't writable.
    #[error("{path}: {reason}; check the disk and the permissions, then start the witness again")]
    Io {
        /// File or directory.
        path: PathBuf,
        /// What the system says.
        reason: String,
    },
    /// Another process has it.
    #[error(
        "{path} is in use by another process; stop that one, or give this witness a data directory of its own"
    )]
    InUse {
        /// The database.
        path: PathBuf,
    },
    /// Bits have changed after they were written, or a program wrote nonsense.
    #[error(
        "{path} is damaged: {reason}. This witness must not vote from it. Remedy: make sure that all other witnesses \
         run, move the directory away, and join again under a new node id; or, with the others whole and running, \
         start once with reset_identity"
    )]
    Damaged {
        /// The database.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// There was a database, and it is gone.
    #[error(
        "{path} is missing, but {marker} says that this witness had voted: an empty store could vote twice. Put the \
         file back; or make sure that all other witnesses run and start once with reset_identity"
    )]
    Missing {
        /// The database.
        path: PathBuf,
        /// The file that remembers it.
        marker: PathBuf,
    },
    /// It belongs to somebody else.
    #[error("{path} belongs to {found}, and this is {wanted}; give this witness its own data directory")]
    Foreign {
        /// The database or its marker.
        path: PathBuf,
        /// Whose it is.
        found: String,
        /// Who asks.
        wanted: String,
    },
    /// It was founded with other members.
    #[error(
        "{path} was founded with other members than the configuration now names; give every witness the list of \
         members that the group began with"
    )]
    OtherMembers {
        /// The database.
        path: PathBuf,
    },
    /// Written by a later version of this program.
    #[error("{path}: {source}; nothing was skipped, and this witness does not start")]
    Unknown {
        /// The database.
        path: PathBuf,
        /// What is unknown.
        source: CodecError,
    },
}

/// A proposal or a read has no good end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProposeError {
    /// No leader is known, or it has lost its quorum. Nothing was committed.
    #[error("no leader: a majority of witnesses does not answer, or an election is under way")]
    NoLeader,
    /// The answer did not come in time: it may or may not have been, or still be, committed.
    #[error("no answer in time: it is unknown whether the command was committed")]
    Unknown,
    /// This member has stopped.
    #[error("this witness is stopping")]
    Stopped,
    /// The command is longer than [`crate::COMMAND_BYTES_MAX`]. Nothing was committed.
    #[error("the command has {0} bytes; at most {max} are allowed", max = crate::COMMAND_BYTES_MAX)]
    TooLong(u64),
}

/// Why a message of another witness was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServiceError {
    /// The sender may not say this: wrong role, site, receiver or group.
    #[error("refused: {0}")]
    Refused(String),
    /// It can't be read.
    #[error("not understood: {0}")]
    Invalid(String),
    /// This member has stopped or can't answer now.
    #[error("unavailable: {0}")]
    Unavailable(String),
}

/// Why a member stopped. The process must end: only a new start reads the disk afresh.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Stopped {
    /// [`crate::Handle::shutdown`] was called.
    #[error("shut down")]
    Asked,
    /// The store failed; what it last wrote may or may not be there.
    #[error("the store failed: {0}; the process must end and read it afresh")]
    Store(String),
    /// This witness's state differs from the leader's.
    #[error(
        "state differs from the leader's after log index {0}: this witness must not go on; report it as a defect"
    )]
    Diverged(u64),
    /// A log entry or snapshot that this program does not know: upgrade it.
    #[error("{0}; it was not skipped: upgrade this witness")]
    Unknown(String),
    /// openraft ended by itself.
    #[error("Raft stopped: {0}")]
    Raft(String),
}
