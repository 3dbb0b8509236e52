//! Acts about sites that come home.

use super::plan::Who;
use super::run::Run;
use crate::interrupt;
use crate::lab::procs;
use crate::product::database;
use crate::product::layout::site_name;
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::time::{Duration, Instant};

/// Longest wait for a site to come home.
const HOME_PATIENCE: Duration = Duration::from_secs(120);
/// Longest wait for a tool to begin.
const TOOL_PATIENCE: Duration = Duration::from_secs(60);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks for a tool that runs for a moment only.
const LOOK_QUICK: Duration = Duration::from_millis(2);
/// Transactions beyond those that were acknowledged to the lab's clients: the product's own write
/// probes, and what was under way.
const OTHERS_MAX: u64 = 120;

impl Run<'_> {
    pub(super) fn wait_home(&mut self, who: Who) -> Result<()> {
        let (site, begin) = (self.number(who)?, Instant::now());
        loop {
            interrupt::check()?;
            if let Some(winner) = self.winner()?
                && database::streaming(&self.cluster.layout, winner, self.stack).contains(&site_name(site))
            {
                let took = begin.elapsed().as_secs_f64();
                eprintln!("chaos: {} streams again after {took:.1} s, without a hand", site_name(site));
                return Ok(());
            }
            if begin.elapsed() > HOME_PATIENCE {
                bail!("{} does not come home within {HOME_PATIENCE:?}", site_name(site));
            }
            std::thread::sleep(LOOK);
        }
    }

    pub(super) fn kill_tool(&self, who: Who, tool: &str) -> Result<()> {
        let (site, begin) = (self.number(who)?, Instant::now());
        loop {
            interrupt::check()?;
            let pids = self.cluster.network.pids(site)?;
            let real = |pid: &i32| !procs::command_line(*pid).iter().any(|word| word == "--dry-run");
            let found: Vec<i32> = procs::running(&pids, tool).into_iter().filter(real).collect();
            for pid in &found {
                let _ = kill(Pid::from_raw(*pid), Signal::SIGKILL); // gone meanwhile: the next look tells
            }
            if !found.is_empty() {
                eprintln!("chaos: {tool} of {} killed midway", site_name(site));
                return Ok(());
            }
            if begin.elapsed() > TOOL_PATIENCE {
                bail!("{tool} did not run at {} within {TOOL_PATIENCE:?}", site_name(site));
            }
            std::thread::sleep(LOOK_QUICK);
        }
    }

    /// The committed transactions that the product lists are those that the clients lost, and a
    /// few that were nobody's.
    pub(super) fn check_listed(&mut self, who: Who) -> Result<()> {
        let site = site_name(self.number(who)?);
        let winner = self.winner()?.context("nobody has won")?;
        let kept = self.rows(winner)?;
        let acks = self.clients.iter().flat_map(|c| &c.history.acks).filter(|a| a.site == site);
        let lost = acks.filter(|a| !kept.contains(&a.write)).count();
        let events = self.cluster.cli.events()?;
        let listed = events
            .iter()
            .rev()
            .map(|e| &e["kind"])
            .find(|kind| kind["event"] == "diverged-listed" && kind["site"] == site.as_str());
        let text = listed.and_then(|kind| kind["evidence"].as_str()).unwrap_or_default();
        eprintln!("chaos: {lost} acknowledged writes of {site} are lost; listed: {text}");
        let commits: u64 = text.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or(0);
        let lost = u64::try_from(lost).unwrap_or(u64::MAX);
        if commits < lost || commits > lost + OTHERS_MAX {
            bail!("{lost} acknowledged writes are lost, and {commits} transactions are listed");
        }
        Ok(())
    }
}
