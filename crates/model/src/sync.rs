//! Synchronous replication: how many of which standbys must have a commit before a client hears
//! of it.

use crate::{LogIndex, Lsn, SiteId};
use alloc::collections::BTreeSet;
use core::fmt;
use serde::{Deserialize, Serialize};

/// What an operator asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Replication {
    /// A commit waits for nobody.
    #[default]
    Async,
    /// A commit waits for `k` standbys.
    Sync {
        /// How many.
        k: u8,
        /// What happens when fewer are left.
        loss: StandbyLoss,
    },
}

/// What a synchronous primary does when fewer than `k` standbys are left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StandbyLoss {
    /// Writes wait.
    Strict,
    /// A committed degradation first, then writes go on with those that are left, or alone.
    Available,
}

/// `synchronous_standby_names = 'ANY k (members)'`; without members nobody is waited for
/// (PostgreSQL documentation, 20.6.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SyncSet {
    /// How many members must have flushed a commit.
    pub k: u8,
    /// The standbys that count.
    pub members: BTreeSet<SiteId>,
}

impl SyncSet {
    /// Nobody is waited for.
    pub const NONE: Self = Self { k: 0, members: BTreeSet::new() };

    /// True if a commit waits for nobody.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.k == 0 || self.members.is_empty()
    }

    /// Members whose word suffices to know every commit that was acknowledged under this set:
    /// n - k + 1, or none where nothing can have been (more wanted than there are).
    #[must_use]
    pub fn enough(&self) -> usize {
        (self.members.len() + 1).saturating_sub(usize::from(self.k))
    }

    /// True if enough members of it are in `heard` to know every commit acknowledged under it. Of
    /// an empty set nobody knows more than the rest.
    #[must_use]
    pub fn is_known_to(&self, heard: impl Fn(&SiteId) -> bool) -> bool {
        self.is_empty() || self.members.iter().filter(|m| heard(m)).count() >= self.enough()
    }

    /// True if a commit that those in `flushed` have would be acknowledged under this set.
    #[must_use]
    pub fn acknowledges(&self, flushed: impl Fn(&SiteId) -> bool) -> bool {
        self.is_empty() || self.members.iter().filter(|m| flushed(m)).count() >= usize::from(self.k)
    }
}

impl fmt::Display for SyncSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("nobody");
        }
        write!(f, "ANY {} (", self.k)?;
        for (n, member) in self.members.iter().enumerate() {
            write!(f, "{}{member}", if n == 0 { "" } else { ", " })?;
        }
        f.write_str(")")
    }
}

/// The setting that a primary is to have, and the entry that wanted it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSetting {
    /// The entry.
    pub entry: LogIndex,
    /// The set.
    pub set: SyncSet,
}

/// What a primary's actor saw: the setting of `entry` was in force in every walsender when the
/// primary's WAL ended at `lsn`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncSeen {
    /// The entry whose set is in force, and no other.
    pub entry: LogIndex,
    /// The end of the WAL, read after that was seen.
    pub lsn: Lsn,
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn any(k: u8, members: &[&str]) -> SyncSet {
        SyncSet { k, members: members.iter().map(|m| SiteId::new(m).expect("a valid name")).collect() }
    }

    fn named<'a>(names: &'a [&'a str]) -> impl Fn(&SiteId) -> bool + 'a {
        |site| names.contains(&site.as_str())
    }

    #[test]
    fn any_acknowledged_commit_is_with_one_of_those_that_suffice() {
        for (k, n) in [(1_u8, 2_u32), (2, 3), (1, 3), (3, 3), (1, 1), (2, 4)] {
            let names: alloc::vec::Vec<_> = (0..n).map(|i| alloc::format!("dc{i}")).collect();
            let of = |bits: u32| {
                let names = &names;
                move |site: &SiteId| (0..n).any(|i| bits >> i & 1 == 1 && site.as_str() == names[i as usize])
            };
            let set = SyncSet { k, members: names.iter().map(|m| SiteId::new(m).expect("valid")).collect() };
            for have in 0..1_u32 << n {
                for heard in 0..1_u32 << n {
                    let lost = set.acknowledges(of(have)) && set.is_known_to(of(heard)) && have & heard == 0;
                    assert!(!lost, "ANY {k} of {n}: {have:b} had it, {heard:b} were heard");
                }
            }
        }
    }

    #[test]
    fn more_than_there_are_acknowledge_nothing() {
        let set = any(2, &["dc2"]);
        assert!(!set.acknowledges(named(&["dc2"])));
        assert!(set.is_known_to(named(&[])));
    }

    #[test]
    fn it_is_written_as_postgresql_has_it() {
        assert_eq!(any(1, &["dc3", "dc2"]).to_string(), "ANY 1 (dc2, dc3)");
        assert_eq!(SyncSet::NONE.to_string(), "nobody");
    }
}
