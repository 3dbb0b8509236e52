//! One stack in the replicated state.

use super::SyncState;
use alloc::{collections::BTreeMap, collections::BTreeSet, vec::Vec};
use model::{
    Cause, ChainLink, CoverEntry, CoverKind, Epoch, FenceMethod, FenceProof, LogIndex, Lsn, Mode, Refusal,
    SiteId, StackId, StepKind, StepState, SyncSet, SystemId, Timeline, WalPosition, WallMillis,
};
use serde::{Deserialize, Serialize};

/// Promotions that the chain remembers.
pub const PROMOTIONS_MAX: usize = 200;
/// Election entries that anti-flap remembers.
pub const ATTEMPTS_REMEMBERED: usize = 64;

/// The site elected for an epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// The site.
    pub site: SiteId,
    /// The epoch.
    pub epoch: Epoch,
    /// The election entry.
    pub index: LogIndex,
    /// When that was proposed; display only.
    pub at: WallMillis,
}

/// Whether time can fence the current epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoverState {
    /// The gate knows that its cover has a deadline.
    Timed {
        /// Entry that made it timed.
        since: LogIndex,
    },
    /// The cover was made timed, but its gate has not acknowledged that: time does not fence it yet.
    TimedUnacknowledged {
        /// Entry that the gate has to name.
        since: LogIndex,
    },
    /// No deadline.
    Held {
        /// Entry that made it held.
        since: LogIndex,
    },
}

impl CoverState {
    /// What the cover says to the gate.
    #[must_use]
    pub const fn kind(self) -> CoverKind {
        match self {
            Self::Timed { since } | Self::TimedUnacknowledged { since } => CoverKind::Timed { since },
            Self::Held { since } => CoverKind::Held { since },
        }
    }

    /// True if an elapsed horizon proves the fence.
    #[must_use]
    pub fn is_fenced_by_time(self) -> bool {
        matches!(self, Self::Timed { .. }) || planted!(HeldFencedByTime)
    }
}

/// One promotion that was reported done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Promotion {
    /// The epoch.
    pub epoch: Epoch,
    /// The site.
    pub site: SiteId,
    /// Its timeline.
    pub timeline: Timeline,
    /// Where that timeline begins.
    pub start: Lsn,
}

/// The end of a standby's WAL, read after it let go of the primary of `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Detachment {
    /// The epoch that was left.
    pub epoch: Epoch,
    /// The end of what was received.
    pub position: WalPosition,
}

/// A transition under way: a plan in the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// The site that is left.
    pub from: SiteId,
    /// Its epoch at the beginning.
    pub from_epoch: Epoch,
    /// Why it began.
    pub cause: Cause,
    /// The site that an operator asked for.
    pub wish: Option<SiteId>,
    /// The entry that began it.
    pub begun: LogIndex,
    /// Elections of this transition.
    pub attempts: u32,
    /// Sites that streamed from `from` by the last committed entry before the loss.
    pub streamed: BTreeSet<SiteId>,
    /// Standbys that let go.
    pub detached: BTreeMap<SiteId, Detachment>,
    /// The epoch of this transition's last election.
    pub elected: Option<Epoch>,
    /// The elected site's promotion.
    pub promote: StepState,
    /// Reports of a failed or unknown promotion of the current election.
    pub promote_attempts: u32,
    /// The first write at the elected site.
    pub verify: StepState,
    /// Standbys that follow the elected site.
    pub followed: BTreeSet<SiteId>,
    /// Sites that failed a promotion in this transition.
    pub failed: BTreeSet<SiteId>,
}

/// One stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack {
    /// Sites with a copy, the preferred one first.
    pub sites: Vec<SiteId>,
    /// What the group may do by itself.
    pub mode: Mode,
    /// The site elected last; none until adopted.
    pub active: Option<Assignment>,
    /// Every epoch up to this one is fenced. Those above belong to `active.site`.
    pub closed: Epoch,
    /// How `closed` was proven.
    pub fence: Option<FenceProof>,
    /// Whether time fences the current epoch.
    pub cover: CoverState,
    /// The `FenceBegin` of the current epoch.
    pub fence_begun: Option<LogIndex>,
    /// The database's identity.
    pub system_id: Option<SystemId>,
    /// The timeline that the current line of history is on.
    pub timeline: Timeline,
    /// Highest timeline that any promote step may have made.
    pub timeline_highest: Timeline,
    /// The chain of promotions, oldest first.
    pub promotions: Vec<Promotion>,
    /// Standbys that stream from the active site within `max_lag`, and on which timeline.
    pub streaming: BTreeMap<SiteId, Timeline>,
    /// True once any site streamed from the active one in the current epoch.
    pub streamed_once: bool,
    /// Automatic elections, oldest first.
    pub automatic: Vec<LogIndex>,
    /// The last completed automatic failover.
    pub completed: Option<LogIndex>,
    /// In a mode that does not act: the cause last recorded for the current epoch.
    pub would: Option<(Epoch, Cause)>,
    /// Synchronous replication.
    pub sync: SyncState,
    /// The transition under way.
    pub transition: Option<Transition>,
}

/// How far a log reaches, in the order of the state's chain of promotions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Reach {
    /// Place of its timeline in the chain; the later promotion is the longer log.
    pub place: usize,
    /// The end of its WAL on that timeline.
    pub lsn: Lsn,
}

impl Stack {
    /// A stack that Tripoint has not adopted: epoch 0.
    #[must_use]
    pub fn new(sites: Vec<SiteId>) -> Self {
        Self {
            sites,
            mode: Mode::Observe,
            active: None,
            closed: Epoch::NONE,
            fence: None,
            cover: CoverState::Held { since: LogIndex::default() },
            fence_begun: None,
            system_id: None,
            timeline: Timeline::default(),
            timeline_highest: Timeline::default(),
            promotions: Vec::new(),
            streaming: BTreeMap::new(),
            streamed_once: false,
            automatic: Vec::new(),
            completed: None,
            would: None,
            sync: SyncState::default(),
            transition: None,
        }
    }

    /// The current epoch; 0 if not adopted.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.active.as_ref().map_or(Epoch::NONE, |a| a.epoch)
    }

    /// True if the site has a copy.
    #[must_use]
    pub fn carries(&self, site: &SiteId) -> bool {
        self.sites.contains(site)
    }

    /// True if the current epoch is fenced: nobody may run the stack.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.active.is_some() && self.closed == self.epoch()
    }

    /// True if the site is the elected one and its epoch is not closed.
    #[must_use]
    pub fn is_open_at(&self, site: &SiteId) -> bool {
        !self.is_closed() && self.active.as_ref().is_some_and(|a| a.site == *site)
    }

    /// Highest epoch that a site must hold as closed: all before the current one for the site
    /// that runs it, everything that was elected for others too.
    #[must_use]
    pub fn closed_for(&self, site: &SiteId) -> Epoch {
        match &self.active {
            Some(active) if active.site != *site => active.epoch,
            _ if planted!(FenceLeavesEpochOpen) => Epoch::NONE,
            _ => self.closed,
        }
    }

    /// The cover entry of a site for this stack.
    #[must_use]
    pub fn cover_for(&self, name: &StackId, site: &SiteId) -> Option<CoverEntry> {
        let active = self.active.as_ref()?;
        let closed = self.is_closed() && !planted!(FenceLeavesEpochOpen);
        let lapsing = self.fence_begun.is_some() && !planted!(CoverAfterFenceBegin);
        let covered = active.site == *site && !closed && !lapsing;
        covered.then(|| CoverEntry { stack: name.clone(), epoch: active.epoch, kind: self.cover.kind() })
    }

    /// The chain of promotions as sites see it.
    #[must_use]
    pub fn chain(&self) -> Vec<ChainLink> {
        let link = |p: &Promotion| ChainLink {
            epoch: p.epoch,
            site: p.site.clone(),
            timeline: p.timeline,
            start: p.start,
        };
        self.promotions.iter().map(link).collect()
    }

    /// The promotion of the current epoch, if it was reported done.
    #[must_use]
    pub fn promoted(&self) -> Option<&Promotion> {
        self.promotions.last().filter(|p| p.epoch == self.epoch())
    }

    /// The site of the current epoch was itself elected by a failover and opened, and nobody ever
    /// streamed from it: what it acknowledged is nowhere else, so only a human may give that up.
    #[must_use]
    pub fn needs_consent(&self) -> bool {
        let last = self.automatic.last();
        let after_failover = last.is_some_and(|last| self.active.as_ref().is_some_and(|a| a.index == *last));
        let failed_for_sure = self.transition.as_ref().is_some_and(|t| t.promote == StepState::Failed);
        let opened = self.promoted().is_some() && !failed_for_sure;
        after_failover && opened && !self.streamed_once && !planted!(ConsentNotNeeded)
    }

    /// The end of the WAL of a standby that let go of the primary of `epoch`, by a committed entry.
    #[must_use]
    pub fn let_go(&self, site: &SiteId, epoch: Epoch) -> Option<WalPosition> {
        let detachment = self.transition.as_ref().and_then(|t| t.detached.get(site));
        detachment.filter(|d| d.epoch == epoch).map(|d| d.position)
    }

    /// How far a log that ends there reaches; none on a timeline outside the chain.
    #[must_use]
    pub fn reach(&self, end: WalPosition) -> Option<Reach> {
        let place = self.promotions.iter().rposition(|p| p.timeline == end.timeline);
        let place = if planted!(LsnsAcrossTimelines) { Some(0) } else { place };
        place.map(|place| Reach { place, lsn: end.lsn })
    }

    /// In synchronous mode the next primary has to know every commit that was acknowledged: enough
    /// members of each set that may be in effect let go and were heard, and none of all heard has
    /// more. The site that runs the epoch knows its own.
    ///
    /// # Errors
    ///
    /// [`Refusal::SetNotHeard`], [`Refusal::LongerLog`].
    pub fn knows_all(&self, site: &SiteId) -> Result<(), Refusal> {
        if self.sync.sets.iter().all(SyncSet::is_empty) {
            return Ok(());
        }
        let epoch = self.epoch();
        let known = self.sync.is_known_to(|member| self.let_go(member, epoch).is_some());
        if !known && !planted!(ElectBeforeSetHeard) {
            return Err(Refusal::SetNotHeard);
        }
        let own = self.let_go(site, epoch).and_then(|end| self.reach(end));
        // A timeline outside the chain is a promotion that nobody heard of: what is on it, or was
        // there before, is unknown.
        let longer = |other: &&SiteId| {
            let end = self.let_go(other, epoch);
            *other != site && end.is_some_and(|end| self.reach(end).is_none_or(|reach| Some(reach) > own))
        };
        let longer = self.sites.iter().find(longer);
        match longer.filter(|_| !planted!(ShorterLogElected)) {
            Some(longer) => Err(Refusal::LongerLog(longer.clone())),
            None => Ok(()),
        }
    }

    /// True if standbys that let go prove the fence, so that they do so from the beginning of a
    /// transition on: no commit can be acknowledged without them.
    #[must_use]
    pub fn is_fenced_by_replication(&self) -> bool {
        let epoch = self.epoch();
        let leaving = |t: &Transition| {
            let left = t.elected != Some(epoch) || self.fence_begun.is_some();
            left && t.cause != Cause::Operator
        };
        self.sync.is_synchronous() && !self.is_closed() && self.transition.as_ref().is_some_and(leaving)
    }

    pub(crate) fn close(&mut self, method: FenceMethod, index: LogIndex, evidence: alloc::string::String) {
        self.closed = self.epoch();
        self.fence_begun = None;
        self.fence = Some(FenceProof { method, index, evidence });
    }

    pub(crate) fn push_promotion(&mut self, promotion: Promotion) {
        if self.promotions.len() == PROMOTIONS_MAX {
            self.promotions.remove(0);
        }
        self.promotions.push(promotion);
    }
}

impl Transition {
    /// Where a step of the plan stands, derived from what was committed.
    #[must_use]
    pub fn step_state(&self, kind: StepKind, stack: &Stack) -> StepState {
        let elected = self.elected.is_some_and(|e| e == stack.epoch() && !stack.is_closed());
        let fenced = elected || stack.is_closed();
        match kind {
            StepKind::FenceDatabase if fenced => StepState::Done,
            StepKind::FenceDatabase => StepState::Running,
            StepKind::Detach | StepKind::Elect if elected => StepState::Done,
            StepKind::Detach if fenced => StepState::Running,
            StepKind::Elect if fenced && !self.detached.is_empty() => StepState::Running,
            StepKind::Promote if elected => self.promote,
            StepKind::VerifyWrite if elected && self.promote == StepState::Done => self.verify,
            StepKind::Follow if elected && self.promote == StepState::Done => {
                let others = stack.sites.iter().filter(|s| !stack.is_open_at(s));
                let all = others.into_iter().all(|s| self.followed.contains(s));
                if all { StepState::Done } else { StepState::Running }
            }
            _ => StepState::Waiting,
        }
    }
}
