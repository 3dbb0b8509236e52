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

/// User and system time of this process, by the kernel's count of 10 ms.
fn cpu_time() -> Duration {
    let stat = std::fs::read_to_string("/proc/self/stat").expect("Linux");
    let fields: Vec<&str> = stat.rsplit(')').next().expect("a name in brackets").split_whitespace().collect();
    let ticks: u64 = fields[11].parse::<u64>().expect("utime") + fields[12].parse::<u64>().expect("stime");
    Duration::from_millis(ticks * 10)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_idle_group_costs_little() {
    const WATCHED: Duration = Duration::from_secs(5);
    let mut group = Group::new(3).await;
    group.timing = Profile::Metro.values();
    group.start_all().await;
    group.leader().await;
    let before = cpu_time();
    tokio::time::sleep(WATCHED).await;
    let each = (cpu_time() - before) / 3;
    // Other tests of this process count too: a bound on waste, not a measurement, unless run alone.
    println!("idle: {:.2} % of a core a witness", each.as_secs_f64() / WATCHED.as_secs_f64() * 100.0);
}
