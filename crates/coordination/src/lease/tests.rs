//! The arithmetic of t_send, late answers, incarnations and cover revisions.

use super::*;

const D: Millis = Millis(5_000);
const TERMS: GrantTerms = GrantTerms { lease_duration: D, fence_deadline: Millis(2_000) };
const RUN: Incarnation = Incarnation(7);

fn at(ms: u64) -> Moment {
    Moment { boottime: 100_000_000, raw: 200_000_000 }.after(Millis(ms))
}

fn stack(name: &str) -> StackId {
    StackId::new(name).expect("a name of the test")
}

fn cover(revision: u64, entries: &[(&str, u64, bool)]) -> Cover {
    let entries = entries
        .iter()
        .map(|(name, epoch, held)| {
            let since = LogIndex(revision);
            let kind = if *held { CoverKind::Held { since } } else { CoverKind::Timed { since } };
            CoverEntry { stack: stack(name), epoch: Epoch(*epoch), kind }
        })
        .collect();
    Cover { revision: LogIndex(revision), entries }
}

fn answer(index: u64, last: u64, cover: Cover) -> RegistrationAnswer {
    RegistrationAnswer {
        index: LogIndex(index),
        last_number: RenewalNumber(last),
        terms: TERMS,
        epochs: Vec::new(),
        cover,
    }
}

fn grant(index: u64, send: Send, revision: u64, cover: Option<Cover>) -> Grant {
    Grant {
        index: LogIndex(index),
        incarnation: send.incarnation,
        number: send.number,
        terms: TERMS,
        cover_revision: LogIndex(revision),
        cover,
    }
}

/// Registered at index 10, and the list of revision 10 is known: the sends of the tests begin at
/// number 42.
fn registered_with(entries: &[(&str, u64, bool)]) -> LeaseTable {
    let mut table = LeaseTable::default();
    table.register(RUN, &answer(10, 40, Cover::default()));
    let long_ago = Moment { boottime: 0, raw: 0 };
    let send = table.send(long_ago).expect("registered");
    let taken = table.take(&grant(10, send, 10, Some(cover(10, entries))), long_ago.after(D));
    assert!(matches!(taken, Taken::Yes { .. }));
    table
}

/// (ess, 1) timed.
fn registered() -> LeaseTable {
    registered_with(&[("ess", 1, false)])
}

#[test]
fn nothing_is_sent_before_the_registration_and_numbers_go_on_from_the_last() {
    assert_eq!(LeaseTable::default().send(at(0)), None);
    let mut table = registered();
    let first = table.send(at(0)).expect("registered");
    let second = table.send(at(1)).expect("registered");
    assert_eq!((first.number, second.number), (RenewalNumber(42), RenewalNumber(43)));
    assert_eq!(first.cover_known, LogIndex(10));
}

#[test]
fn a_registration_opens_nothing() {
    let mut table = LeaseTable::default();
    table.register(RUN, &answer(10, 41, cover(10, &[("ess", 1, false), ("held", 1, true)])));
    assert_eq!((table.valid(&stack("ess"), at(0)), table.valid(&stack("held"), at(0))), (None, None));
    assert!(!table.is_heard());
    assert_eq!(table.send(at(0)).map(|send| send.cover_known), Some(LogIndex(0)), "the list is asked for");
}

#[test]
fn the_right_ends_at_the_send_plus_d_whenever_the_answer_comes() {
    let mut table = registered();
    let send = table.send(at(0)).expect("registered");
    assert_eq!(table.take(&grant(11, send, 10, None), at(4_000)), Taken::Yes { changed: false });
    assert_eq!(table.remaining(&stack("ess"), at(4_000)), Millis(1_000));
    assert!(table.valid(&stack("ess"), at(4_999)).is_some());
    assert_eq!(table.valid(&stack("ess"), at(5_000)), None);
}

#[test]
fn a_late_answer_neither_shortens_nor_prolongs_beyond_its_own_send() {
    let mut table = registered();
    let first = table.send(at(0)).expect("registered");
    let second = table.send(at(700)).expect("registered");
    assert!(matches!(table.take(&grant(12, second, 10, None), at(800)), Taken::Yes { .. }));
    assert!(matches!(table.take(&grant(12, first, 10, None), at(900)), Taken::Yes { .. }));
    assert_eq!(table.remaining(&stack("ess"), at(900)), Millis(4_800));
}

#[test]
fn an_answer_below_the_highest_index_counts_for_nothing() {
    let mut table = registered();
    let first = table.send(at(0)).expect("registered");
    let second = table.send(at(700)).expect("registered");
    table.take(&grant(13, first, 13, Some(cover(13, &[]))), at(800));
    let late = grant(12, second, 12, Some(cover(12, &[("ess", 1, false)])));
    assert!(matches!(table.take(&late, at(900)), Taken::Ignored(_)));
    assert_eq!(table.valid(&stack("ess"), at(900)), None);
}

#[test]
fn another_incarnation_and_unknown_numbers_are_ignored() {
    let mut table = registered();
    let send = table.send(at(0)).expect("registered");
    let other = Send { incarnation: Incarnation(8), ..send };
    assert!(matches!(table.take(&grant(11, other, 10, None), at(1)), Taken::Ignored(_)));
    let unknown = Send { number: RenewalNumber(99), ..send };
    assert!(matches!(table.take(&grant(11, unknown, 10, None), at(1)), Taken::Ignored(_)));
}

#[test]
fn a_send_that_is_over_by_itself_is_forgotten() {
    let mut table = registered();
    let old = table.send(at(0)).expect("registered");
    let _ = table.send(at(60_000));
    assert!(matches!(table.take(&grant(11, old, 10, None), at(60_001)), Taken::Ignored(_)));
}

#[test]
fn an_answer_of_an_old_send_gives_no_right_at_a_later_time() {
    let mut table = registered();
    let old = table.send(at(0)).expect("registered");
    assert!(matches!(table.take(&grant(11, old, 10, None), at(60_000)), Taken::Yes { .. }));
    assert_eq!(table.valid(&stack("ess"), at(60_000)), None);
}

#[test]
fn an_unknown_list_prolongs_nothing_and_is_asked_for_in_full() {
    let mut table = registered();
    let send = table.send(at(0)).expect("registered");
    assert_eq!(table.take(&grant(11, send, 11, None), at(10)), Taken::ListUnknown);
    assert_eq!(table.valid(&stack("ess"), at(10)), None);
    let next = table.send(at(11)).expect("registered");
    assert_eq!(next.cover_known, LogIndex(0));
    let full = grant(12, next, 11, Some(cover(11, &[("ess", 2, false)])));
    assert_eq!(table.take(&full, at(20)), Taken::Yes { changed: true });
    assert_eq!(table.valid(&stack("ess"), at(20)).map(|v| v.entry.epoch), Some(Epoch(2)));
}

#[test]
fn a_new_epoch_inherits_no_deadline_of_the_old_one() {
    let mut table = registered();
    let first = table.send(at(0)).expect("registered");
    let second = table.send(at(100)).expect("registered");
    table.take(&grant(11, second, 10, None), at(150));
    // The answer to the earlier send brings the new epoch: it counts from that send.
    table.take(&grant(12, first, 12, Some(cover(12, &[("ess", 2, false)]))), at(200));
    assert_eq!(table.remaining(&stack("ess"), at(200)), Millis(4_800));
}

#[test]
fn a_stack_that_leaves_the_cover_ends_at_once_and_the_others_go_on() {
    let mut table = registered_with(&[("a", 1, false), ("b", 1, false)]);
    let first = table.send(at(0)).expect("registered");
    table.take(&grant(11, first, 10, None), at(1));
    let second = table.send(at(700)).expect("registered");
    let taken = table.take(&grant(12, second, 12, Some(cover(12, &[("b", 1, false)]))), at(710));
    assert_eq!(taken, Taken::Yes { changed: true });
    assert_eq!(table.valid(&stack("a"), at(710)), None);
    assert_eq!(table.remaining(&stack("b"), at(710)), Millis(4_990));
}

#[test]
fn a_held_cover_has_no_deadline_and_a_timed_one_again_needs_a_new_send() {
    let mut table = registered_with(&[("ess", 1, true)]);
    assert!(table.valid(&stack("ess"), at(900_000)).is_some_and(|v| v.deadline.is_none()));
    let send = table.send(at(1_000_000)).expect("registered");
    table.take(&grant(20, send, 20, Some(cover(20, &[("ess", 1, false)]))), at(1_000_050));
    assert_eq!(table.remaining(&stack("ess"), at(1_000_050)), Millis(4_950));
}

#[test]
fn a_new_registration_keeps_earned_deadlines_until_the_next_list() {
    let mut table = registered();
    let send = table.send(at(0)).expect("registered");
    table.take(&grant(11, send, 10, None), at(1));
    table.unregister();
    assert_eq!(table.send(at(2)), None);
    table.register(Incarnation(8), &answer(20, 42, Cover::default()));
    assert_eq!(table.remaining(&stack("ess"), at(1_000)), Millis(4_000));
    assert!(matches!(table.take(&grant(21, send, 10, None), at(1_000)), Taken::Ignored(_)));
    let next = table.send(at(1_000)).expect("registered");
    table.take(&grant(30, next, 30, Some(cover(30, &[]))), at(1_000));
    assert_eq!(table.valid(&stack("ess"), at(1_000)), None);
}

#[test]
fn a_refusal_of_an_overtaken_send_says_nothing() {
    let mut table = registered();
    let first = table.send(at(0)).expect("registered");
    let second = table.send(at(1)).expect("registered");
    assert!(table.refusal_counts(RUN, first.number));
    table.take(&grant(11, second, 10, None), at(2));
    assert!(!table.refusal_counts(RUN, first.number));
    assert!(!table.refusal_counts(Incarnation(8), RenewalNumber(99)));
    assert!(table.refusal_counts(RUN, RenewalNumber(99)));
}

#[test]
fn the_larger_elapsed_time_counts() {
    let mut table = registered();
    let send = table.send(at(0)).expect("registered");
    table.take(&grant(11, send, 10, None), at(1));
    let suspended = Moment { boottime: at(5_000).boottime, raw: at(10).raw };
    assert_eq!(table.valid(&stack("ess"), suspended), None);
}
