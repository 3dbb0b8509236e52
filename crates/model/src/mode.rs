//! What the group may do with a stack by itself.

use core::fmt;
use serde::{Deserialize, Serialize};

/// A stack's mode (design, section 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Touches nothing and records what it would have done. Its cover is held.
    Observe,
    /// Prepares everything and waits for a human. Its cover is held.
    Approve,
    /// Acts. Its cover is timed.
    Auto,
}

impl Mode {
    /// True if the stack's cover has no deadline in this mode.
    #[must_use]
    pub const fn holds_cover(self) -> bool {
        matches!(self, Self::Observe | Self::Approve)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Observe => "observe",
            Self::Approve => "approve",
            Self::Auto => "auto",
        })
    }
}
