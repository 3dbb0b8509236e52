//! What `tripoint status`, `explain` and `events` show.

use crate::{
    Cause, Epoch, FenceMethod, Hold, Incarnation, Ineligible, LogIndex, Lsn, Millis, Mode, Refusal,
    RenewalNumber, Replication, SiteId, SiteReport, StackId, StepKind, StepOutcome, StepState, SyncSet,
    Timeline, Verdict, WalPosition, WallMillis,
};
use alloc::{string::String, vec::Vec};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The group as one witness sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupStatus {
    /// The group's name.
    pub group: String,
    /// The witness that answers.
    pub answered_by: SiteId,
    /// True if this is that witness's local view, which may be old.
    pub stale: bool,
    /// The leader, if this witness knows one.
    pub leader: Option<SiteId>,
    /// Raft term.
    pub term: u64,
    /// Index of the state shown.
    pub index: LogIndex,
    /// One sentence for each stack: who is active since when, who takes over if it is lost now,
    /// in about how long, losing how much, or why nobody can.
    pub sentences: Vec<String>,
    /// All witnesses.
    pub witnesses: Vec<WitnessView>,
    /// All sites with an actor.
    pub sites: Vec<SiteView>,
    /// All stacks.
    pub stacks: Vec<StackView>,
}

/// One witness.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WitnessView {
    /// Its site.
    pub site: SiteId,
    /// True if the answering witness reached it within `detect.after`.
    pub reachable: bool,
    /// Last measured round trip.
    pub round_trip: Option<Millis>,
}

/// One site's lease and reachability.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteView {
    /// The site.
    pub site: SiteId,
    /// The agreed verdict.
    pub verdict: Verdict,
    /// The registered run of its actor.
    pub incarnation: Option<Incarnation>,
    /// Since its last renewal was applied here; none if there was none since this witness started.
    pub renewed_ago: Option<Millis>,
    /// True once its lease has expired by a committed entry.
    pub expired: bool,
    /// True if the answering witness reached its actor within `detect.after`.
    pub actor_reachable: bool,
}

/// One stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StackView {
    /// The stack.
    pub stack: StackId,
    /// Its mode.
    pub mode: Mode,
    /// The site elected for its epoch.
    pub active: Option<SiteId>,
    /// Its epoch.
    pub epoch: Epoch,
    /// When the election entry was proposed, by the proposer's wall clock.
    pub since: Option<WallMillis>,
    /// True while its cover is held (no deadline, time cannot fence it).
    pub held: bool,
    /// True if the current epoch is closed: nobody may run it.
    pub closed: bool,
    /// The transition under way.
    pub transition: Option<TransitionView>,
    /// Who would take over now.
    pub takeover: TakeoverView,
    /// Why the group waits, if it does.
    pub holds: Vec<Hold>,
    /// The last report of each site.
    pub reports: Vec<SiteReport>,
}

/// A transition under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransitionView {
    /// Site that is left.
    pub from: SiteId,
    /// Its epoch when the transition began.
    pub from_epoch: Epoch,
    /// Site that was elected, once it was.
    pub to: Option<SiteId>,
    /// Why.
    pub cause: Cause,
    /// Elections tried in this transition.
    pub attempts: u32,
    /// Its steps.
    pub steps: Vec<StepView>,
}

/// One step of a transition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepView {
    /// Which.
    pub kind: StepKind,
    /// Where it stands.
    pub state: StepState,
    /// Attempts so far.
    pub attempts: u32,
}

/// Who would take over if the active site were lost now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TakeoverView {
    /// The one that would be elected.
    pub to: Option<SiteId>,
    /// Worst outage that follows from the timing.
    pub outage_max: Millis,
    /// Bytes of WAL that it lacked at its last report.
    pub lag_bytes: Option<u64>,
    /// Every site and why it is not eligible (empty: it is).
    pub candidates: Vec<CandidateView>,
}

/// One site as a candidate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CandidateView {
    /// The site.
    pub site: SiteId,
    /// Why it is not eligible.
    pub against: Vec<Ineligible>,
    /// The end of its WAL as last reported.
    pub received: Option<Lsn>,
}

/// One line of the audit log: what an entry changed, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// The entry.
    pub index: LogIndex,
    /// When it was proposed, by the proposer's wall clock; display only.
    pub at: WallMillis,
    /// What happened.
    pub kind: EventKind,
}

/// Defines [`EventKind`] with two encodings: flat, with the kind as a field of its own, for
/// people and scripts; by number for snapshots, whose format can't read the flat one back.
macro_rules! event_kinds {
    ($($variant:ident { $($field:ident: $type:ty),* },)*) => {
        /// What an entry changed.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs)] // the fields are those of the commands that they tell of
        pub enum EventKind {
            $($variant { $($field: $type),* },)*
        }

        #[derive(Serialize, Deserialize)]
        #[serde(tag = "event", rename_all = "kebab-case")]
        enum FlatKind {
            $($variant { $($field: $type),* },)*
        }

        #[derive(Serialize, Deserialize)]
        enum NumberedKind {
            $($variant { $($field: $type),* },)*
        }

        event_kinds!(@convert FlatKind { $($variant { $($field),* },)* });
        event_kinds!(@convert NumberedKind { $($variant { $($field),* },)* });
    };
    (@convert $other:ident { $($variant:ident { $($field:ident),* },)* }) => {
        impl From<EventKind> for $other {
            fn from(kind: EventKind) -> Self {
                match kind {
                    $(EventKind::$variant { $($field),* } => Self::$variant { $($field),* },)*
                }
            }
        }

        impl From<$other> for EventKind {
            fn from(kind: $other) -> Self {
                match kind {
                    $($other::$variant { $($field),* } => Self::$variant { $($field),* },)*
                }
            }
        }
    };
}

event_kinds! {
    SiteDefined { site: SiteId },
    StackDefined { stack: StackId, sites: Vec<SiteId> },
    PolicySet { revision: u64 },
    Registered { site: SiteId, incarnation: Incarnation },
    VerdictChanged { site: SiteId, from: Verdict, to: Verdict, unreached_by: Vec<SiteId> },
    LeaseExpired { site: SiteId, number: RenewalNumber },
    Adopted { stack: StackId, site: SiteId, epoch: Epoch },
    ModeSet { stack: StackId, from: Mode, to: Mode },
    CoverTimed { stack: StackId, epoch: Epoch },
    StreamingChanged { stack: StackId, site: SiteId, streams: bool },
    TransitionBegun { stack: StackId, from: SiteId, epoch: Epoch, cause: Cause },
    WouldHaveBegun { stack: StackId, from: SiteId, epoch: Epoch, cause: Cause },
    FenceBegun { stack: StackId, site: SiteId, epoch: Epoch },
    Fenced { stack: StackId, site: SiteId, epoch: Epoch, method: FenceMethod },
    Detached { stack: StackId, site: SiteId, epoch: Epoch, position: WalPosition },
    Elected { stack: StackId, site: SiteId, epoch: Epoch, timeline_highest: Timeline },
    Aborted { stack: StackId, site: SiteId, epoch: Epoch },
    StepEnded { stack: StackId, site: SiteId, epoch: Epoch, step: StepKind, outcome: StepOutcome },
    Completed { stack: StackId, site: SiteId, epoch: Epoch },
    Attested { stack: StackId, epoch: Epoch, operator: String, reason: String },
    Refused { refusal: Refusal },
    // New kinds come last: their place is their number in snapshots.
    DivergedListed { stack: StackId, site: SiteId, epoch: Epoch, fork: WalPosition, evidence: String },
    Rejoined { stack: StackId, site: SiteId, epoch: Epoch, outcome: StepOutcome, evidence: String },
    ReplicationSet { stack: StackId, replication: Replication },
    SetBegun { stack: StackId, set: SyncSet },
    SetSettled { stack: StackId, set: SyncSet },
}

impl Serialize for EventKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            FlatKind::from(self.clone()).serialize(serializer)
        } else {
            NumberedKind::from(self.clone()).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for EventKind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            FlatKind::deserialize(deserializer).map(Self::from)
        } else {
            NumberedKind::deserialize(deserializer).map(Self::from)
        }
    }
}
