//! Closing: fence in stages, kill; and the proof that no process is left.

use super::{Gate, Open, Server, Stop};
use crate::history::What;
use crate::postgres::Signal;
use crate::world::World;
use coordination::permit::{FenceStage, Mode, fence_stage};
use coordination::planted::Bug;
use model::Epoch;

impl World {
    /// Begins a fence, counted from the deadline if that is what ended; nothing if one is under way.
    pub(super) fn fence(&mut self, gate: &mut Gate, reason: &'static str) {
        let now = self.moment(gate.site);
        let Server::Open(open) = &mut gate.server else { return };
        if matches!(open.stop, Some(Stop::Fence { .. } | Stop::Kill)) {
            return;
        }
        // F counts from the end of the cover, also if that was taken away before anybody looked.
        let anchor = match open.mode {
            Mode::Primary(epoch) => gate.memory.fence_from(epoch, now),
            Mode::Plain | Mode::Standby => now,
        };
        open.stop = Some(Stop::Fence { anchor, reached: None });
        let (stack, site) = (gate.stack, gate.site);
        self.add(What::Closing { stack, site, reason });
        self.note(6, u64::from(stack), u64::from(site));
        self.say(|w| format!("the gate fences {} at {}: {reason}", w.stack_name(stack), w.name(site)));
        self.push_stop(gate);
        self.set_timer(gate);
    }

    /// SIGKILL to everything, at once.
    pub(super) fn kill(&mut self, gate: &mut Gate, reason: &'static str) {
        let (stack, site) = (gate.stack, gate.site);
        match &mut gate.server {
            Server::Open(open) if !matches!(open.stop, Some(Stop::Kill)) => {
                open.stop = Some(Stop::Kill);
                self.add(What::Closing { stack, site, reason });
                self.say(|w| format!("the gate kills {} at {}: {reason}", w.stack_name(stack), w.name(site)));
                self.push_stop(gate);
            }
            Server::Foreign => self.kill_all(gate),
            _ => {}
        }
    }

    pub(super) fn push_stop(&mut self, gate: &mut Gate) {
        let fence = gate.memory.terms().fence_deadline;
        let now = self.moment(gate.site);
        let Server::Open(open) = &mut gate.server else { return };
        match &mut open.stop {
            None => {}
            Some(Stop::Kill) => self.kill_all(gate),
            Some(Stop::Fence { anchor, reached }) => {
                let due = fence_stage(now.elapsed_longest(*anchor), fence);
                let new = *reached != Some(due);
                *reached = Some(due);
                self.push_fence(gate, due, new);
            }
        }
    }

    fn push_fence(&mut self, gate: &Gate, due: FenceStage, new: bool) {
        let database = &mut self.databases[usize::from(gate.stack)];
        match due {
            FenceStage::Fast if new => database.signal(gate.site, Signal::Int, self.now),
            FenceStage::Fast => {}
            FenceStage::Walsenders => {
                if new {
                    database.signal(gate.site, Signal::Int, self.now);
                }
                database.kill_walsenders(gate.site, self.now);
            }
            FenceStage::Immediate if new => database.signal(gate.site, Signal::Quit, self.now),
            FenceStage::Immediate => {}
            FenceStage::Kill => self.kill_all(gate),
        }
    }

    fn kill_all(&mut self, gate: &Gate) {
        self.databases[usize::from(gate.stack)].kill_all(gate.site, self.now);
    }

    /// The postmaster is gone: what is left of the database is killed before anything else.
    pub(super) fn reap(&mut self, gate: &mut Gate) {
        let alive = self.databases[usize::from(gate.stack)].postmaster_alive(gate.site);
        if alive || !matches!(gate.server, Server::Open(_)) {
            return;
        }
        if let Server::Open(open) = std::mem::replace(&mut gate.server, Server::Down) {
            gate.server = Server::Clearing(open);
            self.clear(gate);
        }
    }

    /// Kills until nothing is left, then takes note of it.
    pub(super) fn clear(&mut self, gate: &mut Gate) {
        if !self.databases[usize::from(gate.stack)].is_empty(gate.site) {
            return self.kill_all(gate);
        }
        if let Server::Clearing(open) = std::mem::replace(&mut gate.server, Server::Down) {
            self.ended(gate, &open);
        }
    }

    fn ended(&mut self, gate: &mut Gate, open: &Open) {
        let clean = self.control(gate).is_some_and(|control| control.is_clean());
        gate.clean = Some(clean);
        self.relinquish_stopped(gate);
        let (stack, site) = (gate.stack, gate.site);
        self.say(|w| {
            format!("no process of {} is left at {} (clean: {clean})", w.stack_name(stack), w.name(site))
        });
        if open.stop.is_some() {
            (gate.ends, gate.ended) = (0, None);
        } else {
            let lived = self.moment(gate.site).elapsed_shortest(open.since);
            self.ended_by_itself(gate, lived);
        }
    }

    /// Once nothing is left, what a stop was ordered for goes to disk; true if nothing is owed.
    pub(super) fn relinquish_stopped(&mut self, gate: &mut Gate) -> bool {
        let Some(epoch) = gate.to_relinquish else { return true };
        let written = self.relinquish(gate, epoch);
        if written {
            gate.to_relinquish = None;
        }
        written
    }

    /// Relinquishes an epoch on disk: nothing at or below it runs here again.
    pub(super) fn relinquish(&mut self, gate: &mut Gate, epoch: Epoch) -> bool {
        let Some(record) = gate.memory.to_relinquish(epoch) else { return true };
        let planted = self.bug == Some(Bug::RelinquishNotOnDisk);
        let written = planted || self.write_record(gate.stack, gate.site, record);
        if written {
            gate.memory.written(record);
        }
        written
    }

    pub(super) fn look_for_foreign(&mut self, gate: &mut Gate) {
        if !self.databases[usize::from(gate.stack)].is_empty(gate.site) {
            gate.server = Server::Foreign;
        }
    }

    pub(super) fn look_after_foreign(&mut self, gate: &mut Gate) {
        if self.databases[usize::from(gate.stack)].is_empty(gate.site) {
            gate.server = Server::Down;
        }
    }
}
