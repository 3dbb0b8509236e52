//! What leaders and operators may propose: everything that `apply` could take, whether `decide`
//! would or not. Refusing is the business of `apply`.

use super::rules::{A, B};
use super::world::World;
use coordination::state::Stack;
use coordination::{Command, desired};
use model::{
    Cause, Epoch, Instruction, Lsn, Mode, StepKind, StepOutcome, StepReport, StepState, Timeline, WalPosition,
};

impl World {
    fn stack(&self) -> &Stack {
        &self.head.stacks()[&self.names.stack]
    }

    /// Commands of a transition that may be proposed now.
    #[must_use]
    pub fn proposals(&self) -> Vec<Command> {
        let stack = self.stack();
        let Some(active) = &stack.active else { return Vec::new() };
        let (id, epoch) = (self.names.stack.clone(), active.epoch);
        let mut out = Vec::new();
        if self.left.begins > 0 {
            let number = self.head.sites()[&active.site].number;
            let cause = if stack.is_closed() { Cause::Expired } else { Cause::Silence { number } };
            out.push(Command::BeginTransition { stack: id.clone(), epoch, cause, to: None });
        } else if stack.is_closed() && stack.transition.is_none() {
            out.push(Command::BeginTransition { stack: id.clone(), epoch, cause: Cause::Expired, to: None });
        }
        let Some(transition) = &stack.transition else { return out };
        if stack.fence_begun.is_none() && !stack.is_closed() {
            out.push(Command::FenceBegin { stack: id.clone(), epoch });
        }
        if self.left.elections > 0 {
            for n in [A, B] {
                let site = self.names.sites[n].clone();
                out.push(Command::Elect { stack: id.clone(), epoch, site });
            }
        }
        if !transition.detached.contains_key(&self.names.sites[B]) && active.site == self.names.sites[A] {
            out.push(Command::Step(self.detached(B, epoch)));
        }
        if self.left.promotes > 0 {
            self.promotions(epoch, transition.promote, &mut out);
        }
        out
    }

    /// Reports of the elected site, true ones and hasty ones, and what follows.
    fn promotions(&self, epoch: Epoch, promote: StepState, out: &mut Vec<Command>) {
        let Some((site, _)) = self.head.active(&self.names.stack) else { return };
        let n = usize::from(*site == self.names.sites[B]);
        let open = self.sites[n].gate.open() == Some(epoch);
        if open {
            out.push(Command::Step(self.promoted(n, epoch, StepOutcome::Done)));
        } else if promote == StepState::Running {
            out.push(Command::Step(self.promoted(n, epoch, StepOutcome::Failed)));
        }
        if promote != StepState::Waiting {
            let (stack, cause) = (self.names.stack.clone(), Cause::PromoteFailed);
            out.push(Command::PromoteGivenUp { stack, epoch, cause });
        }
    }

    fn promoted(&self, n: usize, epoch: Epoch, outcome: StepOutcome) -> StepReport {
        let view = desired(&self.head, &self.names.sites[n]);
        let above = match view.of(&self.names.stack).map(|stack| &stack.instruction) {
            Some(Instruction::Run { timeline_highest, .. }) => *timeline_highest,
            _ => Timeline::default(),
        };
        let position = WalPosition { timeline: above.next(), lsn: Lsn(100) };
        let done = outcome == StepOutcome::Done;
        let position = done.then_some(position);
        StepReport { step: StepKind::Promote, outcome, position, ..self.detached(n, epoch) }
    }

    /// What operators may ask for now: another mode, and their word on a site that they have seen
    /// to be off. Their word on one that renews is worth nothing, whatever they have seen.
    #[must_use]
    pub fn orders(&self) -> Vec<Command> {
        let stack = self.stack();
        let Some(active) = &stack.active else { return Vec::new() };
        let (id, epoch) = (self.names.stack.clone(), active.epoch);
        let mut out = Vec::new();
        if self.left.modes > 0 {
            let mode = if stack.mode == Mode::Auto { Mode::Observe } else { Mode::Auto };
            out.push(Command::SetMode { stack: id.clone(), mode });
        }
        let n = usize::from(active.site == self.names.sites[B]);
        let leased = self.head.is_registered(&active.site);
        if self.rules.held && !stack.is_closed() && (leased || !self.sites[n].gate.is_primary()) {
            let (operator, reason) = ("o".to_owned(), "r".to_owned());
            out.push(Command::Attest { stack: id, epoch, operator, reason });
        }
        out
    }

    /// One is committed; false if it was refused.
    pub fn propose(&mut self, command: &Command) -> bool {
        if matches!(self.commit(command.clone()), coordination::Outcome::Refused(_)) {
            return false;
        }
        self.spend(command);
        if let Command::Attest { .. } = command {
            let active = self.head.active(&self.names.stack).map(|(site, _)| site.clone());
            self.power_off(usize::from(active.as_ref() == Some(&self.names.sites[B])));
        }
        true
    }

    /// What an operator attests: the host is off, and what was on its way to it is gone.
    fn power_off(&mut self, n: usize) {
        if !self.sites[n].gate.is_primary() {
            let (stack, terms) = (self.names.stack.clone(), self.rules.terms());
            self.site_mut(n).power_off(&stack, terms);
        }
    }

    /// What it costs of the bounds.
    pub fn spend(&mut self, command: &Command) {
        let left = &mut self.left;
        let counter = match command {
            Command::BeginTransition { .. } => &mut left.begins,
            Command::Elect { .. } => &mut left.elections,
            Command::SetMode { .. } => &mut left.modes,
            Command::PromoteGivenUp { .. } => &mut left.promotes,
            Command::Step(report) if report.step == StepKind::Promote => &mut left.promotes,
            _ => return,
        };
        *counter = counter.saturating_sub(1);
    }
}
