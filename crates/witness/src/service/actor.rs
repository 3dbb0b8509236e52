//! `Actor`: how a site registers, renews, watches its view and reports.

use super::{malformed, name, refused};
use crate::door::Door;
use crate::event::Event;
use coordination::{Command, Outcome};
use futures::future::try_join_all;
use model::{DesiredStack, GrantTerms, Incarnation, Millis, RenewRequest, SiteId, SiteReport, StepReport};
use rpc::client::within;
use rpc::identity::Role;
use rpc::server::require_site;
use rpc::tonic::{Request, Response, Status, async_trait};
use rpc::v1;
use rpc::v1::consensus_client::ConsensusClient;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};

/// A view that did not change is repeated this often, so that a broken stream shows.
const WATCH_REPEAT: Duration = Duration::from_secs(3);
/// Views that may wait for a slow watcher; what is sent next is always the newest.
const WATCH_WAITING_MAX: usize = 1;
/// For a registration or a step: the actor sends it again after that.
const STEP_DEADLINE: Millis = Millis(3_000);
/// For a report on its way to the leader. The next one follows soon.
const HAND_DEADLINE: Millis = Millis(1_000);
/// Longest evidence of a step, in characters: it goes to the log and is for people alone.
const EVIDENCE_LENGTH_MAX: usize = 500;
/// Renewals are given up after this many R: later ones are under way.
const RENEW_DEADLINE_R: u64 = 2;

/// The service.
pub struct Service {
    door: Door,
}

impl Service {
    /// With the way to the loop.
    #[must_use]
    pub const fn new(door: Door) -> Self {
        Self { door }
    }

    /// D and F of the grants that are given now.
    fn terms(&self) -> Result<GrantTerms, Status> {
        let state = self.door.state();
        let policy = state.policy().ok_or_else(|| {
            Status::unavailable("this witness has no policy yet: the group is starting; try again")
        })?;
        Ok(policy.timing.terms())
    }

    /// Hands reports on to the leader; a lost one is followed by the next.
    fn hand_on(&self, reports: Vec<v1::SiteReport>) {
        let Some(channel) = self.door.other_leader().and_then(|leader| self.door.peers.witness(&leader))
        else {
            return;
        };
        tokio::spawn(async move {
            let mut client = ConsensusClient::new(channel);
            if let Err(status) = within(HAND_DEADLINE, client.hand(v1::HandRequest { reports })).await {
                tracing::debug!(%status, "a report did not reach the leader");
            }
        });
    }

    async fn commit_step(&self, step: StepReport) -> Result<String, Status> {
        match self.door.propose(Command::Step(step), STEP_DEADLINE).await? {
            (_, Outcome::Refused(refusal)) => Ok(coordination::explain::refusal_text(&refusal)),
            _ => Ok(String::new()),
        }
    }
}

#[async_trait]
impl v1::actor_server::Actor for Service {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let site: SiteId = name("site", &request.get_ref().site)?;
        require_site(&request, Role::Actor, &site)?;
        let incarnation = Incarnation(request.into_inner().incarnation);
        let command = Command::Register { site, incarnation, terms: self.terms()? };
        match self.door.propose(command, STEP_DEADLINE).await? {
            (_, Outcome::Registered(answer)) => Ok(Response::new(answer.into())),
            (_, Outcome::Refused(refusal)) => Err(refused(&refusal)),
            (_, outcome) => Err(Status::internal(format!("a registration cannot end as {outcome:?}"))),
        }
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let site: SiteId = name("site", &request.get_ref().site)?;
        require_site(&request, Role::Actor, &site)?;
        let renewal = RenewRequest::try_from(request.into_inner()).map_err(malformed)?;
        let command = Command::Renew { request: renewal, terms: self.terms()? };
        let deadline = self.door.renew_every().times(RENEW_DEADLINE_R);
        match self.door.propose(command, deadline).await? {
            (_, Outcome::Renewed { grant, .. }) => Ok(Response::new(grant.into())),
            (_, Outcome::Refused(refusal)) => Err(refused(&refusal)),
            (_, outcome) => Err(Status::internal(format!("a renewal cannot end as {outcome:?}"))),
        }
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::Desired, Status>> + Send>>;

    async fn watch(&self, request: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let site: SiteId = name("site", &request.get_ref().site)?;
        require_site(&request, Role::Actor, &site)?;
        let (sender, receiver) = mpsc::channel(WATCH_WAITING_MAX);
        tokio::spawn(views(self.door.clone(), site, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        let message = request.get_ref();
        let sites = message.reports.iter().map(|r| &r.site).chain(message.steps.iter().map(|s| &s.site));
        for site in sites {
            require_site(&request, Role::Actor, &name("site", site)?)?;
        }
        rpc::server::require(&request, &[Role::Actor])?;
        let v1::ReportRequest { reports, steps } = request.into_inner();
        let read = |r: v1::SiteReport| SiteReport::try_from(r).map_err(malformed);
        let own = reports.clone().into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let read = |s: v1::StepReport| StepReport::try_from(shortened(s)).map_err(malformed);
        let steps = steps.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let known = self.door.state();
        let carried = |r: &SiteReport| known.stacks().get(&r.stack).is_some_and(|s| s.carries(&r.site));
        for report in own.into_iter().filter(carried) {
            self.door.tell(Event::Report(Box::new(report))).await?;
        }
        if !reports.is_empty() {
            self.hand_on(reports);
        }
        let step_refusals = try_join_all(steps.into_iter().map(|step| self.commit_step(step))).await?;
        Ok(Response::new(v1::ReportResponse { step_refusals }))
    }
}

fn shortened(mut step: v1::StepReport) -> v1::StepReport {
    if let Some((end, _)) = step.evidence.char_indices().nth(EVIDENCE_LENGTH_MAX) {
        step.evidence.truncate(end);
    }
    step
}

/// Sends the site's view at once and at each change, until the watcher or the process is gone.
async fn views(door: Door, site: SiteId, sender: mpsc::Sender<Result<v1::Desired, Status>>) {
    let mut state = door.state.clone();
    let mut sent: Option<Vec<DesiredStack>> = None;
    let mut repeat = tokio::time::interval(WATCH_REPEAT);
    loop {
        let current = state.borrow_and_update().clone();
        // Before the first entry there is nothing to say.
        let known = current.policy().is_some();
        let view = coordination::desired(&current, &site);
        if known && sent.as_ref() != Some(&view.stacks) {
            sent = Some(view.stacks.clone());
            if sender.send(Ok(view.into())).await.is_err() {
                return;
            }
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            _ = repeat.tick() => sent = None,
            () = sender.closed() => return,
            () = door.stop.cancelled() => return,
        }
    }
}
