//! A gate that asks, notes what it is told, and does what the test says.

use super::lab::within;
use model::{Containment, Epoch, GateReport, TimedAck};
use rpc::tonic::transport::Channel;
use rpc::v1;
use rpc::v1::gate_client::GateClient;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio_stream::{StreamExt, wrappers::ReceiverStream};

/// Remaining milliseconds and epoch of the cover, of every answer that knows anything.
type Covers = Vec<(u64, Option<u64>)>;

struct State {
    report: GateReport,
    ack: Option<TimedAck>,
    covers: Covers,
    orders: Vec<v1::Order>,
    taken: usize,
}

pub(super) struct Gate {
    state: Arc<Mutex<State>>,
    out: mpsc::Sender<v1::FromGate>,
}

fn message(kind: v1::from_gate::Kind) -> v1::FromGate {
    v1::FromGate { kind: Some(kind) }
}

impl Gate {
    pub(super) async fn attend(channel: Channel, stack: &str) -> Self {
        let (out, outgoing) = mpsc::channel(64);
        let hello = v1::Hello { stack: stack.to_owned(), data_directory: "/nowhere".to_owned() };
        out.send(message(v1::from_gate::Kind::Hello(hello))).await.expect("the queue is open");
        let state = Arc::new(Mutex::new(State {
            report: report(),
            ack: None,
            covers: Vec::new(),
            orders: Vec::new(),
            taken: 0,
        }));
        let mut incoming = GateClient::new(channel)
            .attend(ReceiverStream::new(outgoing))
            .await
            .expect("the actor takes the gate")
            .into_inner();
        let (shared, asks) = (state.clone(), out.clone());
        tokio::spawn(async move {
            let mut number = 0;
            let mut every = tokio::time::interval(Duration::from_millis(20));
            loop {
                let told = tokio::select! {
                    told = incoming.next() => told,
                    _ = every.tick() => Some(Ok(v1::ToGate { kind: Some(v1::to_gate::Kind::Nudge(v1::Nudge {})) })),
                };
                let Some(Ok(v1::ToGate { kind: Some(kind) })) = told else { return };
                match kind {
                    v1::to_gate::Kind::Nudge(_) => {
                        number += 1;
                        let (report, ack) = locked(&shared, |s| (s.report.clone(), s.ack.clone()));
                        let ask =
                            v1::Ask { number, report: Some(report.into()), timed_ack: ack.map(Into::into) };
                        if asks.send(message(v1::from_gate::Kind::Ask(ask))).await.is_err() {
                            return;
                        }
                    }
                    v1::to_gate::Kind::Answer(answer) if answer.known => {
                        let cover = (answer.remaining_ms, answer.cover.map(|c| c.epoch));
                        locked(&shared, |s| s.covers.push(cover));
                    }
                    v1::to_gate::Kind::Answer(_) => {}
                    v1::to_gate::Kind::Order(order) => locked(&shared, |s| s.orders.push(order)),
                }
            }
        });
        Self { state, out }
    }

    fn set(&self, change: impl FnOnce(&mut GateReport)) {
        locked(&self.state, |s| change(&mut s.report));
    }

    pub(super) fn standby(&self, highest: u64) {
        self.set(|r| (r.standby, r.running, r.open, r.highest) = (true, true, None, Epoch(highest)));
    }

    pub(super) fn primary(&self, epoch: u64) {
        self.set(|r| {
            (r.standby, r.running, r.open, r.highest) = (false, true, Some(Epoch(epoch)), Epoch(epoch))
        });
    }

    pub(super) fn stopped(&self) {
        self.set(|r| (r.running, r.open) = (false, None));
    }

    pub(super) fn acknowledge(&self, ack: TimedAck) {
        locked(&self.state, |s| s.ack = Some(ack));
    }

    pub(super) fn covers(&self) -> Covers {
        locked(&self.state, |s| s.covers.clone())
    }

    pub(super) fn orders(&self) -> Vec<String> {
        locked(&self.state, |s| s.orders.iter().map(|o| format!("{:?}", o.kind)).collect())
    }

    /// The next order that this test has not seen.
    pub(super) async fn order(&mut self, what: &str) -> v1::Order {
        within(what, || locked(&self.state, |s| s.orders.len() > s.taken)).await;
        locked(&self.state, |s| {
            s.taken += 1;
            s.orders[s.taken - 1].clone()
        })
    }

    pub(super) async fn done(&self, order: &v1::Order) {
        let done = v1::Done {
            order: order.number,
            outcome: v1::StepOutcome::OutcomeDone.into(),
            evidence: "the test says so".to_owned(),
        };
        self.out.send(message(v1::from_gate::Kind::Done(done))).await.expect("the stream is open");
    }
}

fn locked<T>(state: &Mutex<State>, change: impl FnOnce(&mut State) -> T) -> T {
    change(&mut state.lock().unwrap_or_else(PoisonError::into_inner))
}

const fn report() -> GateReport {
    GateReport {
        highest: Epoch(1),
        closed: Epoch(0),
        open: None,
        running: true,
        standby: true,
        data_present: true,
        clean_shutdown: None,
        containment: Containment::Cgroup,
        kernel_lease: false,
        problem: None,
        copy: None,
    }
}
