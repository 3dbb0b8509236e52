//! An actor that plays a database: registers, renews, watches, and reports each step as done.

use super::lab::{LIMIT, Lab, stack};
use model::{
    Containment, Cover, CoverKind, DatabaseReport, DatabaseRole, Desired, Epoch, GateReport, Grant,
    Incarnation, Instruction, Lsn, Millis, RegistrationAnswer, RenewRequest, RenewalNumber, Replica, SiteId,
    SiteReport, StepKind, StepOutcome, StepReport, SystemId, TimedAck, Timeline, Upstream, WalPosition,
};
use rpc::identity::Role;
use rpc::tonic::{Status, transport::Channel};
use rpc::v1;
use rpc::v1::actor_client::ActorClient;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

const RENEW_EVERY: Duration = Duration::from_millis(300);
const SYSTEM: SystemId = SystemId(7);

/// One run of a site's actor, and its database.
pub struct Script {
    site: SiteId,
    client: ActorClient<Channel>,
    incarnation: Incarnation,
    number: RenewalNumber,
    cover: Cover,
    epoch: Epoch,
    timeline: Timeline,
    received: Lsn,
    follows: Option<SiteId>,
    done: Vec<(StepKind, Epoch)>,
}

impl Script {
    /// Asks `witness` in the name of `site`. Streams from `follows`, or is the primary.
    pub fn new(lab: &Lab, witness: &SiteId, site: &SiteId, follows: Option<SiteId>, received: u64) -> Self {
        let channel = lab.channel(witness, Role::Actor, site.as_str());
        Self {
            site: site.clone(),
            client: ActorClient::new(channel),
            incarnation: Incarnation(received),
            number: RenewalNumber(0),
            cover: Cover::default(),
            epoch: Epoch::NONE,
            timeline: Timeline(1),
            received: Lsn(received),
            follows,
            done: Vec::new(),
        }
    }

    pub async fn register(&mut self) -> Result<RegistrationAnswer, Status> {
        let request = v1::RegisterRequest::from((self.site.clone(), self.incarnation));
        let answer = RegistrationAnswer::try_from(self.client.register(request).await?.into_inner()).unwrap();
        self.number = answer.last_number;
        Ok(answer)
    }

    pub async fn renew(&mut self) -> Result<Grant, Status> {
        self.number = self.number.next();
        let since = |kind| match kind {
            CoverKind::Timed { since } => Some(since),
            CoverKind::Held { .. } => None,
        };
        let ack = |e: &model::CoverEntry| {
            since(e.kind).map(|since| TimedAck { stack: e.stack.clone(), epoch: e.epoch, since })
        };
        let request = RenewRequest {
            site: self.site.clone(),
            incarnation: self.incarnation,
            number: self.number,
            cover_known: self.cover.revision,
            stopping: vec![],
            unstopped: vec![],
            timed_acks: self.cover.entries.iter().filter_map(ack).collect(),
        };
        let answer = self.client.renew(v1::RenewRequest::from(request)).await?.into_inner();
        let grant = Grant::try_from(answer).unwrap();
        if let Some(cover) = &grant.cover {
            self.cover = cover.clone();
        }
        Ok(grant)
    }

    /// Registers, then renews, reports and obeys until it is aborted.
    pub fn play(mut self) -> JoinHandle<()> {
        tokio::spawn(async move {
            // The witnesses may be starting.
            let started = Instant::now();
            while let Err(error) = self.register().await {
                assert!(started.elapsed() < LIMIT, "{error}");
                sleep(Duration::from_millis(50)).await;
            }
            let request = v1::WatchRequest { site: self.site.as_str().to_owned() };
            let mut views = self.client.watch(request).await.unwrap().into_inner();
            let mut ticks = interval(RENEW_EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    _ = ticks.tick() => {
                        // A refusal or a change of leader: the next one may do.
                        let _ = self.renew().await;
                        let _ = self.report(vec![]).await;
                    }
                    view = views.message() => {
                        let Ok(Some(view)) = view else { return };
                        self.obey(Desired::try_from(view).unwrap()).await;
                    }
                }
            }
        })
    }

    async fn obey(&mut self, view: Desired) {
        let Some(part) = view.of(&stack()) else { return };
        self.epoch = part.epoch;
        match part.instruction.clone() {
            Instruction::Detach { epoch } => {
                self.follows = None;
                let position = WalPosition { timeline: self.timeline, lsn: self.received };
                self.step(StepKind::Detach, epoch, Some(position)).await;
            }
            Instruction::Run { epoch, timeline_highest, promote_due: true, .. } => {
                let grant = self.renew().await.unwrap();
                assert!(self.cover.of(&stack()).is_some_and(|e| e.epoch == epoch), "{grant:?}");
                self.timeline = timeline_highest.next();
                let position = WalPosition { timeline: self.timeline, lsn: self.received };
                self.step(StepKind::Promote, epoch, Some(position)).await;
            }
            Instruction::Run { epoch, verify_due: true, .. } => {
                self.step(StepKind::VerifyWrite, epoch, None).await
            }
            Instruction::Follow { site, epoch, timeline, report_due } => {
                self.follows = Some(site);
                self.timeline = timeline.unwrap_or(self.timeline);
                if report_due {
                    self.step(StepKind::Follow, epoch, None).await;
                }
            }
            _ => {}
        }
    }

    async fn step(&mut self, step: StepKind, epoch: Epoch, position: Option<WalPosition>) {
        if self.done.contains(&(step, epoch)) {
            return;
        }
        let report = StepReport {
            site: self.site.clone(),
            stack: stack(),
            epoch,
            step,
            outcome: StepOutcome::Done,
            position,
            evidence: "the script says so".to_owned(),
        };
        if self.report(vec![report]).await.is_ok_and(|refusals| refusals == [""]) {
            self.done.push((step, epoch));
        }
    }

    /// Reports the database and steps that ended; the refusals.
    pub async fn report(&mut self, steps: Vec<StepReport>) -> Result<Vec<String>, Status> {
        let request = v1::ReportRequest {
            reports: vec![self.site_report().into()],
            steps: steps.into_iter().map(v1::StepReport::from).collect(),
        };
        Ok(self.client.report(request).await?.into_inner().step_refusals)
    }

    fn site_report(&self) -> SiteReport {
        let open = self.cover.of(&stack()).map(|entry| entry.epoch);
        let primary = self.follows.is_none() && (self.epoch == Epoch::NONE || open.is_some());
        let replica =
            |name: &str| Replica { name: name.to_owned(), streaming: true, flushed: None, replayed: None };
        let upstream = self.follows.clone().map(|site| Upstream {
            site: Some(site),
            streaming: true,
            timeline: self.timeline,
            message_age: Millis(5),
            lag_bytes: 0,
        });
        let database = DatabaseReport {
            role: if primary { DatabaseRole::Primary } else { DatabaseRole::Standby },
            system_id: Some(SYSTEM),
            timeline: Some(self.timeline),
            received: Some(self.received),
            replayed: Some(self.received),
            write_age: primary.then_some(Millis(10)),
            upstream,
            replicas: if primary { super::lab::SITES.map(replica).to_vec() } else { vec![] },
            sync: None,
            problem: None,
        };
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
        SiteReport { site: self.site.clone(), stack: stack(), database, gate: Some(gate) }
    }
}
