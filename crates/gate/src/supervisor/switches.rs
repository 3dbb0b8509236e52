//! What acts when the gate cannot: kernel timer, warden, kernel lease; and what others are shown.

use super::close::Stop;
use super::{Open, Server, Supervisor};
use crate::Error;
use crate::firewall::Guard;
use crate::shared::{Role, Snapshot};
use coordination::permit::{Data, Mode, TIMER_TENTHS};
use model::{Containment, Deadline, Epoch, GateReport, Millis, Moment};

/// A kernel lease that could not be set is tried again this often.
const LEASE_RETRY: Millis = Millis(500);

/// How complaints of it begin.
const LEASE_PROBLEM: &str = "kernel lease: ";

impl Supervisor {
    /// Timer and warden for an end of the cover; none for no end. Each kills at deadline + F/2.
    pub(super) fn arm_timer(&mut self, deadline: Option<Deadline>) -> Result<(), Error> {
        let span = Millis(self.memory.terms().fence_deadline.0 / 2);
        self.set_timer(deadline.map(|d| (d.moment(), span)))
    }

    fn set_timer(&mut self, due: Option<(Moment, Millis)>) -> Result<(), Error> {
        self.holder.tell_warden(due);
        match (&mut self.timer, due) {
            (Some(timer), Some((start, span))) => timer.arm(start, span),
            (Some(timer), None) => timer.disarm(),
            (None, _) => Ok(()),
        }
    }

    /// Brings all three to what the state of things wants.
    pub(super) fn set_switches(&mut self) {
        let fence_deadline = self.memory.terms().fence_deadline;
        let during_fence = Millis(fence_deadline.0 * TIMER_TENTHS / 10);
        let half = Millis(fence_deadline.0 / 2);
        let due = match &self.life.server {
            Server::Open(Open { stop: Some(Stop::Fence { anchor, .. }), .. }) => {
                Some((*anchor, during_fence))
            }
            Server::Open(Open { mode: Mode::Primary(_), .. }) => self.deadline().map(|d| (d.moment(), half)),
            _ => None,
        };
        if let Err(e) = self.set_timer(due) {
            self.complain(&e);
        }
        let wanted = self.wanted_guard();
        let now = rpc::clock::now();
        let Some(lease) = &mut self.lease else { return };
        let too_soon =
            !lease.is_known() && self.life.lease_retry.is_some_and(|t| now.elapsed_shortest(t) < LEASE_RETRY);
        if too_soon {
            return;
        }
        match lease.set(wanted) {
            Ok(()) => {
                self.life.problem.take_if(|p| p.starts_with(LEASE_PROBLEM));
            }
            Err(e) => {
                self.life.lease_retry = Some(now);
                self.complain(&format!("{LEASE_PROBLEM}{e}"));
            }
        }
    }

    fn wanted_guard(&self) -> Guard {
        let adopted = self.memory.record().is_none() && !self.memory.is_told()
            || self.input(Data::Absent).highest() > Epoch::NONE;
        match &self.life.server {
            _ if !adopted => Guard::Open,
            Server::Open(Open { stop: Some(Stop::Fence { .. } | Stop::Kill), .. }) => Guard::Closed,
            Server::Open(open) => match open.mode {
                Mode::Standby if open.seen_recovery => Guard::Open,
                Mode::Standby => Guard::Closed,
                Mode::Plain => Guard::Open,
                Mode::Primary(_) => match self.memory.cover() {
                    Some(cover) => cover.deadline.map_or(Guard::Open, Guard::Leased),
                    None => Guard::Closed,
                },
            },
            Server::Down | Server::Clearing(_) | Server::Foreign(_) => Guard::Closed,
        }
    }

    /// The gate ends, and no process of the database is left.
    pub(super) fn leave(&mut self) {
        if let Err(e) = self.set_timer(None) {
            tracing::warn!("{e}");
        }
        if matches!(self.life.server, Server::Down)
            && let Some(lease) = &mut self.lease
        {
            lease.remove();
        }
    }

    /// What the link reports and the role endpoint answers from.
    pub(super) fn publish(&self) {
        let now = rpc::clock::now();
        let data = self.data.look();
        let snapshot = Snapshot {
            at: now,
            report: self.report(data),
            timed_ack: self.memory.timed_ack(),
            role: self.role(),
            timeline: self.life.control.map(|c| c.timeline),
            database: self.life.database.clone(),
        };
        self.shared.set(snapshot);
    }

    fn report(&self, data: Data) -> GateReport {
        let record = self.memory.record().unwrap_or_default();
        let usable = !self.life.home.overwrites();
        let open = match &self.life.server {
            Server::Open(open) | Server::Clearing(open) if open.promotion.is_none() => match open.mode {
                Mode::Standby => None,
                Mode::Plain => Some(Epoch::NONE),
                Mode::Primary(epoch) => Some(epoch),
            },
            _ => None,
        };
        GateReport {
            highest: record.highest,
            closed: record.closed,
            open,
            running: !matches!(self.life.server, Server::Down),
            standby: data == Data::Standby && usable,
            data_present: data != Data::Absent && usable,
            clean_shutdown: self.life.clean.or_else(|| self.found_clean()),
            containment: self.holder.way(),
            kernel_lease: self.lease.as_ref().is_some_and(crate::firewall::KernelLease::is_known),
            problem: self.problem(),
            copy: self.life.home.report.clone(),
        }
    }

    /// What an earlier gate left: said until something was opened.
    fn found_clean(&self) -> Option<bool> {
        let down = matches!(self.life.server, Server::Down);
        self.life.control.filter(|_| down).map(|c| c.is_clean())
    }

    fn problem(&self) -> Option<String> {
        let weak = (self.holder.way() == Containment::None)
            .then(|| "containment: none, accepted by name: backends may outlive a killed gate".to_owned());
        self.life.problem.clone().or(weak)
    }

    fn role(&self) -> Option<Role> {
        let Server::Open(open) = &self.life.server else { return None };
        let (covered, deadline) = match open.mode {
            Mode::Primary(_) => (self.memory.cover().is_some(), self.deadline()),
            Mode::Standby | Mode::Plain => (true, None),
        };
        let settled = open.settled && open.stop.is_none() && covered;
        Some(Role { mode: open.mode, settled, ready: self.data.is_ready(), deadline })
    }
}
