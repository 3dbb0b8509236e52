//! What a site may run, and for how long.

use crate::{Epoch, LogIndex, StackId};
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// Whether a cover ends by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CoverKind {
    /// Until t_send + D of the renewal that it answers. `since` is the entry that made it
    /// timed: the gate acknowledges it by this index before time may fence the stack.
    Timed {
        /// Entry that made the cover timed.
        since: LogIndex,
    },
    /// No deadline: the gate never closes for silence, and time cannot fence it.
    Held {
        /// Entry that made the cover held.
        since: LogIndex,
    },
}

/// One stack that the site may run, at one epoch.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoverEntry {
    /// The stack.
    pub stack: StackId,
    /// The epoch; a cover of one epoch permits nothing at another.
    pub epoch: Epoch,
    /// Timed or held.
    pub kind: CoverKind,
}

/// All that a site may run as of one log entry.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cover {
    /// Entry that last changed this list. Equal revisions of one site mean equal lists.
    pub revision: LogIndex,
    /// The stacks, sorted by name.
    pub entries: Vec<CoverEntry>,
}

impl Cover {
    /// The entry of a stack, if the site may run it.
    #[must_use]
    pub fn of(&self, stack: &StackId) -> Option<&CoverEntry> {
        self.entries.iter().find(|entry| entry.stack == *stack)
    }
}
