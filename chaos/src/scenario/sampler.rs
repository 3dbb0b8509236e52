//! Looks again and again, from outside, at which processes work in a data directory.

use crate::clock;
use crate::lab::procs;
use simulation::checkers::ProcessSeen;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(25);

/// A thread that looks until it is asked for what it saw.
pub struct Sampler {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<ProcessSeen>>>,
}

impl Drop for Sampler {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

impl Sampler {
    /// Begins to look.
    #[must_use]
    pub fn start(data: PathBuf) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !flag.load(Ordering::Relaxed) {
                seen.look(&data);
                std::thread::sleep(LOOK);
            }
            seen.processes.into_values().collect()
        });
        Self { stop, thread: Some(thread) }
    }

    /// Ends, and tells what was seen.
    #[must_use]
    pub fn finish(mut self) -> Vec<ProcessSeen> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().and_then(|thread| thread.join().ok()).unwrap_or_default()
    }
}

#[derive(Default)]
struct Seen {
    processes: BTreeMap<(i32, u64), ProcessSeen>,
    latest: u64,
}

impl Seen {
    fn look(&mut self, data: &Path) {
        let all = procs::working_in(data);
        for process in &all {
            let key = (process.pid, process.started);
            if let Some(known) = self.processes.get_mut(&key) {
                known.last = clock::now();
                continue;
            }
            let Some(generation) = self.generation(process, &all) else { continue };
            let now = clock::now();
            let pid = u32::try_from(process.pid).unwrap_or(0);
            self.processes.insert(key, ProcessSeen { pid, generation, first: now, last: now });
        }
    }

    /// Its parent's generation; a new one for a postmaster; none for what is no server process
    /// (a helper of the gate that happens to work there).
    fn generation(&mut self, process: &procs::Process, all: &[procs::Process]) -> Option<u64> {
        let parent = all.iter().find(|p| p.pid == process.parent);
        if let Some(known) = parent.and_then(|p| self.processes.get(&(p.pid, p.started))) {
            return Some(known.generation);
        }
        let line = procs::command_line(process.pid);
        let title = line.first().map(String::as_str).unwrap_or_default();
        if title.starts_with("postgres: ") {
            return Some(self.latest);
        }
        if title.ends_with("/postgres") || title == "postgres" {
            self.latest = process.started;
            return Some(self.latest);
        }
        None
    }
}
