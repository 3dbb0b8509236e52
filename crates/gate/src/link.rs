//! The stream to the actor: asks, answers, orders. Runs on a thread of its own; it opens and
//! closes nothing, it hands events to the main thread.

use crate::Config;
use crate::shared::{Answer, Done, Event, Job, Order, Shared};
use coordination::rejoin::Way;
use model::{Epoch, LogIndex, Lsn, Millis, Moment, SystemId, Timeline, WalPosition};
use rpc::client::{ChannelTiming, Expected, channel, reason, within};
use rpc::identity::Role;
use rpc::tls::Identity;
use rpc::v1::{self, gate_client::GateClient};
use std::collections::BTreeMap;
use std::sync::{Arc, mpsc::SyncSender};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

/// Between two attempts to reach the actor: a restarted one takes over within its lease.
const RECONNECT_PAUSE: Duration = Duration::from_millis(50);
/// Asks are sent this many times within D (R/2 with the design's six renewals in D)...
const ASKS_PER_LEASE: u64 = 12;
/// ... but not more often than this.
const ASK_EVERY_MIN: Millis = Millis(50);
/// An actor that leaves as many asks unanswered is dialled anew.
const UNANSWERED_MAX: usize = 6;
/// Messages waiting to be sent.
const QUEUE: usize = 64;
/// The actor is on the same host: connecting takes milliseconds, or it is not there.
const TIMING: ChannelTiming = ChannelTiming {
    connect_timeout: Millis(500),
    keepalive_interval: Millis(1_000),
    keepalive_timeout: Millis(1_000),
};

/// The gate's side of the stream, over and over.
pub(crate) struct Link {
    pub(crate) address: String,
    pub(crate) identity: Identity,
    pub(crate) expected: Expected,
    pub(crate) hello: v1::Hello,
    pub(crate) shared: Arc<Shared>,
    pub(crate) events: SyncSender<Event>,
    pub(crate) done: mpsc::Receiver<Done>,
    pub(crate) number: u64,
    pub(crate) lease_duration: Millis,
}

impl Link {
    pub(crate) fn new(
        config: &Config,
        identity: Identity,
        shared: Arc<Shared>,
        events: SyncSender<Event>,
        done: mpsc::Receiver<Done>,
    ) -> Self {
        Self {
            address: config.actor_address.clone(),
            identity,
            expected: Expected { role: Role::Actor, name: Some(config.site.to_string()) },
            hello: v1::Hello {
                stack: config.stack.to_string(),
                data_directory: config.data_directory.display().to_string(),
            },
            shared,
            events,
            done,
            number: 0,
            lease_duration: config.terms.lease_duration,
        }
    }

    /// Never ends.
    pub(crate) async fn run(mut self) {
        let mut complained = String::new();
        loop {
            let why = self.session().await;
            if why != complained {
                tracing::warn!("actor {}: {why}; trying on", self.address);
                complained = why;
            }
            self.hand(Event::Away);
            self.identity.refresh();
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
    }

    /// One stream, until it breaks; why it did.
    async fn session(&mut self) -> String {
        let channel = channel(&self.address, &self.identity, self.expected.clone(), TIMING);
        let (out, outgoing) = mpsc::channel(QUEUE);
        let hello = v1::from_gate::Kind::Hello(self.hello.clone());
        if out.try_send(v1::FromGate { kind: Some(hello) }).is_err() {
            return "its queue is full".to_owned();
        }
        let mut client = GateClient::new(channel);
        let opening = client.attend(ReceiverStream::new(outgoing));
        let mut incoming = match within(Millis(1_000), opening).await {
            Ok(response) => response.into_inner(),
            Err(status) => return reason(&status),
        };
        tracing::info!("actor {}: attended", self.address);
        self.hand(Event::Attached);
        // What an earlier stream's orders came to is of no use to this one.
        while self.done.try_recv().is_ok() {}
        let mut asked = BTreeMap::new();
        loop {
            if !self.ask(&out, &mut asked) {
                return "it does not take asks".to_owned();
            }
            if asked.len() > UNANSWERED_MAX {
                return format!("it left {} asks unanswered", asked.len());
            }
            let sent = tokio::time::Instant::now();
            loop {
                // An answer may have changed D.
                tokio::select! {
                    () = tokio::time::sleep_until(sent + self.ask_every()) => break,
                    Some(done) = self.done.recv() => {
                        let kind = Some(v1::from_gate::Kind::Done(done_message(done)));
                        if out.try_send(v1::FromGate { kind }).is_err() {
                            return "it does not take reports".to_owned();
                        }
                    }
                    message = incoming.next() => match message {
                        Some(Ok(message)) => if self.take(message, &mut asked) { break },
                        Some(Err(status)) => return reason(&status),
                        None => return "it closed the stream".to_owned(),
                    }
                }
            }
        }
    }

    fn ask_every(&self) -> Duration {
        Millis((self.lease_duration.0 / ASKS_PER_LEASE).max(ASK_EVERY_MIN.0)).into()
    }

    /// Sends one ask. Its instant is read before it is on its way: deadlines count from it.
    fn ask(&mut self, out: &mpsc::Sender<v1::FromGate>, asked: &mut BTreeMap<u64, Moment>) -> bool {
        self.number += 1;
        let snapshot = self.shared.get();
        let sent = rpc::clock::now();
        let ask = v1::Ask {
            number: self.number,
            report: Some(snapshot.report.into()),
            timed_ack: snapshot.timed_ack.map(Into::into),
        };
        asked.insert(self.number, sent);
        out.try_send(v1::FromGate { kind: Some(v1::from_gate::Kind::Ask(ask)) }).is_ok()
    }

    /// Hands a message on; true if the gate should ask again at once.
    fn take(&mut self, message: v1::ToGate, asked: &mut BTreeMap<u64, Moment>) -> bool {
        match message.kind {
            Some(v1::to_gate::Kind::Nudge(_)) => return true,
            Some(v1::to_gate::Kind::Answer(answer)) => {
                let Some(sent) = asked.get(&answer.number).copied() else { return false };
                // Older asks are of no account from now on.
                *asked = asked.split_off(&(answer.number + 1));
                match answer_of(answer) {
                    Ok(answer) => {
                        self.lease_duration =
                            answer.word.terms.map_or(self.lease_duration, |t| t.lease_duration);
                        self.hand(Event::Answer(sent, Box::new(answer)));
                    }
                    Err(e) => tracing::warn!("actor {}: an answer that says nothing: {e}", self.address),
                }
            }
            Some(v1::to_gate::Kind::Order(order)) => match order.kind.map(order_of) {
                Some(Some(what)) => self.hand(Event::Order(order.number, what)),
                Some(None) | None => {
                    tracing::warn!("actor {}: an order of an unknown kind; ignored", self.address)
                }
            },
            None => tracing::warn!("actor {}: a message of an unknown kind; ignored", self.address),
        }
        false
    }

    fn hand(&self, event: Event) {
        // A full queue means a main thread that hangs; answers and orders are repeated.
        if self.events.try_send(event).is_err() {
            tracing::warn!("the gate's main thread does not take events");
        }
    }
}

fn answer_of(message: v1::Answer) -> Result<Answer, rpc::convert::ConvertError> {
    let word = coordination::permit::Answer {
        known: message.known,
        index: LogIndex(message.index),
        epochs: message.epochs.map(TryInto::try_into).transpose()?,
        cover: message.cover.map(TryInto::try_into).transpose()?,
        remaining: Millis(message.remaining_ms),
        terms: message.terms.map(TryInto::try_into).transpose()?,
    };
    Ok(Answer { word, database: message.database.map(TryInto::try_into).transpose()? })
}

/// None for one that this version does not know.
fn order_of(kind: v1::order::Kind) -> Option<Order> {
    Some(match kind {
        v1::order::Kind::Detach(d) => Order::Detach { epoch: Epoch(d.epoch) },
        v1::order::Kind::Follow(f) => Order::Follow {
            epoch: Epoch(f.epoch),
            conninfo: f.primary_conninfo,
            slot: f.primary_slot.unwrap_or_default(),
        },
        v1::order::Kind::Relinquish(r) => Order::Relinquish { epoch: Epoch(r.epoch) },
        v1::order::Kind::Promote(p) => {
            Order::Promote { epoch: Epoch(p.epoch), timeline_highest: Timeline(p.timeline_highest) }
        }
        v1::order::Kind::Stop(s) => Order::Stop { epoch: Epoch(s.epoch) },
        v1::order::Kind::Rejoin(r) => {
            let way = way_of(&r)?;
            Order::Rejoin(Box::new(Job {
                epoch: Epoch(r.epoch),
                way,
                conninfo: r.primary_conninfo,
                slot: r.primary_slot.unwrap_or_default(),
                rewind_conninfo: r.rewind_conninfo,
                system_id: r.system_id.map(SystemId),
            }))
        }
    })
}

fn way_of(rejoin: &v1::Rejoin) -> Option<Way> {
    let fork = rejoin.fork.as_ref().map(|f| WalPosition { timeline: Timeline(f.timeline), lsn: Lsn(f.lsn) });
    match v1::RejoinWay::try_from(rejoin.way).ok()? {
        v1::RejoinWay::RejoinFollow => Some(Way::Follow),
        v1::RejoinWay::RejoinClone => Some(Way::Clone),
        v1::RejoinWay::RejoinInspect => Some(Way::Inspect { fork: fork? }),
        v1::RejoinWay::RejoinRewind => Some(Way::Rewind { fork: fork? }),
        v1::RejoinWay::RejoinUnspecified => None,
    }
}

fn done_message(done: Done) -> v1::Done {
    v1::Done {
        order: done.order,
        outcome: v1::StepOutcome::from(done.outcome).into(),
        evidence: done.evidence,
    }
}
