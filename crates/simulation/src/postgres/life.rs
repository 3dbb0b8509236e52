//! What takes time: start, stop, promotion, reload, the end of the last process.

use super::server::{ControlState, NEVER, Phase, Sender, Stop, Timers};
use super::wal::Tip;
use super::{Around, Database, Ill, SIZE_CHECKPOINT, SIZE_TIMELINE, index};
use crate::history::{MILLI, SECOND, Time, What};
use model::{Lsn, Timeline};

/// A walsender with more than this to send has full buffers.
const CLOGGED_BYTES: u64 = 3_000;
/// How often a shutdown looks whether its walsenders are done.
const SHIPPING_EVERY: Time = 30 * MILLI;

impl Database {
    /// Everything that is due at one server.
    pub(super) fn live(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let due = self.servers[site].timers;
        if due.gone <= now {
            return self.ended(site, around);
        }
        if due.clone <= now {
            self.end_clone(site, now);
        }
        if due.control <= now {
            self.write_control(site);
        }
        if due.ready <= now {
            self.ready(site, around);
        }
        if due.replay <= now {
            self.replay(site, now);
        }
        if due.reload <= now {
            self.servers[site].timers.reload = NEVER;
            self.apply_reload(site, now);
        }
        if due.sync <= now {
            let server = &mut self.servers[site];
            server.timers.sync = NEVER;
            server.sync_in_force = server.sync_shown;
            self.release(site, around);
        }
        if due.commit <= now {
            self.commit(site, around);
        }
        if due.acks <= now {
            self.release(site, around);
        }
        // What came before may have ended the receiver, or set it on its way.
        if self.servers[site].timers.receiver <= now {
            self.receive_turn(site, around);
        }
        if due.promote <= now {
            self.promote(site, around);
        }
        if self.servers[site].timers.stop <= now {
            self.stop_turn(site, around);
        }
    }

    /// No process is left.
    fn ended(&mut self, site: usize, around: &mut Around<'_>) {
        let (stack, now) = (self.settings.stack, around.now);
        self.drop_sessions(site, now);
        self.wake_receivers(site, now);
        let server = &mut self.servers[site];
        let clean = server.disk.control.state == ControlState::ShutDown;
        let clone = server.timers.clone;
        server.phase = Phase::Down;
        server.postmaster = false;
        server.stop = Stop::No;
        server.receiver = None;
        server.frozen_until = 0;
        server.senders.clear();
        server.timers = Timers { clone, ..Timers::NONE };
        if std::mem::take(&mut server.began) {
            around.history.add(now, What::PrimaryEnded { stack, site: index(site), clean });
        }
        self.mark(site);
    }

    /// The startup process says what it is doing.
    fn write_control(&mut self, site: usize) {
        let server = &mut self.servers[site];
        server.timers.control = NEVER;
        server.disk.control.state =
            if server.disk.standby { ControlState::InArchiveRecovery } else { ControlState::InCrashRecovery };
        self.mark(site);
    }

    /// Recovery at the start is over, or the server is.
    fn ready(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let server = &mut self.servers[site];
        server.timers.ready = NEVER;
        let strange_target = server.disk.standby && server.disk.laid > server.disk.history;
        if server.has(Ill::DiskFull) || strange_target {
            server.postmaster = false;
            server.timers.gone = now;
            return self.ended(site, around);
        }
        if server.disk.standby {
            server.phase = Phase::Standby;
            return self.mark(site);
        }
        server.phase = Phase::Primary;
        if server.disk.control.state != ControlState::InProduction {
            self.checkpoint(site, ControlState::InProduction);
        }
        self.begin_primary(site, around);
    }

    /// From here on it takes writes.
    fn begin_primary(&mut self, site: usize, around: &mut Around<'_>) {
        let (stack, now) = (self.settings.stack, around.now);
        let tip = self.servers[site].disk.tip;
        let (timeline, start) = (self.wal.timeline(tip), self.wal.timeline_start(tip));
        let server = &mut self.servers[site];
        server.began = true;
        server.replayed = tip;
        server.caught_up = true;
        server.received = false;
        around.history.add(now, What::PrimaryBegan { stack, site: index(site), timeline, start });
        self.call_clients(site, now);
        self.ship(site, around);
        self.mark(site);
    }

    fn checkpoint(&mut self, site: usize, state: ControlState) {
        let disk = &mut self.servers[site].disk;
        let timeline = self.wal.timeline(disk.tip);
        let tip = self.wal.append(disk.tip, SIZE_CHECKPOINT, timeline, 0);
        disk.tip = tip;
        disk.control = super::Control {
            state,
            checkpoint: self.wal.start_of_last(tip),
            timeline: self.wal.timeline(tip),
        };
        self.mark(site);
    }

    /// All WAL that was found is replayed, or replay is released.
    fn replay(&mut self, site: usize, now: Time) {
        let server = &mut self.servers[site];
        if server.is_held(now) {
            server.timers.replay = server.held_until;
            return;
        }
        server.timers.replay = NEVER;
        server.held_until = 0;
        server.replayed = server.disk.tip;
        let first = !std::mem::replace(&mut server.caught_up, true);
        let reload = std::mem::take(&mut server.reload_waits);
        if reload {
            self.apply_reload(site, now);
        }
        let server = &mut self.servers[site];
        if first || server.receiver.is_none() {
            server.timers.receiver = now;
        }
        self.mark(site);
    }

    /// The startup process comes to a reload: not while its replay is held.
    fn apply_reload(&mut self, site: usize, now: Time) {
        let pause = self.millis(25, 45);
        let server = &mut self.servers[site];
        if server.is_held(now) {
            server.reload_waits = true;
            return;
        }
        if server.in_force == server.shown {
            return;
        }
        server.in_force = server.shown;
        server.receiver = None;
        server.timers.receiver = if server.in_force.is_some() { now + pause } else { NEVER };
        self.mark(site);
    }

    /// Promotes: everything that was received is replayed before.
    fn promote(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let of = self.settings.promote_fails_permille;
        let fails = self.dice.permille(of);
        let server = &mut self.servers[site];
        if server.phase != Phase::Standby || server.stop != Stop::No || !server.postmaster {
            server.timers.promote = NEVER;
            return;
        }
        if server.has(Ill::PromoteStalls) {
            server.timers.promote = now + SECOND;
            return;
        }
        if server.is_held(now) {
            // A paused replay ends with the promotion; a query holds it until its own end.
            server.timers.promote = if server.held_by_query { server.held_until } else { now + 500 * MILLI };
            server.held_until = if server.held_by_query { server.held_until } else { now };
            return;
        }
        server.timers.promote = NEVER;
        if fails || server.has(Ill::PromoteFails) || server.has(Ill::DiskFull) {
            server.postmaster = false;
            server.timers.gone = now;
            return self.ended(site, around);
        }
        self.switch_timeline(site);
        self.begin_primary(site, around);
    }

    /// The next number of which no history file is here; nobody else is asked.
    fn switch_timeline(&mut self, site: usize) {
        let server = &mut self.servers[site];
        let tip: Tip = server.disk.tip;
        let left = self.wal.end(tip);
        let timeline: Timeline = server.disk.history.max(server.disk.laid).max(self.wal.timeline(tip)).next();
        let tip = self.wal.append(tip, SIZE_TIMELINE, timeline, 0);
        server.disk.tip = tip;
        server.disk.history = timeline;
        server.disk.standby = false;
        server.disk.promote_file = false;
        server.disk.control.state = ControlState::InProduction;
        server.phase = Phase::Primary;
        server.receiver = None;
        server.left_recovery = Some(left);
        server.sync_in_force = server.disk.sync;
        let timers = &mut server.timers;
        (timers.receiver, timers.replay, timers.reload, timers.control) = (NEVER, NEVER, NEVER, NEVER);
        server.reload_waits = false;
    }

    /// One look at a shutdown.
    fn stop_turn(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let soon = self.millis(1, 5);
        let timeout = self.settings.replication_timeout;
        let end = self.end_of(site);
        let server = &mut self.servers[site];
        server.timers.stop = NEVER;
        if server.phase != Phase::Primary {
            if server.phase == Phase::Standby {
                server.disk.control.state = ControlState::ShutDownInRecovery;
            }
            server.receiver = None;
            server.timers.gone = now + soon;
            return;
        }
        server.senders.retain(|s| now.saturating_sub(s.heard) < timeout);
        let senders = &server.senders;
        match server.stop {
            Stop::No => {}
            Stop::Fast | Stop::Clogged => {
                let clogged = senders.iter().any(|s| lacks(s, now, end) > CLOGGED_BYTES);
                self.drop_sessions(site, now);
                let server = &mut self.servers[site];
                server.timers.stop = now + SHIPPING_EVERY;
                server.stop = if clogged { Stop::Clogged } else { Stop::Shipping };
                if !clogged {
                    self.checkpoint(site, ControlState::ShutDown);
                    self.ship(site, around);
                }
            }
            Stop::Shipping if senders.iter().any(|s| lacks(s, now, end) > 0) => {
                server.timers.stop = now + SHIPPING_EVERY;
            }
            Stop::Shipping => server.timers.gone = now + soon,
        }
    }
}

/// How much a walsender still has to hear of; one that has nothing to send lacks nothing.
fn lacks(sender: &Sender, now: Time, end: Lsn) -> u64 {
    if sender.streaming { end.bytes_since(sender.flushed(now)) } else { 0 }
}
