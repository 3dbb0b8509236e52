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
