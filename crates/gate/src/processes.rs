//! Finds processes in /proc: those whose working directory is the data directory (every
//! process of a PostgreSQL server has it), and descendants.

use crate::sys::Pid;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A directory as the file system knows it, however it is named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DirectoryId {
    device: u64,
    inode: u64,
}

impl DirectoryId {
    /// Of this path, if it is there.
    pub(crate) fn of(path: &Path) -> Option<Self> {
        let data = fs::metadata(path).ok()?;
        Some(Self { device: data.dev(), inode: data.ino() })
    }
}

/// All processes but this one.
fn all() -> impl Iterator<Item = Pid> {
    let own = Pid::try_from(std::process::id()).unwrap_or(0);
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(move |pid| *pid != own)
}

/// Processes that are in this directory. A zombie is in none.
pub(crate) fn inside(directory: DirectoryId) -> Vec<Pid> {
    all().filter(|pid| DirectoryId::of(Path::new(&format!("/proc/{pid}/cwd"))) == Some(directory)).collect()
}

/// Those of [`inside`] that belong to a PostgreSQL server: an administrator's shell does not.
pub(crate) fn servers(directory: DirectoryId) -> Vec<Pid> {
    inside(directory).into_iter().filter(|pid| is_server(&title(*pid))).collect()
}

fn is_server(title: &str) -> bool {
    let program = title.split(' ').next().and_then(|word| word.rsplit('/').next()).unwrap_or("");
    title.starts_with("postgres: ") || matches!(program, "postgres" | "postmaster")
}

/// Those of [`inside`] whose title (`postgres: walreceiver ...`) names this part of the server.
pub(crate) fn titled(directory: DirectoryId, part: &str) -> Vec<Pid> {
    inside(directory)
        .into_iter()
        .filter(|pid| title(*pid).starts_with("postgres: ") && title(*pid).contains(part))
        .collect()
}

/// Its command line, words parted by spaces; empty if it is gone.
pub(crate) fn title(pid: Pid) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Living descendants of a process, at any depth, without those of `except`.
pub(crate) fn descendants(ancestor: Pid, except: &BTreeSet<Pid>) -> Vec<Pid> {
    let mut children: BTreeMap<Pid, Vec<Pid>> = BTreeMap::new();
    for pid in all() {
        if let Some((state, parent)) = state_and_parent(pid)
            && state != 'Z'
        {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut open = vec![ancestor];
    while let Some(pid) = open.pop() {
        let next = children.remove(&pid).unwrap_or_default();
        let next = next.into_iter().filter(|child| !except.contains(child));
        for child in next {
            found.push(child);
            open.push(child);
        }
    }
    found
}

fn state_and_parent(pid: Pid) -> Option<(char, Pid)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_whitespace();
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_told_from_shells_and_tools() {
        for title in [
            "postgres: walreceiver streaming 0/3000060",
            "/usr/lib/postgresql/15/bin/postgres -D x",
            "postgres -D x",
        ] {
            assert!(is_server(title), "{title}");
        }
        for title in ["-bash", "pg_rewind --target-pgdata=/var/lib/postgres", "vim postgresql.conf", ""] {
            assert!(!is_server(title), "{title}");
        }
    }

    #[test]
    fn a_child_is_a_descendant_and_is_where_it_was_started() {
        let directory = tempfile::tempdir().expect("a directory");
        let mut child = std::process::Command::new("sleep")
            .arg("60")
            .current_dir(directory.path())
            .spawn()
            .expect("started");
        let pid = Pid::try_from(child.id()).expect("a pid");
        let id = DirectoryId::of(directory.path()).expect("there");
        assert_eq!(inside(id), [pid]);
        let own = Pid::try_from(std::process::id()).expect("a pid");
        assert!(descendants(own, &BTreeSet::new()).contains(&pid));
        assert!(!descendants(own, &BTreeSet::from([pid])).contains(&pid));
        child.kill().expect("killed");
        child.wait().expect("reaped");
        assert!(inside(id).is_empty());
    }
}
