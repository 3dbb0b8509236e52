//! What a member stands on: the network, the disk, how often it writes snapshots. Production
//! takes the defaults; tests and the simulation of whole witnesses bring their own.

pub use redb::StorageBackend;

use crate::start::Compaction;
use rpc::network::Network;
use std::time::Duration;

/// See the module.
#[derive(Debug, Default)]
pub struct Surroundings {
    /// Over which the other witnesses are reached.
    pub network: Network,
    /// Where log, vote and snapshot are kept.
    pub disk: Disk,
    /// Snapshots.
    pub compaction: Compaction,
}

/// Where log, vote and snapshot are kept.
#[derive(Debug, Default)]
pub enum Disk {
    /// A file in the configured directory, written by a thread of its own.
    #[default]
    Directory,
    /// For simulations: written by a task of the runtime that the member runs in, so that no
    /// thread's timing is of account. There is no marker file beside it.
    Simulated {
        /// What the storage engine writes to.
        backend: Box<dyn StorageBackend>,
        /// How long requests wait before they are written, together with all that came meanwhile.
        write_time: Duration,
    },
}
