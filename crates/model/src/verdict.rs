//! What the group agreed about a site.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The agreed word on a site (design, section 7). Every change is a committed entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Renews its lease.
    Up,
    /// No renewal for longer than `detect.after`, and a majority of witnesses reach nothing of it.
    Suspect,
    /// Its lease has ended: it has surely fenced what it held under a timed cover.
    Lost,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Suspect => "suspect",
            Self::Lost => "lost",
        })
    }
}
