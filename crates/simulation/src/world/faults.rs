//! What the plan of a seed does to the world, and how it ends.

use super::World;
use crate::history::{Site, Time, What};
use crate::message::{Event, Process};
use crate::plan::{Clocks, FaultKind};
use model::Millis;

impl World {
    /// A fault of the plan begins or ends.
    pub(super) fn fault(&mut self, number: usize, begins: bool) {
        if begins && self.healed {
            return;
        }
        let fault = self.plan.faults[number].clone();
        if self.holding[number] == begins {
            return;
        }
        self.holding[number] = begins;
        self.note(7, number as u64, u64::from(begins));
        if begins {
            self.figures.faults += 1;
            let lasts = Some(Millis(fault.lasts / 1_000)).filter(|_| fault.lasts < Time::MAX);
            self.add(What::Fault { site: fault.kind.site(), lasts });
            self.say(|_| format!("FAULT {number}: {}", fault.words()));
            if fault.lasts < Time::MAX {
                let number = u32::try_from(number).expect("a plan has few faults");
                self.queue.push(self.now + fault.lasts, Event::Fault(number, false));
            }
        } else if fault.lasts > 0 {
            self.say(|_| format!("fault {number} is over"));
        }
        self.note_reached();
        self.change(&fault.kind, fault.lasts, begins);
        self.recheck_log();
    }

    fn change(&mut self, kind: &FaultKind, lasts: Time, begins: bool) {
        match *kind {
            FaultKind::Kill(process) if begins => self.kill_process(process),
            FaultKind::Kill(process) => self.restart(process),
            FaultKind::Pause(process) if begins => self.pause(process),
            FaultKind::Pause(process) => {
                if self.hosts[usize::from(process.site())].frozen == 0 {
                    self.resume(process);
                }
            }
            FaultKind::KillServer(stack, site, backend) => {
                if begins {
                    self.databases[usize::from(stack)].crash(site, self.now, backend);
                    self.touch_database(stack);
                }
            }
            FaultKind::LoseSite(site) if begins => self.lose_host(site),
            FaultKind::LoseSite(site) => self.boot_host(site),
            FaultKind::Freeze(site, clocks) => self.freeze(site, clocks, lasts, begins),
            FaultKind::Cut(from, to) => self.cut(from, to, begins),
            FaultKind::Isolate(site, inward, outward) => self.isolate(site, inward, outward, begins),
            FaultKind::Degrade(site, slower, loss, twice) => {
                for other in (0..self.sites).filter(|other| *other != site) {
                    let (slower, loss, twice) = if begins { (slower, loss, twice) } else { (0, 0, 0) };
                    self.net.degrade(site, other, slower, loss, twice);
                    self.net.degrade(other, site, slower, loss, twice);
                }
            }
            FaultKind::Lag(site) => {
                let until = if begins { Time::MAX / 2 } else { 0 };
                self.raft.members[usize::from(site)].lags_until = until;
            }
            FaultKind::MoveSeat(site) if begins => self.move_seat(site),
            FaultKind::MoveSeat(_) => {}
            FaultKind::Slew(site, ppm) => {
                let (boottime, raw) = self.plan.clock_rates[usize::from(site)];
                let boottime = if begins { ppm } else { boottime };
                self.set_rates(site, boottime, raw);
            }
            FaultKind::Jump(site, span) => {
                if begins {
                    let now = self.now;
                    self.hosts[usize::from(site)].clock.jump(now, span);
                    let (boottime, raw) = self.hosts[usize::from(site)].clock.rates();
                    self.set_rates(site, boottime, raw);
                }
            }
            FaultKind::LongerLease => self.operator.want_longer_lease(begins),
            FaultKind::DiskFull(site) => {
                let host = &mut self.hosts[usize::from(site)];
                host.disk_full = if begins { host.disk_full + 1 } else { host.disk_full - 1 };
            }
            FaultKind::DiskSlow(site, slower) => {
                self.hosts[usize::from(site)].disk_slow = if begins { slower } else { 0 };
            }
            FaultKind::LoseStore(site) if begins => {
                self.kill_process(Process::Actor(site));
                self.lose_epochs(site);
            }
            FaultKind::LoseStore(site) => self.restart(Process::Actor(site)),
            FaultKind::LoseRecord(stack, site) if begins => {
                self.kill_process(Process::Gate(stack, site));
                self.hosts[usize::from(site)].records[usize::from(stack)] = None;
            }
            FaultKind::LoseRecord(stack, site) => self.restart(Process::Gate(stack, site)),
            FaultKind::LoseData(stack, site) => {
                if begins && self.has_spare_copies(stack, site) {
                    self.databases[usize::from(stack)].data_lost(site, self.now);
                    self.touch_database(stack);
                }
            }
            FaultKind::Ill(stack, site, ill) => self.databases[usize::from(stack)].set_ill(site, ill, begins),
            FaultKind::HoldReplay(stack, site, lasts) => {
                if begins {
                    self.databases[usize::from(stack)].hold_replay(site, self.now + lasts);
                    self.mind_database(stack);
                }
            }
            FaultKind::SetMode(stack, mode) => {
                self.operator.want(stack, if begins { mode } else { model::Mode::Auto });
            }
            FaultKind::Attest(stack) => {
                if begins {
                    self.attest(stack);
                }
            }
            FaultKind::StopAndElect(stack, to) => {
                if begins {
                    self.stop_and_elect(stack, to);
                }
            }
            FaultKind::KillLeader => self.kill_leader(begins),
            FaultKind::DiesOrdering(site, postmaster) => {
                self.hosts[usize::from(site)].dies_ordering = begins.then_some(postmaster);
            }
            FaultKind::IsolatePromoted(stack) => self.isolate_promoted(stack, begins),
        }
    }

    /// Two standbys beside this site stream: a disk may be lost, the stack's only copy may not.
    pub(super) fn has_spare_copies(&self, stack: u8, site: Site) -> bool {
        let id = self.stack_name(stack);
        let known = self.newest_state().stacks().get(id);
        known.is_some_and(|k| k.streaming.keys().filter(|s| **s != *self.name(site)).count() >= 2)
    }

    fn kill_leader(&mut self, begins: bool) {
        if begins && let Some(leader) = self.raft.leader {
            self.killed_leader = Some(leader);
            self.kill_process(Process::Witness(leader));
        } else if !begins && let Some(leader) = self.killed_leader.take() {
            self.restart(Process::Witness(leader));
        }
    }

    pub(super) fn isolate(&mut self, site: Site, inward: bool, outward: bool, begins: bool) {
        for other in (0..self.sites).filter(|other| *other != site) {
            if inward {
                self.cut(other, site, begins);
            }
            if outward {
                self.cut(site, other, begins);
            }
        }
    }

    fn cut(&mut self, from: Site, to: Site, begins: bool) {
        if begins {
            self.net.cut(from, to);
        } else {
            self.net.mend(from, to);
        }
    }

    /// The whole machine stands still, databases and all; its clocks may go on.
    fn freeze(&mut self, site: Site, clocks: Clocks, lasts: Time, begins: bool) {
        let i = usize::from(site);
        let now = self.now;
        if begins {
            self.hosts[i].frozen += 1;
            match clocks {
                Clocks::Run => {}
                Clocks::Suspend => self.hosts[i].clock.suspend(now, true),
                Clocks::Stand => self.hosts[i].clock.stand(now, true),
            }
            for process in self.processes_of(site) {
                self.pause(process);
            }
            for stack in 0..self.stacks {
                // The kernel's timers come first when it goes on.
                let until = now.saturating_add(lasts).min(self.plan.heals) + 1;
                self.databases[usize::from(stack)].freeze(site, until, now);
                self.touch_database(stack);
            }
            return;
        }
        self.hosts[i].frozen = self.hosts[i].frozen.saturating_sub(1);
        match clocks {
            Clocks::Run => {}
            Clocks::Suspend => self.hosts[i].clock.suspend(now, false),
            Clocks::Stand => self.hosts[i].clock.stand(now, false),
        }
        if self.hosts[i].frozen > 0 {
            return;
        }
        self.thaw(site);
    }

    fn thaw(&mut self, site: Site) {
        // The kernel's timers come before any process.
        for (stack, number) in std::mem::take(&mut self.hosts[usize::from(site)].timers_over) {
            self.kernel_timer_at_thaw(stack, site, number);
        }
        for stack in 0..self.stacks {
            self.rearm_timer(stack, site);
            self.mind_database(stack);
        }
        for process in self.processes_of(site) {
            if !self.is_paused_by_plan(process) {
                self.resume(process);
            }
        }
    }

    /// Other clock rates: everything that waits for an hour of these clocks looks again.
    fn set_rates(&mut self, site: Site, boottime: i64, raw: i64) {
        let now = self.now;
        self.hosts[usize::from(site)].clock.set_rates(now, boottime, raw);
        for stack in 0..self.stacks {
            self.rearm_timer(stack, site);
        }
        for process in self.processes_of(site) {
            self.wake_now(process);
        }
    }

    /// A fault that holds keeps the process down.
    pub(super) fn is_down_by_plan(&self, process: Process) -> bool {
        let holds = |kind: &FaultKind| match *kind {
            FaultKind::Kill(killed) => killed == process,
            FaultKind::LoseSite(site) => site == process.site(),
            FaultKind::LoseStore(site) => process == Process::Actor(site),
            FaultKind::LoseRecord(stack, site) => process == Process::Gate(stack, site),
            FaultKind::KillLeader => self.killed_leader.map(Process::Witness) == Some(process),
            _ => false,
        };
        self.plan.faults.iter().zip(&self.holding).any(|(fault, holding)| *holding && holds(&fault.kind))
    }

    fn is_paused_by_plan(&self, process: Process) -> bool {
        let holds = |kind: &FaultKind| matches!(*kind, FaultKind::Pause(paused) if paused == process);
        self.plan.faults.iter().zip(&self.holding).any(|(fault, holding)| *holding && holds(&fault.kind))
    }

    /// Everything that the plan broke is mended at once; what is dead is started.
    pub(super) fn heal(&mut self) {
        for number in 0..self.plan.faults.len() {
            self.fault(number, false);
        }
        self.healed = true;
        self.add(What::Healed);
        self.say(|_| String::from("HEALED: from here on everything must come right"));
        for site in 0..self.sites {
            for process in self.processes_of(site) {
                self.resume(process);
                if !self.is_alive(process) {
                    let at = self.now + self.dice.below(1_000_000);
                    self.queue.push(at, Event::Restart(process));
                }
            }
            for stack in 0..self.stacks {
                self.databases[usize::from(stack)].cure(site);
            }
        }
        self.operator.want_auto();
        self.recheck_log();
    }
}
