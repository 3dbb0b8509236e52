//! What a gate remembers of what it was told, and what of it must be on disk before it counts.
//!
//! Disk before memory before acknowledgement: a change of the [`Record`] is handed to the caller,
//! who writes it, fsynced, and says [`Memory::written`]. If the disk refuses, the caller says
//! nothing: the old record stands, nothing is acknowledged, and the next answer asks again.

use super::{Data, Held, Input, Record, Running};
use model::{
    CoverEntry, CoverKind, Deadline, Epoch, GrantTerms, LogIndex, Millis, Moment, SiteEpochs, StackId,
    TimedAck, Timeline,
};
use serde::Serialize;

/// Terms below this are a mistake of the sender; they are not taken.
pub const TERM_MIN: Millis = Millis(50);

/// The actor's answer to one ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// False until the actor has heard from the group since its start.
    pub known: bool,
    /// The log index up to which the actor knows.
    pub index: LogIndex,
    /// The group's word on the stack's epochs.
    pub epochs: Option<SiteEpochs>,
    /// What may run.
    pub cover: Option<CoverEntry>,
    /// What was left of a timed cover when the actor answered.
    pub remaining: Millis,
    /// D and F.
    pub terms: Option<GrantTerms>,
}

/// What became of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It was taken in.
    Yes,
    /// Nothing of it counts: the actor knows nothing yet, or a newer answer was taken.
    Late,
    /// Its cover does not count: it is older than the one on disk.
    CoverOutdated,
}

/// One gate's memory.
#[derive(Clone, Debug, Serialize)]
pub struct Memory {
    stack: StackId,
    record: Option<Record>,
    told: Option<(SiteEpochs, Moment)>,
    cover: Option<Held>,
    /// The timed cover of another epoch that the present one, or none, has replaced.
    before: Option<(Epoch, Deadline)>,
    taken: LogIndex,
    terms: GrantTerms,
}

impl Memory {
    /// After a start: `record` is what the disk has; none if it is lost.
    #[must_use]
    pub const fn new(stack: StackId, record: Option<Record>, terms: GrantTerms) -> Self {
        Self { stack, record, told: None, cover: None, before: None, taken: LogIndex(0), terms }
    }

    /// Takes the answer to the ask that was sent at `sent`, unless a newer one was taken. The
    /// record that must be written now, if it changed.
    pub fn take(&mut self, answer: &Answer, sent: Moment, now: Moment) -> (Taken, Option<Record>) {
        let late = answer.index < self.taken && !planted!(AnswersOutOfOrder);
        if !answer.known || late {
            return (Taken::Late, None);
        }
        self.taken = answer.index;
        if let Some(terms) = answer.terms
            && terms.lease_duration >= TERM_MIN
            && terms.fence_deadline >= TERM_MIN
        {
            self.terms = terms;
        }
        let told = answer.epochs.as_ref().filter(|told| told.stack == self.stack);
        if let Some(told) = told {
            self.hear(told, now);
        }
        let wanted = told.map_or(self.record, |told| Some(self.record.unwrap_or_default().with(told)));
        let Some(entry) = answer.cover.as_ref().filter(|cover| cover.stack == self.stack) else {
            self.replace(None);
            return (Taken::Yes, self.to_write(wanted));
        };
        if self.knows_later_than(entry) {
            return (Taken::CoverOutdated, self.to_write(wanted));
        }
        let asked = if planted!(DeadlineFromArrival) { now } else { sent };
        self.hold(entry, Deadline::new(asked, answer.remaining), now);
        // The cover's kind is in the record: a gate that restarts must not take an older one,
        // held, for the truth.
        let noted = wanted.map(|record| Record { cover: Some((entry.epoch, entry.kind)), ..record });
        (Taken::Yes, self.to_write(noted))
    }

    fn hear(&mut self, told: &SiteEpochs, now: Moment) {
        let since = match &self.told {
            Some((before, since)) if before.highest == told.highest => *since,
            _ => now,
        };
        self.told = Some((told.clone(), since));
    }

    fn knows_later_than(&self, entry: &CoverEntry) -> bool {
        let noted = self.record.and_then(|record| record.cover);
        let later = |kind| since(kind) > since(entry.kind) && !planted!(AnswersOutOfOrder);
        noted.is_some_and(|(epoch, kind)| epoch == entry.epoch && later(kind))
    }

    fn hold(&mut self, entry: &CoverEntry, deadline: Deadline, now: Moment) {
        let deadline = match entry.kind {
            CoverKind::Held { .. } => None,
            CoverKind::Timed { .. } => Some(deadline),
        };
        // A right that was given once does not shrink: an answer may have waited in the actor.
        let before = self.cover.as_ref().filter(|cover| cover.entry == *entry).and_then(|c| c.deadline);
        let deadline = match (deadline, before) {
            (Some(new), Some(old)) => Some(new.later(old, now)),
            (new, _) => new,
        };
        self.replace(Some(Held { entry: entry.clone(), deadline }));
    }

    fn replace(&mut self, cover: Option<Held>) {
        let epoch = cover.as_ref().map(|cover| cover.entry.epoch);
        let gone = core::mem::replace(&mut self.cover, cover);
        if let Some(gone) = gone.filter(|gone| Some(gone.entry.epoch) != epoch) {
            self.before = gone.deadline.map(|deadline| (gone.entry.epoch, deadline));
        }
    }

    /// From when F counts for the primary of this epoch, if it must end: from the end of its cover
    /// if that is over, though the cover was taken away before anybody looked at the clock.
    #[must_use]
    pub fn fence_from(&self, open: Epoch, now: Moment) -> Moment {
        let present = self.cover.as_ref().filter(|cover| cover.entry.epoch == open);
        let end = match present {
            Some(cover) => cover.deadline,
            None => self.before.filter(|(epoch, _)| *epoch == open).map(|(_, deadline)| deadline),
        };
        let over = end.filter(|end| end.is_over(now) && !planted!(FenceFromNow));
        over.map_or(now, Deadline::moment)
    }

    fn to_write(&self, wanted: Option<Record>) -> Option<Record> {
        wanted.filter(|record| self.record != Some(*record))
    }

    /// This record is on disk now.
    pub const fn written(&mut self, record: Record) {
        self.record = Some(record);
    }

    /// What must be written before anything is done at this epoch; nothing if it is there.
    #[must_use]
    pub fn to_raise(&self, epoch: Epoch) -> Option<Record> {
        let record = self.record.unwrap_or_default();
        self.to_write(Some(Record { highest: record.highest.max(epoch), ..record }))
    }

    /// What must be written before this epoch is said to be relinquished; nothing if it is there.
    #[must_use]
    pub fn to_relinquish(&self, epoch: Epoch) -> Option<Record> {
        let record = self.record.unwrap_or_default();
        let (highest, closed) = (record.highest.max(epoch), record.closed.max(epoch));
        self.to_write(Some(Record { highest, closed, ..record }))
    }

    /// All that a decision rests on.
    #[must_use]
    pub fn input(&self, data: Data, running: Running, promoted_by_others: bool, now: Moment) -> Input<'_> {
        Input {
            record: self.record,
            told: self.told.as_ref().map(|(told, since)| (told, *since)),
            cover: self.cover.as_ref(),
            lease_duration: self.terms.lease_duration,
            data,
            running,
            promoted_by_others,
            now,
        }
    }

    /// That the cover is timed, once it is on disk that it is.
    #[must_use]
    pub fn timed_ack(&self) -> Option<TimedAck> {
        let entry = &self.cover.as_ref()?.entry;
        let noted = self.record?.cover == Some((entry.epoch, entry.kind));
        match entry.kind {
            CoverKind::Timed { since } if noted => {
                Some(TimedAck { stack: entry.stack.clone(), epoch: entry.epoch, since })
            }
            _ => None,
        }
    }

    /// What is on disk; none if it was lost and is not refilled yet.
    #[must_use]
    pub const fn record(&self) -> Option<Record> {
        self.record
    }

    /// The cover that is held, whether its time is over or not.
    #[must_use]
    pub const fn cover(&self) -> Option<&Held> {
        self.cover.as_ref()
    }

    /// D and F, as last heard.
    #[must_use]
    pub const fn terms(&self) -> GrantTerms {
        self.terms
    }

    /// True once the group has said anything about the stack.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        self.told.is_some()
    }

    /// The highest timeline that an earlier promote step may have made, whoever said so.
    #[must_use]
    pub fn timeline_highest(&self, ordered: Timeline) -> Timeline {
        self.told.as_ref().map_or(ordered, |(told, _)| told.timeline_highest.max(ordered))
    }
}

const fn since(kind: CoverKind) -> LogIndex {
    match kind {
        CoverKind::Timed { since } | CoverKind::Held { since } => since,
    }
}

#[cfg(test)]
mod tests;
