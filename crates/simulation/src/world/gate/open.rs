//! Opening: start, take over in place, promote. Each looks at cover, closed epoch, deadline and
//! clock once more in the very step in which it acts.

use super::{Gate, LIVED, Open, PAUSES, Promotion, Server};
use crate::history::What;
use crate::postgres::{ControlState, Signal};
use crate::world::World;
use coordination::permit::{Data, Mode, Running};
use coordination::planted::Bug;
use model::{Epoch, Millis, StepKind, Timeline};

/// SIGHUP this often until a promotion is over.
const HUP_EVERY: Millis = Millis(30);
/// A promote file that is still there after this: the signal is sent again.
const SIGNAL_EVERY: Millis = Millis(100);

impl World {
    fn restart_is_due(&self, gate: &Gate) -> bool {
        let now = self.moment(gate.site);
        let pause = Millis(PAUSES[gate.ends.saturating_sub(1).min(PAUSES.len() - 1)]);
        gate.ended.is_none_or(|last| now.elapsed_shortest(last) >= pause)
    }

    /// An end that nobody wanted, after this long.
    pub(super) fn ended_by_itself(&self, gate: &mut Gate, lived: Millis) {
        gate.ends = if lived >= LIVED { 1 } else { gate.ends + 1 };
        gate.ended = Some(self.moment(gate.site));
    }

    /// Makes `epoch` the highest seen, on disk.
    pub(super) fn raise(&mut self, gate: &mut Gate, epoch: Epoch) -> bool {
        let Some(record) = gate.memory.to_raise(epoch) else { return true };
        let planted = self.bug == Some(Bug::EpochNotPersisted);
        let written = planted || self.write_record(gate.stack, gate.site, record);
        if written {
            gate.memory.written(record);
        }
        written
    }

    /// Starts the database, if a pause after a failure is over.
    pub(super) fn open(&mut self, gate: &mut Gate, mode: Mode) {
        if !self.relinquish_stopped(gate) || !self.restart_is_due(gate) {
            return;
        }
        let (stack, site, s) = (gate.stack, gate.site, usize::from(gate.stack));
        if mode == Mode::Standby {
            self.databases[s].clear_timelines(site);
            if self.bug == Some(Bug::StandbyReattaches) && gate.upstream.is_some() {
                self.databases[s].set_conninfo(site, gate.upstream);
            }
        }
        if let Mode::Primary(epoch) = mode {
            if !self.raise(gate, epoch) {
                return;
            }
            self.arm_for(gate, epoch);
        }
        let now = self.moment(site);
        let data = self.data(gate);
        let planted = self.looks_first(gate, mode);
        if planted == Some(false) {
            return;
        }
        let input = gate.memory.input(data, Running::No, false, now);
        let permitted = match mode {
            Mode::Primary(_) if planted == Some(true) => data == Data::Primary,
            Mode::Standby => data == Data::Standby,
            Mode::Plain => data == Data::Primary && input.highest() == Epoch::NONE,
            Mode::Primary(epoch) => data == Data::Primary && input.may_open() == Ok(epoch),
        };
        if !permitted {
            return;
        }
        if !self.databases[s].start(site, self.now) {
            return self.ended_by_itself(gate, Millis::ZERO);
        }
        self.figures.starts += 1;
        if let Mode::Primary(epoch) = mode {
            self.add(What::StepBegan { stack, site, epoch, step: StepKind::Promote });
        }
        self.note(5, u64::from(stack), u64::from(site));
        self.say(|w| format!("the gate starts {} at {} ({mode:?})", w.stack_name(stack), w.name(site)));
        gate.server = Server::Open(Open::new(mode, now));
    }

    /// Planted (`CheckThenAct`): the look that counts was made a while ago. None: not planted.
    fn looks_first(&mut self, gate: &mut Gate, mode: Mode) -> Option<bool> {
        let Mode::Primary(epoch) = mode else { return None };
        if self.bug != Some(Bug::CheckThenAct) {
            return None;
        }
        match gate.looked {
            Some((looked, at)) if looked == epoch => {
                let due = self.now >= at;
                if due {
                    gate.looked = None;
                }
                Some(due)
            }
            _ => {
                let at = self.now + self.dice.between(500_000, 8_000_000);
                gate.looked = Some((epoch, at));
                Some(false)
            }
        }
    }

    /// Planted (`CheckThenAct`): starts what was allowed then.
    pub(super) fn start_as_looked(&mut self, gate: &mut Gate) -> bool {
        let Some((epoch, at)) = gate.looked else { return false };
        let due = matches!(gate.server, Server::Down) && self.now >= at;
        if due {
            self.open(gate, Mode::Primary(epoch));
        }
        due
    }

    /// The kernel timer before anything opens at this epoch.
    fn arm_for(&mut self, gate: &mut Gate, epoch: Epoch) {
        let held = gate.memory.cover().filter(|held| held.entry.epoch == epoch);
        let Some(deadline) = held.map(|held| held.deadline) else { return };
        let half = Millis(gate.memory.terms().fence_deadline.0 / 2);
        self.arm_timer(gate, deadline.map(|end| end.moment().after(half)));
    }

    /// The primary that runs goes on under `epoch`: on disk first, then the switches.
    pub(super) fn take_over(&mut self, gate: &mut Gate, epoch: Epoch) {
        if !self.raise(gate, epoch) {
            return;
        }
        self.arm_for(gate, epoch);
        let now = self.moment(gate.site);
        let may = gate.memory.input(Data::Primary, Running::Open(Mode::Plain), false, now).may_open();
        if let Server::Open(open) = &mut gate.server
            && open.stop.is_none()
            && may == Ok(epoch)
        {
            open.mode = Mode::Primary(epoch);
            let (stack, site) = (gate.stack, gate.site);
            self.add(What::StepBegan { stack, site, epoch, step: StepKind::Promote });
            self.say(|w| format!("{} at {} goes on under epoch {epoch}", w.stack_name(stack), w.name(site)));
        }
    }

    /// Looks at what runs: the control file, a promotion's progress, a stop's.
    pub(super) fn watch(&mut self, gate: &mut Gate) {
        let state = self.control(gate).map(|control| control.state);
        match &mut gate.server {
            Server::Open(open) => {
                open.seen_recovery |= state == Some(ControlState::InArchiveRecovery);
                open.settled = match open.mode {
                    Mode::Standby => open.seen_recovery,
                    Mode::Plain | Mode::Primary(_) => {
                        state == Some(ControlState::InProduction) && open.promotion.is_none()
                    }
                };
                let ours =
                    !gate.memory.is_told() || gate.memory.record().is_none_or(|r| r.highest > Epoch::NONE);
                if !ours
                    && open.mode == Mode::Standby
                    && open.seen_recovery
                    && state == Some(ControlState::InProduction)
                {
                    open.mode = Mode::Plain;
                }
                if open.promotion.is_some() && open.stop.is_none() {
                    self.push_promotion(gate, state);
                }
                self.push_stop(gate);
            }
            Server::Clearing(_) => self.clear(gate),
            Server::Down => self.look_for_foreign(gate),
            Server::Foreign => self.look_after_foreign(gate),
        }
    }

    /// Promotes the standby that runs, to a timeline above `highest`.
    pub(super) fn promote(
        &mut self,
        gate: &mut Gate,
        epoch: Epoch,
        highest: Timeline,
    ) -> Result<(), &'static str> {
        let promoting = self.try_promote(gate, epoch, highest);
        if promoting.is_err() {
            self.databases[usize::from(gate.stack)].clear_timelines(gate.site);
        }
        promoting
    }

    fn try_promote(&mut self, gate: &mut Gate, epoch: Epoch, highest: Timeline) -> Result<(), &'static str> {
        if !self.raise(gate, epoch) {
            return Err("the record cannot be written");
        }
        self.arm_for(gate, epoch);
        let (stack, site, s) = (gate.stack, gate.site, usize::from(gate.stack));
        if self.control(gate).is_none() {
            return Err("the control file cannot be read");
        }
        self.databases[s].skip_timelines(site, gate.memory.timeline_highest(highest));
        let now = self.moment(site);
        let data = self.data(gate);
        // The last look, in the same step.
        let planted = self.bug == Some(Bug::PromoteBeforeElection);
        if !planted && gate.memory.input(data, Running::Open(Mode::Standby), false, now).may_open()? != epoch
        {
            return Err("the cover is for another epoch");
        }
        self.databases[s].promote_file(site);
        self.databases[s].signal(site, Signal::Usr1, self.now);
        self.add(What::StepBegan { stack, site, epoch, step: StepKind::Promote });
        self.say(|w| {
            format!("the gate promotes {} at {} for epoch {epoch}", w.stack_name(stack), w.name(site))
        });
        if let Server::Open(open) = &mut gate.server {
            open.mode = Mode::Primary(epoch);
            open.settled = false;
            open.promotion = Some(Promotion { hup: now, signalled: now });
        }
        Ok(())
    }

    fn push_promotion(&mut self, gate: &mut Gate, state: Option<ControlState>) {
        let now = self.moment(gate.site);
        let database = &mut self.databases[usize::from(gate.stack)];
        let waiting = database.promote_file_waits(gate.site);
        let Server::Open(open) = &mut gate.server else { return };
        let Some(promotion) = &mut open.promotion else { return };
        if state == Some(ControlState::InProduction) {
            open.promotion = None;
            open.settled = true;
            return;
        }
        if now.elapsed_shortest(promotion.hup) >= HUP_EVERY {
            promotion.hup = now;
            database.signal(gate.site, Signal::Hup, self.now);
        }
        if waiting && now.elapsed_shortest(promotion.signalled) >= SIGNAL_EVERY {
            promotion.signalled = now;
            database.signal(gate.site, Signal::Usr1, self.now);
        }
    }
}
