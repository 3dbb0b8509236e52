//! What a gate says of its copy of the database, and the chain that it is compared with.

use super::{ConvertError, known, list, messages, optional, required, site, unknown};
use crate::v1;
use model::{
    ChainLink, CopyMark, CopyReport, CopyState, CopyTask, CopyWork, Diverged, Epoch, Lsn, Millis, SystemId,
    Timeline,
};

impl From<ChainLink> for v1::ChainLink {
    fn from(link: ChainLink) -> Self {
        Self { epoch: link.epoch.0, site: link.site.into(), timeline: link.timeline.0, start: link.start.0 }
    }
}

impl TryFrom<v1::ChainLink> for ChainLink {
    type Error = ConvertError;
    fn try_from(message: v1::ChainLink) -> Result<Self, ConvertError> {
        Ok(Self {
            epoch: Epoch(message.epoch),
            site: site("site", &message.site)?,
            timeline: Timeline(message.timeline),
            start: Lsn(message.start),
        })
    }
}

impl From<CopyState> for v1::CopyState {
    fn from(state: CopyState) -> Self {
        match state {
            CopyState::Absent => Self::CopyAbsent,
            CopyState::Unreadable => Self::CopyUnreadable,
            CopyState::Standby => Self::CopyStandby,
            CopyState::Primary => Self::CopyPrimary,
        }
    }
}

impl From<v1::CopyState> for CopyState {
    fn from(state: v1::CopyState) -> Self {
        match state {
            v1::CopyState::CopyAbsent => Self::Absent,
            v1::CopyState::CopyUnreadable => Self::Unreadable,
            v1::CopyState::CopyStandby => Self::Standby,
            v1::CopyState::CopyPrimary => Self::Primary,
        }
    }
}

fn mark_of(mark: Option<CopyMark>) -> v1::CopyMark {
    match mark {
        None => v1::CopyMark::MarkNone,
        Some(CopyMark::RewindBegun) => v1::CopyMark::MarkRewindBegun,
        Some(CopyMark::RewindDone) => v1::CopyMark::MarkRewindDone,
    }
}

fn mark(value: i32) -> Result<Option<CopyMark>, ConvertError> {
    Ok(match known::<v1::CopyMark>("mark", value)? {
        v1::CopyMark::MarkNone => None,
        v1::CopyMark::MarkRewindBegun => Some(CopyMark::RewindBegun),
        v1::CopyMark::MarkRewindDone => Some(CopyMark::RewindDone),
    })
}

impl From<CopyWork> for v1::CopyWork {
    fn from(work: CopyWork) -> Self {
        match work {
            CopyWork::Inspect => Self::WorkInspect,
            CopyWork::Recover => Self::WorkRecover,
            CopyWork::Keep => Self::WorkKeep,
            CopyWork::Rewind => Self::WorkRewind,
            CopyWork::Clone => Self::WorkClone,
            CopyWork::Swap => Self::WorkSwap,
        }
    }
}

impl TryFrom<v1::CopyWork> for CopyWork {
    type Error = ConvertError;
    fn try_from(work: v1::CopyWork) -> Result<Self, ConvertError> {
        match work {
            v1::CopyWork::WorkInspect => Ok(Self::Inspect),
            v1::CopyWork::WorkRecover => Ok(Self::Recover),
            v1::CopyWork::WorkKeep => Ok(Self::Keep),
            v1::CopyWork::WorkRewind => Ok(Self::Rewind),
            v1::CopyWork::WorkClone => Ok(Self::Clone),
            v1::CopyWork::WorkSwap => Ok(Self::Swap),
            v1::CopyWork::WorkUnspecified => Err(unknown("work", work.into())),
        }
    }
}

impl From<CopyTask> for v1::CopyTask {
    fn from(task: CopyTask) -> Self {
        Self {
            work: v1::CopyWork::from(task.work).into(),
            done_kib: task.done_kib,
            total_kib: task.total_kib,
            elapsed_ms: task.elapsed.0,
        }
    }
}

impl TryFrom<v1::CopyTask> for CopyTask {
    type Error = ConvertError;
    fn try_from(message: v1::CopyTask) -> Result<Self, ConvertError> {
        Ok(Self {
            work: known::<v1::CopyWork>("work", message.work)?.try_into()?,
            done_kib: message.done_kib,
            total_kib: message.total_kib,
            elapsed: Millis(message.elapsed_ms),
        })
    }
}

impl From<Diverged> for v1::Diverged {
    fn from(diverged: Diverged) -> Self {
        Self {
            fork: Some(diverged.fork.into()),
            readable: diverged.readable,
            records: diverged.records,
            bytes: diverged.bytes,
            commits: diverged.commits,
            summary: diverged.summary,
        }
    }
}

impl TryFrom<v1::Diverged> for Diverged {
    type Error = ConvertError;
    fn try_from(message: v1::Diverged) -> Result<Self, ConvertError> {
        Ok(Self {
            fork: required("fork", message.fork)?,
            readable: message.readable,
            records: message.records,
            bytes: message.bytes,
            commits: message.commits,
            summary: message.summary,
        })
    }
}

impl From<CopyReport> for v1::CopyReport {
    fn from(copy: CopyReport) -> Self {
        Self {
            state: v1::CopyState::from(copy.state).into(),
            system_id: copy.system_id.map(|id| id.0),
            timeline: copy.timeline.0,
            parents: messages(copy.parents),
            checkpoint: copy.checkpoint.0,
            clean: copy.clean,
            can_rewind: copy.can_rewind,
            size: copy.size,
            free: copy.free,
            mark: mark_of(copy.mark).into(),
            diverged: copy.diverged.map(v1::Diverged::from),
            task: copy.task.map(v1::CopyTask::from),
        }
    }
}

impl TryFrom<v1::CopyReport> for CopyReport {
    type Error = ConvertError;
    fn try_from(message: v1::CopyReport) -> Result<Self, ConvertError> {
        Ok(Self {
            state: known::<v1::CopyState>("state", message.state)?.into(),
            system_id: message.system_id.map(SystemId),
            timeline: Timeline(message.timeline),
            parents: list("parents", message.parents)?,
            checkpoint: Lsn(message.checkpoint),
            clean: message.clean,
            can_rewind: message.can_rewind,
            size: message.size,
            free: message.free,
            mark: mark(message.mark)?,
            diverged: optional("diverged", message.diverged)?,
            task: optional("task", message.task)?,
        })
    }
}
