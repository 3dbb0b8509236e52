//! What keeps a witness from starting, and what ends it.

use model::LogIndex;
use std::net::SocketAddr;

/// Why a witness did not start, or stopped.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration contradicts itself.
    #[error("witness configuration: {0}")]
    Config(String),
    /// Certificates.
    #[error(transparent)]
    Tls(#[from] rpc::tls::TlsError),
    /// The listening socket.
    #[error("cannot listen on {address}: {source}; is another witness running there?")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The log or Raft did not start.
    #[error(transparent)]
    Consensus(#[from] consensus::Error),
    /// Raft or its store stopped: only a new start reads the disk afresh.
    #[error("the consensus stopped: {0}; start the witness again")]
    ConsensusEnded(String),
    /// This witness applied the log to another result than the leader.
    #[error(
        "the state differs from the leader's at log index {index}: this witness must not go on; report it as a defect"
    )]
    Diverged {
        /// The digest's entry.
        index: LogIndex,
    },
    /// A task panicked: a defect.
    #[error("a part of the witness failed: {0}; start it again and report it as a defect")]
    TaskFailed(String),
    /// The gRPC server.
    #[error(transparent)]
    Serve(#[from] rpc::server::ServeError),
}
