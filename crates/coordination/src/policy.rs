//! What the operators decided for the whole group. Replicated.

use crate::timing::Timing;
use model::Millis;
use serde::{Deserialize, Serialize};

/// The policy in force. Changed by [`crate::Command::SetPolicy`] alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Grows by one with each change.
    pub revision: u64,
    /// All durations of the lease and its detection.
    pub timing: Timing,
    /// A database that does not answer for this long is failed over, though its site answers.
    pub unhealthy_after: Millis,
    /// Asynchronous mode waits at most this long for other standbys' positions.
    pub elect_wait: Millis,
    /// Most bytes that a site elected in asynchronous mode may lack by its last report.
    pub max_lag_bytes: u64,
    /// After a completed failover no further automatic one for this long.
    pub cooldown: Millis,
    /// At most this many automatic failovers are attempted within `window`.
    pub failovers_max: u32,
    /// See `failovers_max`.
    pub window: Millis,
    /// A promotion that has not succeeded within this is given up.
    pub promote_deadline: Millis,
    /// Elections in one transition before it holds.
    pub attempts_max: u32,
}

impl Policy {
    /// The defaults of the design around a timing.
    #[must_use]
    pub const fn with_timing(timing: Timing) -> Self {
        Self {
            revision: 1,
            timing,
            unhealthy_after: Millis(30_000),
            elect_wait: Millis(1_000),
            max_lag_bytes: 16 * 1024 * 1024,
            cooldown: Millis(600_000),
            failovers_max: 3,
            window: Millis(3_600_000),
            promote_deadline: Millis(60_000),
            attempts_max: 3,
        }
    }
}
