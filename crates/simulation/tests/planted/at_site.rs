//! Directed scenarios at one site: a gate's memory and decisions, an actor's lease.

use crate::group::{START, stack};
use crate::methods::Seen;
use coordination::invariants::Invariant::{S1OneWriter, S3EpochsGrow, S5ClosedByDefault};
use coordination::lease::LeaseTable;
use coordination::permit::{self, Data, Decision, Memory, Record, Running};
use model::{
    Cover, CoverEntry, CoverKind, Epoch, Grant, GrantTerms, LogIndex, Millis, RegistrationAnswer,
    RenewalNumber, SiteEpochs, Timeline,
};

const TERMS: GrantTerms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };

/// An administrator promotes a standby by hand.
pub fn promoted_by_hand() -> Seen {
    let record = Record { highest: Epoch(2), closed: Epoch(1), cover: None };
    let memory = Memory::new(stack(), Some(record), TERMS);
    let decision = memory.input(Data::Primary, Running::Open(permit::Mode::Standby), true, START).decide();
    let text = "a primary that the gate did not open goes on";
    (!matches!(decision, Decision::Kill(_))).then(|| (S5ClosedByDefault, text.to_owned()))
}

/// Epoch 2 is relinquished on disk; the group has not heard of it yet.
pub fn an_answer_from_before_the_relinquishment() -> Seen {
    let record = Record { highest: Epoch(2), closed: Epoch(2), cover: None };
    let mut memory = Memory::new(stack(), Some(record), TERMS);
    let (highest, closed, timeline_highest) = (Epoch(2), Epoch(1), Timeline(2));
    let answer = permit::Answer {
        known: true,
        index: LogIndex(9),
        epochs: Some(SiteEpochs { stack: stack(), highest, closed, timeline_highest }),
        cover: None,
        remaining: Millis(0),
        terms: None,
    };
    let (_, wanted) = memory.take(&answer, START, START);
    let lower = wanted.filter(|record| record.closed < Epoch(2));
    lower.map(|record| (S3EpochsGrow, format!("the closed epoch goes from 2 to {}", record.closed)))
}

/// A gate has acknowledged that its cover is timed; then an older answer comes, of a held one.
pub fn an_older_answer() -> Seen {
    let mut memory = Memory::new(stack(), Some(Record::default()), TERMS);
    let answer = |index, kind| permit::Answer {
        known: true,
        index: LogIndex(index),
        epochs: None,
        cover: Some(CoverEntry { stack: stack(), epoch: Epoch(1), kind }),
        remaining: Millis(4_000),
        terms: None,
    };
    let (_, wanted) = memory.take(&answer(9, CoverKind::Timed { since: LogIndex(9) }), START, START);
    memory.written(wanted?);
    memory.timed_ack()?;
    memory.take(&answer(8, CoverKind::Held { since: LogIndex(4) }), START, START);
    let held = memory.cover().is_some_and(|cover| cover.deadline.is_none());
    held.then(|| (S1OneWriter, String::from("a gate drops the deadline that it has acknowledged")))
}

/// A gate stood still between the actor's answer and reading it.
pub fn an_answer_that_is_read_late() -> Seen {
    let mut memory = Memory::new(stack(), Some(Record::default()), TERMS);
    let kind = CoverKind::Timed { since: LogIndex(9) };
    let answer = permit::Answer {
        known: true,
        index: LogIndex(9),
        epochs: None,
        cover: Some(CoverEntry { stack: stack(), epoch: Epoch(1), kind }),
        remaining: Millis(4_000),
        terms: None,
    };
    let late = START.after(Millis(10_000));
    let (_, wanted) = memory.take(&answer, START, late);
    memory.written(wanted?);
    let decision = memory.input(Data::Primary, Running::No, false, late).decide();
    let opens = matches!(decision, Decision::StartPrimary(_));
    opens.then(|| (S5ClosedByDefault, String::from("a gate opens under a cover that is long over")))
}

/// The next answer's list does not name the stack any more.
pub fn a_list_without_the_stack() -> Seen {
    let mut lease = LeaseTable::default();
    let (incarnation, kind) = (model::Incarnation(1), CoverKind::Timed { since: LogIndex(2) });
    let answer = RegistrationAnswer {
        index: LogIndex(3),
        last_number: RenewalNumber(0),
        terms: TERMS,
        epochs: Vec::new(),
        cover: Cover::default(),
    };
    lease.register(incarnation, &answer);
    let entry = CoverEntry { stack: stack(), epoch: Epoch(1), kind };
    for (index, entries) in [(4, vec![entry]), (5, vec![])] {
        let (number, index) = (lease.send(START)?.number, LogIndex(index));
        let cover = Some(Cover { revision: index, entries });
        let grant = Grant { index, incarnation, number, terms: TERMS, cover_revision: index, cover };
        lease.take(&grant, START);
    }
    let right = lease.valid(&stack(), START);
    right.map(|_| (S5ClosedByDefault, String::from("a stack may run that no cover names")))
}

/// A gate's memory with this record, and a timed cover for epoch 2 if any.
fn gate(highest: u64, closed: u64, covered: bool) -> Memory {
    let record = Record { highest: Epoch(highest), closed: Epoch(closed), cover: None };
    let mut memory = Memory::new(stack(), Some(record), TERMS);
    let kind = CoverKind::Timed { since: LogIndex(9) };
    let cover = covered.then(|| CoverEntry { stack: stack(), epoch: Epoch(2), kind });
    let answer = permit::Answer {
        known: true,
        index: LogIndex(9),
        epochs: None,
        cover,
        remaining: Millis(4_000),
        terms: None,
    };
    if let (_, Some(wanted)) = memory.take(&answer, START, START) {
        memory.written(wanted);
    }
    memory
}

/// A gate that starts beside a former primary; the group covers nothing.
pub fn a_former_primary_is_found() -> Seen {
    let memory = gate(2, 1, false);
    let decision = memory.input(Data::Primary, Running::No, false, START).decide();
    let opens = !matches!(decision, Decision::Wait(_));
    opens.then(|| (S5ClosedByDefault, format!("{decision:?} without a cover")))
}
