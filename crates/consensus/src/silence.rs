//! A leader that no quorum acknowledges stops sending for a while.
//!
//! Cut off one way only, it would go on renewing its followers' patience and keep them from
//! electing another. openraft gates its heartbeats (`quorum_loss_probe_interval`), not its
//! replication. Silence and sending alternate: if nobody else can win an election, the old
//! leader must find its followers again.

use crate::group::Metrics;
use openraft::{Instant as _, ServerState, alias::WatchReceiverOf, async_runtime::WatchReceiver};
use std::{
    sync::{Mutex, OnceLock, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// Shared by all links to the peers.
pub(crate) struct Silence {
    metrics: OnceLock<WatchReceiverOf<crate::group::Group, Metrics>>,
    /// Length of the leader's own lease, and of each phase.
    lease: Duration,
    phase: Duration,
    /// When this member was first seen leading in which term.
    led: Mutex<Option<(u64, Instant)>>,
}

impl Silence {
    pub(crate) fn new(lease: Duration, phase: Duration) -> Self {
        Self { metrics: OnceLock::new(), lease, phase, led: Mutex::new(None) }
    }

    /// Called once, when Raft exists.
    pub(crate) fn watch(&self, metrics: WatchReceiverOf<crate::group::Group, Metrics>) {
        // A second call would name the same Raft.
        let _ = self.metrics.set(metrics);
    }

    /// True if nothing may be sent to followers now.
    pub(crate) fn now(&self) -> bool {
        let Some(receiver) = self.metrics.get() else { return false };
        let metrics = receiver.borrow_watched();
        if metrics.state != ServerState::Leader {
            return false;
        }
        let age = match metrics.last_quorum_acked {
            Some(acked) => acked.into_inner().elapsed(),
            None => self.leading_since(metrics.current_term).elapsed(),
        };
        is_silent(age, self.lease, self.phase)
    }

    fn leading_since(&self, term: u64) -> Instant {
        let mut led = self.led.lock().unwrap_or_else(PoisonError::into_inner);
        match *led {
            Some((known, since)) if known == term => since,
            _ => {
                let now = Instant::now();
                *led = Some((term, now));
                now
            }
        }
    }
}

/// From two leases on: silent for a phase, sending for a phase, and so on.
fn is_silent(age: Duration, lease: Duration, phase: Duration) -> bool {
    let Some(over) = age.checked_sub(lease * 2) else { return false };
    let phases = over.as_millis() / phase.as_millis().max(1);
    phases.is_multiple_of(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn phases_alternate_from_two_leases_on() {
        let (lease, phase) = (Duration::from_millis(1_000), Duration::from_millis(3_000));
        let silent = |ms| is_silent(Duration::from_millis(ms), lease, phase);
        assert!(!silent(0) && !silent(1_999));
        assert!(silent(2_000) && silent(4_999));
        assert!(!silent(5_000) && !silent(7_999));
        assert!(silent(8_000));
    }
}
