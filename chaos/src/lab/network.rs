//! Sites as network namespaces `PREFIX-dcN` with the addresses `NET.N.1/16`, and a place outside of
//! all of them, `PREFIX-br` with `NET.9.1`.
//!
//! Two kinds of wire: a bridge with veth pairs (fast), or TAP devices joined by our own switch
//! (delay, jitter, loss; see [`super::switch`]).

use super::{netns, procs, switch};
use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// The first two numbers of all addresses of our own lab.
pub const NET: &str = "10.78";
/// The third number of the place outside.
pub const OUTSIDE: u8 = 9;
/// How long processes have to end when a lab is taken down, before they are killed.
const TERM_WAIT: Duration = Duration::from_millis(1_500);

/// What the wire between any two places does.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Wan {
    /// Round trip in milliseconds.
    pub rtt_ms: u32,
    /// Each way takes up to this much longer, in milliseconds.
    pub jitter_ms: u32,
    /// Frames lost, in parts in a thousand.
    pub loss_permille: u32,
}

/// The namespaces of one lab. Dropping it takes them down.
pub struct Network {
    prefix: String,
    sites: u8,
    wire: Option<Child>,
    keep: bool,
}

impl Network {
    /// Makes the namespaces; one of the same name that is left from before is taken down first.
    ///
    /// # Errors
    /// If a tool fails (not root, no `ip`, no /dev/net/tun).
    pub fn up(prefix: &str, sites: u8, wan: Option<Wan>) -> Result<Self> {
        down(prefix)?;
        let mut network = Self { prefix: prefix.to_owned(), sites, wire: None, keep: false };
        for place in network.places() {
            netns::tool("ip", &["netns", "add", &network.ns(place)])?;
            ip(&network.ns(place), "link set lo up")?;
        }
        match wan {
            None => network.bridge()?,
            Some(wan) => network.wire = Some(start_switch(prefix, sites, wan)?),
        }
        Ok(network)
    }

    /// Takes hold of a lab that is up, without owning it.
    #[must_use]
    pub fn attach(prefix: &str, sites: u8) -> Self {
        Self { prefix: prefix.to_owned(), sites, wire: None, keep: true }
    }

    /// Leaves the namespaces in place when this value is dropped; the switch too.
    pub fn keep(mut self) {
        self.keep = true;
        self.wire = None;
    }

    /// The name of a place's namespace.
    #[must_use]
    pub fn ns(&self, place: u8) -> String {
        ns(&self.prefix, place)
    }

    /// All places: the sites, then the one outside.
    pub fn places(&self) -> impl Iterator<Item = u8> + use<> {
        (1..=self.sites).chain([OUTSIDE])
    }

    /// Pids in a place's namespace.
    ///
    /// # Errors
    /// If the namespace is gone.
    pub fn pids(&self, place: u8) -> Result<Vec<i32>> {
        procs::in_netns(&netns::path(&self.ns(place)))
    }

    fn bridge(&self) -> Result<()> {
        let br = self.ns(OUTSIDE);
        ip(&br, "link add br0 type bridge forward_delay 0")?;
        ip(&br, &format!("addr add {} dev br0", address(OUTSIDE)))?;
        ip(&br, "link set br0 up")?;
        for n in 1..=self.sites {
            let ns = self.ns(n);
            ip(&ns, &format!("link add eth0 type veth peer name dc{n} netns {br}"))?;
            ip(&br, &format!("link set dc{n} master br0 up"))?;
            ip(&ns, &format!("addr add {} dev eth0", address(n)))?;
            ip(&ns, "link set eth0 up")?;
        }
        Ok(())
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if let Err(error) = down(&self.prefix) {
            eprintln!("chaos: {} is not quite down: {error:#}", self.prefix);
        }
        if let Some(mut wire) = self.wire.take() {
            // it has ended with its TAP devices or on the signal; reaped either way
            let _ = wire.kill();
            let _ = wire.wait();
        }
    }
}

/// The address of a place with its prefix length.
fn address(place: u8) -> String {
    format!("{NET}.{place}.1/16")
}

fn ns(prefix: &str, place: u8) -> String {
    if place == OUTSIDE { format!("{prefix}-br") } else { format!("{prefix}-dc{place}") }
}

/// `ip -n NS WORDS...`.
fn ip(ns: &str, words: &str) -> Result<()> {
    let mut args = vec!["-n", ns];
    args.extend(words.split(' '));
    netns::tool("ip", &args).map(drop)
}

/// Starts the switch as a process and waits until all devices are there.
fn start_switch(prefix: &str, sites: u8, wan: Wan) -> Result<Child> {
    let program = std::env::current_exe().context("where is chaos")?;
    let child = Command::new(program)
        .args(["switch", "--lab", prefix, "--sites", &sites.to_string()])
        .args(["--rtt", &wan.rtt_ms.to_string(), "--jitter", &wan.jitter_ms.to_string()])
        .args(["--loss", &wan.loss_permille.to_string()])
        .spawn()
        .context("start the switch")?;
    std::fs::write(switch_pid_file(prefix), child.id().to_string()).context("note the switch's pid")?;
    let deadline = Instant::now() + Duration::from_secs(5);
    for place in (1..=sites).chain([OUTSIDE]) {
        while ip(&ns(prefix, place), "link show eth0").is_err() {
            if Instant::now() > deadline {
                bail!("the switch made no device for place {place} in 5 s");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let ns = ns(prefix, place);
        ip(&ns, &format!("link set eth0 address {}", switch::mac_text(place)))?;
        ip(&ns, &format!("addr add {} dev eth0", address(place)))?;
        ip(&ns, "link set eth0 up")?;
    }
    Ok(child)
}

fn switch_pid_file(prefix: &str) -> PathBuf {
    PathBuf::from(format!("/run/{prefix}-switch.pid"))
}

/// Ends every process that lives in the namespaces of `prefix`, then removes them. Nothing else
/// is touched.
///
/// # Errors
/// If a namespace can't be removed.
pub fn down(prefix: &str) -> Result<()> {
    let names = existing(prefix)?;
    for signal in [Signal::SIGTERM, Signal::SIGKILL] {
        let deadline = Instant::now() + TERM_WAIT;
        let mut left = signal_all(&names, signal);
        while left > 0 && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(50));
            left = names.iter().map(|n| procs::in_netns(&netns::path(n)).map_or(0, |p| p.len())).sum();
        }
    }
    if let Ok(text) = std::fs::read_to_string(switch_pid_file(prefix)) {
        end_switch(prefix, &text);
    }
    for name in names {
        netns::tool("ip", &["netns", "del", &name])?;
    }
    Ok(())
}

/// Sends a signal to all in the namespaces (and wakes the stopped); how many there were.
fn signal_all(names: &[String], signal: Signal) -> usize {
    let mut count = 0;
    for name in names {
        for pid in procs::in_netns(&netns::path(name)).unwrap_or_default() {
            let _ = kill(Pid::from_raw(pid), signal); // gone meanwhile is fine
            let _ = kill(Pid::from_raw(pid), Signal::SIGCONT);
            count += 1;
        }
    }
    count
}

/// Ends the switch that was noted, if that pid still is one of ours.
fn end_switch(prefix: &str, noted: &str) {
    let _ = std::fs::remove_file(switch_pid_file(prefix));
    let Ok(pid) = noted.trim().parse::<i32>() else { return };
    let line = procs::command_line(pid);
    if line.iter().any(|w| w == "switch") && line.iter().any(|w| w == prefix) {
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// The namespaces of this lab that exist.
fn existing(prefix: &str) -> Result<Vec<String>> {
    let listed = netns::tool("ip", &["netns", "list"])?;
    let ours = |name: &str| {
        name.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).is_some_and(|rest| {
            rest == "br" || rest.strip_prefix("dc").is_some_and(|n| n.parse::<u8>().is_ok())
        })
    };
    let names = listed.lines().filter_map(|l| l.split(' ').next());
    Ok(names.filter(|n| ours(n)).map(str::to_owned).collect())
}
