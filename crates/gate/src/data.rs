//! What the data directory says, without a word of SQL: the control file, `standby.signal`,
//! `postmaster.pid`.

use crate::beside::Beside;
use coordination::permit::Data;
use model::{Lsn, SystemId, Timeline};
use std::fs;
use std::path::{Path, PathBuf};

/// State of the cluster in `global/pg_control` (DBState).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    Startup,
    ShutDown,
    ShutDownInRecovery,
    ShuttingDown,
    InCrashRecovery,
    InArchiveRecovery,
    InProduction,
}

/// What the gate reads of `global/pg_control`. The layout of these fields has been the same
/// since PostgreSQL 9.x.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Control {
    pub(crate) state: State,
    pub(crate) checkpoint: Lsn,
    pub(crate) timeline: Timeline,
    /// The highest timeline that recovery must have reached; 0 on a primary.
    pub(crate) recovery_timeline: Timeline,
    /// None if this version's layout is another one.
    pub(crate) more: Option<More>,
}

/// What lies further behind in the file, where versions may differ: believed only if the format
/// mark of the floating point numbers is where it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct More {
    pub(crate) system_id: SystemId,
    pub(crate) hints_or_checksums: bool,
    pub(crate) segment_size: u64,
}

impl Control {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let checkpoint = u64::from_ne_bytes(bytes.get(32..40)?.try_into().ok()?);
        let state = match u32_at(16)? {
            0 => State::Startup,
            1 => State::ShutDown,
            2 => State::ShutDownInRecovery,
            3 => State::ShuttingDown,
            4 => State::InCrashRecovery,
            5 => State::InArchiveRecovery,
            6 => State::InProduction,
            _ => return None,
        };
        let recovery_timeline = Timeline(u32_at(144).unwrap_or(0));
        let (checkpoint, timeline) = (Lsn(checkpoint), Timeline(u32_at(48)?));
        Some(Self { state, checkpoint, timeline, recovery_timeline, more: More::parse(bytes) })
    }

    /// The timeline of the newest WAL that it must have.
    pub(crate) fn newest_timeline(&self) -> Timeline {
        self.timeline.max(self.recovery_timeline)
    }

    /// True after a clean shutdown, of a primary or in recovery.
    pub(crate) fn is_clean(&self) -> bool {
        matches!(self.state, State::ShutDown | State::ShutDownInRecovery)
    }
}

impl More {
    fn parse(bytes: &[u8]) -> Option<Self> {
        let u32_at = |at: usize| Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
        let u64_at = |at: usize| Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        let segment_size = u64::from(u32_at(228)?);
        if u64_at(208)? != FLOAT_FORMAT.to_bits() || !segment_size.is_power_of_two() {
            return None;
        }
        let (hints, checksums) = (*bytes.get(176)?, u32_at(252)?);
        let hints_or_checksums = hints != 0 || checksums != 0;
        Some(Self { system_id: SystemId(u64_at(0)?), hints_or_checksums, segment_size })
    }
}

/// What PostgreSQL writes to tell formats of floating point numbers apart.
const FLOAT_FORMAT: f64 = 1_234_567.0;

/// The data directory of one database.
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// Major version of the server that would be started, if it is known.
    version: Option<String>,
    beside: Beside,
}

impl DataDirectory {
    pub(crate) fn new(path: &Path, version: Option<String>) -> Self {
        Self { path: path.to_owned(), version, beside: Beside::new(path) }
    }

    pub(crate) fn beside(&self) -> &Beside {
        &self.beside
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there at this instant.
    pub(crate) fn look(&self) -> Data {
        if self.beside.is_lost() {
            // A rewind of it began and did not end: it must not run, whatever it looks like.
            return Data::Absent;
        }
        self.look_at_files()
    }

    /// The same, without a look at the marker.
    pub(crate) fn look_at_files(&self) -> Data {
        let version = fs::read_to_string(self.path.join("PG_VERSION")).ok();
        let fits = match (&version, &self.version) {
            (Some(found), Some(server)) => found.trim() == server,
            (found, _) => found.is_some(),
        };
        if !fits || self.control().is_none() {
            return Data::Absent;
        }
        match self.path.join("standby.signal").try_exists() {
            Ok(true) => Data::Standby,
            Ok(false) => Data::Primary,
            // Not known (too many open files): then nothing is started, and nothing is killed.
            Err(_) => Data::Absent,
        }
    }

    /// The control file. Two equal reads: the server writes it in one piece, but not under a
    /// lock that we could take.
    pub(crate) fn control(&self) -> Option<Control> {
        let path = self.path.join("global/pg_control");
        for _ in 0..3 {
            let (a, b) = (fs::read(&path).ok()?, fs::read(&path).ok()?);
            if a == b {
                return Control::parse(&a);
            }
        }
        None
    }

    /// True once the postmaster says that it takes connections (last line of `postmaster.pid`).
    pub(crate) fn is_ready(&self) -> bool {
        let text = fs::read_to_string(self.path.join("postmaster.pid")).unwrap_or_default();
        text.lines().nth(7).is_some_and(|line| line.trim() == "ready")
    }

    /// True if there is a `postmaster.pid`: something runs there or crashed there.
    pub(crate) fn has_postmaster_pid(&self) -> bool {
        self.path.join("postmaster.pid").exists()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_or_strange_control_file_is_none() {
        assert_eq!(Control::parse(&[0; 20]), None);
        let mut bytes = [0_u8; 64];
        bytes[16] = 5;
        bytes[48] = 3;
        let control = Control::parse(&bytes).expect("all fields there");
        assert_eq!((control.state, control.timeline), (State::InArchiveRecovery, Timeline(3)));
        bytes[16] = 9;
        assert_eq!(Control::parse(&bytes), None);
    }
}
