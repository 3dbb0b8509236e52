//! Registration and renewal: how a site asks for its lease and what it is told.

use crate::{Cover, Epoch, Incarnation, LogIndex, Millis, RenewalNumber, SiteId, StackId, Timeline};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// D and F of one grant. They are part of the committed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantTerms {
    /// D: the lease is valid until t_send + D.
    pub lease_duration: Millis,
    /// F: within this, nothing of a fenced stack is left.
    pub fence_deadline: Millis,
}

/// A gate's word that it knows a cover to be timed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedAck {
    /// The stack.
    pub stack: StackId,
    /// The epoch that the gate runs under.
    pub epoch: Epoch,
    /// The entry that made the cover timed, as the cover named it.
    pub since: LogIndex,
}

/// What an actor sends for every renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewRequest {
    /// Who renews.
    pub site: SiteId,
    /// Which run of its actor.
    pub incarnation: Incarnation,
    /// Number of this send.
    pub number: RenewalNumber,
    /// Revision of the cover that the actor holds; the full list comes only if it differs.
    pub cover_known: LogIndex,
    /// Stacks whose cover or deadline lapsed and of which something is still left.
    pub stopping: Vec<StackId>,
    /// Stacks whose stop failed.
    pub unstopped: Vec<StackId>,
    /// Covers that this site's gates know to be timed.
    pub timed_acks: Vec<TimedAck>,
}

/// What a site must know of one stack's epochs before anything opens there. Refills an
/// empty or lost store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteEpochs {
    /// The stack.
    pub stack: StackId,
    /// The stack's highest epoch; 0 means "not adopted".
    pub highest: Epoch,
    /// Highest epoch that is closed for this site; 0 means none.
    pub closed: Epoch,
    /// Highest timeline that any promote step of the stack may have made; 0 means none.
    pub timeline_highest: Timeline,
}

/// Answer to a registration: a lease, not a stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistrationAnswer {
    /// The entry of the registration.
    pub index: LogIndex,
    /// Number of the site's last accepted renewal; the next send is above it.
    pub last_number: RenewalNumber,
    /// D and F.
    pub terms: GrantTerms,
    /// Per stack of the site.
    pub epochs: Vec<SiteEpochs>,
    /// What the site may run. It counts only under a renewal's answer: a registration has
    /// no t_send of its own to chain a deadline from.
    pub cover: Cover,
}

/// Answer to a renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The state's log index when the answer was made; one below the highest taken is ignored.
    pub index: LogIndex,
    /// Which run was answered.
    pub incarnation: Incarnation,
    /// Which send was answered: the lease is valid until t_send of this number + D.
    pub number: RenewalNumber,
    /// D and F.
    pub terms: GrantTerms,
    /// Revision of the site's cover.
    pub cover_revision: LogIndex,
    /// The cover in full, if the asker's revision differed.
    pub cover: Option<Cover>,
}
