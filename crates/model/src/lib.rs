//! The vocabulary of Tripoint: values that are always valid once built.
//!
//! No clock, no IO, no randomness, no logging: `no_std` keeps it so. The words
//! are those of the glossary (`docs/glossary.md`).
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod copy;
mod cover;
mod desired;
mod epoch;
mod fence;
mod grant;
mod id;
mod lsn;
mod mode;
mod reason;
mod report;
mod status;
mod step;
mod sync;
mod time;
mod verdict;

pub use copy::{ChainLink, CopyMark, CopyReport, CopyState, CopyTask, CopyWork, Diverged};
pub use cover::{Cover, CoverEntry, CoverKind};
pub use desired::{Desired, DesiredStack, Instruction};
pub use epoch::{Epoch, Generation, Incarnation, LogIndex, RenewalNumber};
pub use fence::{FenceMethod, FenceProof};
pub use grant::{Grant, GrantTerms, RegistrationAnswer, RenewRequest, SiteEpochs, TimedAck};
pub use id::{IdError, SiteId, StackId};
pub use lsn::{Lsn, LsnError, SystemId, Timeline, WalPosition};
pub use mode::Mode;
pub use reason::{Cause, Hold, Ineligible, Refusal};
pub use report::{
    Containment, DatabaseReport, DatabaseRole, GateReport, Replica, SiteReport, StepReport, Upstream,
};
pub use status::{
    CandidateView, Event, EventKind, GroupStatus, SiteView, StackView, StepView, TakeoverView,
    TransitionView, WitnessView,
};
pub use step::{StepKind, StepOutcome, StepState};
pub use sync::{Replication, StandbyLoss, SyncSeen, SyncSet, SyncSetting};
pub use time::{Deadline, Horizon, Millis, Moment, WallMillis};
pub use verdict::Verdict;
