//! A fake actor: the real service over real mTLS, with the group's part played by the test.

use model::{
    CoverEntry, CoverKind, DatabaseReport, Deadline, Epoch, GateReport, LogIndex, Millis, Moment, SiteEpochs,
    StackId, Timeline, Upstream,
};
use rpc::certs::{Authority, CA_CERT, CA_DAYS, LEAF_DAYS};
use rpc::clock::now;
use rpc::identity::Role;
use rpc::server::serve;
use rpc::tls::{Identity, TlsFiles};
use rpc::tonic::{Request, Response, Status, Streaming, async_trait, service::Routes};
use rpc::v1::{self, from_gate, gate_server, order, to_gate};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio_stream::{Stream, StreamExt, wrappers::ReceiverStream};

/// D and F in these tests: short, but long enough for a loaded machine.
pub const LEASE: Millis = Millis(1_500);
pub const FENCE: Millis = Millis(1_000);

/// What the group says, and what the gate said.
pub struct World {
    pub known: bool,
    pub index: u64,
    pub highest: u64,
    pub closed: u64,
    pub timeline_highest: u32,
    /// (epoch, held, since).
    pub cover: Option<(u64, bool, u64)>,
    /// End of the lease, once the group grants no more.
    ends: Option<Deadline>,
    pub report: Option<GateReport>,
    /// The database's report that the gate is told: a standby that streams.
    pub streams: bool,
    pub timed_ack: Option<(u64, u64)>,
    pub done: BTreeMap<u64, (v1::StepOutcome, String)>,
    pub asks: u64,
    stream: Option<mpsc::Sender<Result<v1::ToGate, Status>>>,
    orders: u64,
}

/// Issues the identities of one test.
pub struct Group {
    pub directory: tempfile::TempDir,
    authority: Authority,
}

impl Group {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let authority = Authority::create(directory.path(), "test", CA_DAYS, false).expect("a CA");
        Self { directory, authority }
    }

    pub fn files(&self, role: Role) -> TlsFiles {
        let at = |end: &str| self.directory.path().join(format!("{role}.{end}"));
        let files = TlsFiles { ca: self.directory.path().join(CA_CERT), cert: at("pem"), key: at("key") };
        let pair = self.authority.issue(role, "dc1", &[], LEAF_DAYS).expect("a certificate");
        pair.write(&files.cert, &files.key, true).expect("written");
        files
    }
}

/// The actor, for as long as it lives.
pub struct Actor {
    world: Arc<Mutex<World>>,
    runtime: Option<Runtime>,
    pub address: SocketAddr,
    files: TlsFiles,
    namespace: Option<String>,
}

impl Actor {
    /// Knows nothing yet. In a network namespace if one is named.
    pub fn start(group: &Group, namespace: Option<&str>) -> Self {
        let world = World {
            known: false,
            index: 1,
            highest: 0,
            closed: 0,
            timeline_highest: 0,
            cover: None,
            ends: None,
            report: None,
            streams: false,
            timed_ack: None,
            done: BTreeMap::new(),
            asks: 0,
            stream: None,
            orders: 0,
        };
        let address = SocketAddr::from(([127, 0, 0, 1], super::site::free_port()));
        let files = group.files(Role::Actor);
        let namespace = namespace.map(str::to_owned);
        let mut actor = Self { world: Arc::new(Mutex::new(world)), runtime: None, address, files, namespace };
        actor.serve();
        actor
    }

    fn serve(&mut self) {
        let runtime = runtime(self.namespace.as_deref());
        let identity = Identity::load(&self.files).expect("issued just now");
        // An address that was given up a moment ago may still be taken.
        let listener = super::wait_for("the actor's address", Duration::from_secs(10), || {
            runtime.block_on(runtime.spawn(TcpListener::bind(self.address))).expect("joined").ok()
        });
        let service = Desk { world: Arc::clone(&self.world) };
        let routes = Routes::new(gate_server::GateServer::new(service));
        runtime.spawn(serve(listener, identity, routes, std::future::pending()));
        self.runtime = Some(runtime);
    }

    /// Dies: the stream breaks, nobody listens.
    pub fn die(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_timeout(Duration::from_millis(200));
        }
        self.world().stream = None;
    }

    /// Comes back at its old address; knows nothing until it is told so.
    pub fn restart(&mut self) {
        self.world().known = false;
        self.serve();
    }

    pub fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().expect("no test panics with it")
    }

    /// Changes what the group says, as one log entry, and nudges the gate.
    pub fn say(&self, change: impl FnOnce(&mut World)) {
        let mut world = self.world();
        world.known = true;
        world.index += 1;
        change(&mut world);
        if let Some(stream) = &world.stream {
            let _ = stream.try_send(Ok(v1::ToGate { kind: Some(to_gate::Kind::Nudge(v1::Nudge {})) }));
        }
    }

    /// A timed cover for this epoch, renewed until [`Self::cut`].
    pub fn cover(&self, epoch: u64) {
        self.say(|w| {
            w.highest = w.highest.max(epoch);
            w.cover = Some((epoch, false, w.index));
            w.ends = None;
        });
    }

    /// The group grants no more from now on; when the last grant ends.
    pub fn cut(&self) -> Deadline {
        let ends = Deadline::new(now(), LEASE);
        self.world().ends = Some(ends);
        ends
    }

    /// Gives an order; its number.
    pub fn order(&self, kind: order::Kind) -> u64 {
        let mut world = self.world();
        world.orders += 1;
        let number = world.orders;
        send_order(&world, number, kind);
        number
    }

    pub fn order_again(&self, number: u64, kind: order::Kind) {
        let mut world = self.world();
        world.done.remove(&number);
        send_order(&world, number, kind);
    }

    /// Waits for the outcome of an order.
    pub fn outcome(&self, number: u64, limit: Duration) -> (v1::StepOutcome, String) {
        super::wait_for(&format!("order {number}"), limit, || self.world().done.get(&number).cloned())
    }

    pub fn obey(&self, kind: order::Kind, limit: Duration) -> (v1::StepOutcome, String) {
        let number = self.order(kind);
        self.outcome(number, limit)
    }
}

fn send_order(world: &World, number: u64, kind: order::Kind) {
    let order = v1::Order { number, kind: Some(kind) };
    let stream = world.stream.as_ref().expect("the gate attends");
    stream.try_send(Ok(v1::ToGate { kind: Some(to_gate::Kind::Order(order)) })).expect("it takes orders");
}

/// Threads that live in a network namespace.
pub fn runtime(namespace: Option<&str>) -> Runtime {
    let namespace = namespace.map(str::to_owned);
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start(move || enter(namespace.as_deref()))
        .build()
        .expect("a runtime")
}

/// Moves this thread into a network namespace.
pub fn enter(namespace: Option<&str>) {
    if let Some(name) = namespace {
        let file = std::fs::File::open(Path::new("/run/netns").join(name)).expect("the namespace is there");
        nix::sched::setns(file, nix::sched::CloneFlags::CLONE_NEWNET).expect("we are root");
    }
}

struct Desk {
    world: Arc<Mutex<World>>,
}

#[async_trait]
impl gate_server::Gate for Desk {
    type AttendStream = Pin<Box<dyn Stream<Item = Result<v1::ToGate, Status>> + Send>>;

    async fn attend(
        &self,
        request: Request<Streaming<v1::FromGate>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        rpc::server::require(&request, &[Role::Gate])?;
        let mut incoming = request.into_inner();
        let (out, outgoing) = mpsc::channel(64);
        let world = Arc::clone(&self.world);
        world.lock().expect("whole").stream = Some(out.clone());
        tokio::spawn(async move {
            while let Some(Ok(message)) = incoming.next().await {
                let reply = world.lock().expect("whole").take(message);
                if let Some(kind) = reply
                    && out.send(Ok(v1::ToGate { kind: Some(kind) })).await.is_err()
                {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(outgoing))))
    }
}

impl World {
    fn take(&mut self, message: v1::FromGate) -> Option<to_gate::Kind> {
        match message.kind? {
            from_gate::Kind::Hello(_) => None,
            from_gate::Kind::Ask(ask) => {
                self.asks += 1;
                self.report = ask.report.map(|r| r.try_into().expect("a whole report"));
                self.timed_ack = ask.timed_ack.map(|a| (a.epoch, a.since));
                Some(to_gate::Kind::Answer(self.answer(ask.number, now())))
            }
            from_gate::Kind::Done(done) => {
                let outcome = v1::StepOutcome::try_from(done.outcome).expect("known");
                self.done.insert(done.order, (outcome, done.evidence));
                None
            }
        }
    }

    fn answer(&self, number: u64, at: Moment) -> v1::Answer {
        if !self.known {
            return v1::Answer { number, ..Default::default() };
        }
        let stack = StackId::new("db").expect("a name");
        let epochs = SiteEpochs {
            stack: stack.clone(),
            highest: Epoch(self.highest),
            closed: Epoch(self.closed),
            timeline_highest: Timeline(self.timeline_highest),
        };
        let cover = self.cover.map(|(epoch, held, since)| {
            let since = LogIndex(since);
            let kind = if held { CoverKind::Held { since } } else { CoverKind::Timed { since } };
            CoverEntry { stack, epoch: Epoch(epoch), kind }.into()
        });
        let remaining = self.ends.map_or(LEASE, |ends| ends.remaining(at));
        v1::Answer {
            number,
            known: true,
            index: self.index,
            epochs: Some(epochs.into()),
            cover,
            remaining_ms: remaining.0,
            terms: Some(v1::Terms { lease_duration_ms: LEASE.0, fence_deadline_ms: FENCE.0 }),
            database: self.streams.then(|| {
                let upstream = Upstream {
                    site: None,
                    streaming: true,
                    timeline: Timeline(2),
                    message_age: Millis(1),
                    lag_bytes: 0,
                };
                DatabaseReport { upstream: Some(upstream), ..DatabaseReport::unknown() }.into()
            }),
        }
    }
}
