//! `Status`: for people and their tools. Any witness answers; the leader knows most, so the
//! others ask it first.

use super::{malformed, name};
use crate::door::{Door, NO_QUORUM};
use coordination::State;
use coordination::explain::event_text;
use model::{Event, GroupStatus, LogIndex, Millis, StackId};
use rpc::client::within;
use rpc::identity::Role;
use rpc::server::require;
use rpc::tonic::{Code, Request, Response, Status, async_trait};
use rpc::v1;
use rpc::v1::status_client::StatusClient;
use std::pin::Pin;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{Stream, wrappers::ReceiverStream};

/// Who may look.
const READERS: [Role; 3] = [Role::Operator, Role::Viewer, Role::Witness];
/// For one linearizable answer, all in all.
const ANSWER_DEADLINE: Millis = Millis(3_000);
/// For the leader's answer; what is left then is enough to answer alone.
const LEADER_DEADLINE: Millis = Millis(1_500);
/// Pauses of a status watch: never shorter, and this long if not asked for.
const INTERVAL_MIN: Duration = Duration::from_millis(100);
const INTERVAL_DEFAULT: Duration = Duration::from_millis(500);
/// Messages that may wait for a slow reader.
const WAITING_MAX: usize = 16;
/// Largest status of a leader that is taken: 500 stacks fit many times over.
const STATUS_SIZE_MAX: usize = 64 * 1024 * 1024;
/// Marks a request that a witness hands on: it is not handed on again.
const HANDED_ON: &str = "tripoint-handed-on";

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
}

/// The linearizable status: the leader's, which has the sites' reports, or else this witness's
/// own after it caught up.
///
/// # Errors
/// UNAVAILABLE without a quorum.
pub async fn current(door: &Door, handed_on: bool) -> Result<GroupStatus, Status> {
    if !handed_on && let Some(status) = leaders(door).await {
        return Ok(status);
    }
    door.catch_up(ANSWER_DEADLINE).await?;
    door.status(false).await
}

async fn leaders(door: &Door) -> Option<GroupStatus> {
    let channel = door.peers.witness(&door.other_leader()?)?;
    let mut client = StatusClient::new(channel).max_decoding_message_size(STATUS_SIZE_MAX);
    let call = client.get(handed_on(v1::StatusRequest { stale: false }));
    let json = within(LEADER_DEADLINE, call).await.ok()?.into_inner().json;
    serde_json::from_str(&json).ok()
}

fn handed_on<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert(HANDED_ON, rpc::tonic::metadata::MetadataValue::from_static("1"));
    request
}

fn was_handed_on<T>(request: &Request<T>) -> bool {
    request.metadata().contains_key(HANDED_ON)
}

fn response(status: &GroupStatus) -> Result<v1::StatusResponse, Status> {
    let json = serde_json::to_string(status).map_err(|e| Status::internal(format!("status: {e}")))?;
    Ok(v1::StatusResponse { json, stale: status.stale })
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[async_trait]
impl v1::status_server::Status for Service {
    async fn get(&self, request: Request<v1::StatusRequest>) -> Result<Response<v1::StatusResponse>, Status> {
        require(&request, &READERS)?;
        let status = if request.get_ref().stale {
            self.door.status(true).await?
        } else {
            current(&self.door, was_handed_on(&request)).await?
        };
        Ok(Response::new(response(&status)?))
    }

    type WatchStream = Streamed<v1::StatusResponse>;

    async fn watch(
        &self,
        request: Request<v1::WatchStatusRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        require(&request, &READERS)?;
        let pause = match request.into_inner().interval_ms {
            0 => INTERVAL_DEFAULT,
            ms => Duration::from_millis(ms).max(INTERVAL_MIN),
        };
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(watch(self.door.clone(), pause, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    type EventsStream = Streamed<v1::EventResponse>;

    async fn events(
        &self,
        request: Request<v1::EventsRequest>,
    ) -> Result<Response<Self::EventsStream>, Status> {
        require(&request, &READERS)?;
        let v1::EventsRequest { from_index, follow } = request.into_inner();
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        tokio::spawn(events(self.door.clone(), LogIndex(from_index), follow, sender));
        Ok(Response::new(Box::pin(ReceiverStream::new(receiver))))
    }

    async fn explain(
        &self,
        request: Request<v1::ExplainRequest>,
    ) -> Result<Response<v1::ExplainResponse>, Status> {
        require(&request, &READERS)?;
        let again = was_handed_on(&request);
        let message = request.into_inner();
        let stack: Option<StackId> = message.stack.as_deref().map(|text| name("stack", text)).transpose()?;
        if !again && let Some(channel) = self.door.other_leader().and_then(|l| self.door.peers.witness(&l)) {
            let mut client = StatusClient::new(channel);
            if let Ok(answer) = within(LEADER_DEADLINE, client.explain(handed_on(message))).await {
                return Ok(answer);
            }
        }
        let caught_up = self.door.catch_up(ANSWER_DEADLINE).await;
        let mut lines = self.door.explain(stack).await?;
        if caught_up.is_err() {
            lines.insert(0, format!("STALE: {NO_QUORUM}. What this witness last knew:"));
        }
        Ok(Response::new(v1::ExplainResponse { lines }))
    }
}

/// The status again and again: the group's, or without a quorum this witness's own, marked stale.
async fn watch(door: Door, pause: Duration, sender: mpsc::Sender<Result<v1::StatusResponse, Status>>) {
    loop {
        let status = match current(&door, false).await {
            Err(error) if error.code() == Code::Unavailable => door.status(true).await,
            other => other,
        };
        let message = status.and_then(|status| response(&status));
        let failed = message.is_err();
        if sender.send(message).await.is_err() || failed {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = sender.closed() => return,
            () = door.stop.cancelled() => return,
        }
    }
}

/// The audit log from an index on, as this witness has applied it.
async fn events(
    door: Door,
    from: LogIndex,
    follow: bool,
    sender: mpsc::Sender<Result<v1::EventResponse, Status>>,
) {
    // Best effort: without a quorum this witness shows what it knows.
    let _ = door.catch_up(LEADER_DEADLINE).await;
    let mut state = door.state.clone();
    let mut next = from;
    loop {
        let current = state.borrow_and_update().clone();
        for event in fresh(&current, next) {
            let message = event_response(event).map_err(malformed);
            if sender.send(message).await.is_err() {
                return;
            }
        }
        next = next.max(current.index().next());
        if !follow {
            return;
        }
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = sender.closed() => return,
            () = door.stop.cancelled() => return,
        }
    }
}

fn fresh(state: &State, next: LogIndex) -> impl Iterator<Item = &Event> {
    state.events().filter(move |event| event.index >= next)
}

fn event_response(event: &Event) -> Result<v1::EventResponse, serde_json::Error> {
    Ok(v1::EventResponse {
        index: event.index.0,
        at_wall_ms: event.at.0,
        text: event_text(&event.kind),
        json: serde_json::to_string(event)?,
    })
}
