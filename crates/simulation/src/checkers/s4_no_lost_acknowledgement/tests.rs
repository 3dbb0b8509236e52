//! Stories for S4: each that must pass, and each that must not.

use super::*;
use crate::checkers::build::{Story, failover, site, stack};
use model::Cause;

fn judge(story: &Story) -> Vec<crate::checkers::Violation> {
    story.judge(NoLostAcknowledgement::new(&story.history.setup))
}

fn detached(story: &mut Story, at: Site, lsn: u64) {
    story.report(at, 1, StepKind::Detach, 1, lsn);
}

/// dc1 acknowledges rows 1 to 3, dc2 takes over and has the first `kept`.
fn moved(kept: u64, synchronous: bool, report: impl FnOnce(&mut Story)) -> Story {
    let mut story = Story::adopted(|_| {});
    story.commit(Command::SetStreaming {
        stack: stack(),
        site: site(2),
        epoch: Epoch(1),
        streams: Some(Timeline(1)),
    });
    for row in 1..=3 {
        story.wait(1_000).acked(0, row, 1, row * 600, synchronous);
    }
    story.begin(1);
    report(&mut story);
    story.elect(1, 1).step(1, 2, StepKind::Promote).began(1, 2, kept * 600);
    story.acked(1, 9, 2, 5_000, synchronous);
    let rows: Vec<u64> = (1..=kept).chain([9]).collect();
    story.end(1, &[&[1, 2, 3], &rows, &rows]);
    story
}

#[test]
fn a_clean_failover_loses_nothing() {
    assert_eq!(judge(&failover()), []);
    assert_eq!(judge(&moved(3, true, |_| {})), []);
}

#[test]
fn a_lost_row_is_caught_in_synchronous_mode_and_permitted_in_asynchronous_mode() {
    assert_eq!(judge(&moved(2, false, |_| {})), []);
    assert_eq!(judge(&moved(2, true, |_| {})).len(), 1);
}

#[test]
fn more_than_the_permitted_lag_before_the_last_word_is_caught() {
    let silent = moved(0, false, |_| {});
    assert_eq!(judge(&silent), []);
    let heard = |pause: u64| {
        moved(0, false, |story| {
            for number in 0..20_000 / pause {
                story.wait(pause).renew(0, number, Some((1, false)));
            }
        })
    };
    assert_eq!(judge(&heard(1_500)).len(), 1);
    assert_eq!(judge(&heard(9_000)), [], "reports were lost as the renewals were");
}

#[test]
fn a_row_that_a_heard_standby_had_is_caught() {
    let present = moved(2, false, |story| {
        detached(story, 2, 1_800);
        story.wait(1_000).renew(2, 1, None);
    });
    let found = judge(&present);
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("dc3 had reported"), "{}", found[0].text);
    let away = moved(2, false, |story| detached(story, 2, 1_800));
    assert_eq!(judge(&away), []);
}

#[test]
fn a_row_that_a_standby_had_at_a_later_attempt_is_caught() {
    let mut story = Story::adopted(|_| {});
    let (site, streams) = (site(2), Some(Timeline(1)));
    story.commit(Command::SetStreaming { stack: stack(), site, epoch: Epoch(1), streams });
    story.acked(0, 1, 1, 600, false).acked(0, 2, 1, 1_200, false).begin(1);
    detached(&mut story, 1, 600);
    // dc2 never opens; dc3, which has both rows, comes back and is passed over for dc1's copy.
    story.elect(1, 1).wait(5_000);
    story.commit(Command::FenceByTime { stack: stack(), epoch: Epoch(2), begun: model::LogIndex(1) });
    story.report(2, 2, StepKind::Detach, 1, 1_200).report(0, 2, StepKind::Detach, 1, 600);
    story.renew(2, 1, None).elect(2, 0).step(0, 3, StepKind::Promote).began(0, 3, 600);
    let found = judge(story.end(0, &[&[1], &[1], &[1]]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].text.contains("dc3 had reported"), "{}", found[0].text);
}

#[test]
fn what_nobody_streamed_is_not_given_up_without_a_human() {
    let given_up = |cause: Cause, streamed: bool| {
        let mut story = Story::adopted(|_| {});
        story.commit(Command::BeginTransition { stack: stack(), epoch: Epoch(1), cause, to: None });
        story.elect(1, 1).step(1, 2, StepKind::Promote).began(1, 2, 0);
        story.report(1, 2, StepKind::Promote, 2, 0);
        if streamed {
            let (site, streams) = (site(2), Some(Timeline(2)));
            story.commit(Command::SetStreaming { stack: stack(), site, epoch: Epoch(2), streams });
        }
        story
            .wait(9)
            .acked(1, 1, 2, 100, false)
            .wait(9)
            .elect(2, 2)
            .step(2, 3, StepKind::Promote)
            .began(2, 3, 0);
        judge(story.end(2, &[&[], &[1], &[]])).len()
    };
    assert_eq!(given_up(Cause::Expired, false), 1);
    assert_eq!(given_up(Cause::Expired, true), 0);
    assert_eq!(given_up(Cause::Operator, false), 0, "an operator moved it");
}

#[test]
fn wal_that_came_after_the_report_is_caught() {
    assert_eq!(judge(&moved(3, false, |story| detached(story, 1, 1_800))), []);
    let found = judge(&moved(3, false, |story| detached(story, 1, 1_200)));
    assert_eq!(found.len(), 1);
    assert!(found[0].text.contains("begins at"), "{}", found[0].text);
}

/// dc2 has all that dc1 acknowledged, runs and is lost; dc3, elected with less, never opens and
/// is given up; then the group holds for a human.
fn held_for_a_human(opened: bool) -> Story {
    let mut story = Story::adopted(|_| {});
    story.acked(0, 1, 1, 600, false).acked(0, 2, 1, 1_200, false);
    story.begin(1).elect(1, 1).step(1, 2, StepKind::Promote).began(1, 2, 1_200);
    story.wait(1_000).begin(2).elect(2, 2);
    if opened {
        story.step(2, 3, StepKind::Promote).began(2, 3, 600);
    } else {
        let begun = model::LogIndex(1);
        story.commit(Command::FenceByTime { stack: stack(), epoch: Epoch(3), begun });
    }
    story
}

#[test]
fn what_a_closed_stack_has_anywhere_is_not_lost_yet() {
    assert_eq!(judge(held_for_a_human(false).end(3, &[&[1, 2], &[1, 2], &[1]])), []);
    let mut gone = held_for_a_human(false);
    assert_eq!(judge(gone.end(3, &[&[1], &[1], &[1]])).len(), 1, "nobody has it");
    let mut expired = held_for_a_human(true);
    expired.commit(Command::Expire { site: site(2), incarnation: Incarnation(2), number: RenewalNumber(1) });
    // A held cover outlives its lease: what takes writes is what counts.
    expired.wait(9).acked(2, 3, 3, 1_300, false);
    assert_eq!(judge(expired.end(2, &[&[1, 2, 3], &[1, 2], &[1]])).len(), 1, "it is open all the same");
    let mut open = held_for_a_human(true);
    open.wait(9).acked(2, 3, 3, 1_300, false);
    assert_eq!(judge(open.end(2, &[&[1, 2, 3], &[1, 2], &[1]])).len(), 1, "its own row");
}

#[test]
fn a_row_lost_where_nothing_moved_is_caught() {
    let mut story = Story::adopted(|_| {});
    story.acked(0, 1, 1, 100, false).end(0, &[&[], &[], &[]]);
    assert_eq!(judge(&story).len(), 1);
}
