//! Walreceivers and walsenders. A standby judges its primary by numbers alone: system
//! identifier, timeline number, position.

use super::server::{Link, NEVER, Phase, Receiver, Sender, Stop};
use super::{Around, Database, Ill, index};
use crate::history::{MILLI, SECOND, Time};
use model::Lsn;

/// A walreceiver that ended, or found nobody, is made anew after this (wal_retrieve_retry_interval).
const RETRY_EVERY: Time = 5 * SECOND;
/// Something is said this often on a silent connection.
const KEEPALIVE_EVERY: Time = 2_500 * MILLI;
/// How long a lost packet waits before it is sent again, at first and at most.
const RESEND_MIN: Time = 200 * MILLI;
const RESEND_MAX: Time = 2 * SECOND;
/// Over a thin line a record comes this often.
const THIN_EVERY: Time = 2 * SECOND;
/// A connection that is being made hangs so long before anybody looks again.
const CONNECT_EVERY: Time = SECOND;

/// What a primary answers to a standby that wants to begin where its own log ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answer {
    Streams,
    /// Connected, and nothing will come.
    Ahead,
    Refused,
}

impl Database {
    /// The startup process and the walreceiver of one standby.
    pub(super) fn receive_turn(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let server = &mut self.servers[site];
        server.timers.receiver = NEVER;
        let wants = server.phase == Phase::Standby && server.postmaster && server.stop == Stop::No;
        if !wants || !server.caught_up {
            return;
        }
        if server.receiver.is_none() && !self.request(site, now) {
            return;
        }
        let Some(receiver) = self.servers[site].receiver else { return };
        match receiver.state {
            Link::Connecting => self.connect(site, receiver, around),
            Link::Streaming | Link::Waiting => self.stream(site, receiver, around),
        }
    }

    /// The startup process asks for WAL, by the settings that it knows.
    fn request(&mut self, site: usize, now: Time) -> bool {
        let server = &mut self.servers[site];
        if server.is_held(now) {
            return false;
        }
        server.in_force = server.shown;
        let Some(from) = server.in_force.filter(|from| usize::from(*from) != site) else { return false };
        self.links += 1;
        server.receiver = Some(Receiver {
            from,
            link: self.links,
            state: Link::Connecting,
            coming: None,
            heard: now,
            told: Lsn(0),
            retry: 0,
        });
        self.mark(site);
        true
    }

    fn connect(&mut self, site: usize, receiver: Receiver, around: &mut Around<'_>) {
        let (now, from) = (around.now, usize::from(receiver.from));
        let whole = around.reaches(index(site), receiver.from) && around.reaches(receiver.from, index(site));
        let source = &self.servers[from];
        if !whole || source.is_frozen() {
            self.servers[site].timers.receiver = now + CONNECT_EVERY;
            return;
        }
        let answer =
            if source.ships() && source.stop == Stop::No { self.answer(site, from) } else { Answer::Refused };
        if answer == Answer::Refused {
            return self.end_receiver(site, now + RETRY_EVERY);
        }
        let (end, streaming) = (self.end_of(site), answer == Answer::Streams);
        let latency = self.latency();
        let source = &mut self.servers[from];
        source.senders.retain(|s| usize::from(s.site) != site);
        source.senders.push(Sender {
            site: index(site),
            link: receiver.link,
            acked: if streaming { end } else { Lsn(0) },
            coming: (Lsn(0), 0),
            heard: now,
            streaming,
        });
        let (history, told) = (source.disk.history, self.end_of(from));
        let server = &mut self.servers[site];
        server.disk.history = server.disk.history.max(history);
        server.received |= streaming;
        let state = if streaming { Link::Streaming } else { Link::Waiting };
        server.receiver = Some(Receiver { state, heard: now, told, ..receiver });
        server.timers.receiver = now + latency;
        self.mark(site);
        self.mark(from);
    }

    /// By numbers alone.
    fn answer(&self, site: usize, from: usize) -> Answer {
        let (own, other) = (&self.servers[site].disk, &self.servers[from].disk);
        let (own_timeline, other_timeline) = (self.wal.timeline(own.tip), self.wal.timeline(other.tip));
        if own.system != other.system || other_timeline < own_timeline {
            return Answer::Refused;
        }
        let switch = self.wal.last_on(other.tip, own_timeline);
        let end = self.wal.end(own.tip);
        if self.wal.timeline(switch) != own_timeline {
            return Answer::Refused;
        }
        let ahead = end > self.wal.end(switch);
        match (ahead, other_timeline == own_timeline) {
            (true, true) => Answer::Refused,
            (true, false) => Answer::Ahead,
            (false, _) if self.wal.has_boundary(other.tip, end) => Answer::Streams,
            (false, _) => Answer::Refused,
        }
    }

    fn stream(&mut self, site: usize, mut receiver: Receiver, around: &mut Around<'_>) {
        let now = around.now;
        if let Some(tip) = receiver.coming.take() {
            let tip = self.wal.receive(self.servers[site].disk.tip, tip);
            let server = &mut self.servers[site];
            server.disk.tip = tip;
            receiver.heard = now;
            if !server.is_held(now) {
                server.replayed = tip;
            }
            server.receiver = Some(receiver);
            self.acknowledge(site, &receiver, around);
        }
        let from = usize::from(receiver.from);
        let hears = around.reaches(receiver.from, index(site));
        let linked = self.servers[from].senders.iter().any(|s| s.link == receiver.link);
        if !linked && hears {
            // From the last attempt on, which may be long ago.
            let pause = self.dice.between(100 * MILLI, RETRY_EVERY);
            return self.end_receiver(site, now + pause);
        }
        if now.saturating_sub(receiver.heard) >= self.settings.replication_timeout {
            return self.end_receiver(site, now + 200 * MILLI);
        }
        let source = &self.servers[from];
        let speaks = hears && linked && !source.is_frozen() && now < source.timers.mute;
        let more = receiver.state == Link::Streaming && self.end_of(from) > self.end_of(site);
        let next = if !speaks {
            receiver.retry = (receiver.retry * 2).clamp(RESEND_MIN, RESEND_MAX);
            receiver.retry
        } else if more {
            let thin = self.servers[site].has(Ill::ThinLine);
            let (own, whole) = (self.servers[site].disk.tip, source.disk.tip);
            receiver.coming = Some(if thin { self.wal.next_of(own, whole) } else { whole });
            receiver.told = self.end_of(from);
            receiver.retry = 0;
            if thin { THIN_EVERY } else { self.latency() }
        } else {
            receiver.heard = now;
            receiver.retry = 0;
            self.servers[site].receiver = Some(receiver);
            self.acknowledge(site, &receiver, around);
            KEEPALIVE_EVERY
        };
        let server = &mut self.servers[site];
        server.receiver = Some(receiver);
        server.timers.receiver = now + next;
    }

    /// The primary hears how far the standby has flushed.
    fn acknowledge(&mut self, site: usize, receiver: &Receiver, around: &Around<'_>) {
        if !around.reaches(index(site), receiver.from) {
            return;
        }
        let (now, end) = (around.now, self.end_of(site));
        let latency = self.settings.latency;
        let source = &mut self.servers[usize::from(receiver.from)];
        let stopping = source.stop == Stop::Shipping;
        let waited_for = source.backends.iter().any(|b| matches!(b.work, super::server::Work::Waits(_)));
        let Some(sender) = source.senders.iter_mut().find(|s| s.link == receiver.link) else { return };
        sender.acked = sender.flushed(now);
        sender.heard = now;
        if sender.streaming && end > sender.acked {
            sender.coming = (end, now + latency);
        }
        if stopping {
            source.timers.stop = source.timers.stop.min(now + latency);
        }
        if waited_for {
            source.timers.acks = source.timers.acks.min(now + latency);
        }
    }

    fn end_receiver(&mut self, site: usize, again: Time) {
        let server = &mut self.servers[site];
        server.receiver = None;
        server.timers.receiver = again;
        self.mark(site);
    }

    /// New WAL goes out to every standby that has nothing under way.
    pub(super) fn ship(&mut self, site: usize, around: &Around<'_>) {
        let (now, tip, end) = (around.now, self.servers[site].disk.tip, self.end_of(site));
        if now >= self.servers[site].timers.mute {
            return;
        }
        for at in 0..self.servers[site].senders.len() {
            let sender = self.servers[site].senders[at];
            let latency = self.latency();
            let reached = around.reaches(index(site), sender.site);
            let server = &mut self.servers[usize::from(sender.site)];
            let linked = |r: &&mut Receiver| r.link == sender.link && r.state == Link::Streaming;
            let thin = server.has(Ill::ThinLine);
            let Some(receiver) = server.receiver.as_mut().filter(linked) else { continue };
            if receiver.coming.is_some() || receiver.retry > 0 {
                // Where the log ends is said with every bit of it.
                receiver.told = if thin && reached { receiver.told.max(end) } else { receiver.told };
                continue;
            }
            if thin {
                server.timers.receiver = server.timers.receiver.min(now + latency);
                continue;
            }
            if reached {
                receiver.coming = Some(tip);
                receiver.told = end;
                server.timers.receiver = now + latency;
            } else {
                receiver.retry = RESEND_MIN;
                server.timers.receiver = now + RESEND_MIN;
            }
        }
    }
}
