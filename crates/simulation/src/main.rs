//! `cargo simulate`: runs seeds, tells one as a story, shortens one; goes through small worlds; runs
//! scenarios.

use clap::{Parser, ValueEnum};
use coordination::planted::Bug;
use simulation::plan::Class;
use simulation::run::Options;
use simulation::tool::{check, replay, scenarios, seeds, shrink};
use std::path::PathBuf;
use std::process::ExitCode;

/// Seeds that are run, unless others are asked for.
const SEEDS: u64 = 1_000;

/// The deterministic simulator: one seed is one group of sites, its faults and its fate.
#[derive(Debug, Parser)]
#[command(name = "simulate", version)]
struct Arguments {
    /// Run so many seeds (1,000; a scenario: 20).
    #[arg(long)]
    seeds: Option<u64>,
    /// The first of them.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Stop after so many minutes, however many seeds are left.
    #[arg(long)]
    minutes: Option<u64>,
    /// Threads.
    #[arg(long, default_value_t = 1)]
    jobs: u64,
    /// Tell what happens in this seed, step by step.
    #[arg(long, value_name = "SEED", conflicts_with = "shrink")]
    replay: Option<u64>,
    /// Find the fewest faults with which this seed still goes wrong.
    #[arg(long, value_name = "SEED")]
    shrink: Option<u64>,
    /// Only these faults of the plan, by number (as `--shrink` prints them).
    #[arg(long, value_delimiter = ',')]
    only: Option<Vec<usize>>,
    /// Which faults there are.
    #[arg(long, value_enum, default_value_t = ClassName::All)]
    class: ClassName,
    /// Play this script, or all of this folder.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["replay", "shrink", "only", "class"])]
    scenario: Option<PathBuf>,
    /// Plant this bug.
    #[arg(long, value_name = "BUG")]
    plant: Option<String>,
    /// Print all bugs that can be planted.
    #[arg(long)]
    list_bugs: bool,
    /// Go through every state of a small world, by its letter, or of all of them and every link
    /// matrix; with a planted bug: until that is found.
    #[arg(long, value_name = "WORLD", num_args = 0..=1, default_missing_value = "all")]
    check: Option<String>,
    /// With `--check`: the wider bounds, which take hours and more memory than most machines have.
    #[arg(long, requires = "check")]
    deep: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ClassName {
    /// Everything that can go wrong.
    All,
    /// One fault at a time, each shorter than detect.after: no failover is needed.
    ShortFaults,
    /// One witness, link or leader lost: no lease may be lost.
    OneLost,
    /// Only witnesses suffer.
    WitnessesOnly,
    /// Nothing goes wrong.
    Calm,
}

impl From<ClassName> for Class {
    fn from(name: ClassName) -> Self {
        match name {
            ClassName::All => Self::All,
            ClassName::ShortFaults => Self::ShortFaults,
            ClassName::OneLost => Self::OneLost,
            ClassName::WitnessesOnly => Self::WitnessesOnly,
            ClassName::Calm => Self::Calm,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.list_bugs {
        for bug in Bug::ALL {
            println!("{bug:?}: {}", bug.text());
        }
        return ExitCode::SUCCESS;
    }
    let plant = match arguments.plant.as_deref().map(bug_named) {
        None => None,
        Some(Some(bug)) => Some(bug),
        Some(None) => {
            eprintln!("no such bug; `--list-bugs` names them");
            return ExitCode::from(2);
        }
    };
    if let Some(world) = &arguments.check {
        return check::all_of(world, arguments.deep, plant);
    }
    if let Some(path) = &arguments.scenario {
        let seeds = arguments.seeds.unwrap_or(scenarios::SEEDS);
        let good = scenarios::run_all(path, &scenarios::Wish { from: arguments.from, seeds, plant });
        return if good { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let options = Options { class: arguments.class.into(), plant, story: false, only: arguments.only };
    let clean = match (arguments.replay, arguments.shrink) {
        (Some(seed), _) => replay::tell(seed, options),
        (None, Some(seed)) => shrink::shorten(seed, &options),
        (None, None) => {
            let wish = seeds::Wish {
                from: arguments.from,
                count: arguments.seeds.unwrap_or(SEEDS),
                minutes: arguments.minutes,
                jobs: arguments.jobs.max(1),
            };
            seeds::run_all(&wish, &options)
        }
    };
    if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn bug_named(name: &str) -> Option<Bug> {
    Bug::ALL.iter().copied().find(|bug| format!("{bug:?}").eq_ignore_ascii_case(name))
}
