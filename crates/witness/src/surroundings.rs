//! What a witness stands on beside its configuration. Production takes the defaults; the
//! simulation of whole witnesses brings a network, a disk and an observer of its own.

use consensus::{Applied, Leadership};
use std::sync::Arc;

/// See the module.
#[derive(Default)]
pub struct Surroundings {
    /// Network, disk and snapshots.
    pub consensus: consensus::Surroundings,
    /// Sees what happens in the loop.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Sees what a witness takes up, in the loop's own order. For tests: it must not wait.
pub trait Observer: Send + Sync {
    /// An entry or a whole state is about to be shown to the rest of the witness.
    fn applied(&self, applied: &Applied);

    /// Another leader, or another term.
    fn leadership(&self, leadership: &Leadership);
}
