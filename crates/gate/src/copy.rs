//! What the copy is, as its files show it: for the choice of how it comes home.

use crate::beside::{self, Beside};
use crate::data::DataDirectory;
use coordination::permit::Data;
use model::{CopyReport, CopyState, CopyTask, Diverged, Timeline, WalPosition};
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Measures a directory on a thread of its own, once.
#[derive(Default)]
pub(crate) struct Size {
    bytes: Arc<AtomicU64>,
    asked: bool,
}

impl Size {
    /// The size, if it is known by now; asks for it if nobody has.
    pub(crate) fn get(&mut self, path: &Path) -> u64 {
        if !self.asked {
            self.asked = true;
            let (bytes, path) = (Arc::clone(&self.bytes), path.to_owned());
            let measure = move || bytes.store(beside::size_of(&path), Ordering::Relaxed);
            // Without it there is no preflight of the space, and no estimate.
            let _ = std::thread::Builder::new().name("gate-size".into()).spawn(measure);
        }
        self.bytes.load(Ordering::Relaxed)
    }
}

/// The report, from the files and from what was found out before.
pub(crate) fn report(
    data: &DataDirectory,
    size: u64,
    diverged: Option<Diverged>,
    task: Option<CopyTask>,
) -> CopyReport {
    let mark = data.beside().mark();
    let free = free(data.path());
    let state = match data.look_at_files() {
        Data::Standby => CopyState::Standby,
        Data::Primary => CopyState::Primary,
        Data::Absent if is_empty(data.path()) => CopyState::Absent,
        Data::Absent => CopyState::Unreadable,
    };
    let Some(control) = data.control() else {
        return CopyReport { state, mark, free, size, task, ..CopyReport::absent() };
    };
    let timeline = control.newest_timeline();
    CopyReport {
        state,
        system_id: control.more.map(|more| more.system_id),
        timeline,
        parents: parents(data.path(), timeline),
        checkpoint: control.checkpoint,
        clean: control.is_clean(),
        can_rewind: control.more.is_some_and(|more| more.hints_or_checksums),
        size,
        free,
        mark,
        diverged,
        task,
    }
}

fn is_empty(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(e) => e.kind() == std::io::ErrorKind::NotFound,
    }
}

/// Free space beside the data directory, for those who are not root; 0 if it is not known.
fn free(data: &Path) -> u64 {
    let Some(parent) = data.parent() else { return 0 };
    nix::sys::statvfs::statvfs(parent).map_or(0, |s| s.blocks_available().saturating_mul(s.fragment_size()))
}

/// A timeline's history: `1<tab>0/3000000<tab>reason` for each earlier one.
fn parents(data: &Path, timeline: Timeline) -> Vec<WalPosition> {
    let file = data.join("pg_wal").join(format!("{:08X}.history", timeline.0));
    let text = fs::read_to_string(file).unwrap_or_default();
    let line = |line: &str| {
        let mut words = line.split_whitespace();
        let timeline = Timeline(words.next()?.parse().ok()?);
        Some(WalPosition { timeline, lsn: words.next()?.parse().ok()? })
    };
    text.lines().filter_map(line).collect()
}

/// KiB done and in all, from the last progress line of `pg_basebackup -P` or `pg_rewind -P`:
/// `  12345/67890 kB (18%), 0/1 tablespace`.
pub(crate) fn progress(beside: &Beside, log: &str) -> (u64, Option<u64>) {
    let text = fs::read(beside.at(log)).unwrap_or_default();
    let tail = &text[text.len().saturating_sub(400)..];
    let tail = String::from_utf8_lossy(tail);
    let number = |line: &str| {
        let (done, total) = line.split_once(" kB")?.0.trim().rsplit(' ').next()?.split_once('/')?;
        Some((done.trim().parse().ok()?, total.trim().parse().ok()))
    };
    tail.rsplit(['\r', '\n']).find_map(number).unwrap_or((0, None))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tools_progress_is_read() {
        let root = tempfile::tempdir().expect("a directory");
        let beside = Beside::new(&root.path().join("data"));
        fs::create_dir(beside.at("")).expect("made");
        fs::write(
            beside.at("log"),
            "waiting for checkpoint\n    0/31461 kB (0%), 0/1 tablespace\r15000/31461 kB (47%), 0/1 tablespace\r",
        )
        .expect("written");
        assert_eq!(progress(&beside, "log"), (15_000, Some(31_461)));
        assert_eq!(progress(&beside, "absent"), (0, None));
    }

    #[test]
    fn a_history_names_earlier_timelines() {
        let root = tempfile::tempdir().expect("a directory");
        fs::create_dir(root.path().join("pg_wal")).expect("made");
        fs::write(
            root.path().join("pg_wal/00000003.history"),
            "1\t0/3000060\tno recovery target specified\n\n# a comment\n2\t0/5000000\tx\n",
        )
        .expect("written");
        let found = parents(root.path(), Timeline(3));
        assert_eq!(found.len(), 2);
        assert_eq!(found[1], WalPosition { timeline: Timeline(2), lsn: model::Lsn(0x500_0000) });
    }
}
