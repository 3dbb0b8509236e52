//! A cgroup of the database's own, which `cgroup.kill` ends at once.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::path::{Path, PathBuf};

/// One cgroup (version 2) below that of the gate.
#[derive(Debug)]
pub(crate) struct Cgroup {
    directory: PathBuf,
    procs: File,
}

impl Cgroup {
    /// Makes a cgroup named `prefix` + a suffix of this process. Others with that prefix were
    /// left behind by earlier gates of the same database: they are killed and removed.
    pub(crate) fn create(prefix: &str) -> io::Result<Self> {
        let parent = own_directory()?;
        remove_leftovers(&parent, prefix);
        let directory =
            parent.join(format!("{prefix}-{}-{}", std::process::id(), rpc::clock::now().boottime));
        fs::create_dir(&directory)?;
        let made = || -> io::Result<File> {
            // Linux 5.14 and newer.
            fs::metadata(directory.join("cgroup.kill"))?;
            OpenOptions::new().write(true).open(directory.join("cgroup.procs"))
        };
        match made() {
            Ok(procs) => Ok(Self { directory, procs }),
            Err(e) => {
                let _ = fs::remove_dir(&directory);
                Err(e)
            }
        }
    }

    /// `cgroup.procs`, for a child that joins.
    pub(crate) fn procs(&self) -> RawFd {
        self.procs.as_raw_fd()
    }

    /// `cgroup.kill`, for the warden.
    pub(crate) fn kill_path(&self) -> PathBuf {
        self.directory.join("cgroup.kill")
    }

    /// SIGKILL to every process in it, those being forked too.
    pub(crate) fn kill(&self) -> io::Result<()> {
        fs::write(self.kill_path(), "1")
    }

    /// True while a process is in it that is not a zombie.
    pub(crate) fn is_populated(&self) -> bool {
        is_populated(&self.directory)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Fails while something is left in it: the next gate then kills and removes it.
        let _ = fs::remove_dir(&self.directory);
    }
}

/// When in doubt it is.
fn is_populated(directory: &Path) -> bool {
    match fs::read_to_string(directory.join("cgroup.events")) {
        Ok(text) => !text.lines().any(|line| line == "populated 0"),
        Err(e) => e.kind() != io::ErrorKind::NotFound,
    }
}

fn remove_leftovers(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let ours =
            name.to_str().and_then(|n| n.strip_prefix(prefix)).is_some_and(|rest| rest.starts_with('-'));
        if ours {
            let _ = fs::write(entry.path().join("cgroup.kill"), "1");
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// The gate's own cgroup in the version 2 hierarchy, wherever that is mounted.
fn own_directory() -> io::Result<PathBuf> {
    let absent = |what: &str| io::Error::new(io::ErrorKind::NotFound, what.to_owned());
    let mounts = fs::read_to_string("/proc/self/mountinfo")?;
    let (root, point) =
        mounts.lines().find_map(mount_of_cgroup2).ok_or_else(|| absent("no cgroup version 2 is mounted"))?;
    let groups = fs::read_to_string("/proc/self/cgroup")?;
    let own = groups
        .lines()
        .find_map(|l| l.strip_prefix("0::"))
        .ok_or_else(|| absent("no version 2 cgroup of this process"))?;
    let below = Path::new(own)
        .strip_prefix(&root)
        .map_err(|_| absent("this process's cgroup is outside the mount"))?;
    Ok(Path::new(&point).join(below))
}

/// (root within the hierarchy, mount point) of a line of mountinfo.
fn mount_of_cgroup2(line: &str) -> Option<(String, String)> {
    let (mount, kind) = line.split_once(" - ")?;
    kind.starts_with("cgroup2 ").then_some(())?;
    let mut fields = mount.split(' ').skip(3);
    Some((fields.next()?.to_owned(), fields.next()?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_in_both_layouts() {
        let hybrid = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime shared:9 - cgroup2 cgroup2 rw";
        assert_eq!(mount_of_cgroup2(hybrid), Some(("/".into(), "/sys/fs/cgroup/unified".into())));
        assert_eq!(mount_of_cgroup2("33 31 0:30 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu"), None);
    }
}
