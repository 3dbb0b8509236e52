//! The gRPC service for this site's gates. Says nothing by itself: everything goes to the event
//! loop, and comes from there.

use crate::event::{Event, Session, TO_GATE_MAX};
use model::{SiteId, StackId};
use rpc::client::reason;
use rpc::identity::Role;
use rpc::server::require_site;
use rpc::tonic::{Request, Response, Status, Streaming, async_trait};
use rpc::v1;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio_stream::StreamExt;
use tokio_stream::wrappers::ReceiverStream;

/// The service.
pub(crate) struct Service {
    site: SiteId,
    stacks: Vec<StackId>,
    events: mpsc::Sender<Event>,
    sessions: AtomicU64,
}

impl Service {
    pub(crate) const fn new(site: SiteId, stacks: Vec<StackId>, events: mpsc::Sender<Event>) -> Self {
        Self { site, stacks, events, sessions: AtomicU64::new(1) }
    }

    fn stack(&self, message: Option<v1::from_gate::Kind>) -> Result<StackId, Status> {
        let Some(v1::from_gate::Kind::Hello(hello)) = message else {
            return Err(Status::invalid_argument("the first message of a gate is its hello"));
        };
        let stack = rpc::convert::stack("stack", &hello.stack)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        if self.stacks.contains(&stack) {
            return Ok(stack);
        }
        Err(Status::not_found(format!(
            "the actor of {} has no stack {stack}: add it to the actor's configuration, or mend the gate's",
            self.site
        )))
    }
}

#[async_trait]
impl v1::gate_server::Gate for Service {
    type AttendStream = ReceiverStream<Result<v1::ToGate, Status>>;

    async fn attend(
        &self,
        request: Request<Streaming<v1::FromGate>>,
    ) -> Result<Response<Self::AttendStream>, Status> {
        require_site(&request, Role::Gate, &self.site)?;
        let mut incoming = request.into_inner();
        let hello = incoming.message().await?.and_then(|message| message.kind);
        let stack = self.stack(hello)?;
        let session = self.sessions.fetch_add(1, Ordering::Relaxed);
        let (to_gate, outgoing) = mpsc::channel(TO_GATE_MAX);
        let attended = Event::Attended { session, stack: stack.clone(), to_gate };
        self.events.send(attended).await.map_err(|_| Status::unavailable("the actor is stopping"))?;
        tokio::spawn(listen(self.events.clone(), session, stack, incoming));
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

/// Hands on what the gate says until its stream ends. A loop that is no longer interested drops
/// its sender, which ends the stream to the gate.
async fn listen(
    events: mpsc::Sender<Event>,
    session: Session,
    stack: StackId,
    mut incoming: Streaming<v1::FromGate>,
) {
    loop {
        match incoming.next().await {
            Some(Ok(v1::FromGate { kind: Some(message) })) => {
                if events.send(Event::Said { session, stack: stack.clone(), message }).await.is_err() {
                    return;
                }
            }
            Some(Ok(v1::FromGate { kind: None })) => {
                tracing::warn!(%stack, "the gate said something of an unknown kind; ignored");
            }
            Some(Err(status)) => {
                tracing::debug!(%stack, reason = reason(&status), "a gate's stream broke");
                break;
            }
            None => break,
        }
    }
    let _loop_ended = events.send(Event::Left { session, stack }).await;
}
