//! What ends an actor, or keeps it from starting.

use std::path::PathBuf;

/// Why an actor did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory or a file in it.
    #[error("{path}: cannot {what}: {source}; the actor needs a writable state directory of its own")]
    State {
        /// Where.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Another process holds the lock.
    #[error(
        "{0}: another actor holds the lock; each actor needs a state directory of its own, and a site runs one actor"
    )]
    Locked(PathBuf),
    /// The configuration does not fit together.
    #[error("configuration: {0}")]
    Configuration(String),
    /// Certificates or the listening socket.
    #[error("{0}")]
    Rpc(String),
}
