//! The gate's decisions: what may be opened, and when it must close. Pure: no IO, no clock;
//! `now` is an argument.
//!
//! Opening and keeping open differ on purpose. To *open* at epoch e the cover must name e, no
//! higher epoch may have been seen, e must not be closed, and the deadline must be ahead. To
//! *keep* what is open it is enough that its own cover holds: an election entry for a higher
//! epoch that names another site exists only once this one was fenced, and one that names
//! this site arrives with its cover a moment later.

mod fence;
mod memory;
mod orders;

pub use fence::{FenceStage, TIMER_TENTHS, fence_stage};
pub use memory::{Answer, Memory, TERM_MIN, Taken};
pub use orders::{Order, Server, Way, relinquishment};

use model::{CoverEntry, CoverKind, Deadline, Epoch, Millis, Moment, SiteEpochs};
use serde::Serialize;

/// What the gate keeps on disk, fsynced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Record {
    /// Highest epoch seen.
    pub highest: Epoch,
    /// Highest epoch that was relinquished or is closed: nothing at or below it runs here again.
    pub closed: Epoch,
    /// Epoch and kind of the last cover taken.
    pub cover: Option<(Epoch, CoverKind)>,
}

impl Record {
    /// This with what the group's answer says taken in: numbers only grow.
    #[must_use]
    pub fn with(mut self, told: &SiteEpochs) -> Self {
        self.highest = self.highest.max(told.highest).max(told.closed);
        self.closed = if planted!(RecordGoesBack) { told.closed } else { self.closed.max(told.closed) };
        self
    }
}

/// A cover as the gate holds it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Held {
    /// The stack's entry in the site's cover.
    pub entry: CoverEntry,
    /// When it ends; none for a held one.
    pub deadline: Option<Deadline>,
}

impl Held {
    /// True while the cover permits anything.
    #[must_use]
    pub fn holds(&self, now: Moment) -> bool {
        self.deadline.is_none_or(|d| !d.is_over(now)) || planted!(DeadlineIgnored)
    }
}

/// What the data directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Data {
    /// No data directory, not one that this server version can start, or not readable now.
    Absent,
    /// `standby.signal` is there.
    Standby,
    /// It is not: this starts as a primary.
    Primary,
}

/// As what the gate opened the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In recovery.
    Standby,
    /// A primary at epoch 0: the gate is a plain parent.
    Plain,
    /// A primary under a cover, from the order to promote on.
    Primary(Epoch),
}

/// What runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Running {
    /// Nothing, and no process is left.
    No,
    /// A server that this gate did not start.
    Foreign,
    /// What the gate opened.
    Open(Mode),
}

/// All that a decision rests on.
#[derive(Clone, Debug)]
pub struct Input<'a> {
    /// From disk; none if it was lost or unreadable and is not refilled yet.
    pub record: Option<Record>,
    /// The group's word on the stack's epochs, and when this gate heard it first with that
    /// highest epoch; none before the first answer.
    pub told: Option<(&'a SiteEpochs, Moment)>,
    /// The cover that the gate holds.
    pub cover: Option<&'a Held>,
    /// D, as last heard.
    pub lease_duration: Millis,
    /// What the data directory holds now.
    pub data: Data,
    /// What runs.
    pub running: Running,
    /// True if the standby that runs is seen to be out of recovery without an order.
    pub promoted_by_others: bool,
    /// A reading of the gate's clocks, just made.
    pub now: Moment,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing may be started; the reason is for people.
    Wait(&'static str),
    /// Start it: `standby.signal` is there.
    StartStandby,
    /// Start what is there, as a plain parent: the stack is not adopted.
    StartPlain,
    /// Start the primary under the cover for this epoch.
    StartPrimary(Epoch),
    /// Leave it as it is.
    Keep,
    /// The primary that runs goes on under this epoch; nothing is restarted.
    TakeOver(Epoch),
    /// Close what is open, in stages, within F.
    Fence(&'static str),
    /// SIGKILL at once.
    Kill(&'static str),
    /// Another server runs there and nothing says that it may be killed: end with an error.
    Refuse,
}

impl Input<'_> {
    /// The highest epoch known, whoever told it.
    #[must_use]
    pub fn highest(&self) -> Epoch {
        let record = self.record.map_or(Epoch::NONE, |r| r.highest);
        // A cover may be here before the word on the epochs that it belongs to.
        let cover = self.cover.filter(|_| !planted!(CoverEpochUnseen));
        let covered = cover.map_or(Epoch::NONE, |cover| cover.entry.epoch);
        let told = self.told.map_or(Epoch::NONE, |(told, _)| told.highest.max(told.closed));
        record.max(covered).max(told)
    }

    fn closed(&self) -> Epoch {
        let record = self.record.map_or(Epoch::NONE, |r| r.closed);
        self.told.map_or(record, |(t, _)| t.closed.max(record))
    }

    /// The epoch that may be opened at this instant, or why none may be.
    ///
    /// # Errors
    /// The reason, for people.
    pub fn may_open(&self) -> Result<Epoch, &'static str> {
        if self.record.is_none() {
            return Err("the record is lost, and the group has not refilled it yet");
        }
        let cover = self.cover.ok_or("no cover: this site may not run the primary")?;
        let epoch = cover.entry.epoch;
        if epoch == Epoch::NONE || (epoch <= self.closed() && !planted!(ClosedIgnored)) {
            return Err("the cover's epoch is closed here");
        }
        if epoch < self.highest() {
            return Err("the cover's epoch is below the highest seen");
        }
        if !cover.holds(self.now) {
            return Err("the cover's deadline is over");
        }
        Ok(epoch)
    }

    /// What to do now.
    #[must_use]
    pub fn decide(&self) -> Decision {
        match self.running {
            Running::No => self.decide_start(),
            Running::Foreign => self.decide_foreign(),
            Running::Open(Mode::Standby) => self.decide_standby(),
            Running::Open(Mode::Plain) => self.decide_plain(),
            Running::Open(Mode::Primary(open)) => self.decide_primary(open),
        }
    }

    fn decide_start(&self) -> Decision {
        if self.record.is_none() {
            return Decision::Wait("the record is lost or new: waiting for the group's answer");
        }
        let adopted = self.highest() > Epoch::NONE;
        if !adopted && self.told.is_none() {
            return Decision::Wait("waiting for the group's first answer");
        }
        match (self.data, adopted) {
            (Data::Absent, _) => Decision::Wait("there is no data directory that this server can start"),
            (Data::Standby, _) => Decision::StartStandby,
            (Data::Primary, adopted) if !adopted || planted!(OpensWhatItFinds) => Decision::StartPlain,
            (Data::Primary, _) => match self.may_open() {
                Ok(epoch) => Decision::StartPrimary(epoch),
                Err(reason) => Decision::Wait(reason),
            },
        }
    }

    fn decide_foreign(&self) -> Decision {
        match (self.highest() > Epoch::NONE, self.told) {
            (true, _) => Decision::Kill("a server that this gate did not start"),
            (false, Some(_)) => Decision::Refuse,
            (false, None) => {
                Decision::Wait("a server that this gate did not start; waiting for the group's answer")
            }
        }
    }

    fn decide_standby(&self) -> Decision {
        let out = self.promoted_by_others || self.data == Data::Primary;
        if out && self.highest() > Epoch::NONE && !planted!(PromotedByOthersKept) {
            return Decision::Kill("the standby was promoted, and not by the gate");
        }
        Decision::Keep
    }

    /// Adopted meanwhile? The cover comes with the next renewal, at most D after the news; a
    /// site that is not named gets none.
    fn decide_plain(&self) -> Decision {
        if self.highest() == Epoch::NONE {
            return Decision::Keep;
        }
        if let Ok(epoch) = self.may_open() {
            return Decision::TakeOver(epoch);
        }
        let waited = self.told.map_or(self.lease_duration, |(_, since)| self.now.elapsed_longest(since));
        if self.closed() == Epoch::NONE && waited < self.lease_duration {
            return Decision::Keep;
        }
        Decision::Fence("the stack was adopted, and this site has no cover")
    }

    fn decide_primary(&self, open: Epoch) -> Decision {
        // Relinquished is relinquished: a later epoch opens it again, but only from the start.
        if open <= self.closed() {
            return Decision::Fence("its epoch was closed");
        }
        if let Ok(epoch) = self.may_open()
            && epoch > open
        {
            return Decision::TakeOver(epoch);
        }
        match self.cover {
            Some(cover) if cover.entry.epoch != open => Decision::Fence("the cover names another epoch"),
            Some(cover) if cover.holds(self.now) => Decision::Keep,
            Some(_) => Decision::Fence("the deadline is over"),
            None => Decision::Fence("the cover was taken away"),
        }
    }
}

#[cfg(test)]
mod tests;
