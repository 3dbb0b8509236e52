//! Processes and hosts that start, stop, pause and end.

use super::World;
use super::process::Life;
use crate::history::{Site, Stack, Time, What};
use crate::message::{Event, Message, Process};
use coordination::reconcile::StackEpochs;

/// Containment ends everything of a database so soon after its gate.
const CONTAINED_WITHIN: Time = 4_000;

impl World {
    fn life(&self, process: Process) -> Option<&Life> {
        match process {
            Process::Witness(site) => Some(&self.witnesses.get(usize::from(site))?.process),
            Process::Actor(site) => self.actors[usize::from(site)].as_ref().map(|a| &a.process),
            Process::Gate(stack, site) => {
                self.gates[usize::from(stack)][usize::from(site)].as_ref().map(|g| &g.process)
            }
        }
    }

    fn life_mut(&mut self, process: Process) -> Option<&mut Life> {
        match process {
            Process::Witness(site) => Some(&mut self.witnesses.get_mut(usize::from(site))?.process),
            Process::Actor(site) => self.actors[usize::from(site)].as_mut().map(|a| &mut a.process),
            Process::Gate(stack, site) => {
                self.gates[usize::from(stack)][usize::from(site)].as_mut().map(|g| &mut g.process)
            }
        }
    }

    /// The number of its present life; what is sent to it now never reaches a later one.
    pub(super) fn life_of(&self, process: Process) -> u32 {
        // One that is taken out at this instant is the one that sends: it is alive.
        self.life(process).filter(|life| life.alive).map_or(0, |life| life.number)
    }

    /// It exists, whether it is stopped or not.
    pub(super) fn is_alive(&self, process: Process) -> bool {
        self.life(process).is_some_and(|life| life.alive)
    }

    /// It exists and goes on.
    pub(super) fn process_runs(&self, process: Process) -> bool {
        self.life(process).is_some_and(Life::runs)
    }

    /// Wakes a process no later than at `at`.
    pub(super) fn wake_at(&mut self, process: Process, at: Time) {
        let at = at.max(self.now);
        match self.life_mut(process) {
            Some(life) if life.alive && at < life.wake => {
                life.wake = at;
                let number = life.number;
                self.queue.push(at, Event::Wake(process, number));
            }
            Some(_) => {}
            // Its own turn is under way.
            None => self.wake_after_turn(process, at),
        }
    }

    fn wake_after_turn(&mut self, process: Process, at: Time) {
        self.late_wakes.push((process, at));
    }

    /// As soon as it can.
    pub(super) fn wake_now(&mut self, process: Process) {
        self.wake_at(process, self.now);
    }

    /// Wakings that were asked for while their process was in the middle of its turn.
    pub(super) fn settle_wakes(&mut self) {
        while let Some((process, at)) = self.late_wakes.pop() {
            self.wake_at(process, at);
        }
    }

    pub(super) fn woken(&mut self, process: Process, number: u32) {
        let now = self.now;
        let Some(life) = self.life_mut(process) else { return };
        if life.number != number || life.wake != now || !life.alive {
            return;
        }
        life.wake = Time::MAX;
        if !life.paused {
            self.turn(process, None);
        }
    }

    pub(super) fn deliver(&mut self, process: Process, number: u32, message: Message) {
        let Some(life) = self.life_mut(process) else { return };
        if !life.alive || life.number != number {
            return;
        }
        if life.paused {
            return life.keep(message);
        }
        self.turn(process, Some(message));
    }

    fn turn(&mut self, process: Process, message: Option<Message>) {
        let code = match process {
            Process::Witness(site) => u64::from(site),
            Process::Actor(site) => 64 + u64::from(site),
            Process::Gate(stack, site) => 128 + 16 * u64::from(stack) + u64::from(site),
        };
        self.note(1, code, u64::from(message.is_some()));
        match (process, message) {
            (Process::Witness(site), Some(message)) => self.witness_takes(site, message),
            (Process::Witness(site), None) => self.witness_turn(site),
            (Process::Actor(site), message) => self.actor_turn(site, message),
            (Process::Gate(stack, site), message) => self.gate_turn(stack, site, message),
        }
        self.settle_wakes();
    }

    /// SIGKILL of one process.
    pub(super) fn kill_process(&mut self, process: Process) {
        if !self.is_alive(process) {
            return;
        }
        match process {
            Process::Witness(site) => {
                self.note_reached();
                self.end_life(process);
                self.member_died(site);
                self.recheck_log();
            }
            Process::Actor(site) => {
                self.note_reached();
                // A write that was under way reached the disk, or did not.
                let under_way =
                    self.actors[usize::from(site)].as_mut().map(|a| std::mem::take(&mut a.persisting));
                for (_, epochs) in under_way.unwrap_or_default() {
                    if self.hosts[usize::from(site)].disk_full == 0 && self.dice.permille(500) {
                        self.hosts[usize::from(site)].epochs = Some(epochs);
                    }
                }
                self.end_life(process);
                for stack in 0..self.stacks {
                    self.gate_lost_actor(stack, site);
                }
            }
            Process::Gate(stack, site) => self.gate_died(stack, site, true),
        }
    }

    fn end_life(&mut self, process: Process) {
        if let Some(life) = self.life_mut(process) {
            life.alive = false;
            life.paused = false;
            life.wake = Time::MAX;
            life.backlog.clear();
        }
    }

    /// A gate is gone, and what it contains with it.
    pub(super) fn gate_died(&mut self, stack: Stack, site: Site, restarts: bool) {
        self.end_life(Process::Gate(stack, site));
        self.history.add(self.now, What::GateEnded { stack, site });
        self.actor_lost_gate(stack, site);
        let at = self.now + self.dice.below(CONTAINED_WITHIN);
        self.queue.push(at, Event::Contained(stack, site));
        if restarts && !self.is_down_by_plan(Process::Gate(stack, site)) {
            let at = self.now + self.dice.between(100_000, 1_500_000);
            self.queue.push(at, Event::Restart(Process::Gate(stack, site)));
        }
    }

    /// Containment has killed everything that a dead gate left.
    pub(super) fn contained(&mut self, stack: Stack, site: Site) {
        self.databases[usize::from(stack)].kill_all(site, self.now);
        self.touch_database(stack);
    }

    /// A service manager starts what is not there, unless a fault keeps it down.
    pub(super) fn restart(&mut self, process: Process) {
        let host = &self.hosts[usize::from(process.site())];
        if self.is_alive(process) || !host.up || self.is_down_by_plan(process) {
            return;
        }
        let (paused, number) = (host.frozen > 0, host.lives + 1);
        match process {
            Process::Witness(site) => {
                self.hosts[usize::from(site)].lives = number;
                self.witnesses[usize::from(site)].process = Life::new(number);
                self.member_started(site);
                self.witness_restarted(site);
                self.recheck_log();
                self.wake_now(process);
            }
            Process::Actor(site) => self.start_actor(site),
            Process::Gate(stack, site) => self.start_gate(stack, site),
        }
        if paused && let Some(life) = self.life_mut(process) {
            life.paused = true;
        }
        self.say(|w| format!("{process:?} of {} starts", w.name(process.site())));
    }

    /// SIGSTOP.
    pub(super) fn pause(&mut self, process: Process) {
        if let Some(life) = self.life_mut(process) {
            life.paused = life.alive;
        }
        if let Process::Witness(_) = process {
            self.recheck_log();
        }
    }

    /// SIGCONT: what waited arrives first.
    pub(super) fn resume(&mut self, process: Process) {
        let Some(life) = self.life_mut(process) else { return };
        if !life.alive || !life.paused {
            return;
        }
        life.paused = false;
        let number = life.number;
        life.wake = Time::MAX;
        let backlog = std::mem::take(&mut life.backlog);
        // The clocks are read before what waited is looked at, or after the first of it.
        for message in backlog {
            self.queue.push(self.now, Event::Deliver(process, number, message));
        }
        if let Process::Witness(site) = process {
            self.recheck_log();
            self.wake_now(Process::Witness(site));
        } else {
            self.wake_now(process);
        }
    }

    /// All processes of a site.
    pub(super) fn processes_of(&self, site: Site) -> Vec<Process> {
        let gates = (0..self.stacks).map(|stack| Process::Gate(stack, site));
        [Process::Witness(site), Process::Actor(site)].into_iter().chain(gates).collect()
    }

    /// Power is lost.
    pub(super) fn lose_host(&mut self, site: Site) {
        self.hosts[usize::from(site)].up = false;
        for process in self.processes_of(site) {
            self.kill_process(process);
        }
        for stack in 0..self.stacks {
            self.databases[usize::from(stack)].host_lost(site, self.now);
            self.touch_database(stack);
        }
    }

    /// Power is back: the clocks begin anew, and everything is started, in some order.
    pub(super) fn boot_host(&mut self, site: Site) {
        let now = self.now;
        let host = &mut self.hosts[usize::from(site)];
        host.up = true;
        host.clock.reboot(now);
        for process in self.processes_of(site) {
            let at = now + self.dice.below(3_000_000);
            self.queue.push(at, Event::Restart(process));
        }
    }

    /// The store of an actor is gone.
    pub(super) fn lose_epochs(&mut self, site: Site) {
        self.hosts[usize::from(site)].epochs = None::<Vec<StackEpochs>>;
    }
}
