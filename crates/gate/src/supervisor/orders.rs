//! What the actor wants done once. An order is answered when it is done, and again when it is
//! repeated; orders of an earlier stream are forgotten, what they began goes on.

use super::{Server, Supervisor};
use crate::shared::{Done, Job, Order};
use crate::{processes, sys};
use coordination::permit::{self, Way};
use model::{Epoch, Millis, Moment, StepOutcome, Timeline};
use std::collections::BTreeMap;

/// Orders at one time; more are refused.
const PENDING_MAX: usize = 16;
/// Answers kept for repeated orders.
const ANSWERED_MAX: usize = 64;
/// An order that only waits is given up after this; what it began goes on.
const PATIENCE: Millis = Millis(30_000);
/// So many looks in a row must find no walreceiver...
const QUIET_LOOKS: u32 = 4;
/// ... and this long after the reload.
const QUIET_AFTER: Millis = Millis(15);
/// A server is no longer starting after this, whatever it says.
const STARTING_MAX: Millis = Millis(2_000);
/// A standby that holds up a detachment is told to reload again this often.
const RELOAD_EVERY: Millis = Millis(100);

/// Orders under way, and the answers to those that ended.
#[derive(Default)]
pub(super) struct Orders {
    pending: BTreeMap<u64, Pending>,
    answered: BTreeMap<u64, (StepOutcome, String)>,
}

impl Orders {
    /// A new stream numbers its orders anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }
}

struct Pending {
    began: Moment,
    work: Work,
}

enum Work {
    Detach { reloaded: Moment, quiet: u32 },
    Relinquish(Epoch),
    Promote(Epoch, Timeline),
    Stop(Epoch),
    Rejoin(Box<Job>),
}

/// How far an order has come: none is "not yet".
type Progress = Option<(StepOutcome, String)>;

fn finished(evidence: impl Into<String>) -> Progress {
    Some((StepOutcome::Done, evidence.into()))
}

fn failed(evidence: impl Into<String>) -> Progress {
    Some((StepOutcome::Failed, evidence.into()))
}

impl Supervisor {
    pub(super) fn take_order(&mut self, number: u64, order: Order) {
        if let Some((outcome, evidence)) = self.life.orders.answered.get(&number).cloned() {
            return self.answer(number, outcome, evidence);
        }
        if self.life.orders.pending.contains_key(&number) {
            return;
        }
        tracing::info!("order {number}: {}", name(&order));
        if self.life.orders.pending.len() >= PENDING_MAX {
            return self.answer(number, StepOutcome::Failed, "too many orders at one time".into());
        }
        match self.begin(order) {
            Ok(work) => {
                let began = rpc::clock::now();
                self.life.orders.pending.insert(number, Pending { began, work });
                self.work_on_orders();
            }
            Err((outcome, evidence)) => self.conclude(number, outcome, evidence),
        }
    }

    /// What is done at once, and what is left to wait for.
    fn begin(&mut self, order: Order) -> Result<Work, (StepOutcome, String)> {
        let fail = |text: &str| Err((StepOutcome::Failed, text.to_owned()));
        if let Err(reason) = self.input(self.data.look()).may_obey(rule(&order), self.server()) {
            return fail(reason);
        }
        const DISK: &str = "the record cannot be written";
        match order {
            // The higher epoch is on disk before a standby obeys.
            Order::Detach { epoch } | Order::Follow { epoch, .. } if !self.raise(epoch) => fail(DISK),
            Order::Rejoin(job) if !self.raise(job.epoch) => fail(DISK),
            Order::Rejoin(job) => {
                self.begin_rejoin(&job).map_err(|e| (StepOutcome::Failed, e))?;
                Ok(Work::Rejoin(job))
            }
            Order::Detach { .. } => {
                self.give_up_clone();
                self.set_upstream("", "", true)?;
                Ok(Work::Detach { reloaded: rpc::clock::now(), quiet: 0 })
            }
            Order::Follow { conninfo, slot, .. } => {
                let changed = self.set_upstream(&conninfo, &slot, false)?;
                Err((
                    StepOutcome::Done,
                    if changed { "set and reloaded" } else { "it was set so" }.to_owned(),
                ))
            }
            Order::Relinquish { epoch } if self.relinquish(epoch) => Ok(Work::Relinquish(epoch)),
            Order::Relinquish { .. } => fail(DISK),
            Order::Promote { epoch, timeline_highest } => Ok(Work::Promote(epoch, timeline_highest)),
            Order::Stop { epoch } => {
                self.stop_planned(Some(epoch));
                Ok(Work::Stop(epoch))
            }
        }
    }

    /// On disk, then reloaded; true if it was something else.
    fn set_upstream(
        &mut self,
        conninfo: &str,
        slot: &str,
        always: bool,
    ) -> Result<bool, (StepOutcome, String)> {
        let changed = self.settings.set_upstream(conninfo, slot);
        let changed = changed.map_err(|e| (StepOutcome::Failed, e.to_string()))?;
        if (changed || always) && matches!(self.life.server, Server::Open(_)) {
            self.holder.signal(libc::SIGHUP);
        }
        Ok(changed)
    }

    /// One step of each order under way.
    pub(super) fn work_on_orders(&mut self) {
        let numbers: Vec<u64> = self.life.orders.pending.keys().copied().collect();
        for number in numbers {
            let Some(mut pending) = self.life.orders.pending.remove(&number) else { continue };
            let impatient = rpc::clock::now().elapsed_longest(pending.began) > PATIENCE;
            let progress = match &mut pending.work {
                Work::Detach { reloaded, quiet } => self.work_on_detach(reloaded, quiet),
                Work::Relinquish(epoch) => self.work_on_relinquish(*epoch),
                Work::Promote(epoch, timeline) => self.work_on_promote(*epoch, *timeline),
                Work::Stop(epoch) => self.work_on_stop(*epoch),
                Work::Rejoin(job) => self.rejoin_outcome(job),
            };
            let waits = matches!(pending.work, Work::Detach { .. } | Work::Promote(..));
            match progress {
                Some((outcome, evidence)) => self.conclude(number, outcome, evidence),
                None if impatient && waits => {
                    self.conclude(number, StepOutcome::Unknown, format!("not over after {PATIENCE}"));
                }
                None => {
                    self.life.orders.pending.insert(number, pending);
                }
            }
        }
    }

    /// Clearing the setting alone does nothing while replay is paused or held by a query: the
    /// walreceiver is ended by its pid, until none comes back.
    fn work_on_detach(&self, reloaded: &mut Moment, quiet: &mut u32) -> Progress {
        let now = rpc::clock::now();
        let Server::Open(open) = &self.life.server else {
            return finished("primary_conninfo is cleared on disk; the server does not run");
        };
        // One that is starting may have read the old setting, and not begun to act on it.
        let starting = !self.data.is_ready() && now.elapsed_shortest(open.since) < STARTING_MAX;
        let receivers = self.life.directory.map(|d| processes::titled(d, "walreceiver")).unwrap_or_default();
        if starting || !receivers.is_empty() {
            *quiet = 0;
            receivers.into_iter().for_each(|pid| sys::kill(pid, libc::SIGTERM));
            if now.elapsed_shortest(*reloaded) >= RELOAD_EVERY {
                *reloaded = now;
                self.holder.signal(libc::SIGHUP);
            }
            return None;
        }
        *quiet += 1;
        let over = *quiet >= QUIET_LOOKS && now.elapsed_shortest(*reloaded) >= QUIET_AFTER;
        if over { finished("primary_conninfo is cleared and reloaded; no walreceiver") } else { None }
    }

    /// The fence itself is the brain's: the record says "closed".
    fn work_on_relinquish(&self, epoch: Epoch) -> Progress {
        match permit::relinquishment(epoch, self.server()) {
            Way::Failed(reason) => failed(reason),
            Way::Done if matches!(self.life.server, Server::Down) => finished(format!(
                "epoch {epoch} is relinquished on disk; no process is left, {}",
                self.how_it_ended()
            )),
            Way::Done => finished(format!("epoch {epoch} is relinquished on disk; a standby runs")),
            Way::NotYet | Way::Promote => None,
        }
    }

    fn work_on_promote(&mut self, epoch: Epoch, timeline: Timeline) -> Progress {
        match self.input(self.data.look()).promotion(epoch, self.server()) {
            Way::NotYet => None,
            Way::Done => finished(format!("primary at epoch {epoch}")),
            Way::Failed(reason) => failed(reason),
            Way::Promote => match self.promote(epoch, timeline) {
                Ok(()) => None,
                Err(reason) => failed(reason),
            },
        }
    }

    /// The epoch is relinquished on disk before the stop is acknowledged.
    fn work_on_stop(&mut self, epoch: Epoch) -> Progress {
        if !matches!(self.life.server, Server::Down) {
            return None;
        }
        if !self.relinquish(epoch) {
            return failed("the record cannot be written");
        }
        finished(format!(
            "no process is left, {}; epoch {epoch} is relinquished on disk",
            self.how_it_ended()
        ))
    }

    fn how_it_ended(&self) -> String {
        match self.life.control {
            Some(c) if c.is_clean() => format!("shut down cleanly, checkpoint record at {}", c.checkpoint),
            Some(c) => format!("not shut down cleanly ({:?})", c.state),
            None => "no control file".into(),
        }
    }

    fn conclude(&mut self, number: u64, outcome: StepOutcome, evidence: String) {
        tracing::info!("order {number}: {outcome:?}: {evidence}");
        let answered = &mut self.life.orders.answered;
        answered.insert(number, (outcome, evidence.clone()));
        while answered.len() > ANSWERED_MAX {
            answered.pop_first();
        }
        self.answer(number, outcome, evidence);
    }

    fn answer(&self, order: u64, outcome: StepOutcome, evidence: String) {
        // A full queue means an actor that does not read: it will ask again.
        if self.done.try_send(Done { order, outcome, evidence }).is_err() {
            tracing::warn!("the actor does not take the outcome of order {order}");
        }
    }
}

fn name(order: &Order) -> String {
    match order {
        Order::Detach { epoch } => format!("detach (epoch {epoch})"),
        // The connection string may hold a password.
        Order::Follow { epoch, .. } => format!("follow (epoch {epoch})"),
        Order::Relinquish { epoch } => format!("relinquish epoch {epoch}"),
        Order::Promote { epoch, timeline_highest } => {
            format!("promote at epoch {epoch}, above timeline {timeline_highest}")
        }
        Order::Stop { epoch } => format!("planned stop (epoch {epoch})"),
        Order::Rejoin(job) => format!("rejoin (epoch {}): {:?}", job.epoch, job.way),
    }
}

/// The order as the rules know it.
fn rule(order: &Order) -> permit::Order {
    match order {
        Order::Detach { epoch } => permit::Order::Detach(*epoch),
        Order::Follow { epoch, .. } => permit::Order::Follow(*epoch),
        // What it ends in is a standby that follows: the same rule.
        Order::Rejoin(job) => permit::Order::Follow(job.epoch),
        Order::Relinquish { epoch } => permit::Order::Relinquish(*epoch),
        Order::Promote { epoch, .. } => permit::Order::Promote(*epoch),
        Order::Stop { epoch } => permit::Order::Stop(*epoch),
    }
}
