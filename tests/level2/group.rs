//! The group that is simulated: its certificates, and each witness's configuration.

use crate::wire::PORT;
use coordination::Policy;
use coordination::timing::Timing;
use model::{SiteId, StackId};
use rpc::certs::{Authority, CA_CERT};
use rpc::identity::Role;
use rpc::tls::{Identity, TlsFiles};
use std::path::PathBuf;
use std::sync::Arc;
use tempfile::TempDir;
use witness::{Config, MemberConfig, SiteConfig, StackConfig};

const GROUP: &str = "level2";

pub fn stack() -> StackId {
    StackId::new("app").expect("a good name")
}

/// dc1 to dcN.
pub fn sites(count: usize) -> Vec<SiteId> {
    (1..=count).map(|n| SiteId::new(&format!("dc{n}")).expect("a good name")).collect()
}

/// The host that a site's witness runs on.
pub fn witness_host(site: &SiteId) -> String {
    format!("w-{site}")
}

/// The host that a site's actor runs on.
pub fn actor_host(site: &SiteId) -> String {
    format!("a-{site}")
}

pub fn address(host: &str) -> String {
    format!("{host}:{PORT}")
}

/// The group's CA and everybody's certificate, on the real disk.
#[derive(Clone)]
pub struct Files(Arc<TempDir>);

impl Files {
    pub fn issue(sites: &[SiteId]) -> Self {
        let dir =
            tempfile::Builder::new().prefix("tripoint-level2-").tempdir_in("/var/tmp").expect("/var/tmp");
        let authority = Authority::create(dir.path(), GROUP, 2, false).expect("an empty directory");
        let files = Self(Arc::new(dir));
        let members = sites.iter().flat_map(|s| [(Role::Witness, s.as_str()), (Role::Actor, s.as_str())]);
        for (role, name) in members.chain([(Role::Viewer, "eve"), (Role::Operator, "alice")]) {
            let paths = files.paths(role, name);
            let pair = authority.issue(role, name, &[], 2).expect("a good name");
            pair.write(&paths.cert, &paths.key, false).expect("an empty directory");
        }
        files
    }

    pub fn identity(&self, role: Role, name: &str) -> Identity {
        Identity::load(&self.paths(role, name)).expect("issued at the beginning")
    }

    fn paths(&self, role: Role, name: &str) -> TlsFiles {
        let at = |end: &str| self.0.path().join(format!("{role}-{name}.{end}"));
        TlsFiles { ca: self.0.path().join(CA_CERT), cert: at("pem"), key: at("key") }
    }

    /// The configuration of one witness.
    pub fn config(&self, me: &SiteId, sites: &[SiteId], timing: &Timing) -> Config {
        let member = |(node, site): (u64, &SiteId)| MemberConfig {
            node,
            site: site.clone(),
            address: address(&witness_host(site)),
        };
        let members: Vec<MemberConfig> = (1..).zip(sites).map(member).collect();
        let site = |site: &SiteId| SiteConfig {
            site: site.clone(),
            witness: true,
            actor_address: Some(address(&actor_host(site))),
            // Probed over this host's own TCP, which the simulation knows nothing of.
            endpoints: vec![],
        };
        let files = self.paths(Role::Witness, me.as_str());
        Config {
            group: GROUP.to_owned(),
            site: me.clone(),
            node: members.iter().find(|m| m.site == *me).expect("one of the sites").node,
            listen: ([0, 0, 0, 0], PORT).into(),
            data_directory: PathBuf::from("/nonexistent"),
            tls: witness::TlsFiles { ca: files.ca, certificate: files.cert, key: files.key },
            sites: sites.iter().map(site).collect(),
            stacks: vec![StackConfig { stack: stack(), sites: sites.to_vec() }],
            policy: Policy::with_timing(*timing),
            members,
            http_listen: None,
        }
    }
}
