//! Everything that the log may contain. Each command names what it expects; a stale one is
//! refused by `apply`, not by its sender's good will.

use crate::policy::Policy;
use alloc::{string::String, vec::Vec};
use model::{
    Cause, Epoch, Grant, GrantTerms, Incarnation, LogIndex, Mode, Refusal, RegistrationAnswer, RenewRequest,
    RenewalNumber, Replication, SiteId, StackId, StepReport, SyncSet, SystemId, Timeline, Verdict,
    WallMillis,
};
use serde::{Deserialize, Serialize};

/// One log entry: a command and, for display alone, when it was proposed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The proposer's wall clock. Decides nothing.
    pub at: WallMillis,
    /// What is to change.
    pub command: Command,
}

/// A change of the replicated state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// A site of the group. One with a witness only has no actor and no lease.
    DefineSite {
        /// Its name.
        site: SiteId,
        /// True if an actor runs there.
        actor: bool,
    },
    /// A stack and the sites that carry it, the preferred one first.
    DefineStack {
        /// Its name.
        stack: StackId,
        /// Sites with a copy, by priority.
        sites: Vec<SiteId>,
    },
    /// Another policy; its revision is the current one + 1.
    SetPolicy(Policy),
    /// A run of a site's actor begins (design, section 5, rule 1).
    Register {
        /// The site.
        site: SiteId,
        /// The run.
        incarnation: Incarnation,
        /// D and F of this grant.
        terms: GrantTerms,
    },
    /// One renewal.
    Renew {
        /// What the actor sent.
        request: RenewRequest,
        /// D and F of this grant.
        terms: GrantTerms,
    },
    /// The site's last grant has surely ended (rule 4).
    Expire {
        /// The site.
        site: SiteId,
        /// Its registered run.
        incarnation: Incarnation,
        /// Its last accepted renewal.
        number: RenewalNumber,
    },
    /// From here on no cover holds (stack, epoch) (rule 5).
    FenceBegin {
        /// The stack.
        stack: StackId,
        /// The epoch to be closed.
        epoch: Epoch,
    },
    /// The horizon of a `FenceBegin` is past at the leader.
    FenceByTime {
        /// The stack.
        stack: StackId,
        /// The epoch.
        epoch: Epoch,
        /// The `FenceBegin` entry whose horizon is meant.
        begun: LogIndex,
    },
    /// An operator says that the site is off for this epoch.
    Attest {
        /// The stack.
        stack: StackId,
        /// The epoch.
        epoch: Epoch,
        /// Who says so.
        operator: String,
        /// Why.
        reason: String,
    },
    /// Another verdict on a site.
    SetVerdict {
        /// The site.
        site: SiteId,
        /// What it is now.
        verdict: Verdict,
        /// For `suspect`: the last accepted renewal; a later one voids the command.
        number: RenewalNumber,
        /// Witnesses that reach nothing of it.
        unreached_by: Vec<SiteId>,
    },
    /// A standby begins or ceases to stream from the active site within `max_lag`.
    SetStreaming {
        /// The stack.
        stack: StackId,
        /// The standby.
        site: SiteId,
        /// The active site's epoch to which this refers.
        epoch: Epoch,
        /// The timeline on which it streams, if it does.
        streams: Option<Timeline>,
    },
    /// A stack that runs already gets epoch 1, in mode observe.
    Adopt {
        /// The stack.
        stack: StackId,
        /// The site whose database is the primary.
        site: SiteId,
        /// Identity of the database.
        system_id: SystemId,
        /// The primary's timeline.
        timeline: Timeline,
    },
    /// Another mode.
    SetMode {
        /// The stack.
        stack: StackId,
        /// The new one.
        mode: Mode,
    },
    /// A transition begins.
    BeginTransition {
        /// The stack.
        stack: StackId,
        /// Current epoch.
        epoch: Epoch,
        /// Why.
        cause: Cause,
        /// For an operator's transition: the site to elect.
        to: Option<SiteId>,
    },
    /// What the group would have done, were the mode `auto`.
    RecordWouldBegin {
        /// The stack.
        stack: StackId,
        /// Current epoch.
        epoch: Epoch,
        /// Why.
        cause: Cause,
    },
    /// The election entry: the point of no return. With `site` the active one and a transition
    /// begun for silence it is the abort entry.
    Elect {
        /// The stack.
        stack: StackId,
        /// Current epoch; the new one is the next.
        epoch: Epoch,
        /// The elected site.
        site: SiteId,
    },
    /// A step that a site owns has ended.
    Step(StepReport),
    /// The elected site did not promote within its deadline, or is lost: fence it, elect anew.
    PromoteGivenUp {
        /// The stack.
        stack: StackId,
        /// The epoch of the failed promotion.
        epoch: Epoch,
        /// Why.
        cause: Cause,
    },
    /// Every step that the transition must end with has ended.
    Complete {
        /// The stack.
        stack: StackId,
        /// The new epoch.
        epoch: Epoch,
    },
    /// The longest grant that the state remembers is forgotten (not before W_max after the change).
    ForgetLongGrant {
        /// The entry that shortened it.
        since: LogIndex,
    },
    /// The leader's digest of the state at an index; a witness whose own differs stops.
    Digest {
        /// Entry after which the digest was taken.
        index: LogIndex,
        /// The digest.
        digest: u64,
    },
    /// Nothing changes: a leader's first entry.
    Nothing,
    // New kinds come last: their place is their number in the log.
    /// What commits wait for.
    SetReplication {
        /// The stack.
        stack: StackId,
        /// What is asked for.
        replication: Replication,
    },
    /// Another synchronous set may be in effect from here on, beside those before (the joint entry).
    BeginSet {
        /// The stack.
        stack: StackId,
        /// Current epoch.
        epoch: Epoch,
        /// The entry that made the set before the one to have.
        since: LogIndex,
        /// The new one.
        set: SyncSet,
    },
    /// The last set was seen in force, and enough of its members have caught up: it alone counts.
    SettleSet {
        /// The stack.
        stack: StackId,
        /// Current epoch.
        epoch: Epoch,
        /// The entry that made the set the one to have.
        since: LogIndex,
    },
    /// Enough members of every set that may be in effect have let go of the primary.
    FenceByReplication {
        /// The stack.
        stack: StackId,
        /// The epoch.
        epoch: Epoch,
    },
}

/// What `apply` made of a command.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The state changed as the command says.
    Applied,
    /// The site has a lease to ask for.
    Registered(RegistrationAnswer),
    /// The renewal was accepted, or was a copy of the last accepted one (`repeated`).
    Renewed {
        /// The answer to the actor.
        grant: Grant,
        /// True for a copy: no horizon moves.
        repeated: bool,
    },
    /// The command was refused and changed nothing.
    Refused(Refusal),
    /// The digest differs from ours: this witness must stop.
    Diverged,
}
