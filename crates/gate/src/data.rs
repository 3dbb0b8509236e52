//! What the data directory says, without a word of SQL: the control file, `standby.signal`,
//! `postmaster.pid`.

use coordination::permit::Data;
use model::{Lsn, Timeline};
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
        Some(Self { state, checkpoint: Lsn(checkpoint), timeline: Timeline(u32_at(48)?) })
    }

    /// True after a clean shutdown, of a primary or in recovery.
    pub(crate) fn is_clean(&self) -> bool {
        matches!(self.state, State::ShutDown | State::ShutDownInRecovery)
    }
}

/// The data directory of one database.
pub(crate) struct DataDirectory {
    path: PathBuf,
    /// Major version of the server that would be started, if it is known.
    version: Option<String>,
}

impl DataDirectory {
    pub(crate) fn new(path: &Path, version: Option<String>) -> Self {
        Self { path: path.to_owned(), version }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What is there at this instant.
    pub(crate) fn look(&self) -> Data {
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
