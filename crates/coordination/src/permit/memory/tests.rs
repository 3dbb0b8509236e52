//! Disk before memory before acknowledgement.

use super::*;
use crate::permit::Decision;

const NOW: Moment = Moment { boottime: 10_000_000, raw: 9_000_000 };
const TERMS: GrantTerms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };

fn stack() -> StackId {
    StackId::new("db").expect("a name")
}

fn memory(record: Option<Record>) -> Memory {
    Memory::new(stack(), record, TERMS)
}

fn answer(index: u64, epoch: u64, closed: u64, kind: CoverKind) -> Answer {
    let (stack, epoch) = (stack(), Epoch(epoch));
    let epochs = SiteEpochs {
        stack: stack.clone(),
        highest: epoch,
        closed: Epoch(closed),
        timeline_highest: Timeline(1),
    };
    Answer {
        known: true,
        index: LogIndex(index),
        epochs: Some(epochs),
        cover: Some(CoverEntry { stack, epoch, kind }),
        remaining: Millis(4_000),
        terms: Some(TERMS),
    }
}

fn timed(since: u64) -> CoverKind {
    CoverKind::Timed { since: LogIndex(since) }
}

fn held(since: u64) -> CoverKind {
    CoverKind::Held { since: LogIndex(since) }
}

fn decision(memory: &Memory) -> Decision {
    memory.input(Data::Primary, Running::No, false, NOW).decide()
}

#[test]
fn nothing_opens_and_nothing_is_acknowledged_before_the_disk_has_it() {
    let mut memory = memory(None);
    let (taken, wanted) = memory.take(&answer(7, 3, 2, timed(6)), NOW, NOW);
    assert_eq!(taken, Taken::Yes);
    assert!(matches!(decision(&memory), Decision::Wait(_)), "the disk has nothing yet");
    assert_eq!(memory.timed_ack(), None);
    let wanted = wanted.expect("a lost record is refilled");
    assert_eq!(wanted, Record { highest: Epoch(3), closed: Epoch(2), cover: Some((Epoch(3), timed(6))) });
    // The disk refused: asked again by the next answer.
    assert_eq!(memory.take(&answer(7, 3, 2, timed(6)), NOW, NOW), (Taken::Yes, Some(wanted)));
    memory.written(wanted);
    assert_eq!(decision(&memory), Decision::StartPrimary(Epoch(3)));
    let ack = TimedAck { stack: stack(), epoch: Epoch(3), since: LogIndex(6) };
    assert_eq!(memory.timed_ack(), Some(ack));
    assert_eq!(memory.take(&answer(8, 3, 2, timed(6)), NOW, NOW), (Taken::Yes, None));
}

#[test]
fn answers_are_taken_in_the_order_of_the_log() {
    let mut memory = memory(Some(Record::default()));
    let (_, wanted) = memory.take(&answer(9, 2, 1, timed(9)), NOW, NOW);
    memory.written(wanted.expect("news"));
    let late = Answer { cover: None, ..answer(8, 1, 0, held(1)) };
    assert_eq!(memory.take(&late, NOW, NOW), (Taken::Late, None));
    assert!(memory.cover().is_some());
    let unknown = Answer { known: false, ..answer(10, 1, 0, held(1)) };
    assert_eq!(memory.take(&unknown, NOW, NOW), (Taken::Late, None));
}

#[test]
fn after_a_restart_a_held_cover_older_than_the_one_on_disk_does_not_count() {
    let record = Record { highest: Epoch(2), closed: Epoch(1), cover: Some((Epoch(2), timed(9))) };
    let mut memory = memory(Some(record));
    assert_eq!(memory.take(&answer(8, 2, 1, held(4)), NOW, NOW), (Taken::CoverOutdated, None));
    assert_eq!(memory.cover(), None);
    assert_eq!(memory.take(&answer(9, 2, 1, timed(9)), NOW, NOW), (Taken::Yes, None));
    assert!(memory.timed_ack().is_some());
}

#[test]
fn a_deadline_counts_from_the_ask_and_does_not_shrink() {
    let mut memory = memory(Some(Record::default()));
    memory.take(&answer(9, 2, 1, timed(9)), NOW, NOW.after(Millis(300)));
    let deadline = |memory: &Memory| memory.cover().and_then(|c| c.deadline).expect("timed");
    assert_eq!(deadline(&memory), Deadline::new(NOW, Millis(4_000)));
    let slow = Answer { remaining: Millis(3_000), ..answer(9, 2, 1, timed(9)) };
    memory.take(&slow, NOW.after(Millis(100)), NOW.after(Millis(400)));
    assert_eq!(deadline(&memory), Deadline::new(NOW, Millis(4_000)));
    memory.take(&Answer { cover: None, ..answer(10, 2, 2, timed(9)) }, NOW, NOW);
    assert_eq!(memory.cover(), None, "taken away at once");
}

#[test]
fn what_is_raised_or_relinquished_must_be_written_only_once() {
    let mut memory = memory(Some(Record::default()));
    let raised = memory.to_raise(Epoch(2)).expect("news");
    memory.written(raised);
    assert_eq!(memory.to_raise(Epoch(1)), None);
    let closed = memory.to_relinquish(Epoch(2)).expect("news");
    assert_eq!(closed, Record { highest: Epoch(2), closed: Epoch(2), cover: None });
    memory.written(closed);
    assert_eq!(memory.to_relinquish(Epoch(2)), None);
    assert_eq!(memory.to_relinquish(Epoch(1)), None);
}

#[test]
fn a_fence_counts_from_the_end_of_the_cover_even_if_that_was_taken_away_meanwhile() {
    let mut memory = memory(Some(Record::default()));
    memory.take(&answer(9, 2, 1, timed(9)), NOW, NOW);
    let end = NOW.after(Millis(4_000));
    assert_eq!(
        memory.fence_from(Epoch(2), NOW.after(Millis(1_000))),
        NOW.after(Millis(1_000)),
        "not over yet"
    );
    assert_eq!(memory.fence_from(Epoch(2), end.after(Millis(1_000))), end);
    // A gate that stood still hears "no cover" before it looks at its clock.
    let late = end.after(Millis(900));
    memory.take(&Answer { cover: None, ..answer(10, 2, 1, timed(9)) }, late, late);
    assert_eq!(memory.fence_from(Epoch(2), late), end, "F began at the deadline");
    memory.take(&answer(11, 3, 2, timed(11)), late, late);
    assert_eq!(memory.fence_from(Epoch(2), late), end, "a later epoch's cover prolongs nothing");
    memory.take(&answer(11, 3, 2, timed(11)), late, late);
    assert_eq!(memory.fence_from(Epoch(2), late), end, "nor does its second answer");
    assert_eq!(memory.fence_from(Epoch(3), late), late);
}
