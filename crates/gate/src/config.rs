//! What a gate is told at its start. Plain values: the `tripoint` crate reads them from a file.

use model::{GrantTerms, Millis, SiteId, StackId};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// D and F until the group's first answer names its own: those of the profile `wan`.
pub const TERMS_DEFAULT: GrantTerms =
    GrantTerms { lease_duration: Millis(12_000), fence_deadline: Millis(4_000) };

/// How the processes of the database are held, so that none outlives the gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ContainmentChoice {
    /// The best way that a trial at the start shows to work: a cgroup (within a PID namespace
    /// where that is possible too), a PID namespace, PID 1 of a container.
    #[default]
    Auto,
    /// A cgroup of its own, ended by `cgroup.kill`, with a warden process beside the gate.
    Cgroup,
    /// A PID namespace that dies with the gate.
    PidNamespace,
    /// The gate is PID 1 of its container.
    ContainerInit,
    /// None: backends may outlive a killed gate. Only for who accepts the weaker guarantee
    /// by this name.
    NoneAccepted,
}

/// Whether nftables guards the database's port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelLeaseChoice {
    /// Where CAP_NET_ADMIN and `nft` are there; said in the log.
    #[default]
    Auto,
    /// Never.
    Off,
    /// Start-up is refused without it.
    Required,
}

/// All that one gate is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the group: part of the identities.
    pub group: String,
    /// The gate's site.
    pub site: SiteId,
    /// The stack whose database it owns.
    pub stack: StackId,
    /// Its actor, `host:port`.
    pub actor_address: String,
    /// Certificate, key and the group's CA.
    pub tls: rpc::tls::TlsFiles,
    /// Where the gate keeps its record: outside the data directory.
    pub state_directory: PathBuf,
    /// PostgreSQL's data directory.
    pub data_directory: PathBuf,
    /// PostgreSQL's command line: what stands after `--`.
    pub command: Vec<OsString>,
    /// User that PostgreSQL runs as when the gate is root.
    pub run_as: Option<String>,
    /// PostgreSQL's TCP port, for the kernel lease.
    pub port: u16,
    /// How processes are held.
    pub containment: ContainmentChoice,
    /// The kernel lease.
    pub kernel_lease: KernelLeaseChoice,
    /// The kernel timer that ends a hung gate. Only tests switch it off.
    pub kernel_timer: bool,
    /// Where the role endpoint listens; none for no endpoint.
    pub role_endpoint: Option<SocketAddr>,
    /// The file with what the gate sets (`primary_conninfo`), which `postgresql.conf` includes.
    /// Outside the data directory, or a copy of it would bring another site's settings.
    pub include_file: PathBuf,
    /// What replication slots may keep of the WAL, in MiB (`max_slot_wal_keep_size`); 0 leaves that
    /// alone, none is a quarter of the file system unless `postgresql.conf` says otherwise.
    pub slot_wal_mib: Option<u64>,
    /// D and F until the group's first answer; [`TERMS_DEFAULT`] is a good choice.
    pub terms: GrantTerms,
}
