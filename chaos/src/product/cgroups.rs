//! The control groups that gates make: a gate that is killed can't remove its own, so the lab does.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Where the second version of control groups may be mounted.
const MOUNTS: [&str; 2] = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"];
/// How long the killed may take to leave theirs.
const EMPTY_PATIENCE: Duration = Duration::from_secs(2);

/// The gates' groups that these processes are in.
#[must_use]
pub fn of(pids: &[i32]) -> BTreeSet<PathBuf> {
    let Some(mount) = MOUNTS.iter().map(Path::new).find(|m| m.join("cgroup.procs").exists()) else {
        return BTreeSet::new();
    };
    let group = |pid: &i32| {
        let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).ok()?;
        let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?.to_owned();
        let ours = path.rsplit('/').next()?.starts_with("tripoint-");
        ours.then(|| mount.join(path))
    };
    pids.iter().filter_map(group).collect()
}

/// Removes empty groups; one that is not empty in time stays.
pub fn remove(groups: &BTreeSet<PathBuf>) {
    let deadline = Instant::now() + EMPTY_PATIENCE;
    for group in groups {
        while fs::remove_dir(group).is_err() && group.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}
