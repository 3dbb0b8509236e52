//! The replicated state. Stub.
use crate::{Entry, Outcome};
use model::LogIndex;
use serde::{Deserialize, Serialize};

/// What the group agreed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    index: LogIndex,
}

impl State {
    /// Applies one entry.
    pub fn apply(&mut self, index: LogIndex, entry: &Entry) -> Outcome {
        let _ = entry;
        self.index = index;
        Outcome::Applied
    }

    /// The digest.
    #[must_use]
    pub fn digest(&self) -> u64 {
        0
    }

    /// Entry applied last.
    #[must_use]
    pub const fn index(&self) -> LogIndex {
        self.index
    }
}
