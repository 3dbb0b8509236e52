//! Every world is clean, and sees; every planted bug is caught: `-- --nocapture` prints both.

use super::*;

/// Steps that a hunt may try.
const HUNT_STEPS: usize = 3_000_000;

#[test]
fn every_world_of_sets_is_clean() {
    let only = std::env::var("WORLD").ok();
    for bounds in all(std::env::var_os("DEEP").is_some()) {
        if only.as_ref().is_some_and(|only| only != bounds.name) {
            continue;
        }
        let limit = std::env::var("LIMIT").ok().and_then(|n| n.parse().ok());
        let verdict = check(&bounds, None, limit);
        println!("{verdict} ({})", bounds.about);
        if let Some((how, steps)) = &verdict.broken {
            panic!("world {}: {how}\n{}", bounds.name, steps.join("\n"));
        }
        assert!(verdict.never.is_empty(), "world {}: never seen: {:?}", bounds.name, verdict.never);
    }
}

#[test]
fn every_planted_bug_of_the_sets_is_caught() {
    let only = std::env::var("HUNT").ok();
    let mut missed = Vec::new();
    for (bug, _) in HUNTS {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let verdict = hunt(*bug, HUNT_STEPS).expect("its world is one of ours");
        match &verdict.broken {
            Some(_) => println!("{bug:?}: {verdict}"),
            None => missed.push(format!("{bug:?}: {verdict}")),
        }
    }
    assert!(missed.is_empty(), "missed: {missed:#?}");
}
