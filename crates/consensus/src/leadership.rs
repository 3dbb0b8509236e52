//! Who leads, as far as this witness can tell.

use crate::group::Metrics;
use model::SiteId;
use openraft::{Instant as _, ServerState};
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::Instant;

/// What [`crate::Handle::watch_leadership`] tells. Never permission for anything: only a
/// committed entry is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The leader's site: heard of, or acknowledged by a quorum, within the longest election
    /// timeout.
    pub leader: Option<SiteId>,
    /// Raft's term.
    pub term: u64,
    /// This witness leads, and a quorum acknowledged it within the longest election timeout.
    pub me_leading: bool,
}

/// When the leader was last heard.
#[derive(Default)]
pub(crate) struct Heard(Mutex<Option<(u64, Instant)>>);

impl Heard {
    pub(crate) fn from(&self, node: u64) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, Instant::now()));
    }

    fn recently(&self, node: u64, patience: Duration) -> bool {
        let heard = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.is_some_and(|(who, when)| who == node && when.elapsed() < patience)
    }
}

/// Age of the last acknowledgement by a quorum; `None` if there was none or we don't lead.
pub(crate) fn quorum_ack_age(metrics: &Metrics) -> Option<Duration> {
    metrics.last_quorum_acked.map(|acked| acked.into_inner().elapsed())
}

/// The leader's node id, if there is one worth asking.
pub(crate) fn leader(metrics: &Metrics, heard: &Heard, patience: Duration) -> Option<u64> {
    let leader = metrics.current_leader?;
    let alive =
        if leader == metrics.id { leads(metrics, patience) } else { heard.recently(leader, patience) };
    alive.then_some(leader)
}

/// True if this member leads and a quorum said so lately.
pub(crate) fn leads(metrics: &Metrics, patience: Duration) -> bool {
    // A witness alone needs nobody's acknowledgement, and none is counted.
    let alone = metrics.membership_config.voter_ids().count() == 1;
    metrics.state == ServerState::Leader
        && (alone || quorum_ack_age(metrics).is_some_and(|age| age < patience))
}
