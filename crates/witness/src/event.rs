//! Everything that can happen to a witness: a closed list.

use crate::proposals::Ended;
use consensus::Applied;
use coordination::LinkRow;
use model::{GroupStatus, SiteId, SiteReport, StackId};
use tokio::sync::oneshot;

/// Events that may wait for the loop; senders wait for room.
pub const EVENTS_WAITING_MAX: usize = 1_024;

/// One thing that happened.
#[derive(Debug)]
pub enum Event {
    /// An entry or a snapshot was applied here.
    Applied(Applied),
    /// Another leader, or another term.
    Leadership,
    /// A site told about itself, here or to another witness that handed it on.
    Report(Box<SiteReport>),
    /// A witness told whom it reached.
    Links {
        /// The witness.
        from: SiteId,
        /// Its row of the link matrix.
        rows: Vec<LinkRow>,
    },
    /// One of this leader's proposals ended.
    Proposed {
        /// Its number.
        id: u64,
        /// How.
        ended: Ended,
    },
    /// Somebody wants to know.
    Asked(Question),
    /// Time went by.
    Tick,
}

/// What can be asked. Who asked may be gone when the answer is there.
#[derive(Debug)]
pub enum Question {
    /// The status as this witness sees it.
    Status {
        /// What the answer says of itself.
        stale: bool,
        /// Where it goes.
        answer: oneshot::Sender<GroupStatus>,
    },
    /// Why the group thinks what it thinks.
    Explain {
        /// About one stack, or all.
        stack: Option<StackId>,
        /// Where it goes.
        answer: oneshot::Sender<Vec<String>>,
    },
}
