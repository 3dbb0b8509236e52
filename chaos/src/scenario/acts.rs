//! Doing what scenarios say.

use super::plan::{Act, CutOf, Span, Who};
use super::run::Run;
use crate::interrupt;
use crate::lab::{cut, procs};
use crate::product::site::{Part, Site};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Longest wait for a failover within a scenario.
const MOVED_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);
/// Between the starts of two sites.
const START_PAUSE: Duration = Duration::from_millis(700);

impl Run<'_> {
    /// Does one thing.
    ///
    /// # Errors
    /// If it can't be done.
    pub fn perform(&mut self, act: &Act) -> Result<()> {
        interrupt::check()?;
        let network = &self.cluster.network;
        match *act {
            Act::KillSite(who) => self.site(who)?.kill(network),
            Act::StartSite(who) => self.site(who)?.start(),
            Act::KillAllSites => self.cluster.sites.iter().try_for_each(|s| s.kill(network)),
            Act::StartAllSites => self.start_all(),
            Act::Kill(who, parts) => self.signal(who, parts, Signal::SIGKILL),
            Act::KillForGood(who, parts) => {
                self.services(who, parts)?.iter().for_each(|s| s.let_end());
                self.signal(who, parts, Signal::SIGKILL)
            }
            Act::Stop(who, parts) => self.signal(who, parts, Signal::SIGSTOP),
            Act::Continue(who, parts) => self.signal(who, parts, Signal::SIGCONT),
            Act::StopSite(who) => self.site(who)?.signal_everything(network, Signal::SIGSTOP),
            Act::ContinueSite(who) => self.site(who)?.signal_everything(network, Signal::SIGCONT),
            Act::KillPostmaster(who) => self.kill_postmaster(who),
            Act::StopBackend(who) => self.stop_backend(who),
            Act::FreezeDatabase(who) => self.signal_database(who, Signal::SIGSTOP),
            Act::ThawDatabase(who) => self.signal_database(who, Signal::SIGCONT),
            Act::LoseDatabase(who) => self.lose_database(who),
            Act::Cut(cuts) => self.cut(cuts),
            Act::Blips { who, times, cut, pause } => self.blips(who, times, cut, pause),
            Act::KillAllWitnesses => {
                let witnesses = self.cluster.sites.iter().flat_map(|s| s.services(Part::Witness));
                witnesses.for_each(|w| w.signal(Signal::SIGKILL));
                Ok(())
            }
            Act::Wait(span) => self.wait(span),
            Act::WaitMoved => self.wait_moved(),
            Act::WaitHome(who) => self.wait_home(who),
            Act::CheckListed(who) => self.check_listed(who),
            Act::KillTool(who, tool) => self.kill_tool(who, tool),
            Act::WaitTransition => self.wait_transition(),
        }
    }

    fn site(&self, who: Who) -> Result<&Site> {
        Ok(self.cluster.site(self.number(who)?))
    }

    fn services(&self, who: Who, parts: &[Part]) -> Result<Vec<&crate::lab::service::Service>> {
        let site = self.site(who)?;
        Ok(parts.iter().flat_map(|part| site.services(*part)).collect())
    }

    fn signal(&self, who: Who, parts: &[Part], signal: Signal) -> Result<()> {
        self.services(who, parts)?.iter().for_each(|s| s.signal(signal));
        Ok(())
    }

    fn start_all(&self) -> Result<()> {
        let count = self.cluster.sites.len();
        for step in 0..count {
            self.cluster.sites[(step + self.seed) % count].start()?;
            std::thread::sleep(START_PAUSE);
        }
        Ok(())
    }

    fn kill_postmaster(&self, who: Who) -> Result<()> {
        let data = self.cluster.layout.data(self.number(who)?, self.stack);
        let postmaster = procs::postmaster(&data).context("there is no postmaster to kill")?;
        kill(Pid::from_raw(postmaster.pid), Signal::SIGKILL).context("kill the postmaster")
    }

    fn stop_backend(&self, who: Who) -> Result<()> {
        let data = self.cluster.layout.data(self.number(who)?, self.stack);
        let backends = procs::client_backends(&data);
        let ours =
            backends.iter().find(|(_, title)| title.contains("postgres postgres")).or(backends.first());
        let (pid, _) = ours.context("there is no backend to stop")?;
        kill(Pid::from_raw(*pid), Signal::SIGSTOP).context("stop a backend")
    }

    fn signal_database(&self, who: Who, signal: Signal) -> Result<()> {
        let data = self.cluster.layout.data(self.number(who)?, self.stack);
        for process in procs::working_in(&data) {
            let _ = kill(Pid::from_raw(process.pid), signal); // gone meanwhile is fine
        }
        Ok(())
    }

    fn lose_database(&self, who: Who) -> Result<()> {
        let site = self.number(who)?;
        self.signal_database(who, Signal::SIGKILL)?;
        let data = self.cluster.layout.data(site, self.stack);
        // the server may write while it dies: what is left at the second try is gone for good
        let _ = std::fs::remove_dir_all(&data);
        self.signal_database(who, Signal::SIGKILL)?;
        match std::fs::remove_dir_all(&data) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("remove the data directory")
            }
            _ => Ok(()),
        }
    }

    fn cut(&self, cuts: &[CutOf]) -> Result<()> {
        let one = |c: &CutOf| {
            Ok(match *c {
                CutOf::Off(a) => cut::Cut::Off(self.number(a)?),
                CutOf::Deaf(a) => cut::Cut::Deaf(self.number(a)?),
                CutOf::Dumb(a) => cut::Cut::Dumb(self.number(a)?),
                CutOf::Link(a, b) => cut::Cut::Link(self.number(a)?, self.number(b)?),
            })
        };
        let cuts = cuts.iter().map(one).collect::<Result<Vec<_>>>()?;
        cut::apply(&self.cluster.network, &cuts)
    }

    fn blips(&self, who: Who, times: u32, length: Span, pause: Span) -> Result<()> {
        for _ in 0..times {
            self.cut(&[CutOf::Off(who)])?;
            self.wait(length)?;
            cut::heal(&self.cluster.network)?;
            self.wait(pause)?;
        }
        Ok(())
    }

    /// Sleeps, unless interrupted.
    pub(super) fn wait(&self, span: Span) -> Result<()> {
        let deadline = Instant::now() + span.of(self.cluster.plan.settings.profile);
        while Instant::now() < deadline {
            interrupt::check()?;
            std::thread::sleep(LOOK.min(deadline.saturating_duration_since(Instant::now())));
        }
        Ok(())
    }

    fn wait_moved(&mut self) -> Result<()> {
        let deadline = Instant::now() + MOVED_PATIENCE;
        while self.winner()?.is_none() {
            interrupt::check()?;
            if Instant::now() > deadline {
                bail!("nobody took over within {MOVED_PATIENCE:?}");
            }
            std::thread::sleep(LOOK);
        }
        Ok(())
    }

    fn wait_transition(&self) -> Result<()> {
        let deadline = Instant::now() + MOVED_PATIENCE;
        let name = &self.cluster.layout.stacks[self.stack].name;
        loop {
            interrupt::check()?;
            let status = self.cluster.status();
            if status
                .is_ok_and(|s| s.stack(name).is_some_and(|s| s.transition || s.epoch > self.before.epoch))
            {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("no transition began within {MOVED_PATIENCE:?}");
            }
            std::thread::sleep(LOOK);
        }
    }
}
