//! What a commit costs. Bounds are wide: the machine is shared; the figures are printed.

use crate::harness::{DEADLINE, Group, define};
use coordination::{Command, timing::Profile};
use std::time::{Duration, Instant};

fn percentiles(mut times: Vec<Duration>) -> (Duration, Duration) {
    times.sort();
    (times[times.len() / 2], times[times.len() * 99 / 100])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_takes_milliseconds() {
    let mut group = Group::new(3).await;
    group.timing = Profile::Metro.values();
    group.start_all().await;
    let leader = group.leader().await;
    group.commit(leader, define(0)).await;
    for (what, at) in [("leader", leader), ("follower", group.follower(leader))] {
        let mut times = Vec::new();
        for _ in 0..200 {
            let started = Instant::now();
            group.handle(at).propose(Command::Nothing, DEADLINE).await.expect("committed");
            times.push(started.elapsed());
        }
        let (p50, p99) = percentiles(times);
        println!("through the {what}: p50 {p50:?}, p99 {p99:?}");
        assert!(p50 < Duration::from_millis(50), "{p50:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_at_once_share_their_fsyncs() {
    const AT_ONCE: u32 = 32;
    let group = Group::running().await;
    let leader = group.leader().await;
    group.commit(leader, define(0)).await;
    let started = Instant::now();
    let callers = (0..AT_ONCE).map(|_| {
        let handle = group.handle(leader).clone();
        tokio::spawn(async move {
            for _ in 0..10 {
                handle.propose(Command::Nothing, DEADLINE).await.expect("committed");
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.expect("no panic");
    }
    let each = started.elapsed() / (AT_ONCE * 10);
    println!("{AT_ONCE} at once: {each:?} a commit");
    assert!(each < Duration::from_millis(20), "{each:?}");
}
