//! What the group agreed: a value, changed by [`State::apply`] alone.

mod site;
mod stack;
mod sync;

pub use site::{Lease, Site};
pub use stack::{
    ATTEMPTS_REMEMBERED, Assignment, CoverState, Detachment, Promotion, Reach, Stack, Transition,
};
pub use sync::{SETS_MAX, SyncState};

use crate::policy::Policy;
use crate::timing::grantor_wait;
use alloc::collections::BTreeMap;
use alloc::{collections::VecDeque, vec::Vec};
use model::{
    Cover, CoverEntry, Epoch, Event, EventKind, GrantTerms, LogIndex, Millis, SiteEpochs, SiteId, StackId,
    WallMillis,
};
use serde::{Deserialize, Serialize};

/// Events that the state remembers; older ones are gone.
pub const EVENTS_MAX: usize = 500;
/// Sites that a group can have.
pub const SITES_MAX: usize = 31;
/// Stacks that a group can have.
pub const STACKS_MAX: usize = 500;
/// A digest is taken after each entry whose index is a multiple of this.
pub const DIGEST_EVERY: u64 = 1_000;

/// The behaviour of `apply` that this program knows.
pub const LEVEL: u8 = 1;

/// The longest grant that may still be running, for who has to wait for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LongestGrant {
    /// Largest D + F of any grant not forgotten.
    pub span: Millis,
    /// Largest drift that a policy allowed meanwhile.
    pub drift_max_ppm: u64,
    /// The entry that made the policy's grants shorter than that, if one did.
    pub shortened: Option<LogIndex>,
}

/// The replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    level: u8,
    pub(crate) index: LogIndex,
    pub(crate) policy: Option<Policy>,
    pub(crate) longest: LongestGrant,
    pub(crate) sites: BTreeMap<SiteId, Site>,
    pub(crate) stacks: BTreeMap<StackId, Stack>,
    pub(crate) events: VecDeque<Event>,
    /// Digest after the last entry whose index was a multiple of [`DIGEST_EVERY`].
    pub(crate) digested: Option<(LogIndex, u64)>,
    /// Index of the last digest that a leader committed.
    pub(crate) digest_agreed: LogIndex,
}

impl Default for State {
    fn default() -> Self {
        Self {
            level: LEVEL,
            index: LogIndex::default(),
            policy: None,
            longest: LongestGrant::default(),
            sites: BTreeMap::new(),
            stacks: BTreeMap::new(),
            events: VecDeque::new(),
            digested: None,
            digest_agreed: LogIndex::default(),
        }
    }
}

impl State {
    /// Which behaviour of `apply` the state asks for.
    #[must_use]
    pub const fn level(&self) -> u8 {
        self.level
    }

    /// Entry applied last.
    #[must_use]
    pub const fn index(&self) -> LogIndex {
        self.index
    }

    /// The policy, once one is set.
    #[must_use]
    pub const fn policy(&self) -> Option<&Policy> {
        self.policy.as_ref()
    }

    /// All sites.
    #[must_use]
    pub const fn sites(&self) -> &BTreeMap<SiteId, Site> {
        &self.sites
    }

    /// All stacks.
    #[must_use]
    pub const fn stacks(&self) -> &BTreeMap<StackId, Stack> {
        &self.stacks
    }

    /// The audit log, oldest first; at most [`EVENTS_MAX`].
    pub fn events(&self) -> impl DoubleEndedIterator<Item = &Event> + ExactSizeIterator {
        self.events.iter()
    }

    /// The longest grant that may still be running.
    #[must_use]
    pub const fn longest_grant(&self) -> &LongestGrant {
        &self.longest
    }

    /// W of the longest grant that may still be running: the wait of who knows nothing.
    #[must_use]
    pub fn wait_max(&self) -> Millis {
        let span = GrantTerms { lease_duration: self.longest.span, fence_deadline: Millis::ZERO };
        grantor_wait(span, self.longest.drift_max_ppm)
    }

    /// W of one grant.
    #[must_use]
    pub fn wait_of(&self, terms: GrantTerms) -> Millis {
        grantor_wait(terms, self.longest.drift_max_ppm)
    }

    /// Digest after the last entry whose index was a multiple of [`DIGEST_EVERY`], if no leader
    /// has committed one for it yet.
    #[must_use]
    pub fn digest_due(&self) -> Option<(LogIndex, u64)> {
        self.digested.filter(|(index, _)| *index > self.digest_agreed)
    }

    /// FNV-1a over the canonical encoding of everything but the digests themselves.
    #[must_use]
    pub fn digest(&self) -> u64 {
        let hashed = (self.level, self.index, &self.policy, self.longest, &self.sites, &self.stacks);
        // An encoding into memory fails only for types that postcard cannot express; these it can.
        let bytes = postcard::to_allocvec(&hashed).unwrap_or_default();
        bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
        })
    }

    /// What a registration tells a site about its stacks' epochs.
    #[must_use]
    pub fn epochs_of(&self, site: &SiteId) -> Vec<SiteEpochs> {
        self.stacks
            .iter()
            .filter(|(_, stack)| stack.carries(site))
            .map(|(id, stack)| SiteEpochs {
                stack: id.clone(),
                highest: stack.epoch(),
                closed: stack.closed_for(site),
                timeline_highest: stack.timeline_highest,
            })
            .collect()
    }

    /// What a site may run, as of the last entry.
    #[must_use]
    pub fn cover_of(&self, site: &SiteId) -> Cover {
        self.sites.get(site).map(|s| s.cover.clone()).unwrap_or_default()
    }

    /// Brings every site's cover up to date after an entry that may have changed one.
    pub(crate) fn refresh_covers(&mut self) {
        for (id, site) in &mut self.sites {
            let entries: Vec<CoverEntry> =
                self.stacks.iter().filter_map(|(name, stack)| stack.cover_for(name, id)).collect();
            if entries != site.cover.entries {
                site.cover = Cover { revision: self.index, entries };
            }
        }
    }

    pub(crate) fn record(&mut self, at: WallMillis, kind: EventKind) {
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(Event { index: self.index, at, kind });
    }

    /// True if the site holds a lease that has not expired.
    #[must_use]
    pub fn is_registered(&self, site: &SiteId) -> bool {
        self.sites.get(site).and_then(|s| s.lease.as_ref()).is_some_and(|lease| !lease.expired)
    }

    /// The stack's site and epoch, if it is adopted.
    #[must_use]
    pub fn active(&self, stack: &StackId) -> Option<(&SiteId, Epoch)> {
        let active = self.stacks.get(stack)?.active.as_ref()?;
        Some((&active.site, active.epoch))
    }
}
