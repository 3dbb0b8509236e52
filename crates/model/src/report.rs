//! What an actor reports of its own site: soft state at the leader.

use crate::{
    CopyReport, Epoch, Lsn, Millis, SiteId, StackId, StepKind, StepOutcome, SyncSeen, SystemId, Timeline,
    WalPosition,
};
use alloc::{string::String, vec::Vec};
use core::fmt;
use serde::{Deserialize, Serialize};

/// What a database is at the moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DatabaseRole {
    /// Out of recovery.
    Primary,
    /// In recovery.
    Standby,
    /// Not running, or refuses connections.
    Down,
    /// No answer within the deadline, or nobody asked yet.
    Unknown,
}

impl fmt::Display for DatabaseRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Primary => "primary",
            Self::Standby => "standby",
            Self::Down => "down",
            Self::Unknown => "unknown",
        })
    }
}

/// A standby's link to its primary (pg_stat_wal_receiver).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upstream {
    /// Site that it is configured to follow, if its connection string is one of ours.
    pub site: Option<SiteId>,
    /// True for status `streaming`; `waiting` and `startup` are a standby that is ahead.
    pub streaming: bool,
    /// `received_tli`.
    pub timeline: Timeline,
    /// Since the last message from the primary.
    pub message_age: Millis,
    /// How far replay is behind, in bytes, as the primary's last message told.
    pub lag_bytes: u64,
}

/// One walsender of a primary (pg_stat_replication).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replica {
    /// `application_name`: the site's name for ours.
    pub name: String,
    /// True for state `streaming`.
    pub streaming: bool,
    /// `flush_lsn`.
    pub flushed: Option<Lsn>,
    /// `replay_lsn`.
    pub replayed: Option<Lsn>,
}

/// What the database says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseReport {
    /// What it is.
    pub role: DatabaseRole,
    /// From pg_control_system().
    pub system_id: Option<SystemId>,
    /// The timeline that it writes or receives.
    pub timeline: Option<Timeline>,
    /// End of the received (standby) or written (primary) WAL.
    pub received: Option<Lsn>,
    /// End of the replayed WAL; the same as `received` on a primary.
    pub replayed: Option<Lsn>,
    /// Since the last write probe that was acknowledged; none if there was never one.
    pub write_age: Option<Millis>,
    /// A standby's primary.
    pub upstream: Option<Upstream>,
    /// A primary's standbys.
    pub replicas: Vec<Replica>,
    /// A primary's synchronous setting, where the group gave it one and it was seen in force.
    pub sync: Option<SyncSeen>,
    /// What is wrong, in the database's or driver's own words.
    pub problem: Option<String>,
}

impl DatabaseReport {
    /// Nothing is known.
    #[must_use]
    pub const fn unknown() -> Self {
        Self {
            role: DatabaseRole::Unknown,
            system_id: None,
            timeline: None,
            received: None,
            replayed: None,
            write_age: None,
            upstream: None,
            replicas: Vec::new(),
            sync: None,
            problem: None,
        }
    }
}

/// How a gate holds and counts the processes of its database, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Containment {
    /// A cgroup of its own, ended by `cgroup.kill`, with a warden process beside the gate.
    Cgroup,
    /// A PID namespace that dies with the gate.
    PidNamespace,
    /// The gate is PID 1 of a container.
    ContainerInit,
    /// None: the weaker guarantee was accepted by name.
    None,
}

impl fmt::Display for Containment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Cgroup => "cgroup",
            Self::PidNamespace => "pid-namespace",
            Self::ContainerInit => "container-init",
            Self::None => "none",
        })
    }
}

/// What the gate says of itself and of its database's processes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GateReport {
    /// Highest epoch on its disk.
    pub highest: Epoch,
    /// Highest closed epoch on its disk.
    pub closed: Epoch,
    /// Epoch at which the database is open as a primary, if it is.
    pub open: Option<Epoch>,
    /// True while any process of the database is left.
    pub running: bool,
    /// True if the data directory says "standby" (`standby.signal`).
    pub standby: bool,
    /// True if there is a data directory with a control file and a matching version.
    pub data_present: bool,
    /// True if the last end was a clean shutdown; none if unknown.
    pub clean_shutdown: Option<bool>,
    /// How processes are held.
    pub containment: Containment,
    /// True if the kernel lease guards the port.
    pub kernel_lease: bool,
    /// What is wrong, if something is.
    pub problem: Option<String>,
    /// The copy as its files show it; none from a gate of an older version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copy: Option<CopyReport>,
}

/// All that an actor reports of one stack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteReport {
    /// Who reports.
    pub site: SiteId,
    /// About which stack.
    pub stack: StackId,
    /// What the database says.
    pub database: DatabaseReport,
    /// What the gate says; none while no gate is attached.
    pub gate: Option<GateReport>,
}

/// How a step that this site owns ended. Committed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepReport {
    /// Who reports.
    pub site: SiteId,
    /// About which stack.
    pub stack: StackId,
    /// For `FenceDatabase` and `Detach` the epoch that was closed or left, otherwise the new one.
    pub epoch: Epoch,
    /// Which step.
    pub step: StepKind,
    /// How it ended.
    pub outcome: StepOutcome,
    /// `Detach`: end of the received WAL. `Promote`: timeline and LSN of the promotion.
    pub position: Option<WalPosition>,
    /// What was seen, for the record.
    pub evidence: String,
}
