//! What can befall a server, and an operator's base backup.

use super::server::{NEVER, Phase, Stop, Tell, Timers, Work};
use super::{Database, Server};
use crate::history::{Site, Time};

/// A lasting illness of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ill {
    /// A fast shutdown takes seconds.
    SlowStop,
    /// A promotion ends the server.
    PromoteFails,
    /// A promotion does not come to its end.
    PromoteStalls,
    /// Sessions get no answer.
    Hangs,
    /// pg_wal is full: the next write ends the server, and it does not start.
    DiskFull,
    /// A process hangs in the kernel: SIGKILL ends it only 5 to 60 s later. Longer than F may be:
    /// S1 does not hold against it when its site is lost meanwhile.
    OutlivesKill,
    /// What is sent SIGKILL or SIGQUIT is gone only after a good part of F.
    Lingers,
    /// What it receives as a standby trickles in, a record at a time.
    ThinLine,
}

impl Ill {
    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl Server {
    /// True if it has the illness.
    pub(super) const fn has(&self, ill: Ill) -> bool {
        self.ill & ill.bit() != 0
    }

    /// Only processes that end by themselves are left.
    fn orphan(&mut self) {
        self.postmaster = false;
        self.stop = Stop::No;
        self.receiver = None;
        self.senders.clear();
        self.backends.retain(|b| b.work == Work::Runs);
        let Timers { commit, gone, mute, clone, .. } = self.timers;
        self.timers = Timers { commit, gone, mute, clone, ..Timers::NONE };
    }
}

impl Database {
    /// SIGKILL of the postmaster alone (or the kernel's choice, short of memory). Idle backends
    /// go within milliseconds; one that is busy goes on to its end and acknowledges. With
    /// `leave_backend` one is, for up to five seconds.
    pub fn crash(&mut self, site: Site, now: Time, leave_backend: bool) {
        let place = usize::from(site);
        if !self.postmaster_alive(site) {
            return;
        }
        let (long, gone) = (self.millis(500, 4_900), self.millis(5, 30));
        if leave_backend && self.servers[place].phase == Phase::Primary {
            let session = self.servers[place].backends.iter().position(|b| b.work != Work::Runs);
            if let Some(at) = session {
                self.run_long(place, at, now, long);
            }
        }
        let server = &mut self.servers[place];
        server.orphan();
        if server.backends.is_empty() {
            server.timers.gone = server.timers.gone.min(now + gone);
        }
        self.wake_receivers(place, now);
        self.mark(place);
    }

    /// The host is gone at once, and what was not flushed.
    pub fn host_lost(&mut self, site: Site, now: Time) {
        let server = &mut self.servers[usize::from(site)];
        if server.phase == Phase::Down {
            return;
        }
        server.postmaster = false;
        server.backends.clear();
        server.senders.clear();
        server.timers.mute = now;
        server.timers.gone = now;
    }

    /// No process runs before `until`: SIGSTOP of all, or a pause of the host.
    pub fn freeze(&mut self, site: Site, until: Time, now: Time) {
        let server = &mut self.servers[usize::from(site)];
        if server.phase == Phase::Down || until <= now {
            return;
        }
        if !server.is_frozen() {
            server.to_tell = Some(Tell::Frozen);
        }
        server.frozen_until = server.frozen_until.max(until);
    }

    /// The data directory is lost, with every process.
    pub fn data_lost(&mut self, site: Site, now: Time) {
        self.host_lost(site, now);
        let server = &mut self.servers[usize::from(site)];
        if std::mem::take(&mut server.disk.present) {
            server.to_tell = Some(Tell::DataLost);
        }
        self.mark(usize::from(site));
    }

    /// Replay is paused, or held by a query, until then.
    pub fn hold_replay(&mut self, site: Site, until: Time) {
        let by_query = self.dice.permille(500);
        let server = &mut self.servers[usize::from(site)];
        if server.phase != Phase::Standby {
            return;
        }
        server.held_until = server.held_until.max(until);
        server.held_by_query = by_query;
        server.timers.replay =
            if server.timers.replay == NEVER { until } else { server.timers.replay.max(until) };
    }

    /// Makes a server ill, or well.
    pub fn set_ill(&mut self, site: Site, ill: Ill, on: bool) {
        let server = &mut self.servers[usize::from(site)];
        server.ill = if on { server.ill | ill.bit() } else { server.ill & !ill.bit() };
    }

    /// Ends every illness.
    pub fn cure(&mut self, site: Site) {
        self.servers[usize::from(site)].ill = 0;
    }

    /// An operator begins a base backup of `source` in place of what is there. Seconds later the
    /// data directory is a standby of it. False if a process is left here, or none is there.
    pub fn clone_from(&mut self, site: Site, source: Site, now: Time) -> bool {
        let takes = self.millis(3_000, 15_000);
        if site == source || !self.is_empty(site) || !self.servers[usize::from(source)].answers() {
            return false;
        }
        let server = &mut self.servers[usize::from(site)];
        server.disk.present = false;
        server.clone_of = Some(source);
        server.timers.clone = now + takes;
        self.mark(usize::from(site));
        true
    }

    /// The copy is whole, if its source still answers; otherwise it is begun anew.
    pub(super) fn end_clone(&mut self, place: usize, now: Time) {
        let Some(source) = self.servers[place].clone_of else {
            self.servers[place].timers.clone = NEVER;
            return;
        };
        if !self.servers[usize::from(source)].answers() {
            self.servers[place].timers.clone = now + 5_000_000;
            return;
        }
        let mut disk = self.servers[usize::from(source)].disk.clone();
        disk.standby = true;
        disk.conninfo = Some(source);
        disk.promote_file = false;
        disk.laid = disk.laid.min(disk.history);
        disk.control.state = super::ControlState::InArchiveRecovery;
        let server = &mut self.servers[place];
        server.disk = disk;
        server.clone_of = None;
        server.timers.clone = NEVER;
        self.mark(place);
    }
}
