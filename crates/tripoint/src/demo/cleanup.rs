//! Ends all that a demo started and removes what it made, however it ended.

use super::layout::{Layout, MARKER_FILE};
use super::narrate::{heading, step};
use super::{network, processes};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Lines of a log that are shown after a failure.
const LOG_LINES: usize = 6;

/// Cleans up when it is dropped: at the end, on Ctrl-C, on a failure, on a panic.
pub struct Cleanup {
    dir: PathBuf,
    prefix: Option<String>,
    keep: bool,
}

impl Cleanup {
    /// Makes the demo's directory and marks it as one. Must not be there yet, or be empty.
    pub fn claim(dir: PathBuf, prefix: Option<String>) -> anyhow::Result<Self> {
        let taken = std::fs::read_dir(&dir).is_ok_and(|mut entries| entries.next().is_some());
        if taken {
            bail!(
                "{} is not empty; choose another directory, or end a demo there with --stop",
                dir.display()
            );
        }
        super::layout::make(&dir, 0o755)?;
        std::fs::write(dir.join(MARKER_FILE), prefix.as_deref().unwrap_or_default())?;
        Ok(Self { dir, prefix, keep: false })
    }

    /// Leaves everything as it is.
    pub const fn keep(&mut self) {
        self.keep = true;
    }
}

impl Drop for Cleanup {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        match clean(&self.dir, self.prefix.as_deref()) {
            Ok(count) => step(&format!("{count} processes ended, {} removed", self.dir.display())),
            Err(error) => eprintln!("not all could be cleaned up: {error:#}"),
        }
    }
}

/// Ends a demo that was left running.
pub fn stop(dir: &Path) -> anyhow::Result<()> {
    let dir = std::path::absolute(dir)?;
    let marker = std::fs::read_to_string(dir.join(MARKER_FILE))
        .with_context(|| format!("{} is no demo's directory: it has no file {MARKER_FILE}", dir.display()))?;
    let prefix = Some(marker.trim()).filter(|prefix| !prefix.is_empty());
    let count = clean(&dir, prefix)?;
    step(&format!("{count} processes ended, {} removed", dir.display()));
    Ok(())
}

fn clean(dir: &Path, prefix: Option<&str>) -> anyhow::Result<usize> {
    let ended = processes::end(dir);
    if let Some(prefix) = prefix {
        network::down(prefix);
    }
    let removed = std::fs::remove_dir_all(dir).with_context(|| format!("{} can't be removed", dir.display()));
    let count = ended?;
    removed?;
    Ok(count)
}

/// The end of each log, for whom something went wrong.
pub fn show_logs(layout: &Layout) {
    for site in &layout.sites {
        for process in ["witness", "actor", "gate"] {
            let Ok(text) = std::fs::read_to_string(site.log(process)) else { continue };
            let lines: Vec<&str> = text.lines().collect();
            if lines.is_empty() {
                continue;
            }
            heading(&format!("{} {process}: the end of its log", site.name));
            for line in &lines[lines.len().saturating_sub(LOG_LINES)..] {
                ctl::out::line(&format!("  {line}"));
            }
        }
    }
}
