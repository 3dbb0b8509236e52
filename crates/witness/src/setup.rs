//! What the configuration defines and the replicated state lacks. The leader proposes it, one
//! kind after the other, because a stack needs its sites.

use crate::config::Config;
use coordination::{Command, Policy, State};

/// The commands that are missing, in the order in which they can be applied. A policy that the
/// group agreed on before is kept: its file is where a group begins.
#[must_use]
pub fn missing(state: &State, config: &Config) -> Vec<Command> {
    if state.policy().is_none() {
        return vec![Command::SetPolicy(Policy { revision: 1, ..config.policy.clone() })];
    }
    let sites: Vec<Command> = config
        .sites
        .iter()
        .filter(|site| !state.sites().contains_key(&site.site))
        .map(|site| Command::DefineSite { site: site.site.clone(), actor: site.actor_address.is_some() })
        .collect();
    if !sites.is_empty() {
        return sites;
    }
    config
        .stacks
        .iter()
        .filter(|stack| !state.stacks().contains_key(&stack.stack))
        .map(|stack| Command::DefineStack { stack: stack.stack.clone(), sites: stack.sites.clone() })
        .collect()
}
