//! Planted bugs: each is a weakening of one rule, by one line, and each must be caught, by the
//! checker that names it, within its bound. What no checker sees is not checked.

mod at_site;
mod cases;
mod elections;
mod group;
mod methods;
mod scenarios;
mod table;

use cases::CASES;
use coordination::planted::Bug;
use std::collections::BTreeSet;

#[test]
fn every_bug_has_one_case() {
    let cases: Vec<Bug> = CASES.iter().map(|case| case.bug).collect();
    let different: BTreeSet<Bug> = cases.iter().copied().collect();
    assert_eq!(different.len(), cases.len(), "a bug has two cases");
    let missing: Vec<Bug> = Bug::ALL.iter().copied().filter(|bug| !different.contains(bug)).collect();
    assert!(missing.is_empty(), "no case for {missing:?}");
}

#[test]
fn each_is_caught_by_its_checker_within_its_bound() {
    let only = std::env::var("PLANTED").unwrap_or_default();
    let mut missed = Vec::new();
    for case in CASES.iter().filter(|case| format!("{:?}", case.bug).contains(&only)) {
        let begun = std::time::Instant::now();
        let caught = case.how.look(case);
        let took = begun.elapsed().as_secs_f64();
        match caught {
            Ok(found) => println!("{:<26} {:<28} {found} ({took:.1} s)", format!("{:?}", case.bug), case.how),
            Err(why) => {
                println!(
                    "{:<26} {:<28} NOT CAUGHT: {why} ({took:.1} s)",
                    format!("{:?}", case.bug),
                    case.how
                );
                missed.push((case.bug, why));
            }
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:#?}");
}

#[test]
fn the_table_in_the_docs_is_current() {
    table::hold();
}
