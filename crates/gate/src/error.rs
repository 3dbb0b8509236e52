//! Why a gate does not start, or ends. Each names the place and the remedy.

use std::path::PathBuf;

/// Why a gate could not start or had to end.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The data directory is not there or not readable.
    #[error(
        "data directory {path}: {source}; name an existing, readable one (initdb or pg_basebackup makes it)"
    )]
    DataDirectory {
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another gate owns the data directory.
    #[error("data directory {0}: another gate holds its lock; stop that one first (`fuser -v {0}` names it)")]
    Locked(PathBuf),
    /// A server that no gate started runs there.
    #[error(
        "data directory {path}: a server that this gate did not start runs there (pid {pid}); stop it cleanly \
             (pg_ctl stop -m fast) and start the gate again"
    )]
    Foreign {
        /// Where.
        path: PathBuf,
        /// One of its processes.
        pid: i32,
    },
    /// No way to hold the database's processes.
    #[error(
        "no way to hold the database's processes so that none outlives the gate: {0}. Remedy: run the gate as \
             root or with a delegated cgroup (systemd: Delegate=yes), allow user namespaces, make it PID 1 of its \
             container, or accept the weaker guarantee by name: containment = \"none-accepted\""
    )]
    Containment(String),
    /// The kernel lease was demanded and cannot be had.
    #[error(
        "kernel lease demanded, but {0}; install nftables, give the gate CAP_NET_ADMIN, or set kernel_lease = \"auto\""
    )]
    KernelLease(String),
    /// The user to run PostgreSQL as is missing or unknown.
    #[error("user: {0}")]
    User(String),
    /// PostgreSQL's command line cannot be used.
    #[error("command line: {0}")]
    Command(String),
    /// A file of the gate or of PostgreSQL's configuration.
    #[error("{what} {path}: {source}")]
    File {
        /// What was to be done.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A system call that the gate cannot do without.
    #[error("{what}: {source}")]
    System {
        /// What was to be done.
        what: &'static str,
        /// Why it failed.
        source: std::io::Error,
    },
    /// Certificates or keys.
    #[error("identity: {0}")]
    Identity(String),
    /// The role endpoint's address.
    #[error("role endpoint {address}: {source}; free the address or choose another")]
    Endpoint {
        /// Where.
        address: std::net::SocketAddr,
        /// Why it failed.
        source: std::io::Error,
    },
}

impl Error {
    /// Adds what was done, and where, to an IO error.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { what, path, source }
    }

    /// Adds what was done to a failed system call.
    pub(crate) fn system(what: &'static str) -> impl FnOnce(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}
