//! People: they found the group, adopt the stacks, set modes, attest, and bring a former primary
//! back by a base backup as long as nothing else does it.

use super::World;
use crate::dice::Dice;
use crate::history::{MILLI, SECOND, Site, Stack, Time, What};
use crate::message::{Caller, Event, Process};
use crate::net::SITES_MAX;
use coordination::permit::Data;
use coordination::{Command, Policy, Timing};
use model::{Cause, DatabaseRole, Millis, Mode, SystemId};

/// Between two looks.
const LOOKS_EVERY: Time = 400 * MILLI;
/// A base backup takes so long at most.
const COPY_TAKES: Time = 20 * SECOND;

/// All operators of a group.
#[derive(Debug)]
pub struct Operator {
    dice: Dice,
    founded: bool,
    /// The mode that each stack should have.
    wanted: Vec<Mode>,
    /// Since when each copy has been in need of a rejoin.
    stray: Vec<Vec<Option<Time>>>,
    /// Until when each copy is left in peace, since a base backup was begun.
    copying: Vec<Vec<Time>>,
    longer_lease: bool,
}

impl Operator {
    /// Operators who want every stack in mode auto.
    pub fn new(stacks: Stack, dice: Dice) -> Self {
        let stray = vec![vec![None; SITES_MAX]; usize::from(stacks)];
        let copying = vec![vec![0; SITES_MAX]; usize::from(stacks)];
        Self {
            dice,
            founded: false,
            wanted: vec![Mode::Auto; usize::from(stacks)],
            stray,
            copying,
            longer_lease: false,
        }
    }

    /// True once every site and stack is defined.
    pub const fn is_founded(&self) -> bool {
        self.founded
    }

    /// Another mode is wanted from now on.
    pub fn want(&mut self, stack: Stack, mode: Mode) {
        self.wanted[usize::from(stack)] = mode;
    }

    /// D and F are wanted half as long again, or as they were.
    pub const fn want_longer_lease(&mut self, longer: bool) {
        self.longer_lease = longer;
    }

    /// All stacks are to be in mode auto.
    pub fn want_auto(&mut self) {
        self.wanted.fill(Mode::Auto);
    }
}

impl World {
    /// What the configuration defines and this witness's state lacks.
    pub(super) fn missing(&self, witness: Site) -> Vec<Command> {
        let state = &self.witnesses[usize::from(witness)].state;
        if state.policy().is_none() {
            return vec![Command::SetPolicy(Policy { revision: 1, ..self.plan.policy.clone() })];
        }
        let sites: Vec<Command> = self
            .site_ids
            .iter()
            .filter(|id| !state.sites().contains_key(id))
            .map(|id| Command::DefineSite { site: id.clone(), actor: true })
            .collect();
        if !sites.is_empty() {
            return sites;
        }
        let missing = self.stack_ids.iter().filter(|id| !state.stacks().contains_key(id));
        missing.map(|id| Command::DefineStack { stack: id.clone(), sites: self.site_ids.clone() }).collect()
    }

    /// An operator looks at every stack.
    pub(super) fn operator_looks(&mut self) {
        self.queue.push(self.now + LOOKS_EVERY, Event::Operator);
        self.settled = self.healed && self.has_come_right();
        let state = self.newest_state();
        self.operator.founded = state.stacks().len() == self.stack_ids.len();
        if !self.operator.founded {
            return;
        }
        self.mind_policy();
        for stack in 0..self.stacks {
            self.mind_stack(stack);
            self.mind_strays(stack);
        }
    }

    /// The policy in force is the one that is wanted, or is asked for.
    fn mind_policy(&mut self) {
        let Some(policy) = self.newest_state().policy() else { return };
        let mut values = self.timing;
        if self.operator.longer_lease {
            values.lease_duration = Millis(values.lease_duration.0 * 3 / 2);
            values.fence_deadline = Millis(values.fence_deadline.0 * 3 / 2);
        }
        if *policy.timing.values() == values {
            return;
        }
        let Ok(timing) = Timing::new(values) else { return };
        let wanted = Policy { revision: policy.revision + 1, timing, ..policy.clone() };
        self.ask_group(Command::SetPolicy(wanted));
    }

    /// Each stack has acknowledged a row where it is active, long enough after the last fault,
    /// nothing is under way, and every witness knows the same.
    fn has_come_right(&mut self) -> bool {
        if self.now < self.plan.heals + self.plan.calm_least() {
            return false;
        }
        let last = self.now - 3 * SECOND;
        let index = self.newest_state().index();
        let alike = self.witnesses.iter().all(|w| index.0 - w.state.index().0 < 20);
        let calm =
            self.newest_state().stacks().values().all(|s| s.transition.is_none() && s.mode == Mode::Auto);
        let recent = self.history.records.iter().rev().take_while(|record| record.at >= last);
        let mut acked = vec![false; usize::from(self.stacks)];
        for record in recent {
            if let What::Acked { stack, site, .. } = record.what {
                acked[usize::from(stack)] |= self.active_site(stack) == Some(site);
            }
        }
        alike && calm && acked.iter().all(|acked| *acked)
    }

    fn mind_stack(&mut self, stack: Stack) {
        let wanted = self.operator.wanted[usize::from(stack)];
        let id = self.stack_name(stack).clone();
        let Some(known) = self.newest_state().stacks().get(&id) else { return };
        let (adopted, mode, busy) = (known.active.is_some(), known.mode, known.transition.is_some());
        if !adopted {
            self.adopt(stack);
        } else if mode != wanted && !busy {
            self.ask_group(Command::SetMode { stack: id, mode: wanted });
        }
    }

    /// Refused unless every site has registered, one reports a primary and the others stream.
    fn adopt(&mut self, stack: Stack) {
        let site = self.plan.primary(stack);
        let registered = self.site_ids.iter().all(|id| self.newest_state().is_registered(id));
        let Some(leader) = self.raft.leader else { return };
        let view = &self.witnesses[usize::from(leader)].view;
        let (id, site_id) = (self.stack_name(stack), self.name(site));
        let Some(heard) = view.heard(site_id, id) else { return };
        let database = &heard.report.database;
        if !registered
            || database.role != DatabaseRole::Primary
            || database.replicas.len() + 1 < usize::from(self.sites)
        {
            return;
        }
        let (Some(system_id), Some(timeline)) = (database.system_id, database.timeline) else { return };
        let command = Command::Adopt {
            stack: id.clone(),
            site: site_id.clone(),
            system_id: SystemId(system_id.0),
            timeline,
        };
        self.ask_group(command);
    }

    /// Asks any witness; nobody waits for the outcome.
    pub(super) fn ask_group(&mut self, command: Command) {
        let via = self.operator.dice.below(u64::from(self.sites));
        let via = u8::try_from(via).unwrap_or_default();
        if self.process_runs(Process::Witness(via)) {
            self.propose_via(via, command, Caller::Operator);
        }
    }

    /// An operator says that the active site of a stack is off: only one who saw that it is.
    pub(super) fn attest(&mut self, stack: Stack) {
        let id = self.stack_name(stack).clone();
        let Some((site, epoch)) = self.newest_state().active(&id).map(|(s, e)| (s.clone(), e)) else {
            return;
        };
        let Some(site) = self.site_of(&site) else { return };
        if !self.hosts[usize::from(site)].up {
            let (operator, reason) = (String::from("ann"), String::from("it has no power"));
            self.ask_group(Command::Attest { stack: id, epoch, operator, reason });
        }
    }

    /// An operator asks for another site.
    pub(super) fn stop_and_elect(&mut self, stack: Stack, to: Site) {
        let id = self.stack_name(stack).clone();
        let Some((_, epoch)) = self.newest_state().active(&id) else { return };
        let to = Some(self.name(to).clone());
        self.ask_group(Command::BeginTransition { stack: id, epoch, cause: Cause::Operator, to });
    }

    /// A copy that was a primary and is not the active one any more needs a base backup.
    fn mind_strays(&mut self, stack: Stack) {
        let s = usize::from(stack);
        let Some(active) = self.active_site(stack) else { return };
        let promoted =
            self.newest_state().stacks().get(self.stack_name(stack)).is_some_and(|k| k.promoted().is_some());
        for site in 0..self.sites {
            let i = usize::from(site);
            let copying = self.now < self.operator.copying[s][i];
            let stray = site != active && promoted && !copying && self.is_stray(stack, site);
            if !stray {
                self.operator.stray[s][i] = None;
                continue;
            }
            let patience = if self.healed { SECOND } else { 8 * SECOND };
            let since = *self.operator.stray[s][i].get_or_insert(self.now);
            if self.now >= since + patience && self.hosts[i].up && self.hosts[i].frozen == 0 {
                self.operator.stray[s][i] = None;
                self.operator.copying[s][i] = self.now + COPY_TAKES;
                if self.databases[s].clone_from(site, active, self.now) {
                    self.say(|w| {
                        format!(
                            "an operator copies {} from {} to {}",
                            w.stack_name(stack),
                            w.name(active),
                            w.name(site)
                        )
                    });
                    self.touch_database(stack);
                }
            }
        }
    }

    fn is_stray(&self, stack: Stack, site: Site) -> bool {
        let database = &self.databases[usize::from(stack)];
        database.data(site) != Data::Standby && database.is_empty(site)
    }
}
