//! Why something was done, refused or held. Values, not text: `coordination::explain` turns
//! them into English.

use crate::{Epoch, FenceMethod, Incarnation, LogIndex, Mode, RenewalNumber, SiteId, StackId, StepKind};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Why a transition was begun.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// No renewal, and a majority of witnesses reach nothing of the site. Names the last renewal
    /// known at the beginning: a later one voids the transition.
    Silence {
        /// Last accepted renewal.
        number: RenewalNumber,
    },
    /// The site's lease has expired.
    Expired,
    /// The site answers, but its database did not for `detect.unhealthy_after`.
    Unhealthy,
    /// The site answers, and says that its database is gone for good.
    DatabaseLost,
    /// The promoted site failed its promotion.
    PromoteFailed,
    /// An operator asked for it.
    Operator,
}

/// Why `apply` refused a command. A refused command changes nothing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// No such site.
    UnknownSite(SiteId),
    /// No such stack.
    UnknownStack(StackId),
    /// The site has no actor.
    NoActor(SiteId),
    /// The site does not carry the stack.
    NotAtSite(StackId, SiteId),
    /// The site was defined before, otherwise.
    AlreadyDefined,
    /// Another run of the site's actor is registered.
    OtherIncarnation {
        /// The one that is registered.
        registered: Incarnation,
    },
    /// The site's actor must register first.
    NotRegistered,
    /// The site's lease expired; its actor must register again.
    LeaseExpired,
    /// The number is below the last accepted one.
    StaleNumber {
        /// The last accepted one.
        last: RenewalNumber,
    },
    /// Something newer was applied.
    Superseded {
        /// The last accepted renewal.
        last: RenewalNumber,
    },
    /// The command names another epoch than the current one.
    StaleEpoch {
        /// The current one.
        current: Epoch,
    },
    /// The epoch is closed.
    EpochClosed {
        /// The highest closed one.
        closed: Epoch,
    },
    /// An earlier epoch is not fenced yet (S2).
    NotFenced {
        /// The site elected for it.
        site: SiteId,
        /// That epoch.
        epoch: Epoch,
    },
    /// A transition is under way (S6).
    TransitionRunning,
    /// No transition is under way.
    NoTransition,
    /// The transition is past its election entry: it goes to its end.
    PastElection,
    /// The step is not the one that is due.
    StepNotDue(StepKind),
    /// The stack was adopted before.
    AlreadyAdopted,
    /// The stack was not adopted yet.
    NotAdopted,
    /// The cover is held: time cannot fence it.
    CoverHeld,
    /// The site reported that something of the stack is still left.
    StillStopping,
    /// The mode forbids it.
    WrongMode(Mode),
    /// The candidate reported no detachment for this epoch.
    NotDetached(SiteId),
    /// The timeline is not above those that earlier promote steps may have made.
    TimelineUsed,
    /// The acknowledgement names another entry than the last.
    OtherEntry {
        /// The last.
        last: LogIndex,
    },
    /// The policy revision is not the current one.
    StalePolicy,
    /// The policy breaks a timing rule.
    TimingRule,
    /// More than the group can keep.
    LimitReached,
    /// The site's lease has not expired: it may well be alive.
    StillLeased(SiteId),
    /// Too few members of a synchronous set that may be in effect have let go and been heard.
    SetNotHeard,
    /// That site has a longer log.
    LongerLog(SiteId),
    /// The set asks for more standbys than there are, or is not what the operator asked for.
    ImpossibleSet {
        /// Standbys that it could have.
        standbys: usize,
    },
}

/// Why a site cannot take a stack over now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ineligible {
    /// It is the active one.
    Active,
    /// It never registered, or its registration expired.
    NotRegistered,
    /// Its last renewal is older than two renewal intervals.
    NotRenewing,
    /// It reported nothing about the stack.
    NoReport,
    /// By the last committed entry it did not stream from the active site.
    NotStreaming,
    /// Another system identifier: another database.
    OtherDatabase,
    /// Its WAL is on a timeline outside the chain of promotions.
    ForkedTimeline,
    /// It lags by more than `max_lag`.
    Lagging {
        /// Bytes behind.
        bytes: u64,
    },
    /// The end of its WAL is unknown.
    PositionUnknown,
    /// It has not detached from the old primary yet.
    NotDetached,
    /// Its gate is not attached or cannot run the database.
    GateAway,
    /// It failed a promotion in this transition.
    PromoteFailed,
    /// Its data directory is lost.
    DatabaseLost,
    /// Another site has a longer log.
    ShorterLog,
}

/// Why the group waits instead of acting. Said loudly in status.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// The mode does not let the group act.
    Mode(Mode),
    /// The cover is held: time cannot fence it.
    HeldCover,
    /// The lease has not ended yet.
    WaitingForFence {
        /// The method that will prove it first.
        method: FenceMethod,
    },
    /// No site is eligible.
    NoCandidate,
    /// Waiting for other standbys to report the end of their WAL.
    WaitingForStandbys,
    /// A second automatic failover waits until a standby streams from the new primary.
    NoRedundancy,
    /// The last automatic failover is too recent.
    Cooldown,
    /// Too many failovers were attempted.
    TooManyFailovers,
    /// Nobody ever streamed from the lost site, so a takeover needs an operator's consent.
    NeedsConsent,
    /// The site said that its stop failed.
    Unstopped(SiteId),
    /// The next attempt waits for its pause to end.
    Pausing,
    /// Too few members of a synchronous set are heard to know what was acknowledged: these are
    /// missing.
    SetNotHeard {
        /// Members that have not let go and been heard.
        missing: Vec<SiteId>,
    },
    /// The longest log of all heard is at a site that cannot be elected now.
    LongestAway(SiteId),
}
