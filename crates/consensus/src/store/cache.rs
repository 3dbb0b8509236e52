//! What the store holds, in memory: small, for a snapshot lets the log be purged.

use super::writer::Pending;
use crate::{
    codec::{CodecError, Kind, convert, open_borrowed, seal, wire::SnapshotRecord},
    group::{LogEntry, LogId, SnapshotBytes, SnapshotMeta, Vote},
};
use std::collections::BTreeMap;

/// The contents.
#[derive(Default)]
pub(super) struct Cache {
    pub vote: Option<Vote>,
    pub committed: Option<LogId>,
    pub purged: Option<LogId>,
    pub entries: BTreeMap<u64, LogEntry>,
    pub snapshot: Option<StoredSnapshot>,
    pub rejoin: Rejoin,
    /// The committed index that the next transaction takes along.
    pub pending: Pending,
}

impl Cache {
    /// Place of the last entry, or of the last purged one.
    pub(super) fn last(&self) -> Option<LogId> {
        self.entries.last_key_value().map(|(_, entry)| entry.log_id).or(self.purged)
    }
}

/// What a store that was made in place of a lost one still has to do before it may vote.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Rejoin {
    /// Nothing: it is the first of this witness.
    #[default]
    No,
    /// Ask the others what it may have forgotten.
    Ask,
    /// Get the log up to here: what the lost store had acknowledged ends there at the latest.
    Until(LogId),
}

/// A snapshot and what it covers.
#[derive(Clone)]
pub(crate) struct StoredSnapshot {
    pub meta: SnapshotMeta,
    /// A `State` frame.
    pub state: SnapshotBytes,
}

impl StoredSnapshot {
    pub(super) fn encode(&self) -> Result<Vec<u8>, CodecError> {
        seal(
            Kind::SnapshotRecord,
            &SnapshotRecord { meta: convert::snapshot_meta(&self.meta), state: &self.state },
        )
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Self, CodecError> {
        let record: SnapshotRecord<'_> = open_borrowed(Kind::SnapshotRecord, bytes)?;
        Ok(Self { meta: convert::snapshot_meta_back(record.meta), state: record.state.into() })
    }
}
