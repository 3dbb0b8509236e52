//! What can happen next.

use super::world::{Run, World, chat, site};
use coordination::decide::set_is_in_force;
use coordination::planted::Bug;
use coordination::{Command, Outcome};
use model::{
    Cause, DatabaseReport, Epoch, GrantTerms, Incarnation, Instruction, LogIndex, Millis, RenewRequest,
    RenewalNumber, Replica, Replication, StepKind, StepOutcome, StepReport, SyncSeen, SyncSet, Timeline,
    WalPosition,
};
use std::collections::BTreeSet;

/// One step of the world.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// A client commits at a primary.
    Write(usize),
    /// The next record reaches a standby.
    Ship(usize),
    /// An actor writes a setting that the group asked for, and reloads.
    Reload(usize, usize),
    /// Every walsender has the setting on disk, and no other; the actor sees that.
    InForce(usize),
    /// A standby lets go.
    LetGo(usize),
    /// A primary, or what is left of it, dies.
    Die(usize),
    /// It comes back as a standby of nobody.
    Return(usize),
    /// A standby attaches to the site that the view names, rewound if it must be.
    Follow(usize),
    /// A detached standby attaches again to whom it followed: only where that is planted.
    Reattach(usize, usize),
    /// The gate promotes.
    Promote(usize),
    /// A running primary goes on under the next epoch.
    GoOn(usize),
    /// A command is proposed and committed.
    Commit(Box<Command>),
    /// A command is proposed.
    Propose(Box<Command>),
    /// It is committed, or lost.
    Late(bool),
}

impl World {
    /// Everything that can happen next.
    pub fn actions(&self, actions: &mut Vec<Action>) {
        if self.broken.is_some() {
            return;
        }
        for n in self.sites() {
            self.database_actions(n, actions);
        }
        for command in self.commands() {
            if self.under_way.is_none() && self.left.late > 0 {
                actions.push(Action::Propose(Box::new(command.clone())));
            }
            actions.push(Action::Commit(Box::new(command)));
        }
        if self.under_way.is_some() {
            actions.extend([Action::Late(true), Action::Late(false)]);
        }
    }

    fn database_actions(&self, n: usize, actions: &mut Vec<Action>) {
        let db = &self.dbs[n];
        let instruction = self.instruction(n);
        match db.run {
            Run::Primary(epoch) => {
                if self.left.writes > 0 {
                    actions.push(Action::Write(n));
                }
                let newer = |k: &usize| {
                    let entry = self.asked[n][*k].entry;
                    entry > db.setting.entry
                        || (World::planted(Bug::OlderSetReloaded) && entry < db.setting.entry)
                };
                actions.extend((0..self.asked[n].len()).filter(newer).map(|k| Action::Reload(n, k)));
                if db.seen.is_none() {
                    actions.push(Action::InForce(n));
                }
                if self.left.deaths > 0 {
                    actions.push(Action::Die(n));
                }
                let next = matches!(instruction, Instruction::Run { epoch: now, .. } if now > epoch);
                if next && epoch > self.stack().closed {
                    actions.push(Action::GoOn(n));
                }
            }
            Run::Stopped if !self.stack().is_open_at(&site(n)) => actions.push(Action::Return(n)),
            Run::Stopped => {}
            Run::Standby => self.standby_actions(n, &instruction, actions),
        }
    }

    fn standby_actions(&self, n: usize, instruction: &Instruction, actions: &mut Vec<Action>) {
        let db = &self.dbs[n];
        if let Some(primary) = db.follows
            && matches!(self.dbs[primary].run, Run::Primary(_))
            && self.dbs[primary].log.len() > db.log.len()
        {
            actions.push(Action::Ship(n));
        }
        match instruction {
            Instruction::Detach { epoch } if db.let_go < *epoch => actions.push(Action::LetGo(n)),
            Instruction::Follow { site: to, epoch, .. } => {
                let to = self.number_of(to);
                let runs = self.dbs[to].run == Run::Primary(*epoch);
                if runs && db.follows != Some(to) {
                    actions.push(Action::Follow(n));
                }
            }
            Instruction::Run { promote_due: true, .. } => actions.push(Action::Promote(n)),
            _ => {}
        }
        if World::planted(Bug::StandbyReattaches) && db.follows.is_none() && db.let_go > Epoch::NONE {
            let primaries = self.sites().filter(|p| matches!(self.dbs[*p].run, Run::Primary(_)));
            actions.extend(primaries.map(|p| Action::Reattach(n, p)));
        }
    }

    /// What anybody may propose; `apply` refuses what it must.
    fn commands(&self) -> Vec<Command> {
        let mut commands = Vec::new();
        let stack = self.stack();
        let (id, epoch, since) = (chat(), stack.epoch(), stack.sync.since);
        let active = site(self.active());
        if self.left.changes > 0 {
            let sets = self.sets().into_iter().filter(|set| set != stack.sync.wanted());
            commands.extend(sets.map(|set| Command::BeginSet { stack: id.clone(), epoch, since, set }));
        }
        if !stack.sync.is_settled() && set_is_in_force(stack, &self.report()) {
            commands.push(Command::SettleSet { stack: id.clone(), epoch, since });
        }
        let number = self.group.sites()[&active].number;
        if stack.transition.is_none() && self.left.elections > 0 {
            let cause = Cause::Silence { number };
            commands.push(Command::BeginTransition { stack: id.clone(), epoch, cause, to: None });
        }
        if self.left.renewals > 0 {
            commands.push(self.renewal(number));
        }
        let Some(transition) = &stack.transition else { return commands };
        if !stack.is_closed() {
            commands.push(Command::FenceByReplication { stack: id.clone(), epoch });
            commands.extend(self.other_fence(epoch));
            if transition.elected == Some(epoch) && stack.fence_begun.is_none() && self.left.elections > 0 {
                let cause = Cause::PromoteFailed;
                commands.push(Command::PromoteGivenUp { stack: id.clone(), epoch, cause });
            }
        }
        if self.left.elections > 0 {
            let elect = |n| Command::Elect { stack: chat(), epoch, site: site(n) };
            commands.extend(self.sites().map(elect));
        }
        let told = |n: &usize| self.dbs[*n].let_go == epoch && stack.let_go(&site(*n), epoch).is_none();
        let let_go = self.sites().filter(told);
        commands.extend(let_go.map(|n| self.step(n, StepKind::Detach, epoch, Some(self.dbs[n].position()))));
        commands.extend(self.promotion(epoch));
        commands
    }

    /// A dead primary's site says so.
    fn other_fence(&self, epoch: Epoch) -> Option<Command> {
        let n = self.active();
        match self.stack().fence_begun {
            _ if matches!(self.dbs[n].run, Run::Primary(_)) => None,
            None => Some(Command::FenceBegin { stack: chat(), epoch }),
            Some(_) => Some(self.step(n, StepKind::FenceDatabase, epoch, None)),
        }
    }

    fn promotion(&self, epoch: Epoch) -> Option<Command> {
        let n = self.active();
        let due = matches!(self.instruction(n), Instruction::Run { promote_due: true, .. });
        let runs = self.dbs[n].run == Run::Primary(epoch);
        let end = self.dbs[n].position();
        (due && runs).then(|| self.step(n, StepKind::Promote, epoch, Some(end)))
    }

    fn step(&self, n: usize, step: StepKind, epoch: Epoch, position: Option<WalPosition>) -> Command {
        Command::Step(StepReport {
            site: site(n),
            stack: chat(),
            epoch,
            step,
            outcome: StepOutcome::Done,
            position,
            evidence: String::new(),
        })
    }

    fn renewal(&self, number: RenewalNumber) -> Command {
        let n = self.active();
        Command::Renew {
            request: RenewRequest {
                site: site(n),
                incarnation: Incarnation(n as u64 + 1),
                number: number.next(),
                cover_known: LogIndex::default(),
                stopping: vec![],
                unstopped: vec![],
                timed_acks: vec![],
            },
            terms: GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) },
        }
    }

    /// Sets that the operator's wish allows.
    fn sets(&self) -> Vec<SyncSet> {
        let Replication::Sync { k, loss } = self.stack().sync.replication else { return vec![] };
        let others: Vec<usize> = self.sites().filter(|n| *n != self.active()).collect();
        let mut sets: BTreeSet<SyncSet> = BTreeSet::new();
        for bits in 0..1_u32 << others.len() {
            let chosen = others.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1);
            let members: BTreeSet<_> = chosen.map(|(_, n)| site(*n)).collect();
            if members.len() >= usize::from(k) {
                sets.insert(SyncSet { k, members });
            } else if loss == model::StandbyLoss::Available {
                let k = u8::try_from(members.len()).expect("few");
                sets.insert(if members.is_empty() { SyncSet::NONE } else { SyncSet { k, members } });
            }
        }
        sets.into_iter().collect()
    }

    /// What the active site's actor reports now. One that is heard late proves no more: positions
    /// grow, and another set has another entry.
    fn report(&self) -> DatabaseReport {
        let replica = |(n, end): &(usize, model::Lsn)| Replica {
            name: site(*n).as_str().to_owned(),
            streaming: true,
            flushed: Some(*end),
            replayed: Some(*end),
        };
        let n = self.active();
        let replicas = self.streaming(n).iter().map(replica).collect();
        DatabaseReport { replicas, sync: self.dbs[n].seen, ..DatabaseReport::unknown() }
    }

    /// The world after a step; none if the step is not possible or changes nothing.
    pub fn after(&self, action: &Action) -> Option<Self> {
        let mut next = self.clone();
        match action {
            Action::Commit(command) => next.commit((**command).clone())?,
            Action::Propose(command) => {
                next.left.late -= 1;
                next.under_way = Some((**command).clone());
            }
            Action::Late(kept) => {
                let command = next.under_way.take()?;
                if *kept {
                    next.commit(command)?;
                }
            }
            other => next.database_step(other)?,
        }
        next.acknowledge();
        Some(next)
    }

    fn commit(&mut self, command: Command) -> Option<()> {
        let left = &mut self.left;
        match &command {
            Command::BeginSet { .. } => left.changes = left.changes.checked_sub(1)?,
            Command::Elect { .. } => left.elections = left.elections.checked_sub(1)?,
            Command::Renew { .. } => left.renewals = left.renewals.checked_sub(1)?,
            _ => {}
        }
        match self.committed(command) {
            Outcome::Refused(_) => None,
            _ => Some(()),
        }
    }

    fn database_step(&mut self, action: &Action) -> Option<()> {
        match *action {
            Action::Write(n) => {
                self.left.writes -= 1;
                let record = self.left.writes;
                self.dbs[n].log.push(record);
            }
            Action::Ship(n) => {
                let primary = &self.dbs[self.dbs[n].follows?].log;
                let record = *primary.get(self.dbs[n].log.len())?;
                primary.starts_with(&self.dbs[n].log).then_some(())?;
                self.dbs[n].log.push(record);
            }
            Action::Reload(n, k) => {
                let setting = self.asked[n].get(k)?.clone();
                self.dbs[n].held.push(setting.set.clone());
                self.dbs[n].held.sort();
                self.dbs[n].held.dedup();
                self.dbs[n].setting = setting;
                self.dbs[n].seen = None;
            }
            Action::InForce(n) => {
                self.dbs[n].held = vec![self.dbs[n].setting.set.clone()];
                let (entry, lsn) = (self.dbs[n].setting.entry, self.dbs[n].end());
                self.dbs[n].seen = Some(SyncSeen { entry, lsn });
            }
            Action::LetGo(n) => {
                let Instruction::Detach { epoch } = self.instruction(n) else { return None };
                self.dbs[n].follows = None;
                self.dbs[n].let_go = epoch;
            }
            Action::Die(n) => {
                self.left.deaths -= 1;
                self.stop(n);
            }
            Action::Return(n) => self.dbs[n].run = Run::Standby,
            Action::Reattach(n, primary) => self.dbs[n].follows = Some(primary),
            Action::Follow(n) => self.follow(n)?,
            Action::Promote(n) => self.promote(n)?,
            Action::GoOn(n) => self.dbs[n].run = Run::Primary(self.stack().epoch()),
            Action::Commit(_) | Action::Propose(_) | Action::Late(_) => return None,
        }
        Some(())
    }

    fn stop(&mut self, n: usize) {
        self.dbs[n].run = Run::Stopped;
        self.dbs[n].held.clear();
        self.dbs[n].seen = None;
        for db in &mut self.dbs {
            db.follows = db.follows.filter(|to| *to != n);
        }
    }

    /// Attaches; what its log has beyond the primary's is rewound first.
    fn follow(&mut self, n: usize) -> Option<()> {
        let Instruction::Follow { site: to, .. } = self.instruction(n) else { return None };
        let to = self.number_of(&to);
        let shared = self.dbs[n].log.iter().zip(&self.dbs[to].log).take_while(|(a, b)| a == b).count();
        self.dbs[n].log.truncate(shared);
        self.dbs[n].follows = Some(to);
        Some(())
    }

    /// The setting is in place before the promotion.
    fn promote(&mut self, n: usize) -> Option<()> {
        let Instruction::Run { epoch, timeline_highest, .. } = self.instruction(n) else { return None };
        let setting = self.setting(n)?;
        self.dbs[n].held = vec![setting.set.clone()];
        self.dbs[n].setting = setting;
        self.dbs[n].seen = None;
        self.dbs[n].follows = None;
        self.dbs[n].run = Run::Primary(epoch);
        self.begin_timeline(n, Timeline(timeline_highest.0 + 1));
        Some(())
    }
}
