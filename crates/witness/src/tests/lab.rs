//! Three witnesses in one process, on loopback and with mTLS, and what talks to them.

use crate::{Config, Error, MemberConfig, SiteConfig, StackConfig, TlsFiles, run};
use coordination::Policy;
use coordination::timing::{Profile, Timing};
use model::{GroupStatus, SiteId, StackId};
use rpc::certs::{Authority, CA_CERT, CA_DAYS, LEAF_DAYS};
use rpc::client::{ChannelTiming, channel};
use rpc::identity::Role;
use rpc::tls::{Expected, Identity};
use rpc::tonic::{Status, transport::Channel};
use rpc::v1;
use rpc::v1::status_client::StatusClient;
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

/// No test waits longer for anything.
pub const LIMIT: Duration = Duration::from_secs(30);
pub const GROUP: &str = "lab";
pub const SITES: [&str; 3] = ["dc1", "dc2", "dc3"];

pub fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

pub fn stack() -> StackId {
    StackId::new("app").unwrap()
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), Error>>,
}

/// The group and its CA.
pub struct Lab {
    dir: TempDir,
    authority: Authority,
    addresses: BTreeMap<SiteId, SocketAddr>,
    running: BTreeMap<SiteId, Running>,
}

impl Lab {
    /// All three run.
    pub fn start() -> Self {
        let dir = tempfile::Builder::new().prefix("tripoint-witness-").tempdir_in("/var/tmp").unwrap();
        let authority = Authority::create(dir.path(), GROUP, CA_DAYS, false).unwrap();
        // Held together, so that no port comes twice.
        let ports: Vec<TcpListener> =
            SITES.iter().map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let addresses = SITES.iter().zip(&ports).map(|(s, l)| (site(s), l.local_addr().unwrap())).collect();
        drop(ports);
        let mut lab = Self { dir, authority, addresses, running: BTreeMap::new() };
        for name in SITES {
            lab.start_one(&site(name));
        }
        lab
    }

    pub fn start_one(&mut self, site: &SiteId) {
        let (stop, stopped) = oneshot::channel();
        let config = self.config(site);
        let task = tokio::spawn(run(config, async {
            let _ = stopped.await;
        }));
        self.running.insert(site.clone(), Running { stop, task });
    }

    /// Ends one, and says how it ended.
    pub async fn stop_one(&mut self, site: &SiteId) -> Result<(), Error> {
        let running = self.running.remove(site).unwrap();
        let _ = running.stop.send(());
        timeout(LIMIT, running.task).await.unwrap().unwrap()
    }

    fn config(&self, me: &SiteId) -> Config {
        let files = self.files(Role::Witness, me.as_str());
        let member = |(node, (site, address)): (u64, (&SiteId, &SocketAddr))| MemberConfig {
            node,
            site: site.clone(),
            address: address.to_string(),
        };
        let members: Vec<MemberConfig> = (1..).zip(&self.addresses).map(member).collect();
        let sites = self.addresses.iter().map(|(site, address)| SiteConfig {
            site: site.clone(),
            witness: true,
            // Nothing answers there: the scripted actors are clients only.
            actor_address: Some("127.0.0.1:1".to_owned()),
            endpoints: vec![address.to_string()],
        });
        Config {
            group: GROUP.to_owned(),
            site: me.clone(),
            node: members.iter().find(|m| m.site == *me).unwrap().node,
            listen: self.addresses[me],
            data_directory: self.dir.path().join(format!("witness-{me}")),
            tls: TlsFiles { ca: files.ca, certificate: files.cert, key: files.key },
            sites: sites.collect(),
            members,
            stacks: vec![StackConfig { stack: stack(), sites: SITES.iter().map(|s| site(s)).collect() }],
            policy: Policy::with_timing(Timing::new(Profile::Fast.values()).unwrap()),
            http_listen: None,
        }
    }

    fn files(&self, role: Role, name: &str) -> rpc::tls::TlsFiles {
        let at = |end: &str| self.dir.path().join(format!("{role}-{name}.{end}"));
        let files = rpc::tls::TlsFiles { ca: self.dir.path().join(CA_CERT), cert: at("pem"), key: at("key") };
        if !Path::exists(&files.cert) {
            let pair = self.authority.issue(role, name, &[], LEAF_DAYS).unwrap();
            pair.write(&files.cert, &files.key, true).unwrap();
        }
        files
    }

    /// To one witness, as somebody.
    pub fn channel(&self, to: &SiteId, role: Role, name: &str) -> Channel {
        let identity = Identity::load(&self.files(role, name)).unwrap();
        let expected = Expected { role: Role::Witness, name: Some(to.as_str().to_owned()) };
        channel(&self.addresses[to].to_string(), &identity, expected, ChannelTiming::default())
    }

    /// The status that one witness gives a viewer.
    pub async fn status(&self, at: &SiteId, stale: bool) -> Result<GroupStatus, Status> {
        let mut client = StatusClient::new(self.channel(at, Role::Viewer, "eve"));
        let answer = client.get(v1::StatusRequest { stale }).await?.into_inner();
        let status: GroupStatus = serde_json::from_str(&answer.json).unwrap();
        assert_eq!(answer.stale, status.stale);
        Ok(status)
    }

    /// Waits for a status in which something holds, at one witness.
    pub async fn until(&self, at: &SiteId, what: &str, holds: impl Fn(&GroupStatus) -> bool) -> GroupStatus {
        let mut last = None;
        let found = eventually(async || {
            let status = self.status(at, false).await;
            let good = status.as_ref().is_ok_and(&holds);
            last = Some(status);
            good
        });
        if !found.await {
            for site in self.running.keys() {
                let seen = self.status(site, true).await.map(|s| (s.leader, s.term, s.index, s.witnesses));
                eprintln!("{site} sees {seen:?}");
            }
            panic!("never: {what}; last: {last:#?}");
        }
        last.unwrap().unwrap()
    }

    /// Waits until the group has a leader and knows what the configuration defines.
    pub async fn ready(&self) -> GroupStatus {
        self.until(&site("dc1"), "the group is set up", |s| {
            s.leader.is_some() && s.stacks.len() == 1 && s.sites.len() == SITES.len()
        })
        .await
    }
}

/// Tries again until it holds, within [`LIMIT`].
pub async fn eventually(mut holds: impl AsyncFnMut() -> bool) -> bool {
    timeout(LIMIT, async {
        while !holds().await {
            sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .is_ok()
}
