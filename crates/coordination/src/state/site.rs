//! One site in the replicated state.

use alloc::collections::BTreeSet;
use model::{Cover, Incarnation, RenewalNumber, StackId, Verdict};
use serde::{Deserialize, Serialize};

/// A site's registration and its last renewal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lease {
    /// The registered run of the actor; others are refused.
    pub incarnation: Incarnation,
    /// True once a renewal of this run was accepted.
    pub renewed: bool,
    /// True once `Expire` was applied: the actor must register again.
    pub expired: bool,
}

/// One site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Site {
    /// False for a tie-breaker: a witness, no lease, only reachability.
    pub actor: bool,
    /// None until the first registration.
    pub lease: Option<Lease>,
    /// Last accepted renewal over all runs.
    pub number: RenewalNumber,
    /// The agreed verdict.
    pub verdict: Verdict,
    /// What it may run.
    pub cover: Cover,
    /// Stacks of which something may be left though their cover lapsed, as the last renewal said.
    pub stopping: BTreeSet<StackId>,
    /// Stacks whose stop failed, as the last renewal said.
    pub unstopped: BTreeSet<StackId>,
}

impl Site {
    /// A site that never registered.
    #[must_use]
    pub fn new(actor: bool) -> Self {
        Self {
            actor,
            lease: None,
            number: RenewalNumber::default(),
            verdict: Verdict::Up,
            cover: Cover::default(),
            stopping: BTreeSet::new(),
            unstopped: BTreeSet::new(),
        }
    }
}
