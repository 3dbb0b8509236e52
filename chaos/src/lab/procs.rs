//! What processes there are, seen from outside by /proc: a pid file may lie (inside a PID
//! namespace it says another number), and a zombie is no life.

use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A process with the moment it was started: a pid alone may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Process {
    /// Its pid, in our namespace.
    pub pid: i32,
    /// Start time in clock ticks since boot.
    pub started: u64,
    /// Its parent's pid.
    pub parent: i32,
    /// State as in /proc/PID/stat: R, S, D, T, Z, ...
    pub state: char,
}

/// All pids of the machine.
fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").into_iter().flatten();
    entries.filter_map(|e| e.ok()?.file_name().to_str()?.parse().ok())
}

/// The pids whose network namespace is the one at `namespace`. Zombies are left out.
///
/// # Errors
/// If the namespace is gone.
pub fn in_netns(namespace: &Path) -> Result<Vec<i32>> {
    let wanted = fs::metadata(namespace).with_context(|| namespace.display().to_string())?.ino();
    let of = |pid: &i32| fs::metadata(format!("/proc/{pid}/ns/net")).is_ok_and(|m| m.ino() == wanted);
    Ok(pids().filter(of).collect())
}

/// The processes that work in `directory`, by /proc/PID/cwd.
#[must_use]
pub fn working_in(directory: &Path) -> Vec<Process> {
    let Ok(wanted) = fs::metadata(directory) else { return Vec::new() };
    let same = |pid: &i32| {
        fs::metadata(format!("/proc/{pid}/cwd"))
            .is_ok_and(|m| m.ino() == wanted.ino() && m.dev() == wanted.dev())
    };
    pids().filter(same).filter_map(stat).filter(|p| p.state != 'Z').collect()
}

/// What /proc says of one process.
#[must_use]
pub fn stat(pid: i32) -> Option<Process> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(pid, &text)
}

fn parse_stat(pid: i32, text: &str) -> Option<Process> {
    // the name may hold spaces and parentheses: what counts comes after the last one
    let (_, rest) = text.rsplit_once(") ")?;
    let words: Vec<&str> = rest.split(' ').collect();
    Some(Process {
        pid,
        state: words.first()?.chars().next()?,
        parent: words.get(1)?.parse().ok()?,
        started: words.get(19)?.parse().ok()?,
    })
}

/// The words of its command line; empty for a zombie or if it is gone.
#[must_use]
pub fn command_line(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let words = bytes.split(|b| *b == 0).filter(|w| !w.is_empty());
    words.map(|w| String::from_utf8_lossy(w).into_owned()).collect()
}

/// The postmaster that serves `data`: it works there, runs `postgres`, and is no child of another
/// process that works there. With orphans of an older one about, the youngest.
#[must_use]
pub fn postmaster(data: &Path) -> Option<Process> {
    let all = working_in(data);
    let is_server = |p: &&Process| {
        let line = command_line(p.pid);
        let program = line.first().map(String::as_str).unwrap_or_default();
        program.ends_with("/postgres") || program == "postgres"
    };
    let root = |p: &&Process| !all.iter().any(|other| other.pid == p.parent);
    all.iter().filter(root).filter(is_server).max_by_key(|p| p.started).copied()
}

/// The processes among these that run a program of this name.
#[must_use]
pub fn running(pids: &[i32], program: &str) -> Vec<i32> {
    let runs = |pid: &&i32| {
        let line = command_line(**pid);
        line.first().is_some_and(|word| word.rsplit('/').next() == Some(program))
    };
    pids.iter().filter(runs).copied().collect()
}

/// Backends that serve clients of the server at `data`: (pid, title).
#[must_use]
pub fn client_backends(data: &Path) -> Vec<(i32, String)> {
    let titles = working_in(data).into_iter().map(|p| (p.pid, command_line(p.pid).join(" ")));
    titles
        .filter(|(_, t)| t.starts_with("postgres: ") && t.contains(" 10."))
        .filter(|(_, t)| !t.contains("walsender"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_is_no_trap() {
        let text = "42 (a) b (c)) S 7 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 12345 1 2 3";
        let found = parse_stat(42, text).expect("it is well formed");
        assert_eq!((found.state, found.parent, found.started), ('S', 7, 12_345));
    }

    #[test]
    fn this_process_works_in_its_directory_and_is_found() {
        let here = std::env::current_dir().expect("there is one");
        let own = i32::try_from(std::process::id()).expect("pids fit");
        assert!(working_in(&here).iter().any(|p| p.pid == own));
    }
}
