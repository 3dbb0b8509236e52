//! Witnesses in one process: real store, real mTLS, real sockets, wires that can be cut.

use crate::proxy::Wire;
use consensus::{
    Applied, Compaction, Config, Consensus, ConsensusService, Error, Handle, Member, Surroundings,
};
use coordination::{
    Command, Outcome, State,
    timing::{Profile, TimingValues},
};
use futures::{Stream, StreamExt};
use model::{LogIndex, Millis, SiteId};
use rpc::{
    certs::Authority,
    identity::Role,
    server,
    tls::{Identity, TlsFiles},
    tonic::{Request, Response, Status, Streaming, async_trait, service::Routes},
    v1::{self, consensus_server::ConsensusServer},
};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    path::Path,
    pin::Pin,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};
use tempfile::TempDir;
use tokio::{net::TcpListener, sync::mpsc, sync::oneshot, task::JoinHandle};

pub const DEADLINE: Millis = Millis(5_000);

/// Waits for a condition, and says what was waited for.
pub async fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < Duration::from_secs(20), "waited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

pub struct Node {
    pub handle: Handle,
    pub service: ConsensusService,
    /// Everything that was applied, in order.
    pub applied: Arc<Mutex<Vec<Applied>>>,
    stop: oneshot::Sender<()>,
    server: JoinHandle<()>,
}

impl Node {
    pub fn restored(&self) -> usize {
        let applied = self.applied.lock().expect("not poisoned");
        applied.iter().filter(|applied| matches!(applied, Applied::Restored { .. })).count()
    }
}

pub struct Group {
    pub directory: TempDir,
    pub timing: TimingValues,
    pub compaction: Compaction,
    ports: BTreeMap<u64, SocketAddr>,
    /// From, to.
    wires: BTreeMap<(u64, u64), Wire>,
    pub nodes: BTreeMap<u64, Node>,
}

pub fn site(id: u64) -> SiteId {
    format!("dc{id}").parse().expect("a name")
}

impl Group {
    /// The group's certificates and wires; nobody runs yet.
    pub async fn new(size: u64) -> Self {
        rpc::tls::install_provider();
        // RUST_LOG shows what a failing test did; only the first test of the process can set it up.
        let filter = tracing_subscriber::EnvFilter::from_default_env();
        let _ = tracing_subscriber::fmt().with_env_filter(filter).with_test_writer().try_init();
        let directory = tempfile::Builder::new()
            .prefix("tripoint-consensus-")
            .tempdir_in("/var/tmp")
            .expect("a directory");
        let authority = Authority::create(directory.path(), "test", 1, false).expect("a CA");
        let (mut ports, mut wires) = (BTreeMap::new(), BTreeMap::new());
        for id in 1..=size {
            // Kept for the node: found free once, and nobody else asks for it.
            let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
            ports.insert(id, listener.local_addr().expect("bound"));
            for role in [Role::Witness, Role::Actor] {
                let files = files(directory.path(), role, &site(id));
                let pair = authority.issue(role, site(id).as_str(), &[], 1).expect("issued");
                pair.write(&files.cert, &files.key, false).expect("written");
            }
        }
        for from in 1..=size {
            for to in (1..=size).filter(|to| *to != from) {
                wires.insert((from, to), Wire::to(ports[&to]).await);
            }
        }
        let (timing, compaction) = (Profile::Fast.values(), Compaction::default());
        Self { directory, timing, compaction, ports, wires, nodes: BTreeMap::new() }
    }

    /// A group of three that has a leader.
    pub async fn running() -> Self {
        let mut group = Self::new(3).await;
        group.start_all().await;
        group.leader().await;
        group
    }

    pub async fn start_all(&mut self) {
        for id in self.ports.keys().copied().collect::<Vec<_>>() {
            self.start(id).await.expect("it starts");
        }
    }

    pub fn identity(&self, role: Role, id: u64) -> Identity {
        Identity::load(&files(self.directory.path(), role, &site(id))).expect("good files")
    }

    pub fn config(&self, me: u64) -> Config {
        let address =
            |to: u64| self.wires.get(&(me, to)).map_or(self.ports[&to], |wire| wire.address).to_string();
        let members = self.ports.keys().map(|id| (*id, Member { site: site(*id), address: address(*id) }));
        Config {
            data_directory: self.directory.path().join(format!("node{me}")),
            group: "test".to_owned(),
            me,
            members: members.collect(),
            timing: self.timing,
            reset_identity: false,
        }
    }

    pub async fn start(&mut self, id: u64) -> Result<(), Error> {
        let config = self.config(id);
        self.start_with(config).await
    }

    pub async fn start_with(&mut self, config: Config) -> Result<(), Error> {
        let id = config.me;
        let (sender, mut receiver) = mpsc::channel(16);
        let applied = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&applied);
        tokio::spawn(async move {
            while let Some(next) = receiver.recv().await {
                log.lock().expect("not poisoned").push(next);
            }
        });
        let identity = self.identity(Role::Witness, id);
        let surroundings = Surroundings { compaction: self.compaction, ..Surroundings::default() };
        let (handle, service) = Consensus::start_with(config, identity.clone(), sender, surroundings).await?;
        let listener = TcpListener::bind(self.ports[&id]).await.expect("its port");
        let (stop, stopped) = oneshot::channel::<()>();
        let routes = Routes::new(ConsensusServer::new(Api(service.clone())));
        let server = tokio::spawn(async move {
            let shutdown = async { drop(stopped.await) };
            server::serve(listener, identity, routes, shutdown).await.expect("it serves");
        });
        self.nodes.insert(id, Node { handle, service, applied, stop, server });
        Ok(())
    }

    /// As if killed, but for the store, which another process could not open otherwise.
    pub async fn stop(&mut self, id: u64) {
        let node = self.nodes.remove(&id).expect("it runs");
        node.server.abort();
        drop(node.stop);
        node.handle.shutdown().await;
    }

    pub fn isolate(&self, id: u64) {
        self.wires_of(id).for_each(Wire::cut);
    }

    pub fn mend(&self, id: u64) {
        self.wires_of(id).for_each(Wire::mend);
    }

    /// It is heard, and hears nothing.
    pub fn deafen(&self, id: u64) {
        for ((from, to), wire) in &self.wires {
            if *from == id {
                wire.cut_back();
            } else if *to == id {
                wire.cut_there();
            }
        }
    }

    /// Both ways, between two.
    pub fn cut(&self, a: u64, b: u64) {
        self.wires[&(a, b)].cut();
        self.wires[&(b, a)].cut();
    }

    fn wires_of(&self, id: u64) -> impl Iterator<Item = &Wire> {
        self.wires.iter().filter(move |((from, to), _)| *from == id || *to == id).map(|(_, wire)| wire)
    }

    pub fn handle(&self, id: u64) -> &Handle {
        &self.nodes[&id].handle
    }

    /// The node that leads with a quorum's consent, once there is one.
    pub async fn leader(&self) -> u64 {
        self.leader_among(&self.nodes.keys().copied().collect::<Vec<_>>()).await
    }

    pub async fn leader_among(&self, nodes: &[u64]) -> u64 {
        until("a leader", || {
            nodes.iter().copied().find(|id| self.handle(*id).watch_leadership().borrow().me_leading)
        })
        .await
    }

    pub fn follower(&self, leader: u64) -> u64 {
        *self.nodes.keys().find(|id| **id != leader).expect("there is one")
    }

    /// All that run have applied up to `index`, and their states are the same.
    pub async fn agree(&self, index: LogIndex) -> Arc<State> {
        let states = until("all have applied it", || {
            let states: Vec<_> = self.nodes.values().map(|node| node.handle.state()).collect();
            let first = states.first().expect("somebody runs").clone();
            (first.index() >= index && states.iter().all(|s| s.index() == first.index())).then_some(states)
        })
        .await;
        assert!(states.windows(2).all(|pair| pair[0] == pair[1]), "the states differ");
        states[0].clone()
    }

    /// Proposes at a node until it is committed: elections may come in between.
    pub async fn commit(&self, at: u64, command: Command) -> LogIndex {
        let started = Instant::now();
        loop {
            match self.handle(at).propose(command.clone(), Millis(1_000)).await {
                Ok((index, Outcome::Applied)) => return index,
                Ok((_, other)) => panic!("{command:?} gave {other:?}"),
                Err(error) => {
                    assert!(started.elapsed() < Duration::from_secs(20), "never committed: {error}")
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

pub fn define(n: usize) -> Command {
    Command::DefineSite { site: format!("s{n}").parse().expect("a name"), actor: true }
}

fn files(directory: &Path, role: Role, site: &SiteId) -> TlsFiles {
    let path = |end: &str| directory.join(format!("{role}-{site}.{end}"));
    TlsFiles { ca: directory.join(rpc::certs::CA_CERT), cert: path("pem"), key: path("key") }
}

/// What the witness does with the service.
struct Api(ConsensusService);

#[async_trait]
impl v1::consensus_server::Consensus for Api {
    async fn raft(&self, request: Request<v1::RaftRequest>) -> Result<Response<v1::RaftResponse>, Status> {
        let from = server::peer(&request)?;
        Ok(Response::new(self.0.raft(&from, request.into_inner()).await?))
    }

    type AppendStream = Pin<Box<dyn Stream<Item = Result<v1::RaftResponse, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::RaftRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let from = server::peer(&request)?;
        let answers = self.0.append(&from, request.into_inner());
        Ok(Response::new(Box::pin(answers.map(|answer| answer.map_err(Status::from)))))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::RaftRequest>>,
    ) -> Result<Response<v1::RaftResponse>, Status> {
        let from = server::peer(&request)?;
        Ok(Response::new(self.0.snapshot(&from, request.into_inner()).await?))
    }

    async fn propose(
        &self,
        request: Request<v1::ProposeRequest>,
    ) -> Result<Response<v1::ProposeResponse>, Status> {
        let from = server::peer(&request)?;
        Ok(Response::new(self.0.propose(&from, request.into_inner()).await?))
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        let from = server::peer(&request)?;
        Ok(Response::new(self.0.read_index(&from, request.into_inner()).await?))
    }

    async fn hand(&self, _: Request<v1::HandRequest>) -> Result<Response<v1::HandResponse>, Status> {
        Err(Status::unimplemented("the witness's own"))
    }

    async fn probe(&self, _: Request<v1::ProbeRequest>) -> Result<Response<v1::ProbeResponse>, Status> {
        Err(Status::unimplemented("the witness's own"))
    }
}
