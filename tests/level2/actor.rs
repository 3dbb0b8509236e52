//! A site's actor and database, as far as witnesses can tell: registers, renews at any witness
//! that will have it, obeys views, and reports each step as done. What it may run, and until
//! when, the production's own table of grants says.

use crate::clocks;
use crate::group::{Files, stack};
use crate::judge::{Shared, lock};
use crate::wire::{Net, PORT};
use coordination::lease::{LeaseTable, Taken};
use coordination::timing::TimingValues;
use model::{
    Containment, CoverKind, DatabaseReport, DatabaseRole, Desired, Epoch, GateReport, Grant, Incarnation,
    Instruction, Lsn, Millis, Moment, RegistrationAnswer, RenewRequest, RenewalNumber, Replica, SiteId,
    SiteReport, StepKind, StepOutcome, StepReport, SystemId, TimedAck, Timeline, Upstream, WalPosition,
};
use rpc::client::{ChannelTiming, Expected, channel_over, within};
use rpc::clock;
use rpc::identity::Role;
use rpc::network::Network;
use rpc::server::{serve_over, with_standard};
use rpc::tonic::service::Routes;
use rpc::tonic::transport::Channel;
use rpc::tonic::{Code, Status};
use rpc::v1::{self, actor_client::ActorClient};
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// As the production's actor: a registration that takes longer is tried at the next witness.
const REGISTER_DEADLINE: Millis = Millis(2_000);
/// Before another witness is asked to register.
const REGISTER_PAUSE: Duration = Duration::from_millis(200);
/// A step that was not taken is reported again.
const STEP_DEADLINE: Millis = Millis(3_000);
/// A stream of views that is silent for longer is opened anew.
const VIEW_SILENCE_MAX: Duration = Duration::from_secs(10);
const VIEW_PAUSE: Duration = Duration::from_millis(200);
/// Answers and views that wait for the loop.
const WAITING_MAX: usize = 64;
const SYSTEM: SystemId = SystemId(7);

/// The database outlives the actor's runs.
#[derive(Clone, Debug)]
pub struct Database {
    pub timeline: Timeline,
    pub received: Lsn,
    /// None for a primary.
    pub follows: Option<SiteId>,
}

/// What an actor is started with.
#[derive(Clone)]
pub struct Setup {
    pub site: SiteId,
    /// Witnesses, the own site's first: site and address.
    pub witnesses: Vec<(SiteId, String)>,
    pub sites: Vec<SiteId>,
    pub files: Files,
    pub timing: TimingValues,
    pub judge: Shared,
    pub database: Arc<Mutex<Database>>,
    /// Drawn from the seed: another one for each run.
    pub incarnation: Incarnation,
}

enum Happened {
    Answer { sent: Moment, number: RenewalNumber, witness: usize, answer: Result<Grant, Status> },
    Silent { witness: usize },
    View(Desired),
    Ended { step: StepKind, epoch: Epoch, taken: bool },
}

struct Actor {
    setup: Setup,
    clients: Vec<ActorClient<Channel>>,
    /// The witness that is asked now.
    asked: usize,
    table: LeaseTable,
    happened: mpsc::Sender<Happened>,
    /// Of the view.
    epoch: Epoch,
    done: Vec<(StepKind, Epoch)>,
    under_way: Vec<(StepKind, Epoch)>,
}

/// Runs until its host dies.
pub async fn run(setup: Setup, net: Net) {
    let host = net.host.clone();
    clocks::here_is(&host);
    lock(&setup.judge).actor_starts(&setup.site, &host);
    let network = Network::simulated(net);
    let identity = setup.files.identity(Role::Actor, setup.site.as_str());
    let listener = network.bind(([0, 0, 0, 0], PORT).into()).await.expect("the port is free");
    let (routes, _health) = with_standard(Routes::default());
    tokio::spawn(serve_over(listener, identity.clone(), routes, pending()));
    let bound = Millis(setup.timing.renew_every.0.clamp(300, 1_000));
    let timing =
        ChannelTiming { connect_timeout: bound, keepalive_interval: bound, keepalive_timeout: bound };
    let client = |(site, address): &(SiteId, String)| {
        let expected = Expected { role: Role::Witness, name: Some(site.to_string()) };
        ActorClient::new(channel_over(&network, address, &identity, expected, timing))
    };
    let (happened, events) = mpsc::channel(WAITING_MAX);
    let clients = setup.witnesses.iter().map(client).collect();
    let actor = Actor {
        setup,
        clients,
        asked: 0,
        table: LeaseTable::default(),
        happened,
        epoch: Epoch::NONE,
        done: Vec::new(),
        under_way: Vec::new(),
    };
    actor.turn(events).await;
}

impl Actor {
    async fn turn(mut self, mut events: mpsc::Receiver<Happened>) {
        self.watch();
        let mut ticks = interval(self.setup.timing.renew_every.into());
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            if self.table.incarnation().is_none() {
                self.register().await;
            }
            tokio::select! {
                _ = ticks.tick() => {
                    self.renew();
                    self.report();
                }
                Some(event) = events.recv() => self.take(event),
            }
            self.show();
        }
    }

    fn client(&self) -> ActorClient<Channel> {
        self.clients[self.asked % self.clients.len()].clone()
    }

    /// Tries one witness after the other until one has it committed.
    async fn register(&mut self) {
        loop {
            let incarnation = self.setup.incarnation;
            let request = v1::RegisterRequest::from((self.setup.site.clone(), incarnation));
            match within(REGISTER_DEADLINE, self.client().register(request)).await {
                Ok(answer) => {
                    let answer = RegistrationAnswer::try_from(answer.into_inner()).expect("a good answer");
                    self.table.register(incarnation, &answer);
                    lock(&self.setup.judge).tell(&self.name(), &format!("registered at {}", answer.index));
                    return;
                }
                Err(status) => {
                    lock(&self.setup.judge).not_granted(&self.setup.site, &format!("{:?}", status.code()));
                    self.asked += 1;
                    sleep(REGISTER_PAUSE).await;
                }
            }
        }
    }

    fn name(&self) -> String {
        format!("a-{}", self.setup.site)
    }

    /// One send, whether earlier ones were answered or not.
    fn renew(&mut self) {
        let sent = clock::now();
        let Some(send) = self.table.send(sent) else { return };
        let timed = self.table.listed(&stack()).and_then(|entry| match entry.kind {
            CoverKind::Timed { since } => Some(TimedAck { stack: entry.stack, epoch: entry.epoch, since }),
            CoverKind::Held { .. } => None,
        });
        let request = RenewRequest {
            site: self.setup.site.clone(),
            incarnation: send.incarnation,
            number: send.number,
            cover_known: send.cover_known,
            stopping: vec![],
            unstopped: vec![],
            timed_acks: timed.into_iter().collect(),
        };
        let (mut client, happened, witness) = (self.client(), self.happened.clone(), self.asked);
        let (patience, useful) = (self.setup.timing.renew_every, self.setup.timing.lease_duration);
        tokio::spawn(async move {
            let call = within(useful, client.renew(v1::RenewRequest::from(request)));
            tokio::pin!(call);
            let answer = match timeout(patience.into(), &mut call).await {
                Ok(answer) => answer,
                Err(_) => {
                    let _actor_gone = happened.send(Happened::Silent { witness }).await;
                    call.await
                }
            };
            let answer = answer.map(|a| Grant::try_from(a.into_inner()).expect("a good answer"));
            let _actor_gone =
                happened.send(Happened::Answer { sent, number: send.number, witness, answer }).await;
        });
    }

    fn take(&mut self, event: Happened) {
        match event {
            Happened::Silent { witness } => self.move_on(witness),
            Happened::Answer { number, witness, answer: Err(status), .. } => {
                let site = self.setup.site.clone();
                lock(&self.setup.judge).not_granted(&site, &format!("{:?}", status.code()));
                let refused = status.code() == Code::FailedPrecondition;
                if refused && self.table.refusal_counts(self.setup.incarnation, number) {
                    self.setup.incarnation = Incarnation(self.setup.incarnation.0.wrapping_add(1));
                    self.table.unregister();
                } else if !refused {
                    self.move_on(witness);
                }
            }
            Happened::Answer { sent, answer: Ok(grant), .. } => {
                lock(&self.setup.judge).granted(&self.setup.site, sent, &grant);
                let taken = self.table.take(&grant, clock::now());
                if matches!(taken, Taken::ListUnknown | Taken::Yes { changed: true }) {
                    self.renew();
                }
            }
            Happened::View(view) => self.obey(&view),
            Happened::Ended { step, epoch, taken } => {
                self.under_way.retain(|known| *known != (step, epoch));
                if taken {
                    self.done.push((step, epoch));
                }
            }
        }
    }

    /// The witness that was asked did not do: the next, and at once.
    fn move_on(&mut self, witness: usize) {
        if witness == self.asked {
            self.asked += 1;
            self.renew();
        }
    }

    fn show(&self) {
        let valid = self.table.valid(&stack(), clock::now());
        let right = valid.map(|valid| (valid.entry.stack, valid.entry.epoch, valid.deadline));
        lock(&self.setup.judge).holds(&self.setup.site, right, self.table.index());
    }

    /// Views come by a stream, from one witness after the other.
    fn watch(&self) {
        let (clients, happened) = (self.clients.clone(), self.happened.clone());
        let site = self.setup.site.as_str().to_owned();
        tokio::spawn(async move {
            for mut client in clients.into_iter().cycle() {
                let request = v1::WatchRequest { site: site.clone() };
                if let Ok(views) = within(REGISTER_DEADLINE, client.watch(request)).await {
                    let mut views = views.into_inner();
                    while let Ok(Ok(Some(view))) = timeout(VIEW_SILENCE_MAX, views.message()).await {
                        let view = Desired::try_from(view).expect("a good view");
                        if happened.send(Happened::View(view)).await.is_err() {
                            return;
                        }
                    }
                }
                sleep(VIEW_PAUSE).await;
            }
        });
    }

    fn obey(&mut self, view: &Desired) {
        let Some(part) = view.of(&stack()) else { return };
        self.epoch = part.epoch;
        let database = Arc::clone(&self.setup.database);
        let mut database = database.lock().expect("no holder panicked");
        let at =
            |database: &Database| Some(WalPosition { timeline: database.timeline, lsn: database.received });
        match part.instruction.clone() {
            Instruction::Detach { epoch } => {
                database.follows = None;
                self.step(StepKind::Detach, epoch, at(&database));
            }
            Instruction::Run { epoch, timeline_highest, promote_due: true, .. } => {
                let covered =
                    self.table.valid(&stack(), clock::now()).is_some_and(|v| v.entry.epoch == epoch);
                if !covered {
                    // Its cover comes with the next renewal; the view is repeated.
                    self.renew();
                    return;
                }
                database.follows = None;
                database.timeline = timeline_highest.next();
                self.step(StepKind::Promote, epoch, at(&database));
            }
            Instruction::Run { epoch, verify_due: true, .. } => self.step(StepKind::VerifyWrite, epoch, None),
            Instruction::Follow { site, epoch, timeline, report_due } => {
                database.follows = Some(site);
                database.timeline = timeline.unwrap_or(database.timeline);
                if report_due {
                    self.step(StepKind::Follow, epoch, None);
                }
            }
            _ => {}
        }
    }

    fn step(&mut self, step: StepKind, epoch: Epoch, position: Option<WalPosition>) {
        if self.done.contains(&(step, epoch)) || self.under_way.contains(&(step, epoch)) {
            return;
        }
        self.under_way.push((step, epoch));
        let report = StepReport {
            site: self.setup.site.clone(),
            stack: stack(),
            epoch,
            step,
            outcome: StepOutcome::Done,
            position,
            evidence: "the model says so".to_owned(),
        };
        lock(&self.setup.judge).tell(&self.name(), &format!("{step:?} of epoch {epoch}"));
        let (clients, first, happened) = (self.clients.clone(), self.asked, self.happened.clone());
        tokio::spawn(async move {
            let mut taken = false;
            for turn in 0..clients.len() {
                let mut client = clients[(first + turn) % clients.len()].clone();
                let request = v1::ReportRequest { reports: vec![], steps: vec![report.clone().into()] };
                if let Ok(answer) = within(STEP_DEADLINE, client.report(request)).await {
                    taken = answer.into_inner().step_refusals == [""];
                    break;
                }
            }
            let _actor_gone = happened.send(Happened::Ended { step, epoch, taken }).await;
        });
    }

    fn report(&self) {
        let mut client = self.client();
        let request = v1::ReportRequest { reports: vec![self.site_report().into()], steps: vec![] };
        let limit = self.setup.timing.renew_every;
        // A lost one is followed by the next.
        tokio::spawn(async move { within(limit, client.report(request)).await });
    }

    fn site_report(&self) -> SiteReport {
        let database = self.setup.database.lock().expect("no holder panicked").clone();
        let open = self.table.valid(&stack(), clock::now()).map(|valid| valid.entry.epoch);
        let primary = database.follows.is_none() && (self.epoch == Epoch::NONE || open.is_some());
        let replica = |site: &SiteId| Replica {
            name: site.to_string(),
            streaming: true,
            flushed: None,
            replayed: None,
        };
        let upstream = database.follows.clone().map(|site| Upstream {
            site: Some(site),
            streaming: true,
            timeline: database.timeline,
            message_age: Millis(5),
            lag_bytes: 0,
        });
        let gate = GateReport {
            highest: self.epoch,
            closed: Epoch::NONE,
            open,
            running: true,
            standby: !primary,
            data_present: true,
            clean_shutdown: None,
            containment: Containment::None,
            kernel_lease: false,
            problem: None,
            copy: None,
        };
        let database = DatabaseReport {
            role: if primary { DatabaseRole::Primary } else { DatabaseRole::Standby },
            system_id: Some(SYSTEM),
            timeline: Some(database.timeline),
            received: Some(database.received),
            replayed: Some(database.received),
            write_age: primary.then_some(Millis(10)),
            upstream,
            replicas: if primary { self.setup.sites.iter().map(replica).collect() } else { vec![] },
            sync: None,
            problem: None,
        };
        SiteReport { site: self.setup.site.clone(), stack: stack(), database, gate: Some(gate) }
    }
}
