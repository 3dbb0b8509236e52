//! Closing: planned stop, fence in stages, kill; and the proof that no process is left.

use super::open::words;
use super::{Ending, Open, Server, Supervisor};
use crate::{processes, sys};
use coordination::permit::{FenceStage, Mode, fence_stage};
use model::{Epoch, Millis, Moment};
use std::collections::BTreeSet;

/// A server that this gate did not start is somebody's if it lasts this long.
const FOREIGN_AFTER: Millis = Millis(2_000);

/// How an open database is being closed.
pub(super) enum Stop {
    /// Fast shutdown, no time limit while the cover lasts.
    Planned,
    /// In stages from the anchor on.
    Fence { anchor: Moment, reached: Option<FenceStage> },
    /// SIGKILL.
    Kill,
}

impl Supervisor {
    /// Begins a planned stop; nothing if it is under way or nothing runs. The epoch that an
    /// order names is relinquished once nothing is left, and not opened again before that.
    pub(super) fn stop_planned(&mut self, relinquish: Option<Epoch>) {
        self.life.to_relinquish = self.life.to_relinquish.max(relinquish);
        if let Server::Open(open) = &mut self.life.server
            && open.stop.is_none()
        {
            tracing::info!("planned stop: {}", words(open.mode));
            open.stop = Some(Stop::Planned);
            self.holder.signal(libc::SIGINT);
        }
    }

    /// Begins a fence, counted from the deadline if that is what ended; nothing if one is
    /// under way.
    pub(super) fn fence(&mut self, reason: &str) {
        let now = rpc::clock::now();
        let memory = &self.memory;
        if let Server::Open(open) = &mut self.life.server
            && !matches!(open.stop, Some(Stop::Fence { .. } | Stop::Kill))
        {
            tracing::warn!("FENCE: {reason} ({})", words(open.mode));
            let anchor = match open.mode {
                Mode::Primary(epoch) => memory.fence_from(epoch, now),
                Mode::Standby | Mode::Plain => now,
            };
            open.stop = Some(Stop::Fence { anchor, reached: None });
            self.push_stop();
            self.set_switches();
        }
    }

    /// SIGKILL to everything, at once.
    pub(super) fn kill(&mut self, reason: &str) {
        match &mut self.life.server {
            Server::Open(open) if !matches!(open.stop, Some(Stop::Kill)) => {
                tracing::error!("KILL: {reason} ({})", words(open.mode));
                open.stop = Some(Stop::Kill);
                self.push_stop();
                self.set_switches();
            }
            Server::Foreign(_) => {
                tracing::error!("KILL: {reason}");
                self.kill_all();
            }
            _ => {}
        }
    }

    pub(super) fn push_stop(&mut self) {
        let terms = self.memory.terms();
        let Server::Open(open) = &mut self.life.server else { return };
        match &mut open.stop {
            None | Some(Stop::Planned) => {}
            Some(Stop::Kill) => self.kill_all(),
            Some(Stop::Fence { anchor, reached }) => {
                let due = fence_stage(rpc::clock::now().elapsed_longest(*anchor), terms.fence_deadline);
                let new = *reached != Some(due);
                *reached = Some(due);
                self.push_fence(due, new);
            }
        }
    }

    fn push_fence(&self, due: FenceStage, new: bool) {
        if new {
            tracing::info!("fence: {due:?}");
        }
        match due {
            FenceStage::Fast if new => self.holder.signal(libc::SIGINT),
            FenceStage::Fast => {}
            FenceStage::Walsenders => {
                // A gate that was late has not sent the first signal yet; another does no harm.
                if new {
                    self.holder.signal(libc::SIGINT);
                }
                for pid in self.life.directory.map(|d| processes::titled(d, "walsender")).unwrap_or_default()
                {
                    sys::kill(pid, libc::SIGTERM);
                }
            }
            FenceStage::Immediate if new => self.holder.signal(libc::SIGQUIT),
            FenceStage::Immediate => {}
            FenceStage::Kill => self.kill_all(),
        }
    }

    pub(super) fn kill_all(&self) {
        let helpers =
            [self.holder.warden_pid(), self.lease.as_ref().and_then(crate::firewall::KernelLease::process)];
        self.holder.kill_all(self.life.directory, &helpers.into_iter().flatten().collect::<BTreeSet<_>>());
    }

    /// The postmaster was reaped: what is left of the database is killed before anything else.
    pub(super) fn postmaster_ended(&mut self, code: u8) {
        let server = std::mem::replace(&mut self.life.server, Server::Down);
        if let Server::Open(mut open) = server {
            open.exit_code = Some(code);
            self.life.server = Server::Clearing(open);
            self.clear();
        } else {
            self.life.server = server;
        }
    }

    /// Kills until nothing is left, then takes note of it.
    pub(super) fn clear(&mut self) {
        if !self.holder.is_empty(self.life.directory) {
            return self.kill_all();
        }
        self.life.control = self.data.control();
        if let Server::Clearing(open) = std::mem::replace(&mut self.life.server, Server::Down) {
            self.ended(&open);
        }
    }

    /// No process of the database is left.
    fn ended(&mut self, open: &Open) {
        let now = rpc::clock::now();
        let (code, clean) = (open.exit_code.unwrap_or(0), self.life.control.is_some_and(|c| c.is_clean()));
        self.life.clean = Some(clean);
        let how = if clean { "shut down cleanly" } else { "not shut down cleanly" };
        self.relinquish_stopped();
        tracing::info!("no process of the database is left ({}; exit code {code}; {how})", words(open.mode));
        if open.stop.is_some() {
            self.life.restarts.wanted();
        } else if open.mode == Mode::Plain && clean && self.life.ending.is_none() {
            // Not adopted: somebody stopped it on purpose, as without a gate.
            tracing::info!(
                "the database was stopped by others, and the stack is not adopted: the gate ends, too"
            );
            self.life.ending = Some(Ending::Now(code));
        } else {
            let lived = now.elapsed_shortest(open.since);
            self.life.restarts.ended(lived, now);
            self.complain(&format!(
                "PostgreSQL ended by itself after {lived} (exit code {code}); its log says why"
            ));
        }
        if matches!(self.life.ending, Some(Ending::Asked)) {
            self.life.ending = Some(Ending::Now(0));
        }
    }

    /// Once nothing is left, what a stop was ordered for goes to disk; true if nothing is owed.
    pub(super) fn relinquish_stopped(&mut self) -> bool {
        let Some(epoch) = self.life.to_relinquish else { return true };
        let written = self.relinquish(epoch);
        if written {
            self.life.to_relinquish = None;
        }
        written
    }

    /// Relinquishes an epoch on disk: nothing at or below it runs here again.
    pub(super) fn relinquish(&mut self, epoch: Epoch) -> bool {
        self.memory.to_relinquish(epoch).is_none_or(|record| self.write(record))
    }

    /// While nothing of ours runs: does somebody else's server run there?
    pub(super) fn look_for_foreign(&mut self) {
        if self.data.has_postmaster_pid() && self.foreign().is_some() {
            tracing::error!("a server that this gate did not start runs in {}", self.data.path().display());
            self.life.server = Server::Foreign(rpc::clock::now());
        }
    }

    /// What a killed gate left behind takes a moment to die: that is nobody's server yet.
    pub(super) fn is_foreign_fresh(&self) -> bool {
        let now = rpc::clock::now();
        matches!(self.life.server, Server::Foreign(since) if now.elapsed_shortest(since) < FOREIGN_AFTER)
    }

    pub(super) fn look_after_foreign(&mut self) {
        if self.foreign().is_none() {
            self.life.server = Server::Down;
        }
    }

    /// A process of such a server. Single-user ones are tools' (`pg_rewind` runs one).
    fn foreign(&self) -> Option<sys::Pid> {
        let directory = processes::DirectoryId::of(self.data.path())?;
        processes::servers(directory).into_iter().find(|pid| !processes::title(*pid).contains("--single"))
    }
}
