//! `cargo simulate`: runs seeds, replays one as a story, shortens one.

use simulation::plan::Class;
use simulation::run::{Options, run};
use std::process::ExitCode;

fn main() -> ExitCode {
    let options =
        Options { class: Class::All, story: std::env::args().nth(2).is_some(), ..Options::default() };
    let seed: u64 = std::env::args().nth(1).and_then(|a| a.parse().ok()).unwrap_or(0);
    let outcome = run(seed, &options);
    println!("{:?} {:x}", outcome.figures, outcome.trace_hash);
    for violation in &outcome.violations {
        println!("{violation:?}");
    }
    ExitCode::SUCCESS
}
