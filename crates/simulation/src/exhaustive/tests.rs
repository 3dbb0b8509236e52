//! Every world is clean, and sees: `-- --nocapture` prints the tables.

use super::*;

/// Steps that a hunt may try; most need a hundredth of it.
const HUNT_STEPS: usize = 1_500_000;

#[test]
fn every_world_is_clean() {
    let only = std::env::var("WORLD").ok();
    for rules in all(std::env::var_os("DEEP").is_some()) {
        if only.as_ref().is_some_and(|only| only != rules.name) {
            continue;
        }
        let verdict = check(&rules, None, None);
        println!("{verdict} ({})", rules.about);
        if let Some(broken) = &verdict.broken {
            panic!("world {}: {broken}", rules.name);
        }
        assert!(verdict.never.is_empty(), "world {}: never seen: {:?}", rules.name, verdict.never);
    }
}

#[test]
fn every_planted_bug_is_caught() {
    let only = std::env::var("HUNT").ok();
    let mut missed = Vec::new();
    for (bug, ..) in HUNTS {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let verdict = hunt(*bug, HUNT_STEPS).expect("its world is one of ours");
        match &verdict.broken {
            Some(broken) => println!("{bug:?}: {verdict}: {}", broken.how),
            None => missed.push(format!("{bug:?}: {verdict}")),
        }
    }
    assert!(missed.is_empty(), "missed: {missed:#?}");
}
