//! What the actor wants done once. An order is answered when it is done, and again when it is
//! repeated; orders of an earlier stream are forgotten, what they began goes on.

use super::{Gate, Open, Server};
use crate::history::{Site, What};
use crate::message::{Message, Process};
use crate::postgres::Signal;
use crate::world::World;
use coordination::permit::{self, Data, Mode, Running, Way, relinquishment};
use coordination::planted::Bug;
use coordination::reconcile::OrderKind;
use model::{Epoch, Millis, Moment, StepKind, StepOutcome, Timeline};
use std::collections::BTreeMap;

/// Answers kept for repeated orders.
const ANSWERED_MAX: usize = 64;
/// An order that only waits is given up after this.
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
#[derive(Debug, Default)]
pub(super) struct Orders {
    pending: BTreeMap<u64, Pending>,
    answered: BTreeMap<u64, StepOutcome>,
}

impl Orders {
    pub(super) fn forget(&mut self) {
        self.pending.clear();
        self.answered.clear();
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
    }
}

#[derive(Debug)]
struct Pending {
    began: Moment,
    work: Work,
}

#[derive(Debug)]
enum Work {
    Detach { reloaded: Moment, quiet: u32 },
    Relinquish(Epoch),
    Promote(Epoch, Timeline),
}

impl World {
    pub(super) fn take_order(&mut self, gate: &mut Gate, number: u64, kind: OrderKind) {
        if let Some(outcome) = gate.orders.answered.get(&number).copied() {
            return self.tell_actor(gate, number, outcome);
        }
        if gate.orders.pending.contains_key(&number) {
            return;
        }
        match self.begin_order(gate, kind) {
            Ok(work) => {
                let began = self.moment(gate.site);
                gate.orders.pending.insert(number, Pending { began, work });
            }
            Err(outcome) => self.conclude(gate, number, outcome),
        }
    }

    fn server_of(gate: &Gate) -> permit::Server {
        match &gate.server {
            Server::Down => permit::Server::Down,
            Server::Clearing(_) => permit::Server::Clearing,
            Server::Foreign => permit::Server::Foreign,
            Server::Open(open) => permit::Server::Open {
                mode: open.mode,
                seen_recovery: open.seen_recovery,
                settled: open.settled,
                closing: open.stop.is_some(),
            },
        }
    }

    fn running_of(gate: &Gate) -> Running {
        match &gate.server {
            Server::Down | Server::Clearing(_) => Running::No,
            Server::Foreign => Running::Foreign,
            Server::Open(open) => Running::Open(open.mode),
        }
    }

    /// What is done at once, and what is left to wait for.
    fn begin_order(&mut self, gate: &mut Gate, kind: OrderKind) -> Result<Work, StepOutcome> {
        let order = match &kind {
            OrderKind::Detach { epoch } => permit::Order::Detach(*epoch),
            OrderKind::Follow { epoch, .. } | OrderKind::Rejoin { epoch, .. } => {
                permit::Order::Follow(*epoch)
            }
            OrderKind::Relinquish { epoch } => permit::Order::Relinquish(*epoch),
            OrderKind::Promote { epoch, .. } => permit::Order::Promote(*epoch),
        };
        let now = self.moment(gate.site);
        let input = gate.memory.input(self.data(gate), Self::running_of(gate), false, now);
        if input.may_obey(order, Self::server_of(gate)).is_err() {
            return Err(StepOutcome::Failed);
        }
        match kind {
            OrderKind::Detach { epoch } => {
                self.attach(gate, epoch, StepKind::Detach, None, true)?;
                Ok(Work::Detach { reloaded: now, quiet: 0 })
            }
            // Copies here have no files: nothing but a stand-in for the tools could bring one home.
            OrderKind::Rejoin { .. } => Err(StepOutcome::Failed),
            OrderKind::Follow { epoch, site, .. } => {
                let primary = self.site_of(&site);
                self.attach(gate, epoch, StepKind::Follow, primary, false)?;
                Err(StepOutcome::Done)
            }
            OrderKind::Relinquish { epoch } if self.relinquish(gate, epoch) => {
                let (stack, site) = (gate.stack, gate.site);
                self.add(What::StepBegan { stack, site, epoch, step: StepKind::FenceDatabase });
                Ok(Work::Relinquish(epoch))
            }
            OrderKind::Relinquish { .. } => Err(StepOutcome::Failed),
            OrderKind::Promote { epoch, timeline_highest } => Ok(Work::Promote(epoch, timeline_highest)),
        }
    }

    /// Another upstream, or none: the epoch is on disk before.
    fn attach(
        &mut self,
        gate: &mut Gate,
        epoch: Epoch,
        step: StepKind,
        primary: Option<Site>,
        always: bool,
    ) -> Result<(), StepOutcome> {
        if !self.raise(gate, epoch) || self.hosts[usize::from(gate.site)].disk_full > 0 {
            return Err(StepOutcome::Failed);
        }
        let (stack, site) = (gate.stack, gate.site);
        let database = &mut self.databases[usize::from(stack)];
        let changed = database.set_conninfo(site, primary);
        if primary.is_some() {
            gate.upstream = primary;
        }
        if (changed || always) && matches!(gate.server, Server::Open(_)) {
            database.signal(site, Signal::Hup, self.now);
        }
        self.add(What::StepBegan { stack, site, epoch, step });
        Ok(())
    }

    /// One step of each order under way.
    pub(super) fn work_on_orders(&mut self, gate: &mut Gate) {
        if gate.orders.pending.is_empty() {
            return;
        }
        let now = self.moment(gate.site);
        let numbers: Vec<u64> = gate.orders.pending.keys().copied().collect();
        for number in numbers {
            let Some(mut pending) = gate.orders.pending.remove(&number) else { continue };
            let impatient = now.elapsed_longest(pending.began) > PATIENCE;
            let waits = matches!(pending.work, Work::Detach { .. } | Work::Promote(..));
            let way = match &mut pending.work {
                Work::Detach { reloaded, quiet } => self.work_on_detach(gate, reloaded, quiet),
                Work::Relinquish(epoch) => relinquishment(*epoch, Self::server_of(gate)),
                Work::Promote(epoch, timeline) => self.work_on_promote(gate, *epoch, *timeline),
            };
            match way {
                Way::Done => self.conclude(gate, number, StepOutcome::Done),
                Way::Failed(_) => self.conclude(gate, number, StepOutcome::Failed),
                Way::NotYet | Way::Promote if impatient && waits => {
                    self.conclude(gate, number, StepOutcome::Unknown);
                }
                Way::NotYet | Way::Promote => {
                    gate.orders.pending.insert(number, pending);
                }
            }
        }
    }

    /// The walreceiver is ended by its pid, until none comes back.
    fn work_on_detach(&mut self, gate: &Gate, reloaded: &mut Moment, quiet: &mut u32) -> Way {
        let now = self.moment(gate.site);
        let Server::Open(open) = &gate.server else { return Way::Done };
        let database = &mut self.databases[usize::from(gate.stack)];
        let starting = !database.is_ready(gate.site) && now.elapsed_shortest(open.since) < STARTING_MAX;
        if starting || database.has_walreceiver(gate.site) {
            *quiet = 0;
            database.kill_walreceiver(gate.site, self.now);
            if now.elapsed_shortest(*reloaded) >= RELOAD_EVERY {
                *reloaded = now;
                database.signal(gate.site, Signal::Hup, self.now);
            }
            return Way::NotYet;
        }
        *quiet += 1;
        let over = *quiet >= QUIET_LOOKS && now.elapsed_shortest(*reloaded) >= QUIET_AFTER;
        if over { Way::Done } else { Way::NotYet }
    }

    fn work_on_promote(&mut self, gate: &mut Gate, epoch: Epoch, timeline: Timeline) -> Way {
        let now = self.moment(gate.site);
        let data = match gate.server {
            Server::Open(Open { mode: Mode::Standby, .. }) => Data::Standby,
            _ => self.data(gate),
        };
        let input = gate.memory.input(data, Self::running_of(gate), false, now);
        let mut way = input.promotion(epoch, Self::server_of(gate));
        if self.bug == Some(Bug::PromoteBeforeElection)
            && let (Way::Failed(_), Server::Open(Open { mode: Mode::Standby, seen_recovery: true, .. })) =
                (way, &gate.server)
        {
            way = Way::Promote;
        }
        match way {
            Way::Promote => match self.promote(gate, epoch, timeline) {
                Ok(()) => Way::NotYet,
                Err(reason) => Way::Failed(reason),
            },
            way => way,
        }
    }

    fn conclude(&mut self, gate: &mut Gate, number: u64, outcome: StepOutcome) {
        gate.orders.answered.insert(number, outcome);
        while gate.orders.answered.len() > ANSWERED_MAX {
            gate.orders.answered.pop_first();
        }
        self.tell_actor(gate, number, outcome);
    }

    fn tell_actor(&mut self, gate: &Gate, number: u64, outcome: StepOutcome) {
        let done = Message::Done(gate.stack, gate.session, number, outcome);
        self.send(gate.site, Process::Actor(gate.site), done);
    }
}
