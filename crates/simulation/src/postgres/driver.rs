//! What an actor can ask a server. None: no answer within any deadline.

use super::server::{Link, Phase};
use super::{Database, Ill, SIZE_PROBE};
use crate::history::{Site, Time};
use model::{DatabaseReport, DatabaseRole, Lsn, Millis, Replica, Upstream, WalPosition};

/// How far a detachment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detached {
    /// It can still receive.
    Attached,
    /// It receives nothing more, and only the end of the replay will tell where its WAL ends.
    Replaying(Lsn),
    /// It receives nothing more, and its WAL ends here.
    Done(WalPosition),
}

impl Database {
    /// What the server says of itself; none if it hangs. One that is down is a report, too.
    #[must_use]
    pub fn observe(&self, site: Site, now: Time) -> Option<DatabaseReport> {
        let place = usize::from(site);
        let server = &self.servers[place];
        if server.phase != Phase::Down && (server.is_frozen() || server.has(Ill::Hangs)) {
            return None;
        }
        if !server.answers() {
            let problem = if server.phase == Phase::Down { "connection refused" } else { "no sessions now" };
            return Some(DatabaseReport {
                role: DatabaseRole::Down,
                problem: Some(problem.to_owned()),
                ..DatabaseReport::unknown()
            });
        }
        let end = self.end_of(place);
        let mut report = DatabaseReport {
            system_id: Some(server.disk.system),
            timeline: Some(self.wal.timeline(server.disk.tip)),
            ..DatabaseReport::unknown()
        };
        if server.phase == Phase::Primary {
            report.role = DatabaseRole::Primary;
            (report.received, report.replayed) = (Some(end), Some(end));
            report.replicas = self.replicas(place, now);
        } else {
            let replayed = self.wal.end(server.replayed);
            report.role = DatabaseRole::Standby;
            report.received = Some(if server.received { end } else { replayed });
            report.replayed = Some(replayed);
            report.upstream = self.upstream(place, now);
        }
        Some(report)
    }

    fn upstream(&self, place: usize, now: Time) -> Option<Upstream> {
        let server = &self.servers[place];
        let receiver = server.receiver.as_ref().filter(|r| r.state != Link::Connecting)?;
        Some(Upstream {
            site: self.names.get(usize::from(receiver.from)).cloned(),
            streaming: receiver.state == Link::Streaming,
            timeline: self.wal.timeline(server.disk.tip),
            message_age: Millis(now.saturating_sub(receiver.heard) / 1_000),
            lag_bytes: receiver.told.bytes_since(self.wal.end(server.replayed)),
        })
    }

    fn replicas(&self, place: usize, now: Time) -> Vec<Replica> {
        let timeout = self.settings.replication_timeout;
        let mut senders: Vec<_> =
            self.servers[place].senders.iter().filter(|s| now.saturating_sub(s.heard) < timeout).collect();
        senders.sort_unstable_by_key(|s| s.site);
        let replica = |s: &&super::server::Sender| Replica {
            name: self.names[usize::from(s.site)].as_str().to_owned(),
            streaming: s.streaming,
            flushed: s.streaming.then(|| s.flushed(now)),
            replayed: s.streaming.then(|| s.flushed(now)),
        };
        senders.iter().map(replica).collect()
    }

    /// Whether the server is in recovery.
    #[must_use]
    pub fn in_recovery(&self, site: Site) -> Option<bool> {
        self.asked(site).map(|server| server.phase == Phase::Standby)
    }

    /// The timeline that a primary writes, and where it left recovery (of one that was never in
    /// recovery since its start: where it writes now).
    #[must_use]
    pub fn promotion(&self, site: Site) -> Option<WalPosition> {
        let server = self.asked(site).filter(|s| s.phase == Phase::Primary)?;
        let lsn = server.left_recovery.unwrap_or_else(|| self.wal.end(server.disk.tip));
        Some(WalPosition { timeline: self.wal.timeline(server.disk.tip), lsn })
    }

    /// Whether a standby has let go of its primary, and where its WAL ends.
    #[must_use]
    pub fn detachment(&self, site: Site, now: Time) -> Option<Detached> {
        let server = self.asked(site).filter(|s| s.phase == Phase::Standby)?;
        if server.shown.is_some() || server.receiver.is_some() {
            return Some(Detached::Attached);
        }
        let replayed = self.wal.end(server.replayed);
        let timeline = self.wal.timeline(server.disk.tip);
        if server.received {
            return Some(Detached::Done(WalPosition { timeline, lsn: self.wal.end(server.disk.tip) }));
        }
        if server.caught_up && !server.is_held(now) {
            return Some(Detached::Done(WalPosition { timeline, lsn: replayed }));
        }
        Some(Detached::Replaying(replayed))
    }

    /// Updates one row and waits for the local flush. True: it was written.
    pub fn write_probe(&mut self, site: Site, now: Time) -> bool {
        let place = usize::from(site);
        let ready = self.asked(site).is_some_and(|s| s.phase == Phase::Primary && !s.has(Ill::DiskFull));
        if ready {
            let disk = &mut self.servers[place].disk;
            let timeline = self.wal.timeline(disk.tip);
            disk.tip = self.wal.append(disk.tip, SIZE_PROBE, timeline, 0);
            self.nudge_receivers(place, now);
        }
        ready
    }

    /// Who has nothing under way pulls at the next advance.
    fn nudge_receivers(&mut self, place: usize, now: Time) {
        for at in 0..self.servers[place].senders.len() {
            let sender = self.servers[place].senders[at];
            let server = &mut self.servers[usize::from(sender.site)];
            let idle = server
                .receiver
                .as_ref()
                .is_some_and(|r| r.link == sender.link && r.coming.is_none() && r.retry == 0);
            if idle {
                server.timers.receiver = server.timers.receiver.min(now);
            }
        }
    }

    fn asked(&self, site: Site) -> Option<&super::Server> {
        let server = &self.servers[usize::from(site)];
        (server.answers() && !server.has(Ill::Hangs)).then_some(server)
    }

    /// The setting of `synchronous_standby_names`; in force only after a reload.
    pub fn set_sync(&mut self, site: Site, sync: super::SyncSet) -> bool {
        let disk = &mut self.servers[usize::from(site)].disk;
        std::mem::replace(&mut disk.sync, sync) != sync
    }

    /// What SHOW says.
    #[must_use]
    pub fn sync_shown(&self, site: Site) -> Option<super::SyncSet> {
        self.asked(site).map(|s| s.sync_shown)
    }

    /// What every walsender goes by.
    #[must_use]
    pub fn sync_in_force(&self, site: Site) -> Option<super::SyncSet> {
        self.asked(site).map(|s| s.sync_in_force)
    }
}
