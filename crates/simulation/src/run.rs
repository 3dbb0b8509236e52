//! One run of one seed: the world, then the judgement.

use crate::checkers::{Violation, check_all};
use crate::plan::{Class, Plan};
use crate::world::{Figures, World};
use coordination::planted::{Bug, Planting};

/// What may be chosen for a run.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// What kind of faults.
    pub class: Class,
    /// A planted bug.
    pub plant: Option<Bug>,
    /// Tell the story while it runs.
    pub story: bool,
    /// Faults of the plan that stay, by number; none: all of them.
    pub only: Option<Vec<usize>>,
}

/// What became of it.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What the checkers found.
    pub violations: Vec<Violation>,
    /// Figures.
    pub figures: Figures,
    /// Equal for equal runs.
    pub trace_hash: u64,
}

/// The plan of a seed under these options.
#[must_use]
pub fn plan(seed: u64, options: &Options) -> Plan {
    let mut plan = Plan::new(seed, options.class);
    if let Some(only) = &options.only {
        let all = std::mem::take(&mut plan.faults);
        plan.faults = all.into_iter().enumerate().filter(|(n, _)| only.contains(n)).map(|(_, f)| f).collect();
    }
    plan
}

/// Runs one seed and judges what happened.
#[must_use]
pub fn run(seed: u64, options: &Options) -> Outcome {
    let _planted = Planting::new(options.plant);
    let mut world = World::new(plan(seed, options), options.story);
    world.run();
    let violations = check_all(&world.history);
    Outcome { violations, figures: world.figures, trace_hash: world.hash() }
}
