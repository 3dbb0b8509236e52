//! What the main thread shows to the other threads, and the events that they hand it.

use coordination::permit::{self, Mode};
use coordination::rejoin::Way;
use model::{DatabaseReport, Deadline, Epoch, GateReport, Moment, StepOutcome, SystemId, TimedAck, Timeline};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Everything that can happen to a gate.
#[derive(Debug)]
pub(crate) enum Event {
    /// A signal for this process.
    Signal(i32),
    /// A stream to the actor was made: its orders are numbered anew.
    Attached,
    /// The stream broke.
    Away,
    /// The actor answered the ask that was sent then.
    Answer(Moment, Box<Answer>),
    /// The actor wants something done once.
    Order(u64, Order),
}

/// Answer to one ask.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// What the group says.
    pub(crate) word: permit::Answer,
    /// What the actor sees of the database, for the role endpoint.
    pub(crate) database: Option<DatabaseReport>,
}

/// Something to do once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    Detach { epoch: Epoch },
    Follow { epoch: Epoch, conninfo: String, slot: String },
    Relinquish { epoch: Epoch },
    Promote { epoch: Epoch, timeline_highest: Timeline },
    Stop { epoch: Epoch },
    Rejoin(Box<Job>),
}

/// How a copy is to be brought home.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Job {
    pub(crate) epoch: Epoch,
    pub(crate) way: Way,
    /// How the standby follows the primary, and what is copied from.
    pub(crate) conninfo: String,
    pub(crate) slot: String,
    /// How `pg_rewind` reads the primary's files.
    pub(crate) rewind_conninfo: String,
    pub(crate) system_id: Option<SystemId>,
}

/// How an order ended.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    pub(crate) order: u64,
    pub(crate) outcome: StepOutcome,
    pub(crate) evidence: String,
}

/// What runs, for the role endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Role {
    pub(crate) mode: Mode,
    /// Out of recovery (a primary) or in it (a standby), and nothing is being closed.
    pub(crate) settled: bool,
    /// The postmaster takes connections.
    pub(crate) ready: bool,
    /// End of the cover; none for a held one and for epoch 0.
    pub(crate) deadline: Option<Deadline>,
}

/// What the main thread saw at its last turn.
#[derive(Clone, Debug)]
pub(crate) struct Snapshot {
    pub(crate) at: Moment,
    pub(crate) report: GateReport,
    pub(crate) timed_ack: Option<TimedAck>,
    pub(crate) role: Option<Role>,
    pub(crate) timeline: Option<Timeline>,
    pub(crate) database: Option<(Moment, DatabaseReport)>,
}

/// The snapshot's place.
pub(crate) struct Shared(Mutex<Snapshot>);

impl Shared {
    pub(crate) fn new(snapshot: Snapshot) -> Self {
        Self(Mutex::new(snapshot))
    }

    /// A poisoned one is as good: every write replaces it whole.
    fn lock(&self) -> MutexGuard<'_, Snapshot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> Snapshot {
        self.lock().clone()
    }

    pub(crate) fn set(&self, snapshot: Snapshot) {
        *self.lock() = snapshot;
    }
}
