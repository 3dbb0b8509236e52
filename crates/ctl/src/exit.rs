//! The exit codes: stable, documented in `tripoint --help`.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done, and all is well.
    Ok,
    /// The operation was refused or failed.
    Failed,
    /// Wrong usage or configuration.
    Usage,
    /// No witness could be reached.
    Unreachable,
    /// A witness answered, but its view is stale or there is no quorum.
    Stale,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(match exit {
            Exit::Ok => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::Unreachable => 3,
            Exit::Stale => 4,
        })
    }
}
