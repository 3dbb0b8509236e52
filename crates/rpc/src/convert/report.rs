//! What actors and gates report: databases, gates, sites, steps.

use super::{ConvertError, known, list, messages, millis, optional, required, site, stack, unknown};
use crate::v1;
use model::{
    Containment, DatabaseReport, DatabaseRole, Epoch, GateReport, Lsn, Millis, Replica, SiteReport, StepKind,
    StepOutcome, StepReport, SyncSeen, SystemId, Timeline, Upstream, WalPosition,
};

impl From<DatabaseRole> for v1::Role {
    fn from(role: DatabaseRole) -> Self {
        match role {
            DatabaseRole::Primary => Self::Primary,
            DatabaseRole::Standby => Self::Standby,
            DatabaseRole::Down => Self::Down,
            DatabaseRole::Unknown => Self::Unknown,
        }
    }
}

impl From<v1::Role> for DatabaseRole {
    fn from(role: v1::Role) -> Self {
        match role {
            v1::Role::Primary => Self::Primary,
            v1::Role::Standby => Self::Standby,
            v1::Role::Down => Self::Down,
            v1::Role::Unknown => Self::Unknown,
        }
    }
}

impl From<Upstream> for v1::Upstream {
    fn from(upstream: Upstream) -> Self {
        Self {
            site: upstream.site.map(String::from),
            streaming: upstream.streaming,
            timeline: upstream.timeline.0,
            message_age_ms: upstream.message_age.0,
            lag_bytes: upstream.lag_bytes,
        }
    }
}

impl TryFrom<v1::Upstream> for Upstream {
    type Error = ConvertError;
    fn try_from(message: v1::Upstream) -> Result<Self, ConvertError> {
        Ok(Self {
            site: message.site.map(|text| site("site", &text)).transpose()?,
            streaming: message.streaming,
            timeline: Timeline(message.timeline),
            message_age: Millis(message.message_age_ms),
            lag_bytes: message.lag_bytes,
        })
    }
}

impl From<Replica> for v1::Replica {
    fn from(replica: Replica) -> Self {
        Self {
            name: replica.name,
            streaming: replica.streaming,
            flushed: replica.flushed.map(|lsn| lsn.0),
            replayed: replica.replayed.map(|lsn| lsn.0),
        }
    }
}

impl TryFrom<v1::Replica> for Replica {
    type Error = ConvertError;
    fn try_from(message: v1::Replica) -> Result<Self, ConvertError> {
        Ok(Self {
            name: message.name,
            streaming: message.streaming,
            flushed: message.flushed.map(Lsn),
            replayed: message.replayed.map(Lsn),
        })
    }
}

impl From<DatabaseReport> for v1::DatabaseReport {
    fn from(report: DatabaseReport) -> Self {
        Self {
            role: v1::Role::from(report.role).into(),
            system_id: report.system_id.map(|id| id.0),
            timeline: report.timeline.map(|timeline| timeline.0),
            received: report.received.map(|lsn| lsn.0),
            replayed: report.replayed.map(|lsn| lsn.0),
            write_age_ms: report.write_age.map(|age| age.0),
            upstream: report.upstream.map(v1::Upstream::from),
            replicas: messages(report.replicas),
            sync: report.sync.map(v1::SyncSeen::from),
            problem: report.problem,
        }
    }
}

impl TryFrom<v1::DatabaseReport> for DatabaseReport {
    type Error = ConvertError;
    fn try_from(message: v1::DatabaseReport) -> Result<Self, ConvertError> {
        Ok(Self {
            role: known::<v1::Role>("role", message.role)?.into(),
            system_id: message.system_id.map(SystemId),
            timeline: message.timeline.map(Timeline),
            received: message.received.map(Lsn),
            replayed: message.replayed.map(Lsn),
            write_age: millis(message.write_age_ms),
            upstream: optional("upstream", message.upstream)?,
            replicas: list("replicas", message.replicas)?,
            sync: message.sync.map(SyncSeen::from),
            problem: message.problem,
        })
    }
}

impl From<Containment> for v1::Containment {
    fn from(containment: Containment) -> Self {
        match containment {
            Containment::Cgroup => Self::Cgroup,
            Containment::PidNamespace => Self::PidNamespace,
            Containment::ContainerInit => Self::ContainerInit,
            Containment::None => Self::None,
        }
    }
}

impl From<v1::Containment> for Containment {
    fn from(containment: v1::Containment) -> Self {
        match containment {
            v1::Containment::Cgroup => Self::Cgroup,
            v1::Containment::PidNamespace => Self::PidNamespace,
            v1::Containment::ContainerInit => Self::ContainerInit,
            v1::Containment::None => Self::None,
        }
    }
}

impl From<GateReport> for v1::GateReport {
    fn from(report: GateReport) -> Self {
        Self {
            highest: report.highest.0,
            closed: report.closed.0,
            open: report.open.map(|epoch| epoch.0),
            running: report.running,
            standby: report.standby,
            data_present: report.data_present,
            clean_shutdown: report.clean_shutdown,
            containment: v1::Containment::from(report.containment).into(),
            kernel_lease: report.kernel_lease,
            problem: report.problem,
            copy: report.copy.map(v1::CopyReport::from),
        }
    }
}

impl TryFrom<v1::GateReport> for GateReport {
    type Error = ConvertError;
    fn try_from(message: v1::GateReport) -> Result<Self, ConvertError> {
        Ok(Self {
            highest: Epoch(message.highest),
            closed: Epoch(message.closed),
            open: message.open.map(Epoch),
            running: message.running,
            standby: message.standby,
            data_present: message.data_present,
            clean_shutdown: message.clean_shutdown,
            containment: known::<v1::Containment>("containment", message.containment)?.into(),
            kernel_lease: message.kernel_lease,
            problem: message.problem,
            copy: optional("copy", message.copy)?,
        })
    }
}

impl From<SiteReport> for v1::SiteReport {
    fn from(report: SiteReport) -> Self {
        Self {
            site: report.site.into(),
            stack: report.stack.into(),
            database: Some(report.database.into()),
            gate: report.gate.map(v1::GateReport::from),
        }
    }
}

impl TryFrom<v1::SiteReport> for SiteReport {
    type Error = ConvertError;
    fn try_from(message: v1::SiteReport) -> Result<Self, ConvertError> {
        Ok(Self {
            site: site("site", &message.site)?,
            stack: stack("stack", &message.stack)?,
            database: required("database", message.database)?,
            gate: optional("gate", message.gate)?,
        })
    }
}

impl From<StepKind> for v1::StepKind {
    fn from(kind: StepKind) -> Self {
        match kind {
            StepKind::FenceDatabase => Self::StepFenceDatabase,
            StepKind::Detach => Self::StepDetach,
            StepKind::Elect => Self::StepElect,
            StepKind::Promote => Self::StepPromote,
            StepKind::Follow => Self::StepFollow,
            StepKind::VerifyWrite => Self::StepVerifyWrite,
            StepKind::ListDiverged => Self::StepListDiverged,
            StepKind::Rejoin => Self::StepRejoin,
        }
    }
}

impl TryFrom<v1::StepKind> for StepKind {
    type Error = ConvertError;
    fn try_from(kind: v1::StepKind) -> Result<Self, ConvertError> {
        match kind {
            v1::StepKind::StepFenceDatabase => Ok(Self::FenceDatabase),
            v1::StepKind::StepDetach => Ok(Self::Detach),
            v1::StepKind::StepElect => Ok(Self::Elect),
            v1::StepKind::StepPromote => Ok(Self::Promote),
            v1::StepKind::StepFollow => Ok(Self::Follow),
            v1::StepKind::StepVerifyWrite => Ok(Self::VerifyWrite),
            v1::StepKind::StepListDiverged => Ok(Self::ListDiverged),
            v1::StepKind::StepRejoin => Ok(Self::Rejoin),
            v1::StepKind::StepUnspecified => Err(unknown("step", kind.into())),
        }
    }
}

impl From<StepOutcome> for v1::StepOutcome {
    fn from(outcome: StepOutcome) -> Self {
        match outcome {
            StepOutcome::Done => Self::OutcomeDone,
            StepOutcome::Failed => Self::OutcomeFailed,
            StepOutcome::Unknown => Self::OutcomeUnknown,
        }
    }
}

impl From<v1::StepOutcome> for StepOutcome {
    fn from(outcome: v1::StepOutcome) -> Self {
        match outcome {
            v1::StepOutcome::OutcomeDone => Self::Done,
            v1::StepOutcome::OutcomeFailed => Self::Failed,
            v1::StepOutcome::OutcomeUnknown => Self::Unknown,
        }
    }
}

impl From<WalPosition> for v1::WalPosition {
    fn from(position: WalPosition) -> Self {
        Self { timeline: position.timeline.0, lsn: position.lsn.0 }
    }
}

impl TryFrom<v1::WalPosition> for WalPosition {
    type Error = ConvertError;
    fn try_from(message: v1::WalPosition) -> Result<Self, ConvertError> {
        Ok(Self { timeline: Timeline(message.timeline), lsn: Lsn(message.lsn) })
    }
}

impl From<StepReport> for v1::StepReport {
    fn from(report: StepReport) -> Self {
        Self {
            site: report.site.into(),
            stack: report.stack.into(),
            epoch: report.epoch.0,
            step: v1::StepKind::from(report.step).into(),
            outcome: v1::StepOutcome::from(report.outcome).into(),
            position: report.position.map(v1::WalPosition::from),
            evidence: report.evidence,
        }
    }
}

impl TryFrom<v1::StepReport> for StepReport {
    type Error = ConvertError;
    fn try_from(message: v1::StepReport) -> Result<Self, ConvertError> {
        Ok(Self {
            site: site("site", &message.site)?,
            stack: stack("stack", &message.stack)?,
            epoch: Epoch(message.epoch),
            step: known::<v1::StepKind>("step", message.step)?.try_into()?,
            outcome: known::<v1::StepOutcome>("outcome", message.outcome)?.into(),
            position: optional("position", message.position)?,
            evidence: message.evidence,
        })
    }
}
