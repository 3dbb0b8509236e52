//! The worlds of the model check, from the command line.

use crate::exhaustive::{Rules, Verdict, all, check, run_and_say};
use coordination::planted::Bug;
use std::process::ExitCode;

/// Goes through the world of this letter, or, for `all`, every world and every link matrix, and
/// prints states, depth and verdict of each. Fails if anything is found that must not be; 2: there
/// is no such world.
#[must_use]
pub fn all_of(world: &str, deep: bool, plant: Option<Bug>) -> ExitCode {
    if world == "all" && plant.is_none() {
        let report = run_and_say(deep, |line| println!("{line}"));
        report.broken.iter().for_each(|broken| println!("VIOLATION {broken}"));
        return if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let worlds: Vec<Rules> = all(deep)
        .into_iter()
        .filter(|rules| world == "all" || rules.name.eq_ignore_ascii_case(world))
        .collect();
    if worlds.is_empty() {
        let letters: Vec<&str> = all(deep).iter().map(|rules| rules.name).collect();
        eprintln!("no such world; there are {}", letters.join(" "));
        return ExitCode::from(2);
    }
    let clean =
        worlds.iter().map(|rules| told(&check(rules, plant, None), rules)).fold(true, |all, one| all & one);
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn told(verdict: &Verdict, rules: &Rules) -> bool {
    let clean = verdict.broken.is_none() && verdict.never.is_empty();
    println!("{verdict}{} ({})", if clean { ", clean" } else { "" }, rules.about);
    if let Some(broken) = &verdict.broken {
        println!("VIOLATION {broken}");
    }
    verdict.never.iter().for_each(|what| println!("VIOLATION never seen: {what}"));
    clean
}
