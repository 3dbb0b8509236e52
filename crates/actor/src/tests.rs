//! The whole actor against stand-ins for witnesses, gate and database, over real mTLS.

mod database;
mod gate;
mod lab;
mod witness;

use crate::Error;
use crate::event::Event;
use lab::{Lab, R, cover, held, run_at, site, stack, timed, view, within};
use model::{
    Cover, DatabaseRole, Epoch, Instruction, LogIndex, Lsn, StepKind, StepOutcome, TimedAck, Timeline,
    Upstream, WalPosition,
};
use rpc::v1::order::Kind as Order;
use std::time::{Duration, Instant};
use witness::Mood;

fn detach(epoch: u64) -> Instruction {
    Instruction::Detach { epoch: Epoch(epoch) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_detaches_is_elected_promotes_and_writes() {
    let lab = Lab::start(2).await;
    let mut gate = lab.gate().await;
    gate.standby(1);
    lab.database.set(|d| d.end = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(4_711) }));
    lab.say(|w| w.view = view(20, 1, 1, detach(1)));
    let order = gate.order("detach").await;
    assert!(matches!(order.kind, Some(Order::Detach(ref d)) if d.epoch == 1), "{order:?}");
    gate.done(&order).await;
    let report = lab.step(StepKind::Detach).await;
    assert_eq!((report.epoch, report.position.map(|p| p.lsn)), (Epoch(1), Some(Lsn(4_711))));

    // Elected: the view hurries, the cover opens.
    let elected = Instant::now();
    let before = lab.witness(0).renews();
    lab.say(|w| {
        w.cover = cover(21, &[timed(2, 21)]);
        w.view = view(21, 2, 1, run_at(2, true, false));
    });
    let order = gate.order("promote").await;
    let took = elected.elapsed();
    assert!(
        matches!(order.kind, Some(Order::Promote(ref p)) if p.epoch == 2 && p.timeline_highest == 1),
        "{order:?}"
    );
    assert!(took < R, "promotion waited {took:?} for the next renewal");
    assert!(lab.witness(0).renews() > before);
    assert!(
        gate.covers().last().is_some_and(|c| c.1 == Some(2)),
        "the gate was told the cover before the order"
    );
    lab.database.set(|d| {
        d.report.role = DatabaseRole::Primary;
        d.promoted = Some(WalPosition { timeline: Timeline(2), lsn: Lsn(4_711) });
    });
    gate.done(&order).await;
    gate.primary(2);
    let report = lab.step(StepKind::Promote).await;
    assert_eq!((report.outcome, report.position.map(|p| p.timeline)), (StepOutcome::Done, Some(Timeline(2))));
    assert!(lab.steps(StepKind::VerifyWrite).is_empty(), "nobody asked yet");
    lab.say(|w| w.view = view(22, 2, 1, run_at(2, false, true)));
    lab.step(StepKind::VerifyWrite).await;
    lab.say(|w| w.view = view(23, 2, 1, run_at(2, false, false)));

    // It goes on being written to, and its health is told.
    let writes = lab.database.writes();
    within("the probe goes on", || lab.database.writes() > writes + 2).await;
    within("the write's age is told", || lab.reports().iter().any(|r| r.database.write_age.is_some())).await;
    assert_eq!(lab.saved(), Some((2, 1)), "the epochs are on disk");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_send_has_a_number_of_its_own_and_bad_witnesses_are_passed_by() {
    let lab = Lab::start(3).await;
    within("renewals come", || lab.witness(0).renews() > 3).await;
    let gate = lab.gate().await;
    lab.say(|w| w.cover = cover(30, &[timed(1, 30)]));
    within("the gate has a cover", || gate.covers().last().is_some_and(|c| c.1 == Some(1))).await;
    for mood in [Mood::NoLeader, Mood::Silent] {
        lab.witness(0).set(|w| w.mood = mood);
        let before = lab.witness(1).renews() + lab.witness(2).renews();
        within("another witness is asked", || lab.witness(1).renews() + lab.witness(2).renews() > before + 2)
            .await;
        lab.witness(0).set(|w| w.mood = Mood::Yes);
        assert!(
            gate.covers().iter().skip_while(|c| c.1.is_none()).all(|c| c.1 == Some(1)),
            "no gap in the cover"
        );
    }
    let mut numbers: Vec<u64> = (0..3).flat_map(|w| lab.witness(w).numbers()).collect();
    let all = numbers.len();
    numbers.sort_unstable();
    numbers.dedup();
    assert_eq!(numbers.len(), all, "a number was used twice");
    assert!(numbers[0] > 40, "numbers go on from the registration's");
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_run_registers_again_as_another_and_keeps_what_it_earned() {
    let lab = Lab::start(1).await;
    let gate = lab.gate().await;
    lab.say(|w| w.cover = cover(30, &[timed(1, 30)]));
    within("the gate has a cover", || gate.covers().last().is_some_and(|c| c.1 == Some(1))).await;
    let first = lab.witness(0).registrations();
    lab.witness(0).set(|w| w.refuse_incarnation = first.last().copied());
    within("it registers again", || lab.witness(0).registrations().last() != first.last()).await;
    let renews = lab.witness(0).renews();
    within("it renews", || lab.witness(0).renews() > renews + 2).await;
    assert!(
        gate.covers().iter().skip_while(|c| c.1.is_none()).all(|c| c.1 == Some(1)),
        "no gap in the cover"
    );
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_answers_the_cover_ends_and_a_held_one_stays() {
    for (entry, ends) in [(timed(1, 30), true), (held(1, 30), false)] {
        let lab = Lab::start(1).await;
        let gate = lab.gate().await;
        lab.say(|w| w.cover = cover(30, std::slice::from_ref(&entry)));
        within("the gate has a cover", || gate.covers().last().is_some_and(|c| c.1 == Some(1))).await;
        lab.witness(0).set(|w| w.mood = Mood::Silent);
        let sends = lab.witness(0).renews();
        tokio::time::sleep(R * 14).await;
        assert!(lab.witness(0).renews() > sends + 5, "it goes on asking");
        assert_eq!(gate.covers().last().map(|c| c.1), Some(if ends { None } else { Some(1) }));
        lab.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cover_that_is_taken_away_is_told_and_the_fence_is_reported() {
    let lab = Lab::start(1).await;
    let mut gate = lab.gate().await;
    lab.say(|w| w.cover = cover(30, &[timed(1, 30)]));
    within("the gate has a cover", || gate.covers().last().is_some_and(|c| c.1 == Some(1))).await;
    gate.primary(1);
    lab.say(|w| {
        w.cover = Cover { revision: LogIndex(31), entries: Vec::new() };
        w.view = view(31, 1, 0, Instruction::Fence { epoch: Epoch(1) });
    });
    let order = gate.order("relinquish").await;
    assert!(matches!(order.kind, Some(Order::Relinquish(ref r)) if r.epoch == 1), "{order:?}");
    assert_eq!(lab.saved(), Some((1, 1)), "closed on disk before the order");
    within("the cover is gone", || gate.covers().last().is_some_and(|c| c.1.is_none())).await;
    within("what is left is told", || lab.witness(0).last_renew().is_some_and(|r| r.stopping == ["ess"]))
        .await;
    assert!(lab.steps(StepKind::FenceDatabase).is_empty());
    gate.stopped();
    gate.done(&order).await;
    lab.step(StepKind::FenceDatabase).await;
    within("nothing is left", || lab.witness(0).last_renew().is_some_and(|r| r.stopping.is_empty())).await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_timed_acknowledgement_is_sent_at_once_until_it_is_taken() {
    let lab = Lab::start(1).await;
    let gate = lab.gate().await;
    lab.say(|w| w.cover = cover(30, &[timed(1, 30)]));
    within("the gate has a cover", || gate.covers().last().is_some_and(|c| c.1 == Some(1))).await;
    let ack = TimedAck { stack: stack(), epoch: Epoch(1), since: LogIndex(30) };
    gate.acknowledge(ack.clone());
    within("the group hears it", || lab.witness(0).acks().contains(&ack)).await;
    within("it is not repeated for ever", || {
        lab.witness(0).last_renew().is_some_and(|r| r.timed_acks.is_empty())
    })
    .await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_standby_follows_and_says_so_only_when_it_streams() {
    let lab = Lab::start(1).await;
    let mut gate = lab.gate().await;
    gate.standby(1);
    let follow = Instruction::Follow {
        site: site("dc3"),
        epoch: Epoch(2),
        timeline: Some(Timeline(2)),
        report_due: true,
    };
    lab.say(|w| w.view = view(40, 2, 1, follow.clone()));
    let order = gate.order("follow").await;
    match &order.kind {
        Some(Order::Follow(f)) => assert_eq!((f.epoch, f.primary_conninfo.as_str()), (2, "host=dc3")),
        other => panic!("{other:?}"),
    }
    gate.done(&order).await;
    tokio::time::sleep(R).await;
    assert!(lab.steps(StepKind::Follow).is_empty());
    lab.database.set(|d| {
        d.report.upstream = Some(Upstream {
            site: Some(site("dc3")),
            streaming: true,
            timeline: Timeline(2),
            message_age: model::Millis(1),
            lag_bytes: 0,
        });
    });
    lab.step(StepKind::Follow).await;
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_standing_still_nothing_of_before_is_acted_on() {
    let lab = Lab::start(1).await;
    let gate = lab.gate().await;
    gate.standby(1);
    within("it is observed", || lab.reports().iter().any(|r| r.database.role == DatabaseRole::Standby)).await;
    // The loop stands still for longer than the lease; meanwhile it is told to promote, and that
    // it is not to.
    let watches = lab.witness(0).watches();
    lab.inject(Event::Hang(R * 12)).await;
    lab.say(|w| {
        w.cover = cover(50, &[timed(2, 50)]);
        w.view = view(50, 2, 1, run_at(2, true, false));
    });
    tokio::time::sleep(R * 6).await;
    lab.say(|w| {
        w.cover = cover(51, &[]);
        w.view = view(51, 3, 2, Instruction::Stay);
    });
    within("views are asked for anew", || lab.witness(0).watches() > watches).await;
    within("the newest epochs are on disk", || lab.saved() == Some((3, 2))).await;
    tokio::time::sleep(R * 3).await;
    assert_eq!(gate.orders(), Vec::<String>::new());
    assert_eq!((lab.database.writes(), lab.witness(0).steps().len()), (0, 0));
    lab.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_that_hangs_for_longer_than_f_ends_the_process_and_drops_the_sessions() {
    let lab = Lab::start(1).await;
    let gate = lab.gate().await;
    lab.say(|w| w.cover = cover(30, &[timed(1, 30)]));
    within("the gate has a cover", || gate.covers().last().is_some_and(|c| c.1 == Some(1))).await;
    assert_eq!(lab.hangs(), 0);
    lab.inject(Event::Hang(Duration::from_secs(4))).await;
    within("the sessions are dropped though the loop hangs", || lab.database.dropped() > 0).await;
    within("the hang is noticed", || lab.hangs() > 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_store_is_refilled_and_one_directory_takes_one_actor() {
    let lab = Lab::start(1).await;
    within("refilled by the registration", || lab.saved() == Some((1, 0))).await;
    let second = lab.second_actor().await;
    assert!(matches!(second, Err(Error::Locked(_))), "{second:?}");
    lab.stop().await;
}
