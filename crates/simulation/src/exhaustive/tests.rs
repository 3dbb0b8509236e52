use super::*;

#[test]
fn every_world_is_clean() {
    let only = std::env::var("WORLD").ok();
    let limit = std::env::var("LIMIT").ok().and_then(|l| l.parse().ok()).unwrap_or(6_000_000);
    for rules in all(std::env::var("DEEP").is_ok()) {
        if only.as_ref().is_some_and(|only| only != rules.name) {
            continue;
        }
        let verdict = check(&rules, None, Some(limit));
        println!("{}: {} states, depth {}, {:?}", verdict.world, verdict.states, verdict.depth, verdict.took);
        if let Some(broken) = &verdict.broken {
            for step in &broken.steps {
                println!("  {step:?}");
            }
            panic!("{}: {}", broken.invariant.statement(), broken.how);
        }
        assert!(verdict.never.is_empty(), "{:?}", verdict.never);
    }
}

#[test]
fn every_planted_bug_is_caught() {
    let only = std::env::var("HUNT").ok();
    let limit = std::env::var("LIMIT").ok().and_then(|l| l.parse().ok()).unwrap_or(6_000_000);
    let mut missed = Vec::new();
    for (bug, world, _) in HUNTS {
        if only.as_ref().is_some_and(|only| *only != format!("{bug:?}")) {
            continue;
        }
        let verdict = hunt(*bug, limit).expect("its world");
        match &verdict.broken {
            Some(broken) => println!(
                "{bug:?} in {world}: {:?} after {} steps, {} states, {:?}: {}",
                broken.invariant,
                broken.steps.len(),
                verdict.states,
                verdict.took,
                broken.how
            ),
            None => {
                println!("{bug:?} in {world}: MISSED, {} states, depth {}", verdict.states, verdict.depth);
                missed.push(bug);
            }
        }
    }
    assert!(missed.is_empty(), "{missed:?}");
}
