//! One actor of dc2 with its stand-ins.

use super::database::Database;
use super::gate::Gate;
use super::witness::{Witness, terms};
use crate::Error;
use crate::config::{Config, DatabaseConfig, StackConfig, TlsFiles, WitnessAddress};
use crate::drivers::{DatabaseDriver, Drivers};
use crate::epochs::{EpochStore, Loaded};
use crate::event::{EVENTS_MAX, Event};
use crate::guard::OnHang;
use crate::process::run_with;
use coordination::timing::{Profile, TimingValues};
use model::{
    Cover, CoverEntry, CoverKind, Desired, DesiredStack, Epoch, Instruction, LogIndex, Millis, Mode,
    SiteEpochs, SiteId, SiteReport, StackId, StepKind, StepReport, Timeline,
};
use rpc::certs::Authority;
use rpc::client::{ChannelTiming, Expected, channel};
use rpc::identity::Role;
use rpc::server::{serve, with_standard};
use rpc::tls::Identity;
use rpc::tonic::service::Routes;
use rpc::v1::actor_server::ActorServer;
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// R of the tests.
pub(super) const R: Duration = Duration::from_millis(150);
const LEASE: u64 = 1_200;
const FENCE: u64 = 1_500;

pub(super) fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("a name of the test")
}

pub(super) fn stack() -> StackId {
    StackId::new("ess").expect("a name of the test")
}

pub(super) fn timed(epoch: u64, since: u64) -> CoverEntry {
    CoverEntry { stack: stack(), epoch: Epoch(epoch), kind: CoverKind::Timed { since: LogIndex(since) } }
}

pub(super) fn held(epoch: u64, since: u64) -> CoverEntry {
    CoverEntry { stack: stack(), epoch: Epoch(epoch), kind: CoverKind::Held { since: LogIndex(since) } }
}

pub(super) fn cover(revision: u64, entries: &[CoverEntry]) -> Cover {
    Cover { revision: LogIndex(revision), entries: entries.to_vec() }
}

pub(super) fn run_at(epoch: u64, promote_due: bool, verify_due: bool) -> Instruction {
    Instruction::Run { epoch: Epoch(epoch), timeline_highest: Timeline(1), promote_due, verify_due }
}

pub(super) fn view(index: u64, epoch: u64, closed: u64, instruction: Instruction) -> Desired {
    let desired = DesiredStack {
        stack: stack(),
        epoch: Epoch(epoch),
        closed: Epoch(closed),
        active: Some(site("dc1")),
        mode: Mode::Auto,
        system_id: None,
        instruction,
        sync: None,
        chain: Vec::new(),
    };
    Desired { index: LogIndex(index), stacks: vec![desired] }
}

/// Waits for a condition, 10 s at most.
pub(super) async fn within(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(10), "not within 10 s: {what}");
        tokio::time::sleep(Duration::from_millis(3)).await;
    }
}

pub(super) struct Lab {
    directory: tempfile::TempDir,
    witnesses: Vec<Witness>,
    pub(super) database: Arc<Database>,
    config: Config,
    drivers: Drivers,
    gate_identity: Identity,
    events: mpsc::Sender<Event>,
    hangs: Arc<AtomicUsize>,
    stop: CancellationToken,
    actor: JoinHandle<Result<(), Error>>,
}

impl Lab {
    pub(super) async fn start(witnesses: usize) -> Self {
        let directory =
            tempfile::Builder::new().prefix("tripoint-actor-").tempdir_in("/var/tmp").expect("a temp dir");
        let authority = Authority::create(directory.path(), "test", 1, false).expect("a CA");
        let stop = CancellationToken::new();
        let epochs = vec![SiteEpochs {
            stack: stack(),
            highest: Epoch(1),
            closed: Epoch(0),
            timeline_highest: Timeline(1),
        }];
        let (mut made, mut addresses) = (Vec::new(), Vec::new());
        for number in 0..witnesses {
            let name = format!("dc{}", (number + 1) % 3 + 1);
            let witness =
                Witness::new(terms(LEASE, FENCE), view(10, 1, 0, Instruction::Stay), epochs.clone());
            let (identity, _) = identity(&authority, directory.path(), Role::Witness, &name);
            let address = serve_witness(witness.clone(), identity, &stop).await;
            addresses.push(WitnessAddress { site: site(&name), address: address.to_string() });
            made.push(witness);
        }
        let (_, tls) = identity(&authority, directory.path(), Role::Actor, "dc2");
        let (gate_identity, _) = identity(&authority, directory.path(), Role::Gate, "dc2");
        let config = config(directory.path(), addresses, tls, free_port());
        let database = Arc::new(Database::new());
        let drivers =
            Drivers { databases: BTreeMap::from([(stack(), database.clone() as Arc<dyn DatabaseDriver>)]) };
        let (events, queue) = mpsc::channel(EVENTS_MAX);
        let hangs = Arc::new(AtomicUsize::new(0));
        let counted = hangs.clone();
        let on_hang: OnHang = Box::new(move || {
            counted.fetch_add(1, Ordering::SeqCst);
        });
        let (c, d, e, ends) = (config.clone(), drivers.clone(), events.clone(), stop.clone());
        let actor = tokio::spawn(async move { run_with(c, d, ends.cancelled(), e, queue, on_hang).await });
        let lab = Self {
            directory,
            witnesses: made,
            database,
            config,
            drivers,
            gate_identity,
            events,
            hangs,
            stop,
            actor,
        };
        within("the first renewal", || lab.witnesses.iter().any(|w| w.renews() > 0)).await;
        lab
    }

    pub(super) fn witness(&self, number: usize) -> &Witness {
        &self.witnesses[number]
    }

    /// Every witness says the same.
    pub(super) fn say(&self, change: impl Fn(&mut super::witness::State)) {
        for witness in &self.witnesses {
            witness.set(&change);
        }
    }

    pub(super) async fn gate(&self) -> Gate {
        let expected = Expected { role: Role::Actor, name: Some("dc2".to_owned()) };
        let to_actor =
            channel(&self.config.listen.to_string(), &self.gate_identity, expected, ChannelTiming::default());
        Gate::attend(to_actor, "ess").await
    }

    pub(super) fn steps(&self, kind: StepKind) -> Vec<StepReport> {
        let all = self.witnesses.iter().flat_map(Witness::steps);
        all.filter(|step| step.step == kind).collect()
    }

    pub(super) async fn step(&self, kind: StepKind) -> StepReport {
        within(&format!("the report of {kind}"), || !self.steps(kind).is_empty()).await;
        self.steps(kind)[0].clone()
    }

    pub(super) fn reports(&self) -> Vec<SiteReport> {
        self.witnesses.iter().flat_map(Witness::reports).collect()
    }

    /// Highest and closed epoch on disk.
    pub(super) fn saved(&self) -> Option<(u64, u64)> {
        match EpochStore::new(self.config.state_directory.clone()).load() {
            Ok(Loaded::Whole(map)) => map.get(&stack()).map(|e| (e.highest.0, e.closed.0)),
            _ => None,
        }
    }

    pub(super) async fn inject(&self, event: Event) {
        self.events.send(event).await.expect("the loop runs");
    }

    pub(super) fn hangs(&self) -> usize {
        self.hangs.load(Ordering::SeqCst)
    }

    pub(super) async fn second_actor(&self) -> Result<(), Error> {
        let (events, queue) = mpsc::channel(EVENTS_MAX);
        let nothing: OnHang = Box::new(|| {});
        run_with(self.config.clone(), self.drivers.clone(), async {}, events, queue, nothing).await
    }

    pub(super) async fn stop(self) {
        self.stop.cancel();
        let ended = tokio::time::timeout(Duration::from_secs(10), self.actor).await;
        ended.expect("in time").expect("no panic").expect("no error");
        drop(self.directory);
    }
}

fn config(directory: &Path, witnesses: Vec<WitnessAddress>, tls: TlsFiles, listen: SocketAddr) -> Config {
    let timing = TimingValues {
        lease_duration: Millis(LEASE),
        renew_every: Millis(150),
        fence_deadline: Millis(FENCE),
        detect_after: Millis(400),
        ..Profile::Fast.values()
    };
    let database = DatabaseConfig {
        host: "nowhere".to_owned(),
        port: 1,
        user: "tripoint".to_owned(),
        dbname: "postgres".to_owned(),
        password_file: None,
        application_name: "tripoint-actor".to_owned(),
    };
    let primary_conninfo =
        BTreeMap::from([(site("dc1"), "host=dc1".to_owned()), (site("dc3"), "host=dc3".to_owned())]);
    Config {
        group: "test".to_owned(),
        site: site("dc2"),
        listen,
        witnesses,
        tls,
        state_directory: directory.join("state"),
        timing,
        stacks: vec![StackConfig {
            stack: stack(),
            database,
            primary_conninfo,
            rewind_conninfo: BTreeMap::new(),
            slots: true,
        }],
    }
}

fn identity(authority: &Authority, directory: &Path, role: Role, name: &str) -> (Identity, TlsFiles) {
    let at = |end: &str| directory.join(format!("{role}-{name}.{end}"));
    let files = TlsFiles { ca: directory.join(rpc::certs::CA_CERT), certificate: at("pem"), key: at("key") };
    let pair = authority.issue(role, name, &[], 1).expect("a certificate");
    pair.write(&files.certificate, &files.key, true).expect("written");
    let loaded =
        rpc::tls::TlsFiles { ca: files.ca.clone(), cert: files.certificate.clone(), key: files.key.clone() };
    (Identity::load(&loaded).expect("issued just now"), files)
}

async fn serve_witness(witness: Witness, identity: Identity, stop: &CancellationToken) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    let (routes, _reporter) = with_standard(Routes::new(ActorServer::new(witness)));
    tokio::spawn(serve(listener, identity, routes, stop.clone().cancelled_owned()));
    address
}

fn free_port() -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("it is bound")
}
