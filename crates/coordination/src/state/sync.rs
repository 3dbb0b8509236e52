//! Which synchronous sets may be in effect at the primary.

use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use model::{LogIndex, Replication, SiteId, StandbyLoss, SyncSet};
use serde::{Deserialize, Serialize};

/// Sets that may be in effect at once; more are refused.
pub const SETS_MAX: usize = 16;

/// The stack's synchronous replication: what is wanted, and what may be in effect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncState {
    /// What the operator asked for.
    pub replication: Replication,
    /// Sets that may be in effect, the oldest first; the last one is the one that the primary is
    /// to have. One alone is in force.
    pub sets: Vec<SyncSet>,
    /// The entry that made the last one the one to have.
    pub since: LogIndex,
}

impl Default for SyncState {
    fn default() -> Self {
        Self { replication: Replication::Async, sets: alloc::vec![SyncSet::NONE], since: LogIndex::default() }
    }
}

impl SyncState {
    /// The set that the primary is to have.
    #[must_use]
    pub fn wanted(&self) -> &SyncSet {
        // Never empty: no entry removes the last one.
        self.sets.last().unwrap_or(const { &SyncSet::NONE })
    }

    /// True if one set alone may be in effect.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        self.sets.len() == 1
    }

    /// True if no commit can have been acknowledged by the primary alone.
    #[must_use]
    pub fn is_synchronous(&self) -> bool {
        self.sets.iter().all(|set| !set.is_empty())
    }

    /// True if the group ever set a synchronous set: PostgreSQL's own setting is left alone before.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        self.since != LogIndex::default()
    }

    /// True if those in `heard` know every commit that any of the sets has acknowledged.
    #[must_use]
    pub fn is_known_to(&self, heard: impl Fn(&SiteId) -> bool) -> bool {
        let counts = |set: &&SyncSet| !planted!(LastSetAlone) || *set == self.wanted();
        self.sets.iter().filter(counts).all(|set| set.is_known_to(&heard))
    }

    /// From here on `set` may be in effect, too. False, and nothing changed, if there are too many.
    pub(crate) fn begin(&mut self, set: SyncSet, index: LogIndex) -> bool {
        self.sets.retain(|known| *known != set);
        if self.sets.len() == SETS_MAX {
            return false;
        }
        self.sets.push(set);
        self.since = index;
        true
    }

    /// No set but the last is in effect any more.
    pub(crate) fn settle(&mut self) {
        self.sets.drain(..self.sets.len() - 1);
    }

    /// The set to be made of `members`, where `all` are the sites that could be members.
    #[must_use]
    pub fn set_of(&self, members: BTreeSet<SiteId>, all: BTreeSet<SiteId>) -> SyncSet {
        match self.replication {
            Replication::Async => SyncSet::NONE,
            Replication::Sync { k, .. } if members.len() >= usize::from(k) => SyncSet { k, members },
            // Writes wait until enough of them are there.
            Replication::Sync { k, loss: StandbyLoss::Strict } => SyncSet { k, members: all },
            Replication::Sync { loss: StandbyLoss::Available, .. } if members.is_empty() => SyncSet::NONE,
            Replication::Sync { loss: StandbyLoss::Available, .. } => {
                // Fewer than k, so at most 255.
                SyncSet { k: u8::try_from(members.len()).unwrap_or(u8::MAX), members }
            }
        }
    }

    /// True if what the operator asked for allows this set.
    pub(crate) fn allows(&self, set: &SyncSet) -> bool {
        match self.replication {
            Replication::Async => set.is_empty(),
            Replication::Sync { k, loss: StandbyLoss::Strict } => {
                set.k == k && set.members.len() >= usize::from(k)
            }
            Replication::Sync { k, loss: StandbyLoss::Available } => {
                set.k <= k && usize::from(set.k) <= set.members.len() && set.is_empty() == (set.k == 0)
            }
        }
    }
}
