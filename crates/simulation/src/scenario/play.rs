//! A script in the simulated world, judged by its own lines and by every checker.

use super::judge::{Finding, judge};
use super::script::Script;
use crate::checkers::{Violation, check_all};
use crate::plan::Plan;
use crate::world::{Figures, World};
use coordination::planted::{Bug, Planting};

/// What became of one run of a script.
#[derive(Clone, Debug)]
pub struct Played {
    /// What became of its lines.
    pub findings: Vec<Finding>,
    /// What the checkers found.
    pub violations: Vec<Violation>,
    /// Figures.
    pub figures: Figures,
    /// Equal for equal runs.
    pub trace_hash: u64,
}

impl Played {
    /// What went wrong, line by line.
    #[must_use]
    pub fn wrong(&self) -> Vec<String> {
        let lines = self.findings.iter().filter(|f| f.seen.is_err()).map(Finding::to_string);
        lines.chain(self.violations.iter().map(|v| format!("VIOLATION {v}"))).collect()
    }
}

/// Runs a script with one seed: clocks, delays and who leads differ from seed to seed.
#[must_use]
pub fn play(script: &Script, seed: u64, plant: Option<Bug>, story: bool) -> Played {
    let _planted = Planting::new(plant);
    let primaries = script.stacks.iter().map(|(site, _)| *site).collect();
    let plan = Plan::scripted(seed, script.class, script.sites, primaries, script.policy.clone());
    let mut world = World::new(plan, story);
    let tale = world.play(script);
    Played {
        findings: judge(script, &tale),
        violations: check_all(&world.history),
        figures: world.figures,
        trace_hash: world.hash(),
    }
}
