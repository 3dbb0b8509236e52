//! Runs are byte-identical when repeated, and the production rules hold in all of them.

use simulation::plan::Class;
use simulation::run::{Options, run};
use simulation::tool::seeds::{Wish, gather};
use std::time::Instant;

fn clean(class: Class, from: u64, count: u64) -> simulation::tool::seeds::Sum {
    let options = Options { class, ..Options::default() };
    let sum = gather(&Wish { from, count, minutes: None, jobs: 2 }, &options, Instant::now());
    assert!(sum.bad.is_empty(), "{class:?}: {:?}", sum.bad);
    assert_eq!(sum.seeds, count);
    sum
}

#[test]
fn a_run_is_identical_when_repeated_and_when_told() {
    for seed in [2, 21, 65, 151] {
        let quiet = Options::default();
        let first = run(seed, &quiet).trace_hash;
        assert_eq!(run(seed, &quiet).trace_hash, first, "seed {seed}");
        let other_thread = std::thread::spawn(move || run(seed, &Options::default()).trace_hash);
        assert_eq!(other_thread.join().expect("it does not panic"), first, "seed {seed}");
        assert_eq!(run(seed, &Options { story: true, ..quiet }).trace_hash, first, "seed {seed}");
        assert_ne!(run(seed + 1, &Options::default()).trace_hash, first);
    }
}

#[test]
fn the_rules_hold_under_any_fault() {
    let sum = clean(Class::All, 0, 1_000);
    assert!(sum.figures.elections > 500 && sum.figures.faults > 5_000, "{:?}", sum.figures);
}

/// Each found a defect once, of the core, of the simulator or of a checker; what they meet changes
/// with the plan, so the core's have a unit test of their own, too.
const FOUND: &[u64] = &[
    21, 31, 53, 65, 151, 224, 231, 265, 273, 277, 346, 456, 582, 593, 915, 1_017, 1_185, 1_294, 1_993, 6_047,
    7_172, 15_496, 20_667, 41_855, 49_851, 62_433, 302_518, 122_837, 209, 300, 384, 12_379, 13_258,
];

#[test]
fn seeds_that_found_something_stay_clean() {
    for seed in FOUND {
        clean(Class::All, *seed, 1);
    }
}

#[test]
fn no_fault_shorter_than_detection_moves_a_stack() {
    let sum = clean(Class::ShortFaults, 0, 500);
    assert_eq!(sum.figures.elections, 0);
}

#[test]
fn one_witness_link_or_leader_lost_costs_no_lease() {
    let sum = clean(Class::OneLost, 0, 500);
    assert_eq!(sum.figures.expired, 0);
}
