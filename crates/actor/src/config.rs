//! What an actor process is told at its start. Plain values: the `tripoint` binary parses and
//! checks its TOML file into them.

use coordination::timing::TimingValues;
use model::{SiteId, StackId};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

/// One actor process: a site's hand.
#[derive(Clone, Debug)]
pub struct Config {
    /// The group's name, as its certificates carry it.
    pub group: String,
    /// This actor's site.
    pub site: SiteId,
    /// Where the gRPC services for this site's gates and for probes listen.
    pub listen: SocketAddr,
    /// The witnesses: this site's first, the others after it in the order of preference.
    pub witnesses: Vec<WitnessAddress>,
    /// Certificate (role `actor`), key and the group's CA.
    pub tls: TlsFiles,
    /// Where the epochs and the lock are kept. Of this actor alone.
    pub state_directory: PathBuf,
    /// Cadences of renewals, observations and reports. D and F of the lease come with every
    /// grant and win over these.
    pub timing: TimingValues,
    /// The stacks of this site.
    pub stacks: Vec<StackConfig>,
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

/// One witness, as an actor reaches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WitnessAddress {
    /// Its site.
    pub site: SiteId,
    /// "host:port" of its gRPC services.
    pub address: String,
}

/// One stack, as this site sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StackConfig {
    /// Its name.
    pub stack: StackId,
    /// How to reach this site's copy of the database.
    pub database: DatabaseConfig,
    /// For each other site that carries the stack: the connection string with which this
    /// site's standby follows that site's primary.
    pub primary_conninfo: BTreeMap<SiteId, String>,
    /// How `pg_rewind` reads another site's files: a database's connection string, as a role that
    /// may do so (the driver's `rewind.sql`). A site that is not named here: `primary_conninfo`.
    pub rewind_conninfo: BTreeMap<SiteId, String>,
    /// Whether slots keep WAL for the other sites, and this one follows by its slot.
    pub slots: bool,
}

impl StackConfig {
    /// What `pg_rewind` connects to for a site's files.
    #[must_use]
    pub fn rewind_conninfo_of(&self, site: &SiteId) -> Option<String> {
        if let Some(own) = self.rewind_conninfo.get(site) {
            return Some(own.clone());
        }
        let follow = self.primary_conninfo.get(site)?;
        // A URI names its database, or libpq takes the user's name for it.
        let whole = follow.contains("://") || follow.contains("dbname");
        Some(if whole { follow.clone() } else { format!("{follow} dbname=postgres") })
    }
}

/// The name of the slot that keeps a site's WAL at its primary.
#[must_use]
pub fn slot_name(site: &SiteId) -> String {
    // Names of sites have no underscore: no two sites share a slot.
    format!("tripoint_{}", site.as_str().replace('-', "_"))
}

/// How to reach one database server. Interpreted by the driver.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DatabaseConfig {
    /// Host name or address, or the directory of a Unix socket (begins with `/`).
    pub host: String,
    /// TCP port, also part of a Unix socket's name.
    pub port: u16,
    /// Role to log in as; it needs no more rights than `role.sql` of the driver gives.
    pub user: String,
    /// Database that holds the probe table.
    pub dbname: String,
    /// File whose first line is the role's password, if it has one.
    pub password_file: Option<PathBuf>,
    /// How the actor's sessions name themselves.
    pub application_name: String,
}
