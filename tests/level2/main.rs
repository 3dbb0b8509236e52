//! Level 2: whole witnesses under a simulated network. The real `witness` and `consensus` with
//! real openraft, the real storage engine on a simulated disk, the real RPC handlers over TLS and
//! HTTP/2; actors and callers are modelled, and use the real clients.
//!
//! | module | what it is |
//! | --- | --- |
//! | `run` | one run of one seed: hosts, faults, steps |
//! | `faults` | what goes wrong, drawn from the seed |
//! | `judge` | what must hold |
//! | `actor`, `viewer` | who talks to the witnesses |
//! | `wire`, `disk`, `clocks`, `entropy`, `dice` | the ground below them |
//! | `child` | a process for each seed |
//!
//! `TRIPOINT_LEVEL2_SEEDS=N` runs more seeds, `TRIPOINT_LEVEL2_FROM=S` begins elsewhere; one
//! seed with its story: `TRIPOINT_LEVEL2_RUN=S cargo test -p tests --test level2 -- --exact
//! one_run --nocapture`. See `docs/testing.md`.

mod actor;
mod child;
mod clocks;
mod dice;
mod disk;
mod entropy;
mod faults;
mod group;
mod judge;
mod run;
mod viewer;
mod wire;

use child::{Outcome, command, in_a_process};
use faults::Kind;
use run::{Planted, Spec};
use std::collections::BTreeMap;

/// Seeds of one CI run.
const SEEDS: u64 = 16;

fn number(variable: &str, otherwise: u64) -> u64 {
    std::env::var(variable)
        .ok()
        .map_or(otherwise, |text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// What a process of [`child`] runs; asked by hand, it tells the story of one seed.
#[test]
fn one_run() {
    let spec = child::asked().unwrap_or_else(|| Spec::of(1));
    let report = child::in_a_thread(&spec);
    child::print(&report);
    assert!(report.violations.is_empty(), "{}", child::complaint(&spec, &report.violations));
}

#[test]
fn no_seed_breaks_a_rule() {
    let from = number("TRIPOINT_LEVEL2_FROM", 0);
    let seeds = from..from + number("TRIPOINT_LEVEL2_SEEDS", SEEDS);
    let mut failed = Vec::new();
    let mut by_kind: BTreeMap<Kind, Vec<Outcome>> = BTreeMap::new();
    for seed in seeds {
        let spec = Spec::of(seed);
        let outcome = in_a_process(&spec);
        if !outcome.violations.is_empty() {
            failed.push(child::complaint(&spec, &outcome.violations));
        }
        by_kind.entry(spec.kind).or_default().push(outcome);
    }
    println!("{}", child::table(&by_kind));
    assert!(failed.is_empty(), "{}", failed.join("\n\n"));
    if by_kind.len() == Kind::ALL.len() {
        hit(&by_kind);
    }
}

/// The faults had the effect that they are there for.
fn hit(by_kind: &BTreeMap<Kind, Vec<Outcome>>) {
    let wanted = [
        (Kind::LeaderCut, "alone_refused"),
        (Kind::LeaderCut, "leaders"),
        (Kind::Crash, "restarts"),
        (Kind::Away, "snapshots"),
        (Kind::AllCrash, "restarts"),
        (Kind::SiteLost, "expiries"),
        (Kind::SiteLost, "elections"),
        (Kind::Swarm, "grants"),
    ];
    for (kind, name) in wanted {
        let sum: u64 = by_kind[&kind].iter().map(|outcome| outcome.number(name)).sum();
        assert!(sum > 0, "no run of kind {kind} has any {name}");
    }
}

#[test]
fn five_witnesses_keep_the_rules() {
    let spec = Spec { sites: 5, kind: Kind::Swarm, ..Spec::of(7) };
    let outcome = in_a_process(&spec);
    assert!(outcome.violations.is_empty(), "{}", child::complaint(&spec, &outcome.violations));
    assert!(outcome.number("entries") > 100, "{outcome:?}");
}

#[test]
fn a_seed_repeated_tells_the_same_story() {
    for seed in [7, 4] {
        let spec = Spec::of(seed);
        let (once, again) = (in_a_process(&spec), in_a_process(&spec));
        assert_eq!(once, again, "replay: {}", command(&spec));
    }
}

#[test]
fn the_judge_sees_disks_that_lie() {
    sees(Planted::LyingDisks, Kind::AllCrash, &["S7", "durability"]);
}

#[test]
fn the_judge_sees_clocks_beyond_the_allowed_drift() {
    sees(Planted::WildClocks, Kind::SiteLost, &["S1"]);
}

/// Within a few seeds a rule of these is broken.
fn sees(planted: Planted, kind: Kind, rules: &[&str]) {
    const SEEDS_MAX: u64 = 4;
    let mut found = Vec::new();
    for seed in 0..SEEDS_MAX {
        let outcome = in_a_process(&Spec { kind, planted: Some(planted), ..Spec::of(seed) });
        found.extend(outcome.violations);
        if found.iter().any(|how| rules.iter().any(|rule| how.starts_with(rule))) {
            return;
        }
    }
    panic!("{planted:?} was not seen by {rules:?} in {SEEDS_MAX} seeds; found: {found:#?}");
}
