//! One file per invariant. Each judges what was seen to happen, and nothing else: none does IO,
//! none reads the core's state, none knows which bug is planted.
//!
//! | file | judges | read by |
//! | --- | --- | --- |
//! | `one_writer`, `lost_writes`, `outage`, `leftovers` | what clients and an outside observer saw of real processes | chaos lab; the first by S1, too |
//! | `s1_*` to `s7_*`, `l1_*` to `l4_*` | the history of a simulated run | simulator |
//! | `agreed` | nothing: what was committed, for the others | |
//!
//! A simulated history is read once, record by record, by all checkers side by side; each costs a
//! few steps a record. Times of the lab are nanoseconds of one clock of one machine; times of the
//! simulator are microseconds of true time.

mod agreed;
mod l1_it_ends;
mod l2_no_needless_failover;
mod l3_no_needless_outage;
mod l4_coordinator_harmless;
mod leftovers;
mod lost_writes;
mod one_writer;
mod outage;
mod s1_one_writer;
mod s2_fence_first;
mod s3_epochs_grow;
mod s4_no_lost_acknowledgement;
mod s5_closed_by_default;
mod s6_one_transition;
mod s7_agreed_not_guessed;

pub use l1_it_ends::bound as liveness_bound;
pub use leftovers::{Leftover, ProcessSeen, leftovers};
pub use lost_writes::{LostWrites, lost_writes};
pub use one_writer::{OneWriter, Overlap, one_writer};
pub use outage::{Gap, Outage, outage};

use crate::history::{History, Record, Stack, Time};
use agreed::Agreed;
use coordination::invariants::Invariant;
use std::collections::BTreeSet;
use std::fmt;

/// Nanoseconds on the observers' clock.
pub type Nanos = u64;

/// A client and the number that it gave to a write: names one row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WriteId {
    /// Which client.
    pub client: String,
    /// Its number for the write; never used twice by that client.
    pub number: u64,
}

/// One write that a client was told is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ack {
    /// Which write.
    pub write: WriteId,
    /// The site whose server acknowledged it.
    pub site: String,
    /// When the client sent it.
    pub sent: Nanos,
    /// When the client read the acknowledgement.
    pub acked: Nanos,
}

/// The rows that the winner's database has once everything has settled.
pub type FinalRows = BTreeSet<WriteId>;

/// An invariant that a run broke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub invariant: Invariant,
    /// When.
    pub at: Time,
    /// Of which stack; none: of the group.
    pub stack: Option<Stack>,
    /// What was found.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, micros) = (self.at / 1_000_000, self.at % 1_000_000);
        write!(f, "{:?} at {seconds}.{micros:06} s", self.invariant)?;
        if let Some(stack) = self.stack {
            write!(f, ", stack s{}", stack + 1)?;
        }
        write!(f, ": {}", self.text)
    }
}

/// One of these is enough to know a run as broken; more of a kind are not kept.
const VIOLATIONS_MAX: usize = 20;

/// What checkers found.
#[derive(Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, invariant: Invariant, at: Time, stack: impl Into<Option<Stack>>, text: String) {
        let known = self.0.iter().filter(|v| v.invariant == invariant).count();
        if known < VIOLATIONS_MAX {
            self.0.push(Violation { invariant, at, stack: stack.into(), text });
        }
    }
}

/// One invariant, judged record by record.
trait Checker {
    /// The next record. `agreed` is as it was before it.
    fn take(&mut self, record: &Record, agreed: &Agreed, history: &History, found: &mut Found);

    /// The run is over.
    fn finish(&mut self, _agreed: &Agreed, _history: &History, _found: &mut Found) {}
}

/// Judges a run by every invariant.
#[must_use]
pub fn check_all(history: &History) -> Vec<Violation> {
    let setup = &history.setup;
    let mut s1 = s1_one_writer::OneWriterEver::new(setup);
    let mut s2 = s2_fence_first::FenceFirst::new(setup);
    let mut s3 = s3_epochs_grow::EpochsGrow::new(setup);
    let mut s4 = s4_no_lost_acknowledgement::NoLostAcknowledgement::new(setup);
    let mut s5 = s5_closed_by_default::ClosedByDefault::new(setup);
    let mut s6 = s6_one_transition::OneTransition::new(setup);
    let mut s7 = s7_agreed_not_guessed::AgreedNotGuessed::default();
    let mut l1 = l1_it_ends::ItEnds::new(setup);
    let mut l2 = l2_no_needless_failover::NoNeedlessFailover;
    let mut l3 = l3_no_needless_outage::NoNeedlessOutage;
    let mut l4 = l4_coordinator_harmless::CoordinatorHarmless::new(setup);
    run(
        &mut [
            &mut s1, &mut s2, &mut s3, &mut s4, &mut s5, &mut s6, &mut s7, &mut l1, &mut l2, &mut l3, &mut l4,
        ],
        history,
    )
}

/// Runs checkers side by side over one history.
fn run(checkers: &mut [&mut dyn Checker], history: &History) -> Vec<Violation> {
    let mut agreed = Agreed::new(&history.setup);
    let mut found = Found::default();
    for record in &history.records {
        for checker in &mut *checkers {
            checker.take(record, &agreed, history, &mut found);
        }
        agreed.take(record, history);
    }
    for checker in checkers {
        checker.finish(&agreed, history, &mut found);
    }
    found.0.sort_by_key(|v| v.at);
    found.0
}

#[cfg(test)]
pub(crate) mod build;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clean_failover_breaks_nothing_but_its_made_up_outcomes() {
        let found = check_all(&build::failover().history);
        let rest: Vec<_> = found.iter().filter(|v| v.invariant != Invariant::S7AgreedNotGuessed).collect();
        assert_eq!(rest, Vec::<&Violation>::new());
    }
}
