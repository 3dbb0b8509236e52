//! Every world of sets is clean, and sees: `-- --nocapture` prints the table.

use super::*;

#[test]
fn every_world_of_sets_is_clean() {
    let only = std::env::var("WORLD").ok();
    for bounds in all(std::env::var_os("DEEP").is_some()) {
        if only.as_ref().is_some_and(|only| only != bounds.name) {
            continue;
        }
        let verdict = check(&bounds, None, None);
        println!("{verdict} ({})", bounds.about);
        if let Some((how, steps)) = &verdict.broken {
            panic!("world {}: {how}\n{}", bounds.name, steps.join("\n"));
        }
        assert!(verdict.never.is_empty(), "world {}: never seen: {:?}", bounds.name, verdict.never);
    }
}
