//! How a site was shown to be unable to write or speak for a stack any more.

use crate::LogIndex;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// The ways to fence (design, section 6), strongest evidence first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FenceMethod {
    /// The old site's actor reports that no process is left and the epoch is relinquished on disk.
    Acknowledged,
    /// Enough members of every synchronous set are detached.
    Replication,
    /// A fence agent said "off".
    External,
    /// The lease has surely ended.
    Time,
    /// An operator said so, with name and reason.
    Attested,
}

impl fmt::Display for FenceMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Acknowledged => "acknowledged",
            Self::Replication => "replication",
            Self::External => "external",
            Self::Time => "time",
            Self::Attested => "attested",
        })
    }
}

/// A committed proof that an epoch is closed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FenceProof {
    /// How it was proven.
    pub method: FenceMethod,
    /// The entry that proved it.
    pub index: LogIndex,
    /// What was seen, for the record: numbers and names, no decision hangs on it.
    pub evidence: String,
}
