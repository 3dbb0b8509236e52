//! What a gate does to a server, and what it sees of it without a word of SQL. Nothing here takes
//! time; what it begins does.

use super::server::{NEVER, Phase, Receiver, Stop};
use super::wal::Tip;
use super::{Control, Database, Ill};
use crate::history::{Site, Time};
use coordination::permit::Data;
use model::Timeline;

/// A signal to the postmaster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Fast shutdown.
    Int,
    /// Immediate shutdown.
    Quit,
    /// Reload.
    Hup,
    /// Look for the promote file.
    Usr1,
}

impl Database {
    /// Starts the server: as a standby if `standby.signal` is there, otherwise as a primary.
    /// False if processes are left, or there is nothing to start.
    pub fn start(&mut self, site: Site, now: Time) -> bool {
        let place = usize::from(site);
        let possible = self.is_empty(site) && self.servers[place].disk.present;
        if !possible {
            return false;
        }
        let clean = self.servers[place].disk.control.is_clean();
        let control = self.millis(5, 40);
        let recovery = if clean { self.millis(60, 250) } else { self.recovery() };
        let replay = if clean { self.millis(5, 50) } else { self.millis(10, 1_500) };
        let replayed = self.restartpoint(self.servers[place].disk.tip);
        let server = &mut self.servers[place];
        server.phase = Phase::Recovering;
        server.postmaster = true;
        server.stop = Stop::No;
        server.shown = server.disk.conninfo;
        server.in_force = server.disk.conninfo;
        server.reload_waits = false;
        server.received = false;
        server.caught_up = false;
        server.replayed = replayed;
        server.held_until = 0;
        server.promotion_sleeps = false;
        server.left_recovery = None;
        server.sync_shown = server.disk.sync;
        server.sync_in_force = server.disk.sync;
        server.timers.control = now + control;
        server.timers.ready = now + control + recovery;
        if server.disk.standby {
            server.timers.replay = server.timers.ready + replay;
        }
        self.mark(place);
        true
    }

    fn recovery(&mut self) -> Time {
        let max = self.settings.recovery_max.max(300_000);
        self.dice.between(200_000, max)
    }

    /// A restart replays from a little before the end.
    fn restartpoint(&self, tip: Tip) -> Tip {
        self.wal.before(self.wal.before(tip))
    }

    /// Sends a signal to the postmaster, if there is one.
    pub fn signal(&mut self, site: Site, signal: Signal, now: Time) {
        let place = usize::from(site);
        if !self.servers[place].postmaster {
            return;
        }
        match signal {
            Signal::Int => self.begin_stop(place, now),
            Signal::Quit => {
                let (mute, gone) = (self.millis(1, 15), self.millis(15, 28));
                let gone = gone.max(self.lingers(place));
                let timers = &mut self.servers[place].timers;
                timers.mute = timers.mute.min(now + mute);
                timers.gone = timers.gone.min(now + gone);
            }
            Signal::Hup => self.reload(place, now),
            Signal::Usr1 => self.look_for_promote_file(place, now),
        }
    }

    /// SIGKILL to every process. They are gone within milliseconds; one that is frozen doesn't
    /// run again.
    pub fn kill_all(&mut self, site: Site, now: Time) {
        let place = usize::from(site);
        if self.servers[place].phase == Phase::Down {
            return;
        }
        let hangs = self.servers[place].has(Ill::OutlivesKill);
        let mute = self.dice.below(5_000);
        let gone = if hangs { self.millis(5_000, 60_000) } else { self.millis(5, 18) };
        let gone = gone.max(self.lingers(place));
        let server = &mut self.servers[place];
        if hangs && server.timers.mute != NEVER {
            return;
        }
        server.postmaster = false;
        if server.is_frozen() {
            server.backends.clear();
            server.frozen_until = NEVER;
        }
        server.timers.mute = server.timers.mute.min(now + mute);
        server.timers.gone = server.timers.gone.min(now + gone);
        self.mark(place);
    }

    /// How long processes stay after SIGKILL at least.
    fn lingers(&self, place: usize) -> Time {
        if self.servers[place].has(Ill::Lingers) { self.settings.linger } else { 0 }
    }

    /// True if no process is left.
    #[must_use]
    pub fn is_empty(&self, site: Site) -> bool {
        self.servers[usize::from(site)].phase == Phase::Down
    }

    /// False while only orphans are left, or nothing.
    #[must_use]
    pub fn postmaster_alive(&self, site: Site) -> bool {
        let server = &self.servers[usize::from(site)];
        server.phase != Phase::Down && server.postmaster
    }

    /// The control file; none without a data directory.
    #[must_use]
    pub fn control(&self, site: Site) -> Option<Control> {
        let disk = &self.servers[usize::from(site)].disk;
        disk.present.then_some(disk.control)
    }

    /// What the data directory would start as.
    #[must_use]
    pub fn data(&self, site: Site) -> Data {
        let disk = &self.servers[usize::from(site)].disk;
        match (disk.present, disk.standby) {
            (false, _) => Data::Absent,
            (true, true) => Data::Standby,
            (true, false) => Data::Primary,
        }
    }

    /// True once `postmaster.pid` says that it takes connections.
    #[must_use]
    pub fn is_ready(&self, site: Site) -> bool {
        let server = &self.servers[usize::from(site)];
        server.postmaster && matches!(server.phase, Phase::Standby | Phase::Primary)
    }

    /// Writes `primary_conninfo`; in force only after a reload. True if it was something else.
    pub fn set_conninfo(&mut self, site: Site, primary: Option<Site>) -> bool {
        let disk = &mut self.servers[usize::from(site)].disk;
        std::mem::replace(&mut disk.conninfo, primary) != primary
    }

    /// True if a walreceiver process is there, connected or not.
    #[must_use]
    pub fn has_walreceiver(&self, site: Site) -> bool {
        self.servers[usize::from(site)].receiver.is_some()
    }

    /// SIGTERM to the walreceiver. The startup process makes another one while its setting says
    /// so: at once, or seconds later.
    pub fn kill_walreceiver(&mut self, site: Site, now: Time) {
        let place = usize::from(site);
        let at_once = self.dice.permille(250);
        let pause = if at_once { self.millis(5, 200) } else { self.millis(4_000, 5_000) };
        let server = &mut self.servers[place];
        if server.is_frozen() || server.receiver.take().is_none() {
            return;
        }
        server.timers.receiver = now + pause;
        self.mark(place);
    }

    /// SIGTERM to the walsenders. Those whose buffers are full do not listen.
    pub fn kill_walsenders(&mut self, site: Site, now: Time) {
        let server = &mut self.servers[usize::from(site)];
        if server.stop == Stop::Clogged || server.is_frozen() || server.senders.is_empty() {
            return;
        }
        server.senders.clear();
        if server.stop == Stop::Shipping {
            server.timers.stop = now;
        }
        self.wake_receivers(usize::from(site), now);
    }

    /// Lays history files, so that a promotion takes a number above `highest`.
    pub fn skip_timelines(&mut self, site: Site, highest: Timeline) {
        let disk = &mut self.servers[usize::from(site)].disk;
        if highest > disk.history {
            disk.laid = disk.laid.max(highest);
        }
    }

    /// Removes laid history files that no promotion went beyond.
    pub fn clear_timelines(&mut self, site: Site) {
        let disk = &mut self.servers[usize::from(site)].disk;
        disk.laid = disk.laid.min(disk.history);
    }

    /// Makes the promote file. The postmaster looks for it when it is sent [`Signal::Usr1`].
    pub fn promote_file(&mut self, site: Site) {
        self.servers[usize::from(site)].disk.promote_file = true;
    }

    /// True while the promote file waits to be seen.
    #[must_use]
    pub fn promote_file_waits(&self, site: Site) -> bool {
        self.servers[usize::from(site)].disk.promote_file
    }

    fn begin_stop(&mut self, place: usize, now: Time) {
        let slow = self.servers[place].has(Ill::SlowStop) || {
            let of = self.settings.slow_stop_permille;
            self.dice.permille(of)
        };
        let takes = if slow { self.millis(500, 15_000) } else { self.millis(11, 30) };
        let server = &mut self.servers[place];
        if server.stop != Stop::No {
            return;
        }
        server.stop = Stop::Fast;
        server.timers.stop = now + takes;
    }

    fn reload(&mut self, place: usize, now: Time) {
        let startup = self.millis(6, 17);
        let nudge = self.millis(5, 40);
        let filled =
            self.servers[place].sync_in_force.is_empty() && !self.servers[place].disk.sync.is_empty();
        let checkpointer = if filled { self.millis(1, 1_500) } else { self.millis(1, 6) };
        let server = &mut self.servers[place];
        server.shown = server.disk.conninfo;
        if server.in_force != server.shown {
            server.timers.reload = server.timers.reload.min(now + startup);
        }
        if server.sync_shown != server.disk.sync {
            server.sync_shown = server.disk.sync;
            server.timers.sync = now + checkpointer;
        }
        if server.promotion_sleeps && server.timers.promote != NEVER {
            server.promotion_sleeps = false;
            server.timers.promote = server.timers.promote.min(now + nudge);
        }
    }

    /// A signal that comes before the server is in recovery proper has no effect; the file stays.
    fn look_for_promote_file(&mut self, place: usize, now: Time) {
        let of = self.settings.stall_permille;
        let sleeps = self.dice.permille(of);
        let takes = if sleeps { self.millis(4_500, 5_050) } else { self.millis(15, 45) };
        let server = &mut self.servers[place];
        let seen = server.disk.promote_file && server.phase == Phase::Standby && server.stop == Stop::No;
        if !seen {
            return;
        }
        server.disk.promote_file = false;
        if server.timers.promote == NEVER {
            server.promotion_sleeps = sleeps;
            server.timers.promote = now + takes;
        }
    }

    /// Who received from here looks whether the connection is still there.
    pub(super) fn wake_receivers(&mut self, place: usize, now: Time) {
        let latency = self.settings.latency;
        for server in &mut self.servers {
            let linked = |r: &Receiver| usize::from(r.from) == place;
            if server.receiver.as_ref().is_some_and(linked) {
                server.timers.receiver = server.timers.receiver.min(now + latency);
            }
        }
    }
}
