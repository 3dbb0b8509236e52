//! Clients of a script: one outside of all sites and two inside of each stack's first one.

use crate::client::history::History;
use crate::lab::netns;
use crate::lab::network::OUTSIDE;
use crate::product::cluster::Cluster;
use crate::product::database;
use crate::product::layout::site_number;
use crate::{clock, interrupt};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use simulation::scenario::{Script, Tale};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// Acknowledgements that show that a client has got going.
const GOING: usize = 20;
/// Longest wait for that.
const GOING_PATIENCE: Duration = Duration::from_secs(20);

struct Client {
    stack: u8,
    history: History,
    process: Child,
}

impl Drop for Client {
    fn drop(&mut self) {
        // Ended already is fine.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// All of them.
pub struct Clients(Vec<Client>);

impl Clients {
    /// Starts them and waits until they get going.
    ///
    /// # Errors
    /// If one can't be started, or doesn't get going.
    pub fn start(cluster: &Cluster, script: &Script, log: impl Fn(&str) -> PathBuf) -> Result<Self> {
        let mut clients = Self(Vec::new());
        for (stack, (site, _)) in (0..).zip(&script.stacks) {
            for (inside, style) in
                [(None, "steady"), (Some(site + 1), "steady"), (Some(site + 1), "pipeline")]
            {
                clients.0.push(start(cluster, stack, inside, style, &log)?);
            }
        }
        let deadline = Instant::now() + GOING_PATIENCE;
        loop {
            interrupt::check()?;
            clients.0.iter_mut().try_for_each(|client| client.history.refresh())?;
            if clients.0.iter().all(|client| client.history.acks.len() >= GOING) {
                return Ok(clients);
            }
            if Instant::now() > deadline {
                bail!("the clients do not get going");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends them; what they were told, and what of it is not there.
    ///
    /// # Errors
    /// If a log or a database can't be read.
    pub fn tell(&mut self, cluster: &Cluster, began: u64, tale: &mut Tale) -> Result<()> {
        for client in &mut self.0 {
            if let Ok(pid) = i32::try_from(client.process.id()) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGTERM);
            }
            client.process.wait().context("wait for a client")?;
            client.history.refresh()?;
            let stack = usize::from(client.stack);
            let name = &client.history.client;
            let query = format!("select id from lab_w where client = '{name}'");
            let text = database::sql(&cluster.layout, cluster.active(stack)?, stack, &query)?;
            let rows: BTreeSet<u64> = text.lines().filter_map(|line| line.parse().ok()).collect();
            for ack in &client.history.acks {
                let at = ack.acked.saturating_sub(began) / 1_000;
                let site = site_number(&ack.site).context("a site's name")? - 1;
                tale.acked.push((at, client.stack, site));
                if !rows.contains(&ack.write.number) {
                    tale.lost.push((at, client.stack));
                }
            }
        }
        tale.acked.sort_unstable();
        Ok(())
    }
}

fn start(
    cluster: &Cluster,
    stack: u8,
    inside: Option<u8>,
    style: &str,
    log: &impl Fn(&str) -> PathBuf,
) -> Result<Client> {
    let layout = &cluster.layout;
    let place = inside.map_or_else(|| String::from("outside"), |site| format!("dc{site}"));
    let name = format!("s{}-{place}-{style}-{}", stack + 1, clock::now());
    let hosts = inside.map_or_else(|| layout.addresses().join(","), |site| layout.address(site));
    let log = log(&name);
    let program = std::env::current_exe().context("where is chaos")?;
    let netns = cluster.network.ns(inside.unwrap_or(OUTSIDE));
    let process = netns::command(&netns, &program.display().to_string())?
        .args(["writer", "--hosts", &hosts, "--client", &name, "--style", style, "--log"])
        .arg(&log)
        .args(["--port", &layout.port(usize::from(stack)).to_string()])
        .stdin(Stdio::null())
        .spawn()
        .context("start a client")?;
    Ok(Client { stack, history: History::new(&name, &log), process })
}
