//! Everything that can happen to an actor: the event loop takes nothing else.

use crate::epochs::EpochMap;
use coordination::book::Found;
use coordination::reconcile::Check;
use model::{
    DatabaseReport, Desired, Epoch, Grant, Incarnation, RegistrationAnswer, RenewalNumber, StackId, StepKind,
};
use rpc::tonic::Status;
use rpc::v1;
use tokio::sync::mpsc;

/// Events that may wait. The loop takes a few hundred microseconds for each.
pub(crate) const EVENTS_MAX: usize = 1_024;
/// Messages that may wait for one gate.
pub(crate) const TO_GATE_MAX: usize = 32;

/// Counts how often the process has dropped what it observed. What was begun under an earlier
/// number counts for nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation(pub u64);

/// A stream of one gate.
pub(crate) type Session = u64;

/// Sends messages to one gate.
pub(crate) type ToGate = mpsc::Sender<Result<v1::ToGate, Status>>;

/// One thing that happened.
#[derive(Debug)]
pub(crate) enum Event {
    /// A witness answered a registration, or did not.
    Registered { incarnation: Incarnation, witness: usize, result: Result<RegistrationAnswer, Failure> },
    /// A witness answered a renewal, or it failed.
    Renewed {
        incarnation: Incarnation,
        number: RenewalNumber,
        witness: usize,
        result: Result<Grant, Failure>,
    },
    /// A witness has left a renewal unanswered for R.
    Silent { witness: usize },
    /// A view of the site.
    View { generation: Generation, view: Desired },
    /// A gate attends.
    Attended { session: Session, stack: StackId, to_gate: ToGate },
    /// It said something.
    Said { session: Session, stack: StackId, message: v1::from_gate::Kind },
    /// Its stream ended.
    Left { session: Session, stack: StackId },
    /// A database was observed.
    Observed { generation: Generation, stack: StackId, report: DatabaseReport },
    /// A write probe ended.
    Probed { generation: Generation, stack: StackId, result: Result<(), String> },
    /// The slots were looked after.
    SlotsKept { stack: StackId, result: Result<Vec<String>, String> },
    /// A check found what it looked for.
    Checked { generation: Generation, stack: StackId, check: Check, found: Found },
    /// The group took or refused a step's report.
    StepAnswered { generation: Generation, stack: StackId, step: StepKind, epoch: Epoch, refusal: String },
    /// Soft reports were handed over, or not.
    Reported,
    /// The epochs are on disk.
    Persisted { epochs: EpochMap, result: Result<(), String> },
    /// Blocks the loop, as a fault would.
    #[cfg(test)]
    Hang(std::time::Duration),
}

/// Why a call to a witness brought no yes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The group refuses: the run of this actor must register again.
    Refused(String),
    /// Anything else: another witness may do better.
    Other(String),
}
