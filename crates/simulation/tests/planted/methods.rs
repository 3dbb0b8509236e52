//! How a bug is looked for.

use crate::cases::Case;
use coordination::invariants::Invariant;
use coordination::planted::{Bug, Planting};
use simulation::exhaustive;
use simulation::plan::Class;
use simulation::run::{Options, run};
use std::fmt;

/// What a scenario saw that must not be, if anything.
pub type Seen = Option<(Invariant, String)>;

/// One way, with its bound.
#[derive(Clone, Copy)]
pub enum How {
    /// The simulator: so many seeds of a class, from the first on.
    Seeds(Class, u64),
    /// The model check, in the world that `exhaustive::HUNTS` names, at most so many steps.
    World(usize),
    /// The model check of the synchronous sets, in the world that `sets::HUNTS` names.
    Sets(usize),
    /// A directed scenario over the production functions.
    Scenario(&'static str, fn() -> Seen),
}

impl fmt::Display for How {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Seeds(Class::All, seeds) => format!("{seeds} seeds"),
            Self::Seeds(class, seeds) => format!("{seeds} seeds ({class:?})"),
            Self::World(steps) | Self::Sets(steps) => format!("model check, {steps} steps"),
            Self::Scenario(name, _) => format!("scenario: {name}"),
        };
        f.pad(&text)
    }
}

impl How {
    /// Looks for the bug; how it was caught, or why it was not.
    pub fn look(&self, case: &Case) -> Result<String, String> {
        match self {
            Self::Seeds(class, seeds) => in_seeds(case, *class, *seeds),
            Self::World(steps) => in_world(case, *steps),
            Self::Sets(steps) => in_sets(case, *steps),
            Self::Scenario(_, play) => in_scenario(case, *play),
        }
    }
}

fn named(case: &Case, invariant: Invariant) -> bool {
    case.caught_by.contains(&invariant)
}

fn in_seeds(case: &Case, class: Class, seeds: u64) -> Result<String, String> {
    let judge = |seed, plant: Option<Bug>| {
        let outcome = run(seed, &Options { class, plant, ..Options::default() });
        outcome.violations.into_iter().find(|violation| named(case, violation.invariant))
    };
    // A seed that is broken without the bug, too, says nothing about it.
    (0..seeds)
        .find_map(|seed| {
            let violation = judge(seed, Some(case.bug))?;
            judge(seed, None).is_none().then(|| format!("seed {seed}: {violation}"))
        })
        .ok_or_else(|| String::from("every seed passes"))
}

fn in_world(case: &Case, steps: usize) -> Result<String, String> {
    let verdict = exhaustive::hunt(case.bug, steps).ok_or("it is not hunted in any world")?;
    match verdict.broken {
        Some(broken) if named(case, broken.invariant) => Ok(format!(
            "{:?} in world {} after {} steps, {} states: {}",
            broken.invariant,
            verdict.world,
            broken.steps.len(),
            verdict.states,
            broken.how
        )),
        Some(broken) => Err(format!("by {:?} instead: {}", broken.invariant, broken.how)),
        None => Err(format!("{} states pass", verdict.states)),
    }
}

fn in_sets(case: &Case, steps: usize) -> Result<String, String> {
    let verdict = exhaustive::sets::hunt(case.bug, steps).ok_or("it is not hunted in any world")?;
    match &verdict.broken {
        Some(_) if named(case, Invariant::S4NoLostAcknowledgement) => Ok(verdict.to_string()),
        Some((how, _)) => Err(format!("by S4 instead: {how}")),
        None => Err(format!("{} states pass", verdict.states)),
    }
}

fn in_scenario(case: &Case, play: fn() -> Seen) -> Result<String, String> {
    if let Some((invariant, text)) = play() {
        return Err(format!("broken without the bug: {invariant:?}: {text}"));
    }
    let _planted = Planting::new(Some(case.bug));
    match play() {
        Some((invariant, text)) if named(case, invariant) => Ok(format!("{invariant:?}: {text}")),
        Some((invariant, text)) => Err(format!("by {invariant:?} instead: {text}")),
        None => Err(String::from("it passes")),
    }
}
