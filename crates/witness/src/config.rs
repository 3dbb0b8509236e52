//! What a witness process is told at its start. Plain values: the `tripoint` binary parses
//! and checks its TOML file into them.

use coordination::Policy;
use model::{SiteId, StackId};
use std::net::SocketAddr;
use std::path::PathBuf;

/// One witness process.
#[derive(Clone, Debug)]
pub struct Config {
    /// The group's name, as its certificates carry it.
    pub group: String,
    /// This witness's site.
    pub site: SiteId,
    /// This witness's Raft node id, the same as in its line of `members`.
    pub node: u64,
    /// Where the gRPC services listen.
    pub listen: SocketAddr,
    /// Where the log and the vote are kept.
    pub data_directory: PathBuf,
    /// Certificate, key and the group's CA.
    pub tls: TlsFiles,
    /// All witnesses, this one too.
    pub members: Vec<MemberConfig>,
    /// All sites, those with a witness only and those with an actor only too.
    pub sites: Vec<SiteConfig>,
    /// The stacks that the group protects.
    pub stacks: Vec<StackConfig>,
    /// Timing and policy with which a group begins; a running group keeps what it committed.
    pub policy: Policy,
    /// HTTP port for the status page and metrics; not built yet, nothing listens there.
    pub http_listen: Option<SocketAddr>,
}

impl Config {
    /// The site of a Raft node.
    #[must_use]
    pub fn site_of(&self, node: u64) -> Option<&SiteId> {
        self.members.iter().find(|m| m.node == node).map(|m| &m.site)
    }

    /// The Raft node of a site.
    #[must_use]
    pub fn node_of(&self, site: &SiteId) -> Option<u64> {
        self.members.iter().find(|m| m.site == *site).map(|m| m.node)
    }
}

/// PEM files of one identity.
#[derive(Clone, Debug)]
pub struct TlsFiles {
    /// The group's CA certificate.
    pub ca: PathBuf,
    /// This process's certificate (chain).
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// One witness of the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberConfig {
    /// Raft node id, above 0, never used for another site.
    pub node: u64,
    /// Its site.
    pub site: SiteId,
    /// "host:port" of its gRPC services.
    pub address: String,
}

/// One site, as every witness sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteConfig {
    /// Its name.
    pub site: SiteId,
    /// True if a witness runs there.
    pub witness: bool,
    /// "host:port" of its actor; none for a site with a witness only.
    pub actor_address: Option<String>,
    /// What the public reaches there: "host:port", probed by a TCP connection, or an
    /// `http://` URL, probed by a GET.
    pub endpoints: Vec<String>,
}

/// One stack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackConfig {
    /// Its name.
    pub stack: StackId,
    /// Sites that carry it, the preferred one first.
    pub sites: Vec<SiteId>,
}
