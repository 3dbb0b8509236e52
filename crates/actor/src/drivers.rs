//! What the actor wants of an outside system. The `driver-*` crates implement it.

use model::{DatabaseReport, Lsn, StackId, WalPosition};
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

/// What a driver's method returns.
pub type DriverFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, DriverError>> + Send + 'a>>;

/// Says, by the clocks of the instant at which it is called, whether the stack may run.
pub type Permit = Arc<dyn Fn() -> bool + Send + Sync>;

/// One database server, as its actor sees and asks it. The actor never starts, stops or
/// promotes it: its gate does.
///
/// Every method keeps a deadline of its own; what it returns after is dropped by the caller.
pub trait DatabaseDriver: Send + Sync + 'static {
    /// What the database is at the moment. A server that is down is no error but a report that
    /// says so. `write_age` is left empty: only the actor knows it.
    fn observe(&self) -> DriverFuture<'_, DatabaseReport>;

    /// Writes one row on a primary and waits for the local flush. `permit` is asked in the step
    /// that sends the write; its no is an error of the kind [`DriverError::Refused`].
    fn write_probe(&self, permit: Permit) -> DriverFuture<'_, ()>;

    /// Whether the server is in recovery, by the quickest way there is.
    fn in_recovery(&self) -> DriverFuture<'_, bool>;

    /// Whether the standby has let go of its primary, and where its WAL ends.
    fn detachment(&self) -> DriverFuture<'_, Detachment>;

    /// The timeline that a primary writes, and where it left recovery (of a server that was
    /// never in recovery since its start: where it writes now).
    fn promotion(&self) -> DriverFuture<'_, WalPosition>;

    /// Sees to it that these physical slots are there and keep no more WAL than is needed: one that
    /// was lost is made anew, those of a standby are advanced to its last restartpoint. What was
    /// done, for the log.
    fn keep_slots(&self, slots: Vec<String>) -> DriverFuture<'_, Vec<String>> {
        let _nothing_to_keep = slots;
        Box::pin(async { Ok(Vec::new()) })
    }

    /// Drops every session at once. Called from any thread; must not block.
    fn drop_connections(&self);
}

/// How far a detachment has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Detachment {
    /// It can still receive; the text says what is left.
    Attached(String),
    /// It receives nothing more, but has not yet replayed all that it holds, and only the end of
    /// the replay will tell where its WAL ends.
    Replaying(Lsn),
    /// It receives nothing more, and its WAL ends here.
    Detached(WalPosition),
}

/// Why a driver's method had no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DriverError {
    /// Nothing listens, or the server takes no sessions.
    #[error("{0}")]
    Down(String),
    /// No answer within the deadline: it may have had its effect.
    #[error("{0}")]
    Timeout(String),
    /// The server answered with an error: no effect.
    #[error("{0}")]
    Refused(String),
}

/// All drivers of one actor.
#[derive(Clone, Default)]
pub struct Drivers {
    /// One for each stack of the configuration.
    pub databases: BTreeMap<StackId, Arc<dyn DatabaseDriver>>,
}
