//! Raft under the core: log and vote on disk, the state machine, the network between the
//! witnesses. The only crate that knows openraft and the storage engine.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`codec`] | our own versioned frames for everything on disk and on the wire |
//! | `store` | one file: vote, log, committed index, snapshot; fsynced before acknowledged |
//! | `state_machine` | decode, apply, reply |
//! | `network`, `silence` | messages to the others; an unacknowledged leader falls silent |
//! | `service` | messages from the others, their senders checked |
//! | `handle` | propose, read, watch |
//! | `start`, `rejoin` | configuration, founding, assembly; the way back after the loss of a store |
//!
//! Being the leader is never permission: only a committed entry is. An I/O error, an entry that
//! this program does not know, or a state that differs from the leader's ends the member
//! ([`Handle::stopped`]); the process must end with it.
#![forbid(unsafe_code)]

pub mod codec;
mod config;
mod error;
mod group;
mod handle;
mod leadership;
mod network;
mod rejoin;
mod service;
mod silence;
mod start;
mod state_machine;
mod stop;
mod store;
mod surroundings;

pub use config::{Config, Member};
pub use error::{Error, ProposeError, ServiceError, Stopped, StoreError};
pub use handle::{COMMAND_BYTES_MAX, Handle};
pub use leadership::Leadership;
pub use service::{ConsensusService, SNAPSHOT_BYTES_MAX};
pub use start::{Compaction, Consensus, LOG_KEPT, SNAPSHOT_EVERY};
pub use state_machine::Applied;
pub use surroundings::{Disk, StorageBackend, Surroundings};
