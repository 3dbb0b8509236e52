//! Many seeds, on one core or several, and what came of them.

use super::command;
use crate::checkers::Violation;
use crate::run::{Options, run};
use crate::world::Figures;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Seeds whose violations are printed; the rest is counted.
const PRINTED_MAX: usize = 12;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub count: u64,
    /// For so long at most.
    pub minutes: Option<u64>,
    /// Threads.
    pub jobs: u64,
}

/// What came of many seeds.
#[derive(Debug, Default)]
pub struct Sum {
    /// Seeds that were run.
    pub seeds: u64,
    /// CPU time of all threads.
    pub cpu: Duration,
    /// All together.
    pub figures: Figures,
    /// Seeds that violated something, with the first violation.
    pub bad: BTreeMap<u64, String>,
    /// How often each invariant was violated first.
    pub kinds: BTreeMap<String, u64>,
}

/// Runs them all and prints what came of it; false if anything was violated.
#[must_use]
pub fn run_all(wish: &Wish, options: &Options) -> bool {
    let began = Instant::now();
    let sum = gather(wish, options, began);
    print(&sum, options, began.elapsed(), wish.jobs);
    sum.bad.is_empty()
}

/// Runs them all.
#[must_use]
pub fn gather(wish: &Wish, options: &Options, began: Instant) -> Sum {
    let next = AtomicU64::new(wish.from);
    let end = wish.from.saturating_add(wish.count);
    let limit = wish.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    let sum = Mutex::new(Sum::default());
    std::thread::scope(|scope| {
        for _ in 0..wish.jobs {
            scope.spawn(|| {
                let mut own = Sum::default();
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end || limit.is_some_and(|limit| began.elapsed() >= limit) {
                        break;
                    }
                    one(seed, options, &mut own);
                }
                let mut all = sum.lock().expect("no thread panics while it holds the sum");
                all.cpu += own_cpu_time();
                all.seeds += own.seeds;
                all.figures.add(&own.figures);
                all.bad.extend(own.bad);
                for (kind, count) in own.kinds {
                    *all.kinds.entry(kind).or_default() += count;
                }
            });
        }
    });
    sum.into_inner().expect("no thread panics while it holds the sum")
}

fn one(seed: u64, options: &Options, sum: &mut Sum) {
    sum.seeds += 1;
    let first = match catch_unwind(AssertUnwindSafe(|| run(seed, options))) {
        Ok(outcome) => {
            sum.figures.add(&outcome.figures);
            outcome.violations.first().map(|v| (kind_of(v), v.to_string()))
        }
        Err(_) => Some((String::from("panic"), String::from("the run panicked"))),
    };
    if let Some((kind, text)) = first {
        *sum.kinds.entry(kind).or_default() += 1;
        sum.bad.insert(seed, text);
    }
}

/// CPU time of this thread, as the kernel counts it; zero where there is no /proc.
fn own_cpu_time() -> Duration {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(text.split(' ').next().and_then(|ns| ns.parse().ok()).unwrap_or_default())
}

fn kind_of(violation: &Violation) -> String {
    format!("{:?}", violation.invariant)
}

fn print(sum: &Sum, options: &Options, took: Duration, jobs: u64) {
    // The machine has other work: what counts is the CPU time that was had.
    let had = if sum.cpu.is_zero() { took } else { sum.cpu };
    let minutes = had.as_secs_f64() / 60.0;
    let f = &sum.figures;
    let hours = f.simulated as f64 / 3.6e9;
    let per = |count: u64| count as f64 / minutes;
    println!(
        "{} seeds, {hours:.1} simulated hours in {:.1} s on {jobs} thread(s), {:.1} s of CPU: {:.0} hours a minute on one core",
        sum.seeds,
        took.as_secs_f64(),
        sum.cpu.as_secs_f64(),
        hours / minutes
    );
    println!(
        "a minute of CPU: {:.0} events, {:.0} faults, {:.0} starts, {:.0} fences, {:.0} elections, {:.0} leaders elected, {:.0} leases expired",
        per(f.events),
        per(f.faults),
        per(f.starts),
        per(f.fences),
        per(f.elections),
        per(f.leaders),
        per(f.expired)
    );
    println!("one fault each {:.1} simulated seconds", f.simulated as f64 / 1e6 / (f.faults.max(1)) as f64);
    for (seed, text) in sum.bad.iter().take(PRINTED_MAX) {
        println!("seed {seed}: {text}");
        println!("    {}", command("--replay", *seed, options));
    }
    if !sum.bad.is_empty() {
        println!("{} of {} seeds violated something: {:?}", sum.bad.len(), sum.seeds, sum.kinds);
    }
}
