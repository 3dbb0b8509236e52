//! Steps of a transition.

use core::fmt;
use serde::{Deserialize, Serialize};

/// The steps that a transition can have (design, section 8). Workloads, DNS and egress come
/// with their drivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepKind {
    /// Prove that the old site cannot write any more.
    FenceDatabase,
    /// Standbys let go of the old primary and report the end of their WAL.
    Detach,
    /// The committed choice of a site and the next epoch.
    Elect,
    /// The elected site's gate promotes.
    Promote,
    /// The other standbys follow the new primary.
    Follow,
    /// One row is written at the new primary.
    VerifyWrite,
    /// What a returning copy holds beyond the chain is listed. Not a step of the plan: it comes
    /// whenever a site returns.
    ListDiverged,
    /// A returning copy streams again. Not a step of the plan either.
    Rejoin,
}

impl StepKind {
    /// Those of a transition, in the order of the plan.
    pub const ALL: [Self; 6] =
        [Self::FenceDatabase, Self::Detach, Self::Elect, Self::Promote, Self::Follow, Self::VerifyWrite];
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::FenceDatabase => "fence-database",
            Self::Detach => "detach",
            Self::Elect => "elect",
            Self::Promote => "promote",
            Self::Follow => "follow",
            Self::VerifyWrite => "verify-write",
            Self::ListDiverged => "list-diverged",
            Self::Rejoin => "rejoin",
        })
    }
}

/// How an outside action ended. Unknown is neither of the others: it may have had its effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepOutcome {
    /// It had its effect.
    Done,
    /// It had no effect.
    Failed,
    /// No answer within its deadline.
    Unknown,
}

/// Where a step stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StepState {
    /// Something that it needs is not done.
    Waiting,
    /// Its owner may work on it.
    Running,
    /// It had its effect.
    Done,
    /// It failed its attempts; the plan says what follows.
    Failed,
}

impl fmt::Display for StepState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
        })
    }
}
