//! How a stack's servers, lines and clients are set up. Times in microseconds.

use crate::history::{MILLI, SECOND, Site, Stack, Time};

/// What a modelled stack is made of.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its place in the run.
    pub stack: Stack,
    /// One way between two sites, and between a site and clients outside.
    pub latency: Time,
    /// Clients inside a site, one in each: a row each.
    pub inside_every: Time,
    /// Clients outside that follow whoever takes writes.
    pub outside: u8,
    /// A row of each of them each.
    pub outside_every: Time,
    /// True if a client with long statements, sent in one go, is there.
    pub pipelining: bool,
    /// Its pause between two bursts.
    pub pipelining_every: Time,
    /// A promotion sleeps out a retry interval so often, in a thousand, unless it is nudged.
    pub stall_permille: u64,
    /// A promotion ends the server so often, in a thousand.
    pub promote_fails_permille: u64,
    /// A shutdown takes seconds so often, in a thousand.
    pub slow_stop_permille: u64,
    /// Crash recovery takes up to this.
    pub recovery_max: Time,
    /// Replication connections end after silence of this length.
    pub replication_timeout: Time,
    /// Processes that linger ([`super::Ill::Lingers`]) are gone so soon after SIGKILL.
    pub linger: Time,
    /// Standbys that a commit waits for at the beginning; none: asynchronous.
    pub sync: SyncSet,
}

impl Settings {
    /// The usual ones.
    #[must_use]
    pub const fn new(stack: Stack) -> Self {
        Self {
            stack,
            latency: 10 * MILLI,
            inside_every: 2 * SECOND,
            outside: 1,
            outside_every: 500 * MILLI,
            pipelining: true,
            pipelining_every: 6 * SECOND,
            stall_permille: 200,
            promote_fails_permille: 20,
            slow_stop_permille: 50,
            recovery_max: 2 * SECOND,
            replication_timeout: 60 * SECOND,
            linger: 100 * MILLI,
            sync: SyncSet::NONE,
        }
    }
}

/// `synchronous_standby_names = ANY k (members)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SyncSet {
    /// How many of the members must have flushed.
    pub k: u8,
    /// One bit for each member's site.
    pub members: u32,
}

impl SyncSet {
    /// Nobody is waited for: asynchronous.
    pub const NONE: Self = Self { k: 0, members: 0 };

    /// Any `k` of `members`.
    #[must_use]
    pub fn any(k: u8, members: &[Site]) -> Self {
        Self { k, members: members.iter().fold(0, |set, site| set | 1 << site) }
    }

    /// True if nobody is waited for.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.k == 0 || self.members == 0
    }

    /// True if the site is one of them.
    #[must_use]
    pub const fn holds(self, site: Site) -> bool {
        self.members >> site & 1 == 1
    }
}
