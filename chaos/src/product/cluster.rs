//! The whole product in a lab: brought up, asked, healed, brought home.

use super::cgroups;
use super::command::{Status, Tripoint, elections, tripoint};
use super::database;
use super::files::{self, Settings};
use super::layout::{GROUP, Layout, StackPlan, site_name};
use super::site::{Part, Site};
use crate::interrupt;
use crate::lab::cut;
use crate::lab::network::{NET, Network, OUTSIDE, Wan};
use anyhow::{Context, Result, bail};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Longest wait for a group that was just started.
const READY_PATIENCE: Duration = Duration::from_secs(60);
/// The product brings its sites home by itself within this, on a busy machine; what doesn't
/// stream then is copied by hand, and that is said.
const STREAM_PATIENCE: Duration = Duration::from_secs(75);
/// A group without a leader for this long has lost more than a heartbeat on a busy machine.
const STATUS_PATIENCE: Duration = Duration::from_secs(5);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(100);

/// What lab to make.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Prefix of the namespaces.
    pub lab: String,
    /// How many sites.
    pub sites: u8,
    /// A slow network, if one is wanted.
    pub wan: Option<Wan>,
    /// Stacks.
    pub stacks: Vec<StackPlan>,
    /// Durations and choices.
    pub settings: Settings,
    /// The product.
    pub binary: PathBuf,
}

/// A running product. Dropping it ends everything and removes the files.
pub struct Cluster {
    /// What was asked for.
    pub plan: Plan,
    /// Paths.
    pub layout: Layout,
    /// The namespaces.
    pub network: Network,
    /// Site n is at n - 1.
    pub sites: Vec<Site>,
    /// The product's command line.
    pub cli: Tripoint,
    /// Keep the files when dropped.
    pub keep_files: bool,
}

impl Cluster {
    /// Brings the product up: certificates, databases, all processes, adoption, mode `auto`.
    ///
    /// # Errors
    /// If any of it fails or isn't ready in time; what was started is ended again.
    pub fn up(plan: Plan) -> Result<Self> {
        let network = Network::up(&plan.lab, plan.sites, plan.wan)?;
        let layout = layout_of(&plan.lab, NET, plan.sites, plan.stacks.clone());
        let cli = tripoint(&layout, plan.binary.clone(), network.ns(OUTSIDE));
        let sites = (1..=plan.sites).map(|n| Site::new(&layout, &plan.binary, &network.ns(n), n)).collect();
        let cluster = Self { plan, layout, network, sites, cli, keep_files: false };
        cluster.prepare()?;
        cluster.start_first()?;
        Ok(cluster)
    }

    fn prepare(&self) -> Result<()> {
        write_files(&self.layout, &self.cli, self.plan.settings)?;
        for stack in self.layout.databases() {
            database::create(&self.layout, stack, &role_sql()?)?;
            for site in 1..=self.layout.sites {
                database::follow_first(&self.layout, site, stack)?;
            }
        }
        Ok(())
    }

    /// Starts primaries first (epoch 0: a gate is a plain parent), copies them, starts the rest,
    /// then adopts.
    fn start_first(&self) -> Result<()> {
        for site in &self.sites {
            for part in [Part::Witness, Part::Actor] {
                site.services(part).iter().try_for_each(|s| s.start())?;
            }
        }
        for stack in self.layout.databases() {
            let active = self.layout.stacks[stack].active;
            if let Some(gate) = self.site(active).gate(stack) {
                gate.start()?;
            }
        }
        for stack in self.layout.databases() {
            let active = self.layout.stacks[stack].active;
            self.wait("the first primary", || Ok(database::is_primary(&self.layout, active, stack)))?;
            for site in (1..=self.layout.sites).filter(|n| *n != active) {
                database::clone(&self.layout, &self.network.ns(site), site, active, stack)?;
            }
        }
        self.sites.iter().try_for_each(Site::start)?;
        for stack in self.layout.databases() {
            self.adopt(stack)?;
        }
        self.wait_healthy(READY_PATIENCE)
    }

    fn adopt(&self, stack: usize) -> Result<()> {
        let plan = &self.layout.stacks[stack];
        let (name, active) = (plan.name.as_str(), site_name(plan.active));
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            // refused until every site has registered and streams
            match self.cli.run(&["adopt", "--stack", name, "--active", &active]) {
                Ok(_) => break,
                Err(error) if Instant::now() > deadline => return Err(error.context("adopt")),
                Err(_) => pause()?,
            }
        }
        self.wait("mode auto", || Ok(self.cli.run(&["mode", "--stack", name, "auto"]).is_ok()))
    }

    /// A site by its number.
    #[must_use]
    pub fn site(&self, number: u8) -> &Site {
        &self.sites[usize::from(number) - 1]
    }

    /// What the group says of itself; a change of leader is waited for.
    ///
    /// # Errors
    /// If no witness answers with a quorum for a while.
    pub fn status(&self) -> Result<Status> {
        let deadline = Instant::now() + STATUS_PATIENCE;
        loop {
            match self.cli.status() {
                Err(_) if Instant::now() < deadline => pause()?,
                answer => return answer,
            }
        }
    }

    /// The active site of a stack.
    ///
    /// # Errors
    /// If the group doesn't say.
    pub fn active(&self, stack: usize) -> Result<u8> {
        let name = &self.layout.stacks[stack].name;
        let status = self.status()?;
        status.stack(name).and_then(|s| s.active).with_context(|| format!("stack {name} has no active site"))
    }

    /// Elections of a stack after an entry.
    ///
    /// # Errors
    /// If no witness answers.
    pub fn elections(&self, stack: usize, after: u64) -> Result<Vec<u8>> {
        Ok(elections(&self.cli.events()?, &self.layout.stacks[stack].name, after))
    }

    /// Why the cluster isn't whole, if it isn't: every stack has an active site whose server is a
    /// primary, all others stream from it, somebody could take over.
    ///
    /// # Errors
    /// If no witness answers.
    pub fn complaint(&self) -> Result<Option<String>> {
        let status = self.status()?;
        for stack in self.layout.databases() {
            let name = &self.layout.stacks[stack].name;
            let said = status.stack(name).with_context(|| format!("no stack {name} in the status"))?;
            let Some(active) = said.active else { return Ok(Some(format!("{name}: nobody is active"))) };
            if said.transition || said.closed || said.held {
                return Ok(Some(format!("{name}: in transition, closed, or its cover is still held")));
            }
            if !database::is_primary(&self.layout, active, stack) {
                return Ok(Some(format!("{name}: dc{active} is no primary")));
            }
            let streams = database::streaming(&self.layout, active, stack);
            let missing =
                (1..=self.layout.sites).filter(|n| *n != active).find(|n| !streams.contains(&site_name(*n)));
            if let Some(missing) = missing {
                return Ok(Some(format!("{name}: dc{missing} doesn't stream from dc{active}")));
            }
            if said.takeover.is_none() {
                return Ok(Some(format!("{name}: nobody could take over")));
            }
        }
        if status.up.len() < usize::from(self.layout.sites) {
            return Ok(Some(format!("up are only {:?}", status.up)));
        }
        Ok(None)
    }

    /// Waits until the cluster is whole.
    ///
    /// # Errors
    /// With the last complaint.
    pub fn wait_healthy(&self, patience: Duration) -> Result<()> {
        let deadline = Instant::now() + patience;
        loop {
            match self.complaint() {
                Ok(None) => return Ok(()),
                Ok(Some(why)) if Instant::now() > deadline => bail!("not whole after {patience:?}: {why}"),
                Err(error) if Instant::now() > deadline => return Err(error),
                _ => pause()?,
            }
        }
    }

    /// Ends all faults and waits until every site is home, as the product itself does it; what
    /// doesn't stream from the active site after a while gets a base backup by hand.
    ///
    /// # Errors
    /// If the cluster doesn't get whole.
    pub fn bring_home(&self) -> Result<()> {
        cut::heal(&self.network)?;
        for site in &self.sites {
            site.signal_everything(&self.network, nix::sys::signal::Signal::SIGCONT)?;
            site.start()?;
        }
        let whole = || self.complaint().is_ok_and(|c| c.is_none());
        let deadline = Instant::now() + STREAM_PATIENCE;
        while Instant::now() < deadline {
            if whole() {
                return Ok(());
            }
            pause()?;
        }
        for stack in self.layout.databases() {
            self.wait("an active site with a primary", || {
                let active = self.active(stack)?;
                Ok(database::is_primary(&self.layout, active, stack))
            })?;
            self.rejoin_missing(stack)?;
        }
        self.wait_healthy(READY_PATIENCE)
    }

    /// A base backup for every site that doesn't stream from the active one.
    fn rejoin_missing(&self, stack: usize) -> Result<()> {
        let active = self.active(stack)?;
        let streams = database::streaming(&self.layout, active, stack);
        for site in (1..=self.layout.sites).filter(|n| *n != active && !streams.contains(&site_name(*n))) {
            let Some(gate) = self.site(site).gate(stack) else { continue };
            eprintln!(
                "chaos: {} did not come home by itself: it gets a base backup by hand",
                site_name(site)
            );
            gate.stop(Duration::from_secs(8));
            database::clone(&self.layout, &self.network.ns(site), site, active, stack)?;
            gate.start()?;
        }
        Ok(())
    }

    /// Waits for something with a deadline; errors of the question count as "not yet".
    ///
    /// # Errors
    /// After [`READY_PATIENCE`], with what was awaited.
    pub fn wait(&self, what: &str, mut question: impl FnMut() -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + READY_PATIENCE;
        loop {
            let answer = question();
            if matches!(answer, Ok(true)) {
                return Ok(());
            }
            if Instant::now() > deadline {
                return match answer {
                    Err(error) => Err(error.context(format!("waited for {what}"))),
                    Ok(_) => bail!("waited in vain for {what}"),
                };
            }
            pause()?;
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // supervisors must not start anything again while the namespaces are emptied
        for site in &self.sites {
            for part in super::site::PARTS {
                site.services(part).iter().for_each(|s| s.let_end());
            }
        }
        let pids: Vec<i32> =
            self.network.places().filter_map(|place| self.network.pids(place).ok()).flatten().collect();
        let groups = cgroups::of(&pids);
        for site in &self.sites {
            let _ = site.kill(&self.network); // no namespace: nothing to kill
        }
        cgroups::remove(&groups);
        if !self.keep_files {
            let _ = fs::remove_dir_all(&self.layout.root); // left over is harmless: the next one empties it
        }
    }
}

fn pause() -> Result<()> {
    interrupt::check()?;
    std::thread::sleep(LOOK);
    Ok(())
}

/// The layout of the lab of this name.
#[must_use]
pub fn layout_of(lab: &str, net: &str, sites: u8, stacks: Vec<StackPlan>) -> Layout {
    Layout {
        root: PathBuf::from(format!("/var/tmp/tripoint-chaos-{lab}")),
        net: net.to_owned(),
        sites,
        stacks,
    }
}

/// Makes the directory anew with all configuration files and certificates.
///
/// # Errors
/// If a file can't be written or a certificate not made.
pub fn write_files(layout: &Layout, cli: &Tripoint, settings: Settings) -> Result<()> {
    if layout.root.exists() {
        fs::remove_dir_all(&layout.root).with_context(|| layout.root.display().to_string())?;
    }
    fs::create_dir_all(&layout.root)?;
    fs::set_permissions(&layout.root, fs::Permissions::from_mode(0o755))?;
    certificates(layout, cli)?;
    files::write(layout, settings)
}

fn certificates(layout: &Layout, cli: &Tripoint) -> Result<()> {
    let directory = layout.certificates().display().to_string();
    let names: Vec<String> = (1..=layout.sites).map(site_name).collect();
    let mut args = vec!["certs", "site-set", "--group", GROUP, "--dir", &directory];
    args.extend(names.iter().map(String::as_str));
    cli.run_local(&args).map(drop)
}

/// What makes the actor's role: the driver's own file.
///
/// # Errors
/// If it isn't in the tree that this binary was built from.
pub fn role_sql() -> Result<String> {
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/driver-postgres/sql/role.sql");
    fs::read_to_string(file).context(file)
}
