//! Covers, acknowledgements, registrations and renewals.

use super::{ConvertError, list, messages, once, optional, required, site, stack, stacks, texts};
use crate::v1;
use model::{
    Cover, CoverEntry, CoverKind, Epoch, Grant, GrantTerms, Incarnation, LogIndex, Millis,
    RegistrationAnswer, RenewRequest, RenewalNumber, SiteEpochs, SiteId, TimedAck, Timeline,
};

impl From<GrantTerms> for v1::Terms {
    fn from(terms: GrantTerms) -> Self {
        Self { lease_duration_ms: terms.lease_duration.0, fence_deadline_ms: terms.fence_deadline.0 }
    }
}

impl TryFrom<v1::Terms> for GrantTerms {
    type Error = ConvertError;
    fn try_from(message: v1::Terms) -> Result<Self, ConvertError> {
        Ok(Self {
            lease_duration: Millis(message.lease_duration_ms),
            fence_deadline: Millis(message.fence_deadline_ms),
        })
    }
}

impl From<CoverEntry> for v1::CoverEntry {
    fn from(entry: CoverEntry) -> Self {
        let (held, since) = match entry.kind {
            CoverKind::Timed { since } => (false, since),
            CoverKind::Held { since } => (true, since),
        };
        Self { stack: entry.stack.into(), epoch: entry.epoch.0, held, since: since.0 }
    }
}

impl TryFrom<v1::CoverEntry> for CoverEntry {
    type Error = ConvertError;
    fn try_from(message: v1::CoverEntry) -> Result<Self, ConvertError> {
        let since = LogIndex(message.since);
        Ok(Self {
            stack: stack("stack", &message.stack)?,
            epoch: Epoch(message.epoch),
            kind: if message.held { CoverKind::Held { since } } else { CoverKind::Timed { since } },
        })
    }
}

impl From<Cover> for v1::Cover {
    fn from(cover: Cover) -> Self {
        Self { revision: cover.revision.0, entries: messages(cover.entries) }
    }
}

impl TryFrom<v1::Cover> for Cover {
    type Error = ConvertError;
    fn try_from(message: v1::Cover) -> Result<Self, ConvertError> {
        let entries: Vec<CoverEntry> = list("entries", message.entries)?;
        once("entries", entries.iter().map(|entry| &entry.stack))?;
        Ok(Self { revision: LogIndex(message.revision), entries })
    }
}

impl From<TimedAck> for v1::TimedAck {
    fn from(ack: TimedAck) -> Self {
        Self { stack: ack.stack.into(), epoch: ack.epoch.0, since: ack.since.0 }
    }
}

impl TryFrom<v1::TimedAck> for TimedAck {
    type Error = ConvertError;
    fn try_from(message: v1::TimedAck) -> Result<Self, ConvertError> {
        Ok(Self {
            stack: stack("stack", &message.stack)?,
            epoch: Epoch(message.epoch),
            since: LogIndex(message.since),
        })
    }
}

impl From<SiteEpochs> for v1::SiteEpochs {
    fn from(epochs: SiteEpochs) -> Self {
        Self {
            stack: epochs.stack.into(),
            highest: epochs.highest.0,
            closed: epochs.closed.0,
            timeline_highest: epochs.timeline_highest.0,
        }
    }
}

impl TryFrom<v1::SiteEpochs> for SiteEpochs {
    type Error = ConvertError;
    fn try_from(message: v1::SiteEpochs) -> Result<Self, ConvertError> {
        Ok(Self {
            stack: stack("stack", &message.stack)?,
            highest: Epoch(message.highest),
            closed: Epoch(message.closed),
            timeline_highest: Timeline(message.timeline_highest),
        })
    }
}

/// Who registers, and which run of its actor.
impl From<(SiteId, Incarnation)> for v1::RegisterRequest {
    fn from((site, incarnation): (SiteId, Incarnation)) -> Self {
        Self { site: site.into(), incarnation: incarnation.0 }
    }
}

impl TryFrom<v1::RegisterRequest> for (SiteId, Incarnation) {
    type Error = ConvertError;
    fn try_from(message: v1::RegisterRequest) -> Result<Self, ConvertError> {
        Ok((site("site", &message.site)?, Incarnation(message.incarnation)))
    }
}

impl From<RegistrationAnswer> for v1::RegisterResponse {
    fn from(answer: RegistrationAnswer) -> Self {
        Self {
            index: answer.index.0,
            last_number: answer.last_number.0,
            terms: Some(answer.terms.into()),
            epochs: messages(answer.epochs),
            cover: Some(answer.cover.into()),
        }
    }
}

impl TryFrom<v1::RegisterResponse> for RegistrationAnswer {
    type Error = ConvertError;
    fn try_from(message: v1::RegisterResponse) -> Result<Self, ConvertError> {
        let epochs: Vec<SiteEpochs> = list("epochs", message.epochs)?;
        once("epochs", epochs.iter().map(|e| &e.stack))?;
        Ok(Self {
            index: LogIndex(message.index),
            last_number: RenewalNumber(message.last_number),
            terms: required("terms", message.terms)?,
            epochs,
            cover: required("cover", message.cover)?,
        })
    }
}

impl From<RenewRequest> for v1::RenewRequest {
    fn from(request: RenewRequest) -> Self {
        Self {
            site: request.site.into(),
            incarnation: request.incarnation.0,
            number: request.number.0,
            cover_known: request.cover_known.0,
            stopping: texts(request.stopping),
            unstopped: texts(request.unstopped),
            timed_acks: messages(request.timed_acks),
        }
    }
}

impl TryFrom<v1::RenewRequest> for RenewRequest {
    type Error = ConvertError;
    fn try_from(message: v1::RenewRequest) -> Result<Self, ConvertError> {
        Ok(Self {
            site: site("site", &message.site)?,
            incarnation: Incarnation(message.incarnation),
            number: RenewalNumber(message.number),
            cover_known: LogIndex(message.cover_known),
            stopping: stacks("stopping", &message.stopping)?,
            unstopped: stacks("unstopped", &message.unstopped)?,
            timed_acks: list("timed_acks", message.timed_acks)?,
        })
    }
}

impl From<Grant> for v1::RenewResponse {
    fn from(grant: Grant) -> Self {
        Self {
            index: grant.index.0,
            incarnation: grant.incarnation.0,
            number: grant.number.0,
            terms: Some(grant.terms.into()),
            cover_revision: grant.cover_revision.0,
            cover: grant.cover.map(v1::Cover::from),
        }
    }
}

impl TryFrom<v1::RenewResponse> for Grant {
    type Error = ConvertError;
    fn try_from(message: v1::RenewResponse) -> Result<Self, ConvertError> {
        Ok(Self {
            index: LogIndex(message.index),
            incarnation: Incarnation(message.incarnation),
            number: RenewalNumber(message.number),
            terms: required("terms", message.terms)?,
            cover_revision: LogIndex(message.cover_revision),
            cover: optional("cover", message.cover)?,
        })
    }
}
