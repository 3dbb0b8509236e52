//! Running things inside a named network namespace.
//!
//! A process is put there by `setns` between fork and exec, not by `ip netns exec`: that one also
//! mounts a new /sys, and the control groups that a gate needs would be gone.

use anyhow::{Context, Result, bail};
use nix::sched::{CloneFlags, setns};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Where `ip netns` keeps a namespace.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    PathBuf::from("/run/netns").join(name)
}

/// A command that will run in the namespace `name`, in a session of its own.
///
/// # Errors
/// If there is no such namespace.
pub fn command(name: &str, program: &str) -> Result<Command> {
    let file = File::open(path(name)).with_context(|| format!("network namespace {name}"))?;
    let mut command = Command::new(program);
    // SAFETY: between fork and exec only setns and setsid run; both are plain system calls that
    // are async-signal-safe, and `file` is owned by the closure, so that its descriptor is open.
    unsafe {
        command.pre_exec(move || {
            setns(&file, CloneFlags::CLONE_NEWNET)?;
            nix::unistd::setsid()?;
            Ok(())
        });
    }
    Ok(command)
}

/// Runs `work` on a thread of its own inside the namespace and returns what it returns.
///
/// # Errors
/// If there is no such namespace, or `work` fails.
pub fn inside<T: Send + 'static>(name: &str, work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let file = File::open(path(name)).with_context(|| format!("network namespace {name}"))?;
    let thread = std::thread::spawn(move || {
        setns(&file, CloneFlags::CLONE_NEWNET).context("setns")?;
        work()
    });
    match thread.join() {
        Ok(result) => result,
        Err(_) => bail!("the thread inside {name} panicked"),
    }
}

/// Runs a tool of this machine to its end and returns what it printed.
///
/// # Errors
/// If it can't be started or ends with another code than 0; the text says what it printed.
pub fn tool(program: &str, args: &[&str]) -> Result<String> {
    finish(Command::new(program).args(args), program, args)
}

fn finish(command: &mut Command, program: &str, args: &[&str]) -> Result<String> {
    let output = command.output().with_context(|| format!("start {program}"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {} {}", args.join(" "), output.status, text.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
