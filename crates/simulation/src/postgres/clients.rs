//! Clients that write, the backends that serve them, and who is told what.
//!
//! Three kinds: outside, following whoever takes writes; inside a site, writing there alone as
//! long as it may; and one that sends bursts of long statements, whose backend outlives its
//! postmaster by seconds. A client gives a write up after its patience and counts it as nothing;
//! cancelling a wait for standbys commits with a warning, which is no acknowledgement either.

use super::server::{Backend, NEVER, Phase, Work};
use super::settings::Settings;
use super::{Around, Database, Ill, OUTSIDE, SIZE_COMMIT, index};
use crate::history::{MILLI, SECOND, Site, Time, What};
use model::{Lsn, Timeline};

/// A client that finds nobody looks again after this.
const SEEK_EVERY: Time = 2 * SECOND;
/// A reply that gets lost is sent again this often.
const RESEND_EVERY: Time = 200 * MILLI;
/// Statements of a burst.
const BURST: u8 = 4;

/// A reply that has not got through yet.
#[derive(Clone, Copy, Debug)]
struct Reply {
    site: Site,
    row: u64,
    timeline: Timeline,
    lsn: Lsn,
    sent: Time,
    synchronous: bool,
    last: bool,
}

/// One client.
#[derive(Clone, Debug)]
pub(super) struct Client {
    number: u8,
    home: Site,
    every: Time,
    burst: u8,
    patience: Time,
    session: Option<(Site, u32)>,
    sessions: u32,
    rows: u64,
    /// Given up at this time, if something is sent and not answered.
    given_up: Option<Time>,
    late: Option<Reply>,
    lost: bool,
    pub due: Time,
}

impl Client {
    /// All clients of a stack.
    pub fn all(settings: &Settings, sites: Site) -> Vec<Self> {
        let mut all = Vec::new();
        let mut add = |home, every, burst, patience| {
            let number = u8::try_from(all.len()).unwrap_or(u8::MAX);
            all.push(Self {
                number,
                home,
                every,
                burst,
                patience,
                session: None,
                sessions: 0,
                rows: 0,
                given_up: None,
                late: None,
                lost: false,
                due: u64::from(number) * 37 * MILLI,
            });
        };
        (0..settings.outside).for_each(|_| add(OUTSIDE, settings.outside_every, 1, SECOND));
        (0..sites).for_each(|site| add(site, settings.inside_every, 1, SECOND));
        if settings.pipelining {
            add(OUTSIDE, settings.pipelining_every, BURST, 10 * SECOND);
        }
        all
    }

    fn name(&self, row: u64) -> u64 {
        (u64::from(self.number) + 1) << 40 | row
    }
}

impl Database {
    /// One client does what is due.
    pub(super) fn client_turn(&mut self, at: usize, around: &mut Around<'_>) {
        let now = around.now;
        self.clients[at].due = NEVER;
        if let Some(reply) = self.clients[at].late
            && around.reaches(reply.site, self.clients[at].home)
        {
            self.clients[at].late = None;
            self.acknowledged(at, reply, around);
        }
        let client = &self.clients[at];
        let home = client.home;
        if client.lost && client.session.is_none_or(|(site, _)| around.reaches(site, home)) {
            self.leave(at);
        }
        let client = &mut self.clients[at];
        match client.given_up {
            Some(end) if end <= now => {
                self.leave(at);
                self.seek(at, around);
            }
            // Woken for a reply: on it goes with what it waits for.
            Some(end) if client.late.is_some() => client.due = end.min(now + RESEND_EVERY),
            Some(end) => client.due = client.due.min(end),
            None if client.session.is_none() => self.seek(at, around),
            None => self.send(at, around),
        }
    }

    /// The session is over. What waits for standbys is committed with a warning; what runs goes on.
    fn leave(&mut self, at: usize) {
        let client = &mut self.clients[at];
        client.given_up = None;
        client.late = None;
        client.lost = false;
        if let Some((site, session)) = client.session.take() {
            let number = client.number;
            self.servers[usize::from(site)]
                .backends
                .retain(|b| b.client != number || b.session != session || b.work == Work::Runs);
        }
    }

    /// Looks for a server that takes writes; a client inside looks at its own site's alone.
    fn seek(&mut self, at: usize, around: &Around<'_>) {
        let now = around.now;
        let home = self.clients[at].home;
        let takes = |site: usize| {
            let server = &self.servers[site];
            server.takes_writes() && !server.has(Ill::Hangs)
        };
        let reached = |site: usize| {
            around.reaches(home, index(site)) && around.reaches(index(site), home) && takes(site)
        };
        let found = if home == OUTSIDE {
            let count = (0..self.servers.len()).filter(|site| reached(*site)).count();
            // More than one is what must never be; then anybody may find any.
            let skip = if count > 1 { self.dice.below(count as u64) } else { 0 };
            (0..self.servers.len()).filter(|site| reached(*site)).nth(usize::try_from(skip).unwrap_or(0))
        } else {
            Some(usize::from(home)).filter(|site| takes(*site))
        };
        let Some(site) = found else {
            let pause = if home == OUTSIDE { SEEK_EVERY } else { SEEK_EVERY * 2 };
            self.clients[at].due = now + pause;
            return;
        };
        let client = &mut self.clients[at];
        client.sessions += 1;
        client.session = Some((index(site), client.sessions));
        client.due = now;
        let (number, session) = (client.number, client.sessions);
        let backends = &mut self.servers[site].backends;
        backends.retain(|b| b.client != number || b.work == Work::Runs);
        backends.push(Backend {
            client: number,
            session,
            work: Work::Idle,
            due: NEVER,
            row: 0,
            left: 0,
            takes: 0,
            sent: now,
        });
    }

    fn send(&mut self, at: usize, around: &Around<'_>) {
        let now = around.now;
        let client = &mut self.clients[at];
        let Some((site, session)) = client.session else { return };
        let (number, burst) = (client.number, client.burst);
        let first = client.rows + 1;
        client.rows += u64::from(burst);
        client.given_up = Some(now + client.patience);
        client.due = now + client.patience;
        let (row, arrives) = (client.name(first), around.reaches(client.home, site));
        let away = self.latency() * 2;
        let takes = if burst > 1 { self.millis(50, 1_200) } else { self.millis(1, 4) };
        let server = &mut self.servers[usize::from(site)];
        let backend = server.backends.iter_mut().find(|b| b.client == number && b.session == session);
        match backend {
            Some(backend) if arrives => {
                let due = now + away + takes;
                *backend = Backend { work: Work::Runs, due, row, left: burst, takes, sent: now, ..*backend };
                server.timers.commit = server.timers.commit.min(due);
            }
            // Nobody is there: it is told so, if the answer gets through.
            None if arrives => {
                self.clients[at].lost = true;
                self.clients[at].due = now + away;
            }
            _ => {}
        }
    }

    /// Backends whose statements are over commit them.
    pub(super) fn commit(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let server = &mut self.servers[site];
        if now >= server.timers.mute || server.phase != Phase::Primary {
            server.backends.retain(|b| b.work != Work::Runs);
        }
        if server.has(Ill::Hangs) {
            server.timers.commit = now + 500 * MILLI;
            return;
        }
        if server.has(Ill::DiskFull) {
            return self.panic(site, now);
        }
        let mut at = 0;
        while at < self.servers[site].backends.len() {
            let backend = self.servers[site].backends[at];
            if backend.work == Work::Runs && backend.due <= now {
                self.commit_one(site, at, around);
            }
            at += 1;
        }
        self.ship(site, around);
        self.reschedule_commits(site, now);
    }

    fn commit_one(&mut self, site: usize, at: usize, around: &mut Around<'_>) {
        let server = &mut self.servers[site];
        let row = server.backends[at].row;
        let timeline = self.wal.timeline(server.disk.tip);
        let tip = self.wal.append(server.disk.tip, SIZE_COMMIT, timeline, row);
        server.disk.tip = tip;
        if server.sync_in_force.is_empty() {
            self.reply(site, at, tip, false, around);
        } else if server.postmaster {
            server.backends[at].work = Work::Waits(tip);
            server.backends[at].due = NEVER;
        } else {
            // SyncRep notices that the postmaster is gone, and ends the session.
            server.backends[at].work = Work::Idle;
            server.backends[at].due = NEVER;
        }
    }

    /// Who waits for standbys and has enough of them is answered.
    pub(super) fn release(&mut self, site: usize, around: &mut Around<'_>) {
        let now = around.now;
        let set = self.servers[site].sync_in_force;
        let mut at = 0;
        while at < self.servers[site].backends.len() {
            if let Work::Waits(tip) = self.servers[site].backends[at].work {
                let end = self.wal.end(tip);
                let senders = &self.servers[site].senders;
                let have = senders
                    .iter()
                    .filter(|s| s.streaming && set.holds(s.site) && s.flushed(now) >= end)
                    .count();
                let enough = set.is_empty() || have >= usize::from(set.k);
                if enough && self.servers[site].timers.mute > now {
                    self.reply(site, at, tip, !set.is_empty(), around);
                }
            }
            at += 1;
        }
        let server = &mut self.servers[site];
        let waits = server.backends.iter().any(|b| matches!(b.work, Work::Waits(_)));
        let next = server.senders.iter().map(|s| s.coming.1).filter(|t| *t > now).min();
        server.timers.acks = if waits { next.unwrap_or(NEVER) } else { NEVER };
        self.reschedule_commits(site, now);
    }

    /// One statement is answered; the next of its burst begins.
    fn reply(&mut self, site: usize, at: usize, tip: super::Tip, synchronous: bool, around: &mut Around<'_>) {
        let now = around.now;
        let (timeline, lsn) = (self.wal.timeline(tip), self.wal.end(tip));
        let backend = &mut self.servers[site].backends[at];
        let last = backend.left <= 1;
        let reply = Reply {
            site: index(site),
            row: backend.row,
            timeline,
            lsn,
            sent: backend.sent,
            synchronous,
            last,
        };
        let (client, session) = (usize::from(backend.client), backend.session);
        backend.left = backend.left.saturating_sub(1);
        backend.row += 1;
        (backend.work, backend.due) =
            if last { (Work::Idle, NEVER) } else { (Work::Runs, now + backend.takes) };
        if self.clients[client].session != Some((index(site), session)) {
            return;
        }
        if around.reaches(index(site), self.clients[client].home) {
            self.acknowledged(client, reply, around);
        } else {
            self.clients[client].late = Some(reply);
            self.clients[client].due = now + RESEND_EVERY;
        }
    }

    /// The client reads that its row is committed.
    fn acknowledged(&mut self, at: usize, reply: Reply, around: &mut Around<'_>) {
        let (stack, now) = (self.settings.stack, around.now);
        let Reply { site, row, timeline, lsn, sent, synchronous, last } = reply;
        around.history.add(now, What::Acked { stack, site, row, timeline, lsn, sent, synchronous });
        let every = self.clients[at].every;
        let pause = every / 2 + self.dice.below(every);
        let client = &mut self.clients[at];
        if last {
            client.given_up = None;
            client.due = now + pause;
        } else if let Some(end) = client.given_up {
            client.due = end;
        }
    }

    fn reschedule_commits(&mut self, site: usize, now: Time) {
        let alone = self.millis(5, 30);
        let server = &mut self.servers[site];
        if !server.postmaster {
            server.backends.retain(|b| b.work == Work::Runs);
            if server.backends.is_empty() && server.timers.gone == NEVER {
                server.timers.gone = now + alone;
            }
        }
        let running = server.backends.iter().filter(|b| b.work == Work::Runs);
        server.timers.commit = running.map(|b| b.due).min().unwrap_or(NEVER);
    }

    /// pg_wal is full: the server ends.
    fn panic(&mut self, site: usize, now: Time) {
        self.drop_sessions(site, now);
        let gone = self.millis(5, 50);
        let server = &mut self.servers[site];
        server.postmaster = false;
        server.timers.mute = now;
        server.timers.gone = server.timers.gone.min(now + gone);
    }

    /// Every session of a server is closed without an answer.
    pub(super) fn drop_sessions(&mut self, site: usize, now: Time) {
        let latency = self.settings.latency;
        self.servers[site].backends.clear();
        self.servers[site].timers.commit = NEVER;
        for client in &mut self.clients {
            if client.session.is_some_and(|(at, _)| usize::from(at) == site) {
                client.lost = true;
                client.due = client.due.min(now + latency);
            }
        }
    }

    /// Clients without a session hear that a server takes writes.
    pub(super) fn call_clients(&mut self, site: usize, now: Time) {
        for at in 0..self.clients.len() {
            let pause = self.millis(1, 60);
            let client = &mut self.clients[at];
            if client.session.is_none() && (client.home == OUTSIDE || usize::from(client.home) == site) {
                client.due = client.due.min(now + pause);
            }
        }
    }

    /// The backend at this place gets a statement that takes `long`.
    pub(super) fn run_long(&mut self, site: usize, at: usize, now: Time, long: Time) {
        let number = usize::from(self.servers[site].backends[at].client);
        let client = &mut self.clients[number];
        client.rows += 1;
        let row = client.name(client.rows);
        client.given_up = Some(now + 10 * SECOND);
        client.due = now + 10 * SECOND;
        let server = &mut self.servers[site];
        let backend = &mut server.backends[at];
        (backend.work, backend.due, backend.row) = (Work::Runs, now + long, row);
        (backend.left, backend.takes, backend.sent) = (1, long, now);
        server.timers.commit = server.timers.commit.min(now + long);
    }
}
