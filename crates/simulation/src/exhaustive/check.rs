//! A world under stateright: every reachable state, breadth first, so that a counterexample is a
//! shortest one.

use super::action::Action;
use super::rules::{B, Rules};
use super::world::World;
use coordination::invariants::Invariant;
use coordination::planted::{Bug, Planting};
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A world with a bug or none: the bug is planted wherever the production functions run.
#[derive(Clone, Debug)]
pub struct Planted {
    rules: Arc<Rules>,
    bug: Option<Bug>,
}

/// What a run found.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The world's letter.
    pub world: &'static str,
    /// The planted bug.
    pub bug: Option<Bug>,
    /// States found, each once.
    pub states: usize,
    /// Steps to the farthest of them.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What broke first, by which steps.
    pub broken: Option<Counterexample>,
    /// Things that must be possible and were not seen.
    pub never: Vec<&'static str>,
}

/// The shortest way to something that must not be.
#[derive(Clone, Debug)]
pub struct Counterexample {
    /// What does not hold.
    pub invariant: Invariant,
    /// What was seen.
    pub how: String,
    /// The steps.
    pub steps: Vec<Action>,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (states, depth, took) = (self.states, self.depth, self.took.as_secs_f32());
        write!(f, "world {}: {states} states, depth {depth}, {took:.1} s", self.world)?;
        match &self.broken {
            None => Ok(()),
            Some(broken) => write!(f, ", {:?} after {} steps", broken.invariant, broken.steps.len()),
        }
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}: {}", self.invariant.statement(), self.how)?;
        self.steps.iter().enumerate().try_for_each(|(n, step)| writeln!(f, "  {:>2}. {step:?}", n + 1))
    }
}

const TAKEN_OVER: &str = "B runs a later epoch";

impl Model for Planted {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let _planted = Planting::new(self.bug);
        (0..self.rules.clocks.len()).map(|clocks| World::new(&self.rules, clocks)).collect()
    }

    fn actions(&self, state: &World, actions: &mut Vec<Action>) {
        let _planted = Planting::new(self.bug);
        state.actions(actions);
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let _planted = Planting::new(self.bug);
        last.after(&action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        fn holds(world: &World, invariant: Invariant) -> bool {
            world.judge.broken.as_ref().is_none_or(|(broken, _)| *broken != invariant)
        }
        vec![
            Property::always("S1", |_, world| holds(world, Invariant::S1OneWriter)),
            Property::always("S2", |_, world| holds(world, Invariant::S2FenceFirst)),
            Property::always("S3", |_, world| holds(world, Invariant::S3EpochsGrow)),
            Property::always("S4", |_, world| holds(world, Invariant::S4NoLostAcknowledgement)),
            Property::always("S5", |_, world| holds(world, Invariant::S5ClosedByDefault)),
            Property::always("S6", |_, world| holds(world, Invariant::S6OneTransition)),
            Property::sometimes(TAKEN_OVER, |_, world: &World| {
                world.sites[B].gate.open() > Some(model::Epoch(1))
            }),
        ]
    }
}

/// Runs a world to its end, or to the first thing that breaks.
#[must_use]
pub fn check(rules: &Rules, bug: Option<Bug>, limit: Option<usize>) -> Verdict {
    let begun = Instant::now();
    let model = Planted { rules: Arc::new(rules.clone()), bug };
    let mut builder = model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures);
    if let Some(limit) = limit {
        builder = builder.target_state_count(limit);
    }
    let checker = builder.spawn_bfs().join();
    let found = checker.discoveries();
    let broken = found
        .values()
        .filter_map(|path| {
            let (invariant, how) = path.last_state().judge.broken.clone()?;
            Some(Counterexample { invariant, how, steps: path.clone().into_actions() })
        })
        .min_by_key(|one| one.steps.len());
    let elects = rules.budget.elections > 0;
    let never =
        if elects && broken.is_none() && !found.contains_key(TAKEN_OVER) { vec![TAKEN_OVER] } else { vec![] };
    Verdict {
        world: rules.name,
        bug,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        broken,
        never,
    }
}
