//! What can happen next in a world. Nothing says when: each may happen now, later or never.

use super::rules::{A, B};
use super::site::Did;
use super::world::World;
use coordination::invariants::Invariant;
use coordination::permit::{Decision, Mode, Running};
use coordination::planted::{Bug, is_on};
use coordination::reconcile::StackEpochs;
use coordination::{Command, desired};
use model::{Instruction, SiteEpochs, Timeline};

/// One step of a world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Time passes; one host may be suspended meanwhile.
    Tick(Option<usize>),
    /// A site's actor sends a renewal.
    Send(usize),
    /// The request at this place reaches the leader, whose policy is this witness's, and is
    /// committed; true if a copy of it stays under way.
    Commit(usize, usize, usize, bool),
    /// The answer at this place reaches the actor; true if a copy of it stays under way.
    Deliver(usize, usize, bool),
    /// The gate asks its actor, who answers at once.
    Ask(usize),
    /// That answer reaches the gate.
    Hear(usize),
    /// The gate does what it decided a while ago: a planted bug's step.
    ActLate(usize),
    /// Closing a database has no effect for now.
    Stick(usize),
    /// A witness's clock jumps.
    Jump(usize),
    /// The gate looks at its clock.
    Turn(usize),
    /// Nothing is left of a database that is being closed.
    Closed(usize),
    /// The actor gives the order to promote.
    Promote(usize),
    /// A witness applies what is committed.
    CatchUp(usize),
    /// A snapshot reaches a witness.
    Install(usize),
    /// An actor starts anew.
    RestartActor(usize),
    /// An actor was refused: its lease expired.
    RegisterAnew(usize),
    /// A gate starts anew.
    RestartGate(usize),
    /// A witness starts anew.
    RestartWitness(usize),
    /// A leader's proof, by its place in what it decides, is committed.
    Prove(usize, usize),
    /// The same, but it is committed later.
    ProveLater(usize, usize),
    /// What was proposed earlier is committed.
    CommitLate(usize),
    /// The group elects a site for a closed epoch.
    Elect(usize),
    /// D is made shorter.
    Shorten,
    /// A view of this site's part, as this witness has it, reaches the actor.
    View(usize, usize),
    /// The actor tells the group that the epoch is relinquished and nothing is left.
    Acknowledge(usize),
    /// The group is asked to do this.
    Propose(Command),
    /// The same, but it is committed later.
    ProposeLater(Command),
}

impl World {
    /// All that can happen now.
    pub fn actions(&self, out: &mut Vec<Action>) {
        if self.judge.broken.is_some() {
            return;
        }
        out.push(Action::Tick(None));
        let host = self.sites[A].clock.rates;
        if self.left.suspended > 0 && host.boottime == host.raw {
            out.push(Action::Tick(Some(A)));
        }
        for n in [A, B] {
            self.site_actions(n, out);
            self.message_actions(n, out);
            self.restart_actions(n, out);
        }
        for n in [0, 1] {
            self.witness_actions(n, out);
        }
        self.group_actions(out);
    }

    fn site_actions(&self, n: usize, out: &mut Vec<Action>) {
        let site = &self.sites[n];
        let now = site.clock.now;
        // B's renewals are of interest once it runs the stack, or is to.
        let of_interest = n == A
            || self.head.active(&self.names.stack).is_some_and(|(site, _)| *site == self.names.sites[n]);
        if self.left.sends[n] > 0 && of_interest && site.lease.incarnation().is_some() {
            out.push(Action::Send(n));
        }
        if self.rules.asks && n == A {
            out.push(Action::Ask(n));
        }
        if site.answer.is_some() {
            out.push(Action::Hear(n));
        }
        if site.gate.decided.is_some() {
            out.push(Action::ActLate(n));
        }
        if !matches!(site.gate.decision(now), Decision::Keep | Decision::Wait(_)) {
            out.push(Action::Turn(n));
        }
        if site.gate.closing.is_some() {
            out.push(Action::Closed(n));
            if self.left.stuck > 0 {
                out.push(Action::Stick(n));
            }
        }
        let standby = site.gate.running == Running::Open(Mode::Standby);
        if standby && site.permitted(&self.names.stack).is_some() {
            out.push(Action::Promote(n));
        }
        if self.rules.views {
            for witness in [0, 1] {
                if self.has_news(n, witness) {
                    out.push(Action::View(n, witness));
                }
            }
            if site.gate.is_relinquished(self.fenced_epoch(n)) {
                out.push(Action::Acknowledge(n));
            }
        }
    }

    fn message_actions(&self, n: usize, out: &mut Vec<Action>) {
        let site = &self.sites[n];
        let twice = self.left.duplicates > 0;
        let differ = self.witnesses[0].state.policy() != self.head.policy();
        for place in 0..site.requests.len() {
            out.push(Action::Commit(n, place, 1, false));
            if differ {
                out.push(Action::Commit(n, place, 0, false));
            }
            if twice {
                out.push(Action::Commit(n, place, 1, true));
            }
        }
        for place in 0..site.replies.len() {
            out.push(Action::Deliver(n, place, false));
            if twice {
                out.push(Action::Deliver(n, place, true));
            }
        }
    }

    fn restart_actions(&self, n: usize, out: &mut Vec<Action>) {
        let site = &self.sites[n];
        let known = &self.head.sites()[&self.names.sites[n]];
        let refused = known.lease.as_ref().is_some_and(|lease| lease.expired);
        if self.left.anew > 0 && refused && site.lease.incarnation().is_some() {
            out.push(Action::RegisterAnew(n));
        }
        if self.left.restarts > 0 && n == A {
            if self.rules.restarts.actor {
                out.push(Action::RestartActor(n));
            }
            if self.rules.restarts.gate {
                out.push(Action::RestartGate(n));
            }
        }
    }

    fn witness_actions(&self, n: usize, out: &mut Vec<Action>) {
        let witness = &self.witnesses[n];
        if !witness.pending.is_empty() {
            out.push(Action::CatchUp(n));
            if self.rules.snapshots {
                out.push(Action::Install(n));
            }
        }
        if self.left.restarts > 0 && self.rules.restarts.witness {
            out.push(Action::RestartWitness(n));
        }
        if self.left.jumps > 0 {
            out.push(Action::Jump(n));
        }
        for place in 0..witness.proofs().len() {
            out.push(Action::Prove(n, place));
            if self.left.late > 0 {
                out.push(Action::ProveLater(n, place));
            }
        }
    }

    fn group_actions(&self, out: &mut Vec<Action>) {
        out.extend((0..self.late.len()).map(Action::CommitLate));
        let stack = &self.head.stacks()[&self.names.stack];
        if self.anything_goes() {
            let proposals = self.proposals();
            if self.left.late > 0 {
                let elects = |command: &&Command| matches!(command, Command::Elect { .. });
                out.extend(proposals.iter().filter(elects).cloned().map(Action::ProposeLater));
            }
            out.extend(proposals.into_iter().map(Action::Propose));
        } else if stack.is_closed() && self.left.elections > 0 {
            for n in [A, B] {
                if self.head.is_registered(&self.names.sites[n]) {
                    out.push(Action::Elect(n));
                }
            }
        }
        out.extend(self.orders().into_iter().map(Action::Propose));
        if self.left.policies > 0 {
            out.push(Action::Shorten);
        }
    }

    /// The world after this; none if nothing came of it.
    #[must_use]
    pub fn after(&self, action: &Action) -> Option<Self> {
        let mut next = self.clone();
        next.act(action).then_some(next)
    }

    fn act(&mut self, action: &Action) -> bool {
        match action {
            Action::Tick(suspended) => {
                self.left.suspended -= u8::from(suspended.is_some());
                self.pass(*suspended);
            }
            Action::Send(n) => {
                self.left.sends[*n] -= 1;
                self.send(*n);
            }
            Action::Commit(n, place, witness, again) => {
                self.left.duplicates -= u8::from(*again);
                self.commit_request(*n, *place, *again, *witness);
            }
            Action::Deliver(n, place, again) => {
                self.left.duplicates -= u8::from(*again);
                self.deliver(*n, *place, *again);
            }
            Action::Ask(n) => {
                let stack = self.names.stack.clone();
                self.site_mut(*n).ask(&stack);
            }
            Action::Hear(n) => {
                let did = self.site_mut(*n).hear_answer();
                self.judge_gate(*n, did);
            }
            Action::ActLate(n) => {
                let did = self.site_mut(*n).gate.act_late();
                self.judge_gate(*n, did);
            }
            Action::Stick(n) => {
                self.left.stuck -= 1;
                self.site_mut(*n).gate.stuck = true;
            }
            Action::Jump(n) => {
                self.left.jumps -= 1;
                self.witness_mut(*n).jump();
            }
            Action::Turn(n) => {
                let site = self.site_mut(*n);
                let did = site.gate.turn(site.clock.now);
                self.judge_gate(*n, did);
            }
            Action::Closed(n) => self.site_mut(*n).gate.close(),
            Action::Promote(n) => return self.promote(*n),
            Action::CatchUp(n) => self.witness_mut(*n).catch_up(),
            Action::Install(n) => self.witness_mut(*n).install(),
            Action::RestartActor(_) | Action::RegisterAnew(_) | Action::RestartGate(_) => {
                self.restart(action)
            }
            Action::RestartWitness(n) => {
                self.left.restarts -= 1;
                self.witness_mut(*n).restart();
            }
            Action::Prove(n, place) => return self.prove(*n, *place, false),
            Action::ProveLater(n, place) => return self.prove(*n, *place, true),
            Action::CommitLate(place) => {
                let command = self.late.remove(*place);
                self.commit(command);
            }
            Action::Elect(n) => {
                self.left.elections -= 1;
                return self.elect(*n);
            }
            Action::Shorten => return self.shorten(),
            Action::View(n, witness) => self.view(*n, *witness),
            Action::Acknowledge(n) => return self.acknowledge(*n),
            Action::Propose(command) => return self.propose(command),
            Action::ProposeLater(command) => {
                self.left.late -= 1;
                self.spend(command);
                self.late.push(command.clone());
            }
        }
        true
    }

    fn promote(&mut self, n: usize) -> bool {
        let stack = self.names.stack.clone();
        let Some(epoch) = self.sites[n].permitted(&stack) else { return false };
        let site = self.site_mut(n);
        let did = site.gate.promote(epoch, site.clock.now);
        self.judge_gate(n, did);
        did != Did::Nothing || self.sites[n].gate.decided.is_some()
    }

    fn restart(&mut self, action: &Action) {
        let (stack, terms) = (self.names.stack.clone(), self.rules.terms());
        match *action {
            Action::RestartActor(n) => {
                self.left.restarts -= 1;
                let before = self.sites[n].stored;
                self.site_mut(n).restart_actor();
                if self.sites[n].stored.max(before) != self.sites[n].stored {
                    let how = "the actor's epochs went back".to_owned();
                    self.breaks(Invariant::S3EpochsGrow, how);
                }
            }
            Action::RegisterAnew(n) => {
                self.left.anew -= 1;
                self.site_mut(n).register_anew();
            }
            Action::RestartGate(n) => {
                self.left.restarts -= 1;
                self.site_mut(n).restart_gate(&stack, terms);
            }
            _ => {}
        }
    }

    fn prove(&mut self, n: usize, place: usize, later: bool) -> bool {
        let Some(command) = self.witnesses[n].proofs().into_iter().nth(place) else { return false };
        if later {
            self.left.late -= 1;
            self.late.push(command);
            return true;
        }
        !matches!(self.commit(command), coordination::Outcome::Refused(_))
    }

    fn shorten(&mut self) -> bool {
        self.left.policies -= 1;
        let Some(policy) = self.head.policy() else { return false };
        let timing = super::world::timing(self.rules.terms_of(self.rules.shorter));
        let policy = coordination::Policy { revision: policy.revision + 1, timing, ..policy.clone() };
        self.commit(Command::SetPolicy(policy)) == coordination::Outcome::Applied
    }

    /// The epoch that this site is to relinquish, as the last view that it took said.
    fn fenced_epoch(&self, n: usize) -> model::Epoch {
        let site = &self.sites[n];
        match site.told.as_ref() {
            Some(_) if site.stored.closed > model::Epoch::NONE => site.stored.closed,
            _ => model::Epoch(u64::MAX),
        }
    }

    fn has_news(&self, n: usize, witness: usize) -> bool {
        let state = &self.witnesses[witness].state;
        let view = desired(state, &self.names.sites[n]);
        let Some(ours) = view.of(&self.names.stack) else { return false };
        let fence = match ours.instruction {
            Instruction::Fence { epoch } => epoch,
            _ => model::Epoch::NONE,
        };
        let wanted = StackEpochs { highest: ours.epoch, closed: ours.closed.max(fence) };
        let allowed = is_on(Bug::PermissionFromView) && matches!(ours.instruction, Instruction::Run { .. });
        allowed
            || view.index >= self.sites[n].seen && self.sites[n].stored.max(wanted) != self.sites[n].stored
    }

    /// What the view says is written down; a fence is ordered at once.
    fn view(&mut self, n: usize, witness: usize) {
        let view = desired(&self.witnesses[witness].state, &self.names.sites[n]);
        let Some(ours) = view.of(&self.names.stack).cloned() else { return };
        let now = self.sites[n].clock.now;
        let site = self.site_mut(n);
        site.seen = view.index;
        site.hear(SiteEpochs {
            stack: ours.stack.clone(),
            highest: ours.epoch,
            closed: ours.closed,
            timeline_highest: Timeline::default(),
        });
        if let Instruction::Fence { epoch } = ours.instruction {
            site.stored = site.stored.max(StackEpochs { highest: epoch, closed: epoch });
            site.gate.relinquish(epoch, now);
        }
        let mut did = Did::Nothing;
        if let Instruction::Run { epoch, .. } = ours.instruction
            && is_on(Bug::PermissionFromView)
        {
            did = site.cover_by_view(&ours.stack, epoch, view.index, now);
        }
        self.judge_gate(n, did);
    }

    fn acknowledge(&mut self, n: usize) -> bool {
        let mut report = self.detached(n, self.fenced_epoch(n));
        report.step = model::StepKind::FenceDatabase;
        report.position = None;
        let closed = &mut self.judge.closed[n];
        *closed = report.epoch.max(*closed);
        let outcome = self.commit(Command::Step(report));
        !matches!(outcome, coordination::Outcome::Refused(_))
    }
}
