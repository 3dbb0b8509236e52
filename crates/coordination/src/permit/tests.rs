//! The gate's decisions, one table row at a time.

use super::*;
use model::{LogIndex, StackId, Timeline};

const NOW: Moment = Moment { boottime: 10_000_000, raw: 9_000_000 };

fn stack() -> StackId {
    StackId::new("db").expect("a name")
}

fn told(highest: u64, closed: u64) -> SiteEpochs {
    SiteEpochs {
        stack: stack(),
        highest: Epoch(highest),
        closed: Epoch(closed),
        timeline_highest: Timeline(0),
    }
}

fn record(highest: u64, closed: u64) -> Option<Record> {
    Some(Record { highest: Epoch(highest), closed: Epoch(closed), cover: None })
}

fn timed(epoch: u64, left: u64) -> Held {
    let kind = CoverKind::Timed { since: LogIndex(1) };
    Held {
        entry: CoverEntry { stack: stack(), epoch: Epoch(epoch), kind },
        deadline: Some(Deadline::new(NOW, Millis(left))),
    }
}

fn held(epoch: u64) -> Held {
    let kind = CoverKind::Held { since: LogIndex(1) };
    Held { entry: CoverEntry { stack: stack(), epoch: Epoch(epoch), kind }, deadline: None }
}

fn input<'a>(running: Running, data: Data, record: Option<Record>) -> Input<'a> {
    Input {
        record,
        told: None,
        cover: None,
        lease_duration: Millis(5_000),
        data,
        running,
        promoted_by_others: false,
        now: NOW,
    }
}

fn is_wait(decision: Decision) -> bool {
    matches!(decision, Decision::Wait(_))
}

fn is_fence(decision: Decision) -> bool {
    matches!(decision, Decision::Fence(_))
}

#[test]
fn nothing_opens_from_a_lost_record() {
    let cover = timed(1, 5_000);
    for data in [Data::Absent, Data::Standby, Data::Primary] {
        let mut i = input(Running::No, data, None);
        i.cover = Some(&cover);
        assert!(is_wait(i.decide()), "{data:?}");
    }
}

#[test]
fn epoch_zero_counts_only_from_the_groups_answer() {
    let mut i = input(Running::No, Data::Primary, record(0, 0));
    assert!(is_wait(i.decide()));
    let zero = told(0, 0);
    i.told = Some((&zero, NOW));
    assert_eq!(i.decide(), Decision::StartPlain);
    i.record = record(1, 0);
    assert!(is_wait(i.decide()), "the disk knows better");
}

#[test]
fn a_plain_primary_goes_under_its_cover_though_the_groups_word_still_says_epoch_zero() {
    let (zero, cover, over) = (told(0, 0), timed(1, 5_000), timed(1, 0));
    let mut i = input(Running::Open(Mode::Plain), Data::Primary, record(0, 0));
    i.told = Some((&zero, NOW));
    i.cover = Some(&cover);
    assert_eq!(i.decide(), Decision::TakeOver(Epoch(1)));
    i.cover = Some(&over);
    i.now = NOW.after(Millis(5_000));
    assert!(is_fence(i.decide()), "{i:?}");
}

#[test]
fn a_standby_starts_without_the_group_once_its_epoch_is_known() {
    assert_eq!(input(Running::No, Data::Standby, record(3, 3)).decide(), Decision::StartStandby);
    assert!(is_wait(input(Running::No, Data::Standby, record(0, 0)).decide()));
}

#[test]
fn a_primary_starts_only_under_a_cover_of_its_own_epoch() {
    let cases = [
        (timed(2, 5_000), record(2, 0), Some(2)),
        (timed(2, 5_000), record(1, 1), Some(2)),
        (held(2), record(2, 1), Some(2)),
        (timed(2, 0), record(2, 0), None),
        (timed(2, 5_000), record(3, 0), None),
        (timed(2, 5_000), record(2, 2), None),
        (held(2), record(2, 2), None),
    ];
    for (cover, record, opens) in cases {
        let mut i = input(Running::No, Data::Primary, record);
        i.cover = Some(&cover);
        match opens {
            Some(epoch) => assert_eq!(i.decide(), Decision::StartPrimary(Epoch(epoch)), "{i:?}"),
            None => assert!(is_wait(i.decide()), "{i:?}"),
        }
    }
    assert!(is_wait(input(Running::No, Data::Primary, record(2, 0)).decide()));
}

#[test]
fn what_the_group_says_is_closed_does_not_open_whatever_the_disk_says() {
    let (cover, told) = (timed(2, 5_000), told(2, 2));
    let mut i = input(Running::No, Data::Primary, record(1, 0));
    i.cover = Some(&cover);
    i.told = Some((&told, NOW));
    assert!(is_wait(i.decide()));
}

#[test]
fn an_open_primary_is_kept_until_its_deadline_and_not_longer() {
    let cover = timed(2, 1);
    let mut i = input(Running::Open(Mode::Primary(Epoch(2))), Data::Primary, record(2, 0));
    i.cover = Some(&cover);
    assert_eq!(i.decide(), Decision::Keep);
    i.now = NOW.after(Millis(1));
    assert!(is_fence(i.decide()));
    i.cover = None;
    assert!(is_fence(i.decide()), "a cover that was taken away");
    let forever = held(2);
    i.cover = Some(&forever);
    assert_eq!(i.decide(), Decision::Keep, "silence does not end a held cover");
    i.record = record(2, 2);
    assert!(is_fence(i.decide()), "relinquished");
}

#[test]
fn the_next_epoch_is_taken_over_in_place() {
    let (next, same) = (timed(3, 5_000), timed(2, 5_000));
    let mut i = input(Running::Open(Mode::Primary(Epoch(2))), Data::Primary, record(2, 0));
    i.cover = Some(&next);
    assert_eq!(i.decide(), Decision::TakeOver(Epoch(3)));
    let news = told(3, 0);
    i.told = Some((&news, NOW));
    i.cover = Some(&same);
    assert_eq!(i.decide(), Decision::Keep, "the news runs ahead of the renewal");
    i.running = Running::Open(Mode::Plain);
    i.record = record(0, 0);
    let (adopted, first) = (told(1, 0), timed(1, 5_000));
    i.told = Some((&adopted, NOW));
    i.cover = Some(&first);
    assert_eq!(i.decide(), Decision::TakeOver(Epoch(1)));
    i.cover = None;
    assert_eq!(i.decide(), Decision::Keep);
    i.now = NOW.after(Millis(5_000));
    assert!(is_fence(i.decide()));
}

#[test]
fn a_relinquished_epoch_is_fenced_even_if_the_cover_names_the_next() {
    let next = timed(3, 5_000);
    let mut i = input(Running::Open(Mode::Primary(Epoch(2))), Data::Primary, record(2, 2));
    i.cover = Some(&next);
    assert!(is_fence(i.decide()));
}

#[test]
fn a_standby_that_others_promoted_is_killed_from_epoch_one_on() {
    let mut i = input(Running::Open(Mode::Standby), Data::Primary, record(1, 0));
    assert!(matches!(i.decide(), Decision::Kill(_)));
    i.data = Data::Standby;
    assert_eq!(i.decide(), Decision::Keep);
    i.promoted_by_others = true;
    assert!(matches!(i.decide(), Decision::Kill(_)));
    i.promoted_by_others = false;
    i.data = Data::Absent;
    assert_eq!(i.decide(), Decision::Keep, "what cannot be read now proves nothing");
    i.promoted_by_others = true;
    i.record = record(0, 0);
    assert_eq!(i.decide(), Decision::Keep, "not adopted: a plain parent");
}

#[test]
fn a_foreign_server_is_killed_or_refused_but_never_taken() {
    let mut i = input(Running::Foreign, Data::Primary, record(1, 0));
    assert!(matches!(i.decide(), Decision::Kill(_)));
    i.record = None;
    assert!(is_wait(i.decide()));
    let zero = told(0, 0);
    i.told = Some((&zero, NOW));
    assert_eq!(i.decide(), Decision::Refuse);
}
