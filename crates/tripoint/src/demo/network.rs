//! Three network namespaces joined by a fourth with a bridge: a site can be cut off.

use super::layout::SITES;
use super::postgres::install;
use anyhow::{Context, bail};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Checks that namespaces can be had here.
pub fn prepare(yes: bool) -> anyhow::Result<()> {
    if !nix::unistd::Uid::effective().is_root() {
        bail!(
            "the scenario `partition` uses network namespaces and needs root. Run it as root, or choose another"
        );
    }
    for (program, package) in [("ip", "iproute2"), ("nft", "nftables")] {
        if !["/usr/sbin", "/usr/bin", "/sbin", "/bin"].iter().any(|dir| Path::new(dir).join(program).exists())
        {
            install(program, &[package], yes)?;
        }
    }
    Ok(())
}

/// Makes the namespaces `prefix`-br and `prefix`-dcN with the addresses 10.77.N.1.
pub fn up(prefix: &str) -> anyhow::Result<()> {
    let bridge = format!("{prefix}-br");
    ip(&["netns", "add", &bridge])?;
    ip(&["-n", &bridge, "link", "set", "lo", "up"])?;
    ip(&["-n", &bridge, "link", "add", "br0", "type", "bridge", "forward_delay", "0"])?;
    ip(&["-n", &bridge, "addr", "add", "10.77.9.1/16", "dev", "br0"])?;
    ip(&["-n", &bridge, "link", "set", "br0", "up"])?;
    for n in 1..=SITES {
        let (site, port, address) = (format!("{prefix}-dc{n}"), format!("dc{n}"), format!("10.77.{n}.1/16"));
        ip(&["netns", "add", &site])?;
        ip(&["-n", &site, "link", "set", "lo", "up"])?;
        ip(&["-n", &site, "link", "add", "eth0", "type", "veth", "peer", "name", &port, "netns", &bridge])?;
        ip(&["-n", &bridge, "link", "set", &port, "master", "br0", "up"])?;
        ip(&["-n", &site, "addr", "add", &address, "dev", "eth0"])?;
        ip(&["-n", &site, "link", "set", "eth0", "up"])?;
    }
    Ok(())
}

/// Takes the namespaces away. Their processes must be gone.
pub fn down(prefix: &str) {
    let mut names: Vec<String> = (1..=SITES).map(|n| format!("{prefix}-dc{n}")).collect();
    names.push(format!("{prefix}-br"));
    for name in names {
        // One that was never made can't be taken away either.
        let _ = ip(&["netns", "del", &name]);
    }
}

/// Moves this thread, and all that it starts from now on, into a namespace.
pub fn enter(namespace: &str) -> anyhow::Result<()> {
    let file =
        File::open(format!("/run/netns/{namespace}")).with_context(|| format!("no namespace {namespace}"))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("{namespace} can't be entered"))
}

/// Cuts a site off from all others: dropped on arrival, at both ends, so that senders see
/// silence as with a real cut.
pub fn cut(prefix: &str, site: usize) -> anyhow::Result<()> {
    for n in 1..=SITES {
        let rule = if n == site {
            "iifname \"eth0\" drop".to_owned()
        } else {
            format!("ip saddr 10.77.{site}.0/24 drop")
        };
        let namespace = format!("{prefix}-dc{n}");
        let chain = format!("type filter hook input priority -20;\n{rule}\n");
        let table = format!("table inet demo_cut {{\nchain input {{\n{chain}}}\n}}\n");
        let mut child = Command::new("nsenter")
            .arg(format!("--net=/run/netns/{namespace}"))
            .args(["--", "nft", "-f", "-"])
            .stdin(Stdio::piped())
            .spawn()?;
        child.stdin.take().context("no pipe to nft")?.write_all(table.as_bytes())?;
        if !child.wait()?.success() {
            bail!("nft refused the cut in {namespace}");
        }
    }
    Ok(())
}

fn ip(arguments: &[&str]) -> anyhow::Result<()> {
    let output = Command::new("ip").args(arguments).output().context("ip can't be run")?;
    if !output.status.success() {
        bail!("ip {}: {}", arguments.join(" "), String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
