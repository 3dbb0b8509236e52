//! The witnesses, as this actor calls them. Any will do: each call names one by its place in the
//! configuration, the caller moves on to the next after anything but a yes.

use crate::config::{Config, WitnessAddress};
use crate::event::{Event, Failure, Generation};
use model::{Desired, Grant, Incarnation, Millis, RegistrationAnswer, RenewRequest, SiteId, StepReport};
use rpc::client::{ChannelTiming, Expected, channel, reason, within};
use rpc::identity::Role;
use rpc::tls::Identity;
use rpc::tonic::transport::Channel;
use rpc::tonic::{Code, Status};
use rpc::v1;
use rpc::v1::actor_client::ActorClient;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_util::sync::CancellationToken;

/// A registration that takes longer is tried at the next witness.
const REGISTER_DEADLINE: Millis = Millis(2_000);
/// A step's report that takes longer is sent again; taking it twice does no harm.
const STEP_DEADLINE: Millis = Millis(3_000);
/// A step's report without an answer after this goes to the next witness, too.
const STEP_HEDGE: Duration = Duration::from_millis(300);
/// A stream of views that is silent for longer is opened anew; witnesses repeat each 3 s.
const WATCH_SILENCE_MAX: Duration = Duration::from_secs(10);
/// Between two attempts to open it.
const WATCH_PAUSE: Duration = Duration::from_millis(200);
/// Bounds of the time in which a connection is made, and of a sign of life.
const CONNECT_TIMEOUT_MIN: Millis = Millis(300);
const CONNECT_TIMEOUT_MAX: Millis = Millis(1_000);

/// All witnesses, with a channel to each.
#[derive(Clone)]
pub(crate) struct Witnesses {
    site: SiteId,
    clients: Arc<[(WitnessAddress, ActorClient<Channel>)]>,
}

impl Witnesses {
    pub(crate) fn new(config: &Config, identity: &Identity) -> Self {
        let r = config.timing.renew_every;
        let bound = Millis(r.0.clamp(CONNECT_TIMEOUT_MIN.0, CONNECT_TIMEOUT_MAX.0));
        let timing =
            ChannelTiming { connect_timeout: bound, keepalive_interval: bound, keepalive_timeout: bound };
        let client = |w: &WitnessAddress| {
            let expected = Expected { role: Role::Witness, name: Some(w.site.to_string()) };
            (w.clone(), ActorClient::new(channel(&w.address, identity, expected, timing)))
        };
        Self { site: config.site.clone(), clients: config.witnesses.iter().map(client).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The witness's site, for messages.
    pub(crate) fn name(&self, witness: usize) -> &str {
        self.clients[witness % self.clients.len()].0.site.as_str()
    }

    fn client(&self, witness: usize) -> ActorClient<Channel> {
        // The configuration was checked: there is at least one.
        self.clients[witness % self.clients.len()].1.clone()
    }

    /// Registers this run, and tells the loop what came of it.
    pub(crate) fn register(&self, witness: usize, incarnation: Incarnation, events: mpsc::Sender<Event>) {
        let (mut client, site) = (self.client(witness), self.site.clone());
        tokio::spawn(async move {
            let request = v1::RegisterRequest::from((site, incarnation));
            let answer = within(REGISTER_DEADLINE, client.register(request)).await;
            let result = answer.map_err(|status| failure(&status)).and_then(|a| {
                RegistrationAnswer::try_from(a.into_inner()).map_err(|e| Failure::Other(e.to_string()))
            });
            let _loop_ended = events.send(Event::Registered { incarnation, witness, result }).await;
        });
    }

    /// Sends one renewal. `patience` (R) without an answer is told at once; the answer is waited
    /// for until it cannot be of use any more.
    pub(crate) fn renew(
        &self,
        witness: usize,
        request: RenewRequest,
        patience: Millis,
        useful: Millis,
        events: mpsc::Sender<Event>,
    ) {
        let mut client = self.client(witness);
        let (incarnation, number) = (request.incarnation, request.number);
        tokio::spawn(async move {
            let call = within(useful, client.renew(v1::RenewRequest::from(request)));
            tokio::pin!(call);
            let answer = tokio::select! {
                answer = &mut call => answer,
                () = tokio::time::sleep(patience.into()) => {
                    let _loop_ended = events.send(Event::Silent { witness }).await;
                    call.await
                }
            };
            let result = answer
                .map_err(|status| failure(&status))
                .and_then(|a| Grant::try_from(a.into_inner()).map_err(|e| Failure::Other(e.to_string())));
            let _loop_ended = events.send(Event::Renewed { incarnation, number, witness, result }).await;
        });
    }

    /// Hands soft reports over; a lost one is followed by the next.
    pub(crate) fn report(
        &self,
        witness: usize,
        reports: Vec<v1::SiteReport>,
        deadline: Millis,
        events: mpsc::Sender<Event>,
    ) {
        let mut client = self.client(witness);
        tokio::spawn(async move {
            let request = v1::ReportRequest { reports, steps: Vec::new() };
            if let Err(status) = within(deadline, client.report(request)).await {
                tracing::debug!(reason = reason(&status), "a report of the site did not arrive");
            }
            let _loop_ended = events.send(Event::Reported).await;
        });
    }

    /// Sends the report of a step to one witness after the other until one says that it was
    /// committed or refused, or `stop` ends it.
    pub(crate) fn report_step(
        &self,
        first: usize,
        report: StepReport,
        generation: Generation,
        events: mpsc::Sender<Event>,
        stop: CancellationToken,
    ) {
        let this = self.clone();
        let (stack, step, epoch) = (report.stack.clone(), report.step, report.epoch);
        tokio::spawn(async move {
            let refusal = tokio::select! {
                refusal = this.step_answer(first, report) => refusal,
                () = stop.cancelled() => return,
            };
            let answered = Event::StepAnswered { generation, stack, step, epoch, refusal };
            let _loop_ended = events.send(answered).await;
        });
    }

    async fn step_answer(&self, first: usize, report: StepReport) -> String {
        let (answer, mut answers) = mpsc::channel(self.len());
        for witness in first.. {
            let (mut client, answer) = (self.client(witness), answer.clone());
            let steps = vec![v1::StepReport::from(report.clone())];
            tokio::spawn(async move {
                let request = v1::ReportRequest { reports: Vec::new(), steps };
                match within(STEP_DEADLINE, client.report(request)).await {
                    Ok(response) => {
                        let refusal =
                            response.into_inner().step_refusals.into_iter().next().unwrap_or_default();
                        let _somebody_was_faster = answer.try_send(refusal);
                    }
                    Err(status) => {
                        tracing::debug!(reason = reason(&status), "a step's report did not arrive")
                    }
                }
            });
            if let Ok(Some(refusal)) = tokio::time::timeout(STEP_HEDGE, answers.recv()).await {
                return refusal;
            }
        }
        String::new()
    }

    /// Watches the site's view at every witness at once: whichever knows it first tells it.
    pub(crate) fn watch(
        &self,
        generation: Generation,
        events: &mpsc::Sender<Event>,
        stop: &CancellationToken,
    ) {
        for witness in 0..self.len() {
            let (this, events, stop) = (self.clone(), events.clone(), stop.clone());
            tokio::spawn(async move {
                let watching = async {
                    loop {
                        let why = this.views(witness, generation, &events).await;
                        tracing::debug!(witness = this.name(witness), why, "no views from there; trying on");
                        tokio::time::sleep(WATCH_PAUSE).await;
                    }
                };
                tokio::select! {
                    () = watching => {}
                    () = stop.cancelled() => {}
                }
            });
        }
    }

    async fn views(&self, witness: usize, generation: Generation, events: &mpsc::Sender<Event>) -> String {
        let mut client = self.client(witness);
        let request = v1::WatchRequest { site: self.site.to_string() };
        let mut stream = match within(REGISTER_DEADLINE, client.watch(request)).await {
            Ok(response) => response.into_inner(),
            Err(status) => return reason(&status),
        };
        loop {
            match tokio::time::timeout(WATCH_SILENCE_MAX, stream.next()).await {
                Ok(Some(Ok(message))) => match Desired::try_from(message) {
                    Ok(view) => {
                        if events.send(Event::View { generation, view }).await.is_err() {
                            return "the loop ended".to_owned();
                        }
                    }
                    Err(e) => return format!("a view that says nothing: {e}"),
                },
                Ok(Some(Err(status))) => return reason(&status),
                Ok(None) => return "it closed the stream".to_owned(),
                Err(_) => return "it is silent".to_owned(),
            }
        }
    }
}

fn failure(status: &Status) -> Failure {
    match status.code() {
        Code::FailedPrecondition => Failure::Refused(status.message().to_owned()),
        _ => Failure::Other(reason(status)),
    }
}
