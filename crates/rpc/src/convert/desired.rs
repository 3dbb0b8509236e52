//! Views: what a site should do.

use super::{ConvertError, known, list, messages, once, optional, required, site, stack, unknown};
use crate::v1;
use model::{Desired, DesiredStack, Epoch, Instruction, LogIndex, Mode, SystemId, Timeline};
use v1::InstructionKind as Kind;

impl From<Mode> for v1::Mode {
    fn from(mode: Mode) -> Self {
        match mode {
            Mode::Observe => Self::Observe,
            Mode::Approve => Self::Approve,
            Mode::Auto => Self::Auto,
        }
    }
}

impl TryFrom<v1::Mode> for Mode {
    type Error = ConvertError;
    fn try_from(mode: v1::Mode) -> Result<Self, ConvertError> {
        match mode {
            v1::Mode::Observe => Ok(Self::Observe),
            v1::Mode::Approve => Ok(Self::Approve),
            v1::Mode::Auto => Ok(Self::Auto),
            v1::Mode::Unspecified => Err(unknown("mode", mode.into())),
        }
    }
}

/// A mode out of a message's field `mode`.
///
/// # Errors
/// [`ConvertError::UnknownValue`] if it is none, or unspecified.
pub fn mode(value: i32) -> Result<Mode, ConvertError> {
    known::<v1::Mode>("mode", value)?.try_into()
}

impl From<Instruction> for v1::Instruction {
    fn from(instruction: Instruction) -> Self {
        let of = |kind: Kind| Self { kind: kind.into(), ..Self::default() };
        match instruction {
            Instruction::Leave => of(Kind::InstructionLeave),
            Instruction::Run { epoch, timeline_highest, promote_due, verify_due } => Self {
                epoch: epoch.0,
                timeline_highest: timeline_highest.0,
                promote_due,
                verify_due,
                ..of(Kind::InstructionRun)
            },
            Instruction::Fence { epoch } => Self { epoch: epoch.0, ..of(Kind::InstructionFence) },
            Instruction::Detach { epoch } => Self { epoch: epoch.0, ..of(Kind::InstructionDetach) },
            Instruction::Follow { site, epoch, timeline, report_due } => Self {
                site: site.into(),
                epoch: epoch.0,
                timeline: timeline.map(|t| t.0),
                report_due,
                ..of(Kind::InstructionFollow)
            },
            Instruction::Stay => of(Kind::InstructionStay),
        }
    }
}

impl TryFrom<v1::Instruction> for Instruction {
    type Error = ConvertError;
    fn try_from(message: v1::Instruction) -> Result<Self, ConvertError> {
        let epoch = Epoch(message.epoch);
        Ok(match known::<Kind>("kind", message.kind)? {
            Kind::InstructionLeave => Self::Leave,
            Kind::InstructionRun => Self::Run {
                epoch,
                timeline_highest: Timeline(message.timeline_highest),
                promote_due: message.promote_due,
                verify_due: message.verify_due,
            },
            Kind::InstructionFence => Self::Fence { epoch },
            Kind::InstructionDetach => Self::Detach { epoch },
            Kind::InstructionFollow => Self::Follow {
                site: site("site", &message.site)?,
                epoch,
                timeline: message.timeline.map(Timeline),
                report_due: message.report_due,
            },
            Kind::InstructionStay => Self::Stay,
            Kind::InstructionUnspecified => return Err(unknown("kind", message.kind)),
        })
    }
}

impl From<DesiredStack> for v1::DesiredStack {
    fn from(desired: DesiredStack) -> Self {
        Self {
            stack: desired.stack.into(),
            epoch: desired.epoch.0,
            closed: desired.closed.0,
            active: desired.active.map(String::from),
            mode: v1::Mode::from(desired.mode).into(),
            system_id: desired.system_id.map(|id| id.0),
            instruction: Some(desired.instruction.into()),
            sync: desired.sync.map(v1::SyncSetting::from),
            chain: messages(desired.chain),
        }
    }
}

impl TryFrom<v1::DesiredStack> for DesiredStack {
    type Error = ConvertError;
    fn try_from(message: v1::DesiredStack) -> Result<Self, ConvertError> {
        Ok(Self {
            stack: stack("stack", &message.stack)?,
            epoch: Epoch(message.epoch),
            closed: Epoch(message.closed),
            active: message.active.map(|text| site("active", &text)).transpose()?,
            mode: mode(message.mode)?,
            system_id: message.system_id.map(SystemId),
            instruction: required("instruction", message.instruction)?,
            sync: optional("sync", message.sync)?,
            chain: list("chain", message.chain)?,
        })
    }
}

impl From<Desired> for v1::Desired {
    fn from(desired: Desired) -> Self {
        Self { index: desired.index.0, stacks: messages(desired.stacks) }
    }
}

impl TryFrom<v1::Desired> for Desired {
    type Error = ConvertError;
    fn try_from(message: v1::Desired) -> Result<Self, ConvertError> {
        let stacks: Vec<DesiredStack> = list("stacks", message.stacks)?;
        once("stacks", stacks.iter().map(|s| &s.stack))?;
        Ok(Self { index: LogIndex(message.index), stacks })
    }
}
