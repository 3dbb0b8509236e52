//! One site: its services, started and hurt as a whole or one by one.

use super::layout::{Layout, PG_BIN, site_name};
use crate::lab::network::Network;
use crate::lab::procs;
use crate::lab::service::{Service, Spec};
use anyhow::Result;
use clap::ValueEnum;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;

/// The kinds of processes that the product has at a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// `tripoint witness`.
    Witness,
    /// `tripoint actor`.
    Actor,
    /// `tripoint gate`, every stack's.
    Gate,
}

/// All parts, in the order in which they are started.
pub const PARTS: [Part; 3] = [Part::Witness, Part::Actor, Part::Gate];

/// The services of one site.
pub struct Site {
    /// Its number.
    pub number: u8,
    witness: Service,
    actor: Service,
    gates: Vec<(usize, Service)>,
}

impl Site {
    /// Nothing is started yet.
    #[must_use]
    pub fn new(layout: &Layout, binary: &Path, netns: &str, number: u8) -> Self {
        let spec = |name: String, args: Vec<String>| {
            let mut argv = vec![binary.display().to_string()];
            argv.extend(args);
            let log = layout.log(number, &name);
            Service::new(Spec {
                name: format!("{}/{name}", site_name(number)),
                netns: netns.to_owned(),
                argv,
                env: vec![("NO_COLOR".to_owned(), "1".to_owned())],
                log,
            })
        };
        let file = |name: &str| layout.site(number).join(name).display().to_string();
        let plain = |role: &str| {
            spec(role.to_owned(), vec![role.to_owned(), "--config".to_owned(), file(&format!("{role}.toml"))])
        };
        let gates = layout.databases().map(|stack| {
            let name = format!("gate-{}", layout.stacks[stack].name);
            (stack, spec(name, gate_arguments(layout, number, stack)))
        });
        Self { number, witness: plain("witness"), actor: plain("actor"), gates: gates.collect() }
    }

    /// The services of one kind.
    pub fn services(&self, part: Part) -> Vec<&Service> {
        match part {
            Part::Witness => vec![&self.witness],
            Part::Actor => vec![&self.actor],
            Part::Gate => self.gates.iter().map(|(_, gate)| gate).collect(),
        }
    }

    /// One stack's gate.
    #[must_use]
    pub fn gate(&self, stack: usize) -> Option<&Service> {
        self.gates.iter().find(|(n, _)| *n == stack).map(|(_, gate)| gate)
    }

    fn all(&self) -> impl Iterator<Item = &Service> {
        PARTS.into_iter().flat_map(|part| self.services(part))
    }

    /// Starts what doesn't run.
    ///
    /// # Errors
    /// If a program can't be started.
    pub fn start(&self) -> Result<()> {
        self.all().try_for_each(Service::start)
    }

    /// Kills every process of the site but the lab's own clients; nothing is started again.
    ///
    /// # Errors
    /// If the namespace is gone.
    pub fn kill(&self, network: &Network) -> Result<()> {
        self.all().for_each(Service::let_end);
        self.signal_everything(network, Signal::SIGKILL)
    }

    /// Sends a signal to every process of the site but the lab's own clients.
    ///
    /// # Errors
    /// If the namespace is gone.
    pub fn signal_everything(&self, network: &Network, signal: Signal) -> Result<()> {
        for pid in network.pids(self.number)?.into_iter().filter(|pid| !is_ours(*pid)) {
            let _ = kill(Pid::from_raw(pid), signal); // gone meanwhile is fine
        }
        Ok(())
    }
}

/// The gate's command line, after the binary.
#[must_use]
pub fn gate_arguments(layout: &Layout, site: u8, stack: usize) -> Vec<String> {
    let directory = layout.stack(site, stack);
    let words = [
        "gate".to_owned(),
        "run".to_owned(),
        "--config".to_owned(),
        directory.join("gate.toml").display().to_string(),
        "--".to_owned(),
        format!("{PG_BIN}/postgres"),
        "-D".to_owned(),
        layout.data(site, stack).display().to_string(),
        "-c".to_owned(),
        format!("unix_socket_directories={}", directory.display()),
        "-p".to_owned(),
        layout.port(stack).to_string(),
    ];
    words.to_vec()
}

/// True for the lab's own clients, which no fault of the site touches.
fn is_ours(pid: i32) -> bool {
    let line = procs::command_line(pid);
    let program = line.first().map(String::as_str).unwrap_or_default();
    program.ends_with("chaos") && line.get(1).is_some_and(|w| w == "writer")
}
