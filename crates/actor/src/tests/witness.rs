//! A witness that answers what the test says.

use model::{
    Cover, Desired, Grant, GrantTerms, Incarnation, LogIndex, Millis, RegistrationAnswer, RenewRequest,
    RenewalNumber, SiteEpochs, SiteReport, StepReport, TimedAck,
};
use rpc::tonic::{Request, Response, Status, async_trait};
use rpc::v1;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

/// How it treats renewals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mood {
    Yes,
    NoLeader,
    Silent,
}

#[derive(Debug)]
pub(super) struct State {
    pub mood: Mood,
    pub cover: Cover,
    pub view: Desired,
    pub epochs: Vec<SiteEpochs>,
    pub terms: GrantTerms,
    pub refuse_incarnation: Option<u64>,
    index: u64,
    registrations: Vec<u64>,
    renews: Vec<RenewRequest>,
    watches: usize,
    steps: Vec<StepReport>,
    reports: Vec<SiteReport>,
}

#[derive(Clone, Debug)]
pub(super) struct Witness(Arc<Mutex<State>>);

impl Witness {
    pub(super) fn new(terms: GrantTerms, view: Desired, epochs: Vec<SiteEpochs>) -> Self {
        Self(Arc::new(Mutex::new(State {
            mood: Mood::Yes,
            cover: Cover::default(),
            view,
            epochs,
            terms,
            refuse_incarnation: None,
            index: 100,
            registrations: Vec::new(),
            renews: Vec::new(),
            watches: 0,
            steps: Vec::new(),
            reports: Vec::new(),
        })))
    }

    pub(super) fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn renews(&self) -> usize {
        self.set(|w| w.renews.len())
    }
    pub(super) fn last_renew(&self) -> Option<v1::RenewRequest> {
        self.set(|w| w.renews.last().cloned()).map(v1::RenewRequest::from)
    }
    pub(super) fn numbers(&self) -> Vec<u64> {
        self.set(|w| w.renews.iter().map(|r| r.number.0).collect())
    }
    pub(super) fn acks(&self) -> Vec<TimedAck> {
        self.set(|w| w.renews.iter().flat_map(|r| r.timed_acks.clone()).collect())
    }
    pub(super) fn registrations(&self) -> Vec<u64> {
        self.set(|w| w.registrations.clone())
    }
    pub(super) fn watches(&self) -> usize {
        self.set(|w| w.watches)
    }
    pub(super) fn steps(&self) -> Vec<StepReport> {
        self.set(|w| w.steps.clone())
    }
    pub(super) fn reports(&self) -> Vec<SiteReport> {
        self.set(|w| w.reports.clone())
    }
}

#[async_trait]
impl v1::actor_server::Actor for Witness {
    async fn register(
        &self,
        request: Request<v1::RegisterRequest>,
    ) -> Result<Response<v1::RegisterResponse>, Status> {
        let incarnation = request.into_inner().incarnation;
        Ok(Response::new(self.set(|w| {
            w.registrations.push(incarnation);
            w.index += 1;
            let answer = RegistrationAnswer {
                index: LogIndex(w.index),
                last_number: RenewalNumber(40),
                terms: w.terms,
                epochs: w.epochs.clone(),
                cover: w.cover.clone(),
            };
            answer.into()
        })))
    }

    async fn renew(&self, request: Request<v1::RenewRequest>) -> Result<Response<v1::RenewResponse>, Status> {
        let request = RenewRequest::try_from(request.into_inner()).map_err(Status::from)?;
        let (mood, refused) = self.set(|w| {
            w.renews.push(request.clone());
            (w.mood, w.refuse_incarnation == Some(request.incarnation.0))
        });
        match mood {
            Mood::NoLeader => return Err(Status::unavailable("no leader here")),
            Mood::Silent => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                return Err(Status::unavailable("too late"));
            }
            Mood::Yes if refused => return Err(Status::failed_precondition("another run is registered")),
            Mood::Yes => {}
        }
        let grant = self.set(|w| {
            w.index += 1;
            Grant {
                index: LogIndex(w.index),
                incarnation: Incarnation(request.incarnation.0),
                number: request.number,
                terms: w.terms,
                cover_revision: w.cover.revision,
                cover: (request.cover_known != w.cover.revision || request.cover_known.0 == 0)
                    .then(|| w.cover.clone()),
            }
        });
        Ok(Response::new(grant.into()))
    }

    type WatchStream = ReceiverStream<Result<v1::Desired, Status>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (sender, receiver) = mpsc::channel(1);
        let this = self.clone();
        self.set(|w| w.watches += 1);
        tokio::spawn(async move {
            let mut sent = None;
            loop {
                let view = this.set(|w| w.view.clone());
                if sent.as_ref() != Some(&view) {
                    sent = Some(view.clone());
                    if sender.send(Ok(view.into())).await.is_err() {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn report(
        &self,
        request: Request<v1::ReportRequest>,
    ) -> Result<Response<v1::ReportResponse>, Status> {
        let v1::ReportRequest { reports, steps } = request.into_inner();
        let step_refusals = steps.iter().map(|_| String::new()).collect();
        for report in reports {
            let report = SiteReport::try_from(report).map_err(Status::from)?;
            self.set(|w| w.reports.push(report));
        }
        for step in steps {
            let step = StepReport::try_from(step).map_err(Status::from)?;
            self.set(|w| w.steps.push(step));
        }
        Ok(Response::new(v1::ReportResponse { step_refusals }))
    }
}

/// Milliseconds of the tests' grants.
pub(super) const fn terms(lease: u64, fence: u64) -> GrantTerms {
    GrantTerms { lease_duration: Millis(lease), fence_deadline: Millis(fence) }
}
