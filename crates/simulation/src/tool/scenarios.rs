//! `cargo simulate --scenario`: one script as a story, or a folder of them as a table.

use crate::scenario::{Played, Script, find, load, play};
use coordination::planted::Bug;
use std::path::Path;
use std::time::Instant;

/// Seeds that a script is run with, unless others are asked for.
pub const SEEDS: u64 = 20;

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Wish {
    /// The first seed.
    pub from: u64,
    /// How many.
    pub seeds: u64,
    /// A planted bug.
    pub plant: Option<Bug>,
}

/// Plays the scripts of a file or folder; false if anything is not as expected.
#[must_use]
pub fn run_all(path: &Path, wish: &Wish) -> bool {
    let files = find(path);
    if files.is_empty() {
        eprintln!("{}: no script is there; their names end with .scenario", path.display());
        return false;
    }
    let mut scripts = Vec::new();
    for file in &files {
        match load(file) {
            Ok(script) => scripts.push(script),
            Err(error) => eprintln!("{error}"),
        }
    }
    let whole = scripts.len() == files.len();
    let tells = path.is_file();
    let good: Vec<bool> = scripts.iter().map(|script| one(script, wish, tells)).collect();
    whole && good.iter().all(|good| *good)
}

/// One script with all its seeds; as a story: with the first seed that goes wrong, or the first.
fn one(script: &Script, wish: &Wish, tells: bool) -> bool {
    let began = Instant::now();
    let seeds = wish.from..wish.from.saturating_add(wish.seeds.max(1));
    let bad = seeds.clone().find_map(|seed| {
        let played = play(script, seed, wish.plant, false);
        (!played.wrong().is_empty()).then_some((seed, played))
    });
    let took = began.elapsed().as_secs_f64();
    if tells {
        tell(script, bad.as_ref().map_or(wish.from, |(seed, _)| *seed), wish.plant);
    }
    match &bad {
        None => {
            let (count, lines) = (wish.seeds.max(1), script.expectations.len());
            println!("as expected: {} ({count} seeds, {lines} expectations, {took:.1} s)", script.file);
        }
        Some((seed, played)) => print_wrong(script, *seed, played, tells),
    }
    bad.is_none()
}

fn tell(script: &Script, seed: u64, plant: Option<Bug>) {
    println!("{}: {}", script.file, script.incident);
    println!("the rule: {}", script.rule);
    println!("seed {seed}: {} sites", script.sites);
    let played = play(script, seed, plant, true);
    for finding in &played.findings {
        println!("{finding}");
    }
    for violation in &played.violations {
        println!("VIOLATION {violation}");
    }
    println!("trace {:016x}", played.trace_hash);
}

fn print_wrong(script: &Script, seed: u64, played: &Played, told: bool) {
    println!("NOT AS EXPECTED: {} with seed {seed}", script.file);
    for line in played.wrong() {
        println!("  {line}");
    }
    if !told {
        println!("  the story: cargo simulate --scenario {} --from {seed} --seeds 1", script.file);
    }
}
