//! A database that does what the test says.

use crate::drivers::{DatabaseDriver, Detachment, DriverError, DriverFuture, Permit};
use model::{DatabaseReport, DatabaseRole, WalPosition};
use std::sync::{Mutex, PoisonError};

pub(super) struct State {
    pub report: DatabaseReport,
    pub end: Option<WalPosition>,
    pub promoted: Option<WalPosition>,
    writes: usize,
    dropped: usize,
}

pub(super) struct Database(Mutex<State>);

impl Database {
    pub(super) fn new() -> Self {
        let report = DatabaseReport { role: DatabaseRole::Standby, ..DatabaseReport::unknown() };
        Self(Mutex::new(State { report, end: None, promoted: None, writes: 0, dropped: 0 }))
    }

    pub(super) fn set<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn writes(&self) -> usize {
        self.set(|d| d.writes)
    }

    pub(super) fn dropped(&self) -> usize {
        self.set(|d| d.dropped)
    }
}

fn is<T: Send + 'static>(value: Result<T, DriverError>) -> DriverFuture<'static, T> {
    Box::pin(async move { value })
}

impl DatabaseDriver for Database {
    fn observe(&self) -> DriverFuture<'_, DatabaseReport> {
        is(Ok(self.set(|d| d.report.clone())))
    }
    fn write_probe(&self, permit: Permit) -> DriverFuture<'_, ()> {
        let primary = self.set(|d| d.report.role == DatabaseRole::Primary);
        if !permit() || !primary {
            return is(Err(DriverError::Refused("no permit, or no primary".to_owned())));
        }
        self.set(|d| d.writes += 1);
        is(Ok(()))
    }
    fn in_recovery(&self) -> DriverFuture<'_, bool> {
        is(Ok(self.set(|d| d.promoted.is_none())))
    }
    fn detachment(&self) -> DriverFuture<'_, Detachment> {
        let end = self.set(|d| d.end);
        is(Ok(end.map_or_else(|| Detachment::Attached("still".to_owned()), Detachment::Detached)))
    }
    fn promotion(&self) -> DriverFuture<'_, WalPosition> {
        is(self.set(|d| d.promoted).ok_or_else(|| DriverError::Refused("a standby".to_owned())))
    }
    fn drop_connections(&self) {
        self.set(|d| d.dropped += 1);
    }
}
