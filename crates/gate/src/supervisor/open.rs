//! Opening: start, take over in place, promote. Each looks at cover, closed epoch, deadline
//! and clock once more in the very step in which it acts.

use super::{Open, Server, Supervisor};
use crate::data::State;
use crate::firewall::Guard;
use crate::{Error, timelines};
use coordination::permit::{Data, Mode};
use model::{Epoch, Millis, Moment, Timeline};
use std::fs::File;
use std::os::unix::fs::chown;

/// SIGHUP this often until a promotion is over: it may sleep out a retry interval otherwise.
const HUP_EVERY: Millis = Millis(30);
/// A promote file that is still there after this: the signal came too early, send it again.
const SIGNAL_EVERY: Millis = Millis(100);
/// Pauses before a restart in place, by the number of ends in a row.
const PAUSES: [Millis; 7] =
    [Millis(0), Millis(200), Millis(500), Millis(1_000), Millis(2_000), Millis(5_000), Millis(10_000)];
/// A server that lived this long ended for a new reason. The pauses are there for one that cannot
/// start, not for one that is killed now and then: each would be an outage for its clients.
const LIVED: Millis = Millis(2_000);

/// A promotion under way.
pub(super) struct Promotion {
    pub(super) began: Moment,
    hup: Moment,
    signalled: Moment,
}

/// Counts ends that nobody wanted.
#[derive(Default)]
pub(super) struct Restarts {
    ends: usize,
    last: Option<Moment>,
}

impl Restarts {
    /// The server ended after this long, or did not start.
    pub(super) fn ended(&mut self, lived: Millis, now: Moment) {
        self.ends = if lived >= LIVED { 1 } else { self.ends + 1 };
        self.last = Some(now);
    }

    /// It ended since it was told to.
    pub(super) fn wanted(&mut self) {
        *self = Self::default();
    }

    fn is_due(&self, now: Moment) -> bool {
        let pause = PAUSES[self.ends.saturating_sub(1).min(PAUSES.len() - 1)];
        self.last.is_none_or(|last| now.elapsed_shortest(last) >= pause)
    }
}

impl Supervisor {
    /// Starts the database, if a pause after a failure is over.
    pub(super) fn open(&mut self, mode: Mode) {
        let now = rpc::clock::now();
        if self.life.home.is_busy()
            || self.life.ending.is_some()
            || !self.relinquish_stopped()
            || !self.life.restarts.is_due(now)
        {
            return;
        }
        match self.try_open(mode) {
            Ok(true) => {
                tracing::info!("started: {}", words(mode));
                self.life.waiting = "";
                self.life.problem = None;
                self.life.server = Server::Open(Open::new(mode, rpc::clock::now()));
            }
            Ok(false) => {}
            Err(e) => {
                self.complain(&e);
                self.life.restarts.ended(Millis::ZERO, now);
            }
        }
    }

    /// False if what permits it changed while it was being prepared.
    fn try_open(&mut self, mode: Mode) -> Result<bool, Error> {
        self.life.directory = Some(self.lock.ensure()?);
        self.settings.ensure()?;
        if mode == Mode::Standby {
            timelines::clear(self.data.path())?;
        }
        if let Mode::Primary(epoch) = mode {
            if !self.raise(epoch) {
                return Ok(false);
            }
            self.arm(epoch)?;
        }
        let data = self.data.look();
        let permitted = match mode {
            Mode::Standby => data == Data::Standby,
            Mode::Plain => data == Data::Primary && self.input(data).highest() == Epoch::NONE,
            Mode::Primary(epoch) => data == Data::Primary && self.input(data).may_open() == Ok(epoch),
        };
        if permitted {
            self.holder.start(&self.program)?;
        }
        Ok(permitted)
    }

    /// Deadline, timer, warden and kernel lease, before anything opens at this epoch.
    fn arm(&mut self, epoch: Epoch) -> Result<(), Error> {
        let Some(deadline) = self.memory.cover().filter(|c| c.entry.epoch == epoch).map(|c| c.deadline)
        else {
            return Ok(());
        };
        self.arm_timer(deadline)?;
        if let Some(lease) = &mut self.lease {
            let guard = deadline.map_or(Guard::Open, Guard::Leased);
            lease.set(guard).map_err(Error::system("arm the kernel lease"))?;
        }
        Ok(())
    }

    /// The primary that runs goes on under `epoch`: on disk first, then the switches.
    pub(super) fn take_over(&mut self, epoch: Epoch) {
        if !self.raise(epoch) {
            return;
        }
        if let Err(e) = self.arm(epoch) {
            return self.complain(&e);
        }
        let permitted = self.input(Data::Primary).may_open() == Ok(epoch);
        if let Server::Open(open) = &mut self.life.server
            && open.stop.is_none()
            && permitted
        {
            tracing::info!("epoch {epoch} taken over without a restart (was: {})", words(open.mode));
            open.mode = Mode::Primary(epoch);
        }
    }

    /// Looks at what runs: the control file, a promotion's progress, a stop's.
    pub(super) fn watch(&mut self) {
        self.life.control = self.data.control();
        let state = self.life.control.map(|c| c.state);
        match &mut self.life.server {
            Server::Open(open) => {
                open.seen_recovery |= state == Some(State::InArchiveRecovery);
                open.settled = match open.mode {
                    Mode::Standby => open.seen_recovery,
                    Mode::Plain | Mode::Primary(_) => {
                        state == Some(State::InProduction) && open.promotion.is_none()
                    }
                };
                // Not adopted: who promotes it is nobody's business but the administrator's.
                let ours =
                    !self.memory.is_told() || self.memory.record().is_none_or(|r| r.highest > Epoch::NONE);
                if !ours
                    && open.mode == Mode::Standby
                    && open.seen_recovery
                    && state == Some(State::InProduction)
                {
                    open.mode = Mode::Plain;
                }
                if open.promotion.is_some() && open.stop.is_none() {
                    self.push_promotion(state);
                }
                self.push_stop();
            }
            Server::Clearing(_) => self.clear(),
            Server::Down if self.life.home.is_busy() => {}
            Server::Down => self.look_for_foreign(),
            Server::Foreign(_) => self.look_after_foreign(),
        }
    }

    /// Promotes the standby that runs, to a timeline above `timeline_highest`.
    ///
    /// # Errors
    /// Why not: nothing was done then.
    pub(super) fn promote(&mut self, epoch: Epoch, timeline_highest: Timeline) -> Result<(), String> {
        let promoting = self.try_promote(epoch, timeline_highest);
        if promoting.is_err()
            && let Err(e) = timelines::clear(self.data.path())
        {
            self.complain(&e);
        }
        promoting
    }

    fn try_promote(&mut self, epoch: Epoch, timeline_highest: Timeline) -> Result<(), String> {
        if !self.raise(epoch) {
            return Err("the record cannot be written".into());
        }
        self.arm(epoch).map_err(|e| e.to_string())?;
        let control = self.data.control().ok_or("the control file cannot be read")?;
        let highest = self.memory.timeline_highest(timeline_highest);
        let laid = timelines::skip(self.data.path(), control.timeline, highest, self.user.as_ref());
        let laid = laid.map_err(|e| e.to_string())?;
        if laid > 0 {
            tracing::info!("{laid} timeline numbers up to {highest} are skipped");
        }
        // The last look, in the same step.
        if self.input(self.data.look()).may_open()? != epoch {
            return Err(format!("the cover is not for epoch {epoch}"));
        }
        let path = self.data.path().join("promote");
        let file = File::create(&path).and_then(|_| match &self.user {
            Some(user) => chown(&path, Some(user.uid), Some(user.gid)),
            None => Ok(()),
        });
        file.map_err(|e| format!("{}: {e}", path.display()))?;
        self.holder.signal(libc::SIGUSR1);
        let now = rpc::clock::now();
        if let Server::Open(open) = &mut self.life.server {
            tracing::info!("promoting at epoch {epoch}");
            open.mode = Mode::Primary(epoch);
            open.settled = false;
            open.promotion = Some(Promotion { began: now, hup: now, signalled: now });
        }
        Ok(())
    }

    fn push_promotion(&mut self, state: Option<State>) {
        let now = rpc::clock::now();
        let waiting = self.data.path().join("promote").exists();
        let Server::Open(open) = &mut self.life.server else { return };
        let Some(promotion) = &mut open.promotion else { return };
        if state == Some(State::InProduction) {
            tracing::info!("promoted after {}", now.elapsed_longest(promotion.began));
            open.promotion = None;
            open.settled = true;
            return;
        }
        if now.elapsed_shortest(promotion.hup) >= HUP_EVERY {
            promotion.hup = now;
            self.holder.signal(libc::SIGHUP);
        }
        if waiting && now.elapsed_shortest(promotion.signalled) >= SIGNAL_EVERY {
            promotion.signalled = now;
            self.holder.signal(libc::SIGUSR1);
        }
    }
}

pub(super) fn words(mode: Mode) -> String {
    match mode {
        Mode::Standby => "standby".into(),
        Mode::Plain => "as it is found, not adopted".into(),
        Mode::Primary(epoch) => format!("primary at epoch {epoch}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment { boottime: 1_000_000, raw: 1_000_000 }.after(Millis(millis))
    }

    #[test]
    fn a_server_killed_each_ten_seconds_is_restarted_at_once_each_time() {
        let mut restarts = Restarts::default();
        for round in 1..=8 {
            let now = at(round * 10_000);
            restarts.ended(Millis(9_800), now);
            assert!(restarts.is_due(now), "round {round}");
        }
    }

    #[test]
    fn one_that_cannot_start_is_tried_ever_more_seldom() {
        let mut restarts = Restarts::default();
        let mut now = at(0);
        for pause in PAUSES {
            restarts.ended(Millis(10), now);
            assert_eq!(
                restarts.is_due(now.after(Millis(pause.0.saturating_sub(1)))),
                pause == Millis(0),
                "{pause}"
            );
            now = now.after(pause);
            assert!(restarts.is_due(now), "{pause}");
        }
    }
}
