//! One run of one scenario: clients, fault, watching, healing, and all that the judge needs.

use super::plan::{Inside, Scenario, Span, Who};
use super::sampler::Sampler;
use crate::client::history::History;
use crate::client::writer::Style;
use crate::lab::network::OUTSIDE;
use crate::lab::{cut, netns};
use crate::product::cluster::Cluster;
use crate::product::command::StackStatus;
use crate::product::database;
use crate::{clock, interrupt};
use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use nix::sys::signal::kill;
use nix::unistd::Pid;
use serde_json::Value;
use simulation::checkers::{FinalRows, ProcessSeen, WriteId};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Acknowledgements that show that a client has got going.
const GOING: usize = 20;
/// Longest wait for that.
const GOING_PATIENCE: Duration = Duration::from_secs(20);
/// Writes flow again if there was no longer gap than this ...
const FLOW_GAP: u64 = 500_000_000;
/// ... for this long.
const FLOW_FOR: u64 = 2_000_000_000;
/// Longest wait for that.
const FLOW_PATIENCE: Duration = Duration::from_secs(75);
/// Clients go on for this long after everything was healed.
const AFTERMATH: Span = Span::Ms(2_500);

/// A client process and what it wrote down.
pub struct Client {
    /// What it has logged.
    pub history: History,
    /// Inside of the active site or outside of all.
    pub inside: bool,
    /// How it writes.
    pub style: Style,
    process: Child,
}

impl Client {
    /// Ends it and reads the rest of its log.
    fn end(&mut self) -> Result<()> {
        if let Ok(pid) = i32::try_from(self.process.id()) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
        }
        self.process.wait().context("wait for a client")?;
        self.history.refresh()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What a run is about, while it goes on.
pub struct Run<'a> {
    /// The product.
    pub cluster: &'a Cluster,
    /// What is done.
    pub scenario: &'a Scenario,
    /// The stack that is looked at.
    pub stack: usize,
    /// Changes from run to run.
    pub seed: usize,
    /// The active site at the beginning.
    pub active: u8,
    /// The leader's site at the beginning.
    pub leader: u8,
    /// The stack at the beginning.
    pub before: StackStatus,
    /// The clients.
    pub clients: Vec<Client>,
    /// The first act's time.
    pub fault: u64,
}

/// Everything that was seen.
pub struct Seen {
    /// The clients' histories: inside or not, how, what.
    pub clients: Vec<(bool, Style, History)>,
    /// The active site before and after.
    pub active: (u8, Option<u8>),
    /// Sites elected meanwhile.
    pub elected: Vec<u8>,
    /// When the first act was done.
    pub fault: u64,
    /// When healing began.
    pub healed: u64,
    /// Rows of the final primary.
    pub rows: FinalRows,
    /// Processes of the first active site's database.
    pub processes: Vec<ProcessSeen>,
    /// The log's new entries.
    pub events: Vec<Value>,
    /// Wall clock less observers' clock, nanoseconds.
    pub wall_offset: i128,
    /// Why writes didn't flow before healing, if they didn't.
    pub stuck: Option<String>,
}

/// Runs a scenario on a whole cluster.
///
/// # Errors
/// If the run could not be made: it says nothing about the product then, unless what failed was
/// the product's own command line or recovery.
pub fn run(cluster: &Cluster, scenario: &Scenario, stack: usize, seed: usize, out: &Path) -> Result<Seen> {
    let status = cluster.status()?;
    let before = status.stack(&cluster.layout.stacks[stack].name).cloned().context("no such stack")?;
    let active = before.active.context("nobody is active")?;
    let leader = status.leader.context("there is no leader")?;
    let mut run =
        Run { cluster, scenario, stack, seed, active, leader, before, clients: Vec::new(), fault: 0 };
    run.start_clients(out)?;
    let sampler = Sampler::start(cluster.layout.data(active, stack));
    run.wait(Span::Ms(1_000 + (clock::now() / 1_000) % 700))?; // somewhere within a renewal's period
    run.fault = clock::now();
    let mut stuck = scenario.acts.iter().try_for_each(|act| run.perform(act)).err().map(|e| format!("{e:#}"));
    interrupt::check()?;
    if stuck.is_none() {
        stuck = run.watch().err().map(|e| format!("{e:#}"));
    }
    interrupt::check()?;
    let healed = clock::now();
    run.heal()?;
    run.wait(AFTERMATH)?;
    run.clients.iter_mut().try_for_each(Client::end)?;
    run.collect(healed, status.index, sampler, stuck)
}

impl Run<'_> {
    /// The number of a site.
    ///
    /// # Errors
    /// If nobody has won yet.
    pub fn number(&self, who: Who) -> Result<u8> {
        let mut others = (1..=self.cluster.layout.sites).filter(|n| *n != self.active);
        Ok(match who {
            Who::Active => self.active,
            // a witness of a standby that is to be no leader's: the first that doesn't lead
            Who::Standby => others.find(|n| *n != self.leader).context("there is no standby")?,
            Who::Other => {
                let standby = self.number(Who::Standby)?;
                others.find(|n| *n != standby).context("there is no other")?
            }
            Who::Leader => self.leader,
            Who::Winner => {
                let acks = self.clients.iter().flat_map(|c| &c.history.acks);
                let moved =
                    acks.filter(|a| a.acked > self.fault && !a.site.ends_with(&self.active.to_string()));
                let last = moved.max_by_key(|a| a.acked).context("nobody has won")?;
                crate::product::layout::site_number(&last.site).context("a site's name")?
            }
        })
    }

    /// The site that took over, if one did.
    ///
    /// # Errors
    /// If a log can't be read.
    pub fn winner(&mut self) -> Result<Option<u8>> {
        self.refresh()?;
        Ok(self.number(Who::Winner).ok())
    }

    fn refresh(&mut self) -> Result<()> {
        self.clients.iter_mut().try_for_each(|c| c.history.refresh())
    }

    fn start_clients(&mut self, out: &Path) -> Result<()> {
        let inside: &[Style] = match self.scenario.inside {
            Inside::Nobody => &[],
            Inside::Pipeline => &[Style::Pipeline],
            Inside::Long => &[Style::Long],
            Inside::SteadyAndPipeline => &[Style::Steady, Style::Pipeline],
        };
        self.start_client(out, false, Style::Steady)?;
        for style in inside {
            self.start_client(out, true, *style)?;
        }
        let deadline = Instant::now() + GOING_PATIENCE;
        let going = |c: &Client| c.history.acks.len() >= if c.style == Style::Long { 1 } else { GOING };
        loop {
            interrupt::check()?;
            self.refresh()?;
            if self.clients.iter().all(going) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the clients do not get going");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    fn start_client(&mut self, out: &Path, inside: bool, style: Style) -> Result<()> {
        let layout = &self.cluster.layout;
        let place = if inside { "inside" } else { "outside" };
        let style_name = match style {
            Style::Steady => "steady",
            Style::Pipeline => "pipeline",
            Style::Long => "long",
        };
        let name = format!("{}-{}-{place}-{style_name}", self.scenario.name, clock::now());
        let hosts = if inside { layout.address(self.active) } else { layout.addresses().join(",") };
        let netns = self.cluster.network.ns(if inside { self.active } else { OUTSIDE });
        let log = out.join(format!("{name}.log"));
        let program = std::env::current_exe().context("where is chaos")?;
        let process = netns::command(&netns, &program.display().to_string())?
            .args(["writer", "--hosts", &hosts, "--client", &name, "--style", style_name, "--log"])
            .arg(&log)
            .args(["--port", &layout.port(self.stack).to_string()])
            .stdin(Stdio::null())
            .spawn()
            .context("start a client")?;
        self.clients.push(Client { history: History::new(&name, &log), inside, style, process });
        Ok(())
    }

    /// Watches until the scenario's time is over and the client outside writes again.
    fn watch(&mut self) -> Result<()> {
        let span = self.scenario.watch.of(self.cluster.plan.settings.profile);
        let least = self.fault + u64::try_from(span.as_nanos()).unwrap_or(u64::MAX);
        let deadline = Instant::now() + FLOW_PATIENCE;
        loop {
            interrupt::check()?;
            self.refresh()?;
            let now = clock::now();
            let outside = self.clients.iter().find(|c| !c.inside).context("there is one outside")?;
            let since = now.saturating_sub(FLOW_FOR).max(self.fault);
            let flow = simulation::checkers::outage(&outside.history.acks, since, now, FLOW_GAP);
            let flows = now >= self.fault + FLOW_FOR && flow.longest.length() < FLOW_GAP;
            if now >= least && flows {
                return Ok(());
            }
            if Instant::now() > deadline && now >= least {
                bail!("writes don't flow {} s after the fault", (now - self.fault) / 1_000_000_000);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends all faults; what was killed is started again.
    fn heal(&self) -> Result<()> {
        cut::heal(&self.cluster.network)?;
        for site in &self.cluster.sites {
            site.signal_everything(&self.cluster.network, Signal::SIGCONT)?;
            site.start()?;
        }
        Ok(())
    }

    fn collect(mut self, healed: u64, index: u64, sampler: Sampler, stuck: Option<String>) -> Result<Seen> {
        let cluster = self.cluster;
        let mut after = None;
        cluster.wait("an active site with a primary", || {
            after = Some(cluster.active(self.stack)?);
            Ok(after.is_some_and(|site| database::is_primary(&cluster.layout, site, self.stack)))
        })?;
        let events = cluster.cli.events()?;
        let name = &cluster.layout.stacks[self.stack].name;
        let elected = crate::product::command::elections(&events, name, index);
        let rows = self.rows(after.context("nobody is active")?)?;
        let new = events.into_iter().filter(|e| e["index"].as_u64().unwrap_or(0) > index).collect();
        let clients = self.clients.drain(..).map(|mut c| {
            let history = std::mem::replace(&mut c.history, History::new("", Path::new("/")));
            (c.inside, c.style, history)
        });
        Ok(Seen {
            clients: clients.collect(),
            active: (self.active, after),
            elected,
            fault: self.fault,
            healed,
            rows,
            processes: sampler.finish(),
            events: new,
            wall_offset: wall_offset(),
            stuck,
        })
    }

    /// Rows of all clients at a site.
    pub(super) fn rows(&self, site: u8) -> Result<FinalRows> {
        let mut rows = FinalRows::new();
        for client in &self.clients {
            let name = &client.history.client;
            let query = format!("select id from lab_w where client = '{name}'");
            let text = database::sql(&self.cluster.layout, site, self.stack, &query)?;
            let numbers = text.lines().filter_map(|l| l.parse().ok());
            rows.extend(numbers.map(|number| WriteId { client: name.clone(), number }));
        }
        Ok(rows)
    }
}

/// The wall clock less the observers' clock.
fn wall_offset() -> i128 {
    let wall = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    i128::try_from(wall.as_nanos()).unwrap_or(0) - i128::from(clock::now())
}
