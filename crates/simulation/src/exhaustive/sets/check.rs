//! The world under stateright, breadth first, and which planted bug is looked for where.

use super::action::Action;
use super::world::{Bounds, Run, World, all};
use coordination::planted::{Bug, Planting};
use model::Epoch;
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::fmt;
use std::time::{Duration, Instant};

/// What a run found.
#[derive(Clone, Debug)]
pub struct SetVerdict {
    /// The world's name.
    pub world: &'static str,
    /// States found, each once.
    pub states: usize,
    /// Steps to the farthest of them.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// What broke, by which steps.
    pub broken: Option<(String, Vec<String>)>,
    /// Things that must be possible and were not seen.
    pub never: Vec<&'static str>,
}

impl fmt::Display for SetVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (states, depth, took) = (self.states, self.depth, self.took.as_secs_f32());
        write!(f, "world {}: {states} states, depth {depth}, {took:.1} s", self.world)?;
        match &self.broken {
            None => Ok(()),
            Some((how, steps)) => write!(f, ", {how} after {} steps", steps.len()),
        }
    }
}

#[derive(Clone, Debug)]
struct Planted {
    bounds: Bounds,
    bug: Option<Bug>,
}

const FENCED: &str = "standbys alone prove a fence";
const ELECTED: &str = "another site opens";

impl Model for Planted {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let _planted = Planting::new(self.bug);
        vec![World::new(&self.bounds)]
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
        vec![
            Property::always("S4", |_, world: &World| world.broken.is_none()),
            Property::sometimes(FENCED, |_, world: &World| {
                let method = world.stack().fence.as_ref().map(|f| f.method);
                method == Some(model::FenceMethod::Replication)
            }),
            Property::sometimes(ELECTED, |_, world: &World| {
                world.dbs[1..].iter().any(|db| matches!(db.run, Run::Primary(epoch) if epoch > Epoch(1)))
            }),
        ]
    }
}

/// Runs a world to its end, or to the first thing that breaks.
#[must_use]
pub fn check(bounds: &Bounds, bug: Option<Bug>, limit: Option<usize>) -> SetVerdict {
    let begun = Instant::now();
    let model = Planted { bounds: bounds.clone(), bug };
    let mut builder = model.checker().threads(1).finish_when(HasDiscoveries::AnyFailures);
    if let Some(limit) = limit {
        builder = builder.target_state_count(limit);
    }
    let checker = builder.spawn_bfs().join();
    let found = checker.discoveries();
    let broken = found.get("S4").map(|path| {
        let how = path.last_state().broken.clone().unwrap_or_default();
        (how, path.clone().into_actions().iter().map(|step| format!("{step:?}")).collect())
    });
    let never = [FENCED, ELECTED].into_iter().filter(|what| broken.is_none() && !found.contains_key(what));
    SetVerdict {
        world: bounds.name,
        states: checker.unique_state_count(),
        depth: checker.max_depth(),
        took: begun.elapsed(),
        never: never.collect(),
        broken,
    }
}

/// Bugs of the synchronous sets, each with the world whose rules it weakens.
pub const HUNTS: &[(Bug, &str)] = &[
    (Bug::SetOfSuccessor, "S1"),
    (Bug::JointSkipped, "S1"),
    (Bug::LastSetAlone, "S1"),
    (Bug::ElectionSetAtOnce, "S5"),
    (Bug::SettledUnseen, "S1"),
    (Bug::SettledBeforeCaughtUp, "S1"),
    (Bug::ElectBeforeSetHeard, "S1"),
    (Bug::ShorterLogElected, "S1"),
    (Bug::OlderSetReloaded, "S1"),
    (Bug::StandbyReattaches, "S1"),
];

/// Looks for one bug in its world; at most `limit` steps are tried.
#[must_use]
pub fn hunt(bug: Bug, limit: usize) -> Option<SetVerdict> {
    let (_, world) = HUNTS.iter().find(|(one, _)| *one == bug)?;
    let bounds = all(false).into_iter().find(|bounds| bounds.name == *world)?;
    Some(check(&bounds, Some(bug), Some(limit)))
}
