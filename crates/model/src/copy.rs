//! What a site's copy of the database is, seen from its files, and what is being done to it. The
//! gate says so; the choice of how a site comes home rests on it.

use crate::{Epoch, Lsn, Millis, SiteId, SystemId, Timeline, WalPosition};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Serialize};

/// One promotion of the state's chain, as a site sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// The epoch.
    pub epoch: Epoch,
    /// The site that was promoted.
    pub site: SiteId,
    /// Its timeline.
    pub timeline: Timeline,
    /// Where that timeline begins; 0 for the one that was there at the adoption.
    pub start: Lsn,
}

/// What lies where the data directory should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyState {
    /// Nothing, or an empty directory.
    Absent,
    /// Something that this server can't start: another version's, or not readable.
    Unreadable,
    /// A copy with `standby.signal`.
    Standby,
    /// A copy without it: it was a primary.
    Primary,
}

/// What an earlier `pg_rewind` left, as the marker on disk says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyMark {
    /// It began and never ended: the directory is lost.
    RewindBegun,
    /// It ended well, and the copy has not streamed since: a second one would not notice what
    /// the first one's start changed.
    RewindDone,
}

/// What a copy's WAL holds beyond the point where the chain left it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diverged {
    /// Where its history leaves the chain.
    pub fork: WalPosition,
    /// False: the WAL from the fork on is not there any more, nothing could be counted.
    pub readable: bool,
    /// Records beyond the fork.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Committed transactions beyond the fork.
    pub commits: u64,
    /// The list, for people: tables by their file nodes, and where the WAL was kept.
    pub summary: String,
}

/// Which work is being done on a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CopyWork {
    /// `pg_waldump` reads what diverged.
    Inspect,
    /// The server's own crash recovery, before a rewind.
    Recover,
    /// Diverged WAL and configuration are copied aside.
    Keep,
    /// `pg_rewind`.
    Rewind,
    /// `pg_basebackup`.
    Clone,
    /// The new directory takes the old one's place.
    Swap,
}

/// Work under way on a copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyTask {
    /// Which.
    pub work: CopyWork,
    /// KiB done, as far as the tool says.
    pub done_kib: u64,
    /// KiB in all, as far as the tool says.
    pub total_kib: Option<u64>,
    /// Since it began.
    pub elapsed: Millis,
}

/// A site's copy of the database.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CopyReport {
    /// What is there.
    pub state: CopyState,
    /// Identity of the cluster.
    pub system_id: Option<SystemId>,
    /// The timeline that its control file names.
    pub timeline: Timeline,
    /// Its own history: each earlier timeline and where it was left, oldest first.
    pub parents: Vec<WalPosition>,
    /// Its last checkpoint record: the WAL ends there or later.
    pub checkpoint: Lsn,
    /// True after a clean shutdown.
    pub clean: bool,
    /// True with data checksums or `wal_log_hints`.
    pub can_rewind: bool,
    /// Size of the directory, bytes; 0 if not measured yet.
    pub size: u64,
    /// Free space beside it, bytes.
    pub free: u64,
    /// What an earlier rewind left.
    pub mark: Option<CopyMark>,
    /// The last inspection.
    pub diverged: Option<Diverged>,
    /// What is being done.
    pub task: Option<CopyTask>,
}

impl CopyReport {
    /// Nothing is there.
    #[must_use]
    pub const fn absent() -> Self {
        Self {
            state: CopyState::Absent,
            system_id: None,
            timeline: Timeline(0),
            parents: Vec::new(),
            checkpoint: Lsn(0),
            clean: false,
            can_rewind: false,
            size: 0,
            free: 0,
            mark: None,
            diverged: None,
            task: None,
        }
    }

    /// Where its timeline begins, as its own history says.
    #[must_use]
    pub fn start(&self) -> Option<Lsn> {
        self.parents.last().map(|parent| parent.lsn)
    }
}
