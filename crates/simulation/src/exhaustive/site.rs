//! One site of a world: actor and gate on one host, around the production lease table and the
//! production gate memory. What is here is glue: it carries answers, writes records, opens and closes.

use super::clock::{Clock, Rates};
use super::encode::Encoder;
use coordination::lease::LeaseTable;
use coordination::permit::{self, Data, Decision, Memory, Mode, Order, Record, Running, Server, Way};
use coordination::planted::{Bug, is_on};
use coordination::reconcile::StackEpochs;
use model::{
    Epoch, Grant, GrantTerms, Incarnation, LogIndex, Millis, Moment, RegistrationAnswer, RenewRequest,
    RenewalNumber, SiteEpochs, SiteId, StackId,
};

/// On its way to the group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A run begins.
    Register(Incarnation),
    /// One renewal.
    Renew(RenewRequest),
}

/// On its way to the actor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// To a registration.
    Registered(Incarnation, RegistrationAnswer),
    /// To a renewal.
    Renewed(Grant),
}

/// What a gate did in a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Did {
    /// Nothing that opens anything.
    Nothing,
    /// From now on a primary of this epoch runs, or the one that ran goes on under it.
    Opened(Epoch),
}

/// A gate, its disk and its database.
#[derive(Clone, Debug)]
pub struct Gate {
    /// What outlives it.
    pub disk: Option<Record>,
    /// The production memory.
    pub memory: Memory,
    /// What runs.
    pub running: Running,
    /// What the data directory says.
    pub data: Data,
    /// Since when it is being closed.
    pub closing: Option<Moment>,
    /// True if closing it has no effect for now.
    pub stuck: bool,
    /// What it decided and has not done yet: a planted bug's.
    pub decided: Option<Epoch>,
}

/// Actor and gate.
#[derive(Clone, Debug)]
pub struct Site {
    /// The host's clocks.
    pub clock: Clock,
    /// The production lease table.
    pub lease: LeaseTable,
    /// The actor's run.
    pub run: Incarnation,
    /// What the group said of the epochs, for the gate.
    pub told: Option<SiteEpochs>,
    /// The actor's epochs on disk.
    pub stored: StackEpochs,
    /// Index of the highest view taken.
    pub seen: LogIndex,
    /// Its gate.
    pub gate: Gate,
    /// An answer under way to the gate, and when that asked.
    pub answer: Option<(Moment, permit::Answer)>,
    /// Messages under way to the group; a lost one stays here for ever.
    pub requests: Vec<Request>,
    /// Messages under way to the actor.
    pub replies: Vec<Reply>,
}

impl Gate {
    fn new(stack: &StackId, data: Data, terms: GrantTerms) -> Self {
        let disk = Some(Record::default());
        let memory = Memory::new(stack.clone(), disk, terms);
        Self { disk, memory, running: Running::No, data, closing: None, stuck: false, decided: None }
    }

    fn write(&mut self, record: Option<Record>) {
        if let Some(record) = record {
            self.disk = Some(record);
            self.memory.written(record);
        }
    }

    /// True while a process of a primary is left.
    #[must_use]
    pub const fn is_primary(&self) -> bool {
        matches!(self.running, Running::Open(Mode::Primary(_) | Mode::Plain))
    }

    /// The epoch of the primary that runs.
    #[must_use]
    pub const fn open(&self) -> Option<Epoch> {
        match self.running {
            Running::Open(Mode::Primary(epoch)) => Some(epoch),
            _ => None,
        }
    }

    /// What the production rules decide now.
    #[must_use]
    pub fn decision(&self, now: Moment) -> Decision {
        if self.closing.is_some() {
            return Decision::Keep;
        }
        self.memory.input(self.data, self.running, false, now).decide()
    }

    /// Decides and acts, in one step on one clock.
    pub fn turn(&mut self, now: Moment) -> Did {
        match self.decision(now) {
            Decision::Keep | Decision::Wait(_) | Decision::Refuse => Did::Nothing,
            Decision::StartStandby => {
                self.running = Running::Open(Mode::Standby);
                Did::Nothing
            }
            Decision::StartPlain => {
                self.running = Running::Open(Mode::Plain);
                Did::Nothing
            }
            Decision::StartPrimary(epoch) if is_on(Bug::CheckThenAct) => {
                self.decided = Some(epoch);
                Did::Nothing
            }
            Decision::StartPrimary(epoch) | Decision::TakeOver(epoch) => self.open_primary(epoch, now),
            Decision::Fence(_) => {
                self.closing = Some(self.anchor(now));
                Did::Nothing
            }
            Decision::Kill(_) => {
                self.close();
                Did::Nothing
            }
        }
    }

    fn open_primary(&mut self, epoch: Epoch, now: Moment) -> Did {
        self.write(self.memory.to_raise(epoch));
        if self.memory.input(Data::Primary, self.running, false, now).may_open() != Ok(epoch) {
            return Did::Nothing;
        }
        self.run(epoch)
    }

    /// What was decided a while ago is done, unseen: a planted bug's step.
    pub fn act_late(&mut self) -> Did {
        match self.decided.take() {
            Some(epoch) if self.running == Running::No => self.run(epoch),
            _ => Did::Nothing,
        }
    }

    const fn run(&mut self, epoch: Epoch) -> Did {
        self.running = Running::Open(Mode::Primary(epoch));
        self.data = Data::Primary;
        Did::Opened(epoch)
    }

    /// The order to promote, if the production rules obey it in this very step.
    pub fn promote(&mut self, epoch: Epoch, now: Moment) -> Did {
        let input = self.memory.input(self.data, self.running, false, now);
        let obeyed = input.may_obey(Order::Promote(epoch), self.server()).is_ok();
        if !obeyed || input.promotion(epoch, self.server()) != Way::Promote {
            return Did::Nothing;
        }
        if is_on(Bug::CheckThenAct) {
            self.decided = Some(epoch);
            return Did::Nothing;
        }
        self.open_primary(epoch, now)
    }

    /// The order to relinquish: on disk first, then the gate's own decision.
    pub fn relinquish(&mut self, epoch: Epoch, now: Moment) {
        let before = self.disk;
        self.write(self.memory.to_relinquish(epoch));
        if is_on(Bug::RelinquishNotOnDisk) {
            self.disk = before;
        }
        self.turn(now);
    }

    /// True if the gate would acknowledge that the epoch is relinquished.
    #[must_use]
    pub fn is_relinquished(&self, epoch: Epoch) -> bool {
        let durable = self.memory.record().is_some_and(|record| record.closed >= epoch);
        durable && permit::relinquishment(epoch, self.server()) == Way::Done
    }

    fn server(&self) -> Server {
        match self.running {
            Running::No => Server::Down,
            Running::Foreign => Server::Foreign,
            // The postmaster may be gone already: others of its processes are left.
            Running::Open(_) if self.closing.is_some() => Server::Clearing,
            Running::Open(mode) => Server::Open { mode, seen_recovery: true, settled: true, closing: false },
        }
    }

    fn anchor(&self, now: Moment) -> Moment {
        self.open().map_or(now, |epoch| self.memory.fence_from(epoch, now))
    }

    /// From when F counts, if what runs has to end.
    #[must_use]
    pub fn ends_from(&self, now: Moment) -> Option<Moment> {
        if !self.is_primary() {
            return None;
        }
        let over = self.memory.cover().is_some_and(|cover| !cover.holds(now));
        self.closing.or_else(|| over.then(|| self.anchor(now)))
    }

    /// True if, F after its end, something would be left at `now`: by then it was killed.
    #[must_use]
    pub fn is_overdue(&self, now: Moment) -> bool {
        if self.stuck {
            return false;
        }
        let limit = self.memory.terms().fence_deadline;
        self.ends_from(now).is_some_and(|from| now.elapsed_longest(from) > limit)
    }

    /// No process is left.
    pub const fn close(&mut self) {
        self.running = Running::No;
        self.closing = None;
        self.stuck = false;
    }

    fn restart(&mut self, stack: &StackId, terms: GrantTerms) {
        self.close();
        self.decided = None;
        self.memory = Memory::new(stack.clone(), self.disk, terms);
    }
}

impl Site {
    /// A host whose actor is registered as run `run` and whose gate has what it needs to start.
    #[must_use]
    pub fn new(stack: &StackId, rates: Rates, run: u64, data: Data, terms: GrantTerms) -> Self {
        Self {
            clock: Clock::new(rates),
            lease: LeaseTable::default(),
            run: Incarnation(run),
            told: None,
            stored: StackEpochs::default(),
            seen: LogIndex::default(),
            gate: Gate::new(stack, data, terms),
            answer: None,
            requests: Vec::new(),
            replies: Vec::new(),
        }
    }

    /// A new send; its instant is noted before it leaves.
    pub fn send(&mut self, id: &SiteId, stack: &StackId) -> Option<RenewalNumber> {
        let send = self.lease.send(self.clock.now)?;
        let runs = self.gate.is_primary();
        let lapsed = self.lease.is_heard() && self.right(stack).is_none();
        let acks = self.gate.memory.timed_ack().filter(|ack| {
            self.lease.listed(stack).is_some_and(|entry| {
                entry.epoch == ack.epoch && entry.kind == model::CoverKind::Timed { since: ack.since }
            })
        });
        self.requests.push(Request::Renew(RenewRequest {
            site: id.clone(),
            incarnation: send.incarnation,
            number: send.number,
            cover_known: send.cover_known,
            stopping: if runs && lapsed { vec![stack.clone()] } else { Vec::new() },
            unstopped: if runs && lapsed && self.gate.stuck { vec![stack.clone()] } else { Vec::new() },
            timed_acks: acks.into_iter().collect(),
        }));
        Some(send.number)
    }

    fn right(&self, stack: &StackId) -> Option<permit::Held> {
        let valid = self.lease.valid(stack, self.clock.now)?;
        (valid.entry.epoch > self.stored.closed)
            .then_some(permit::Held { entry: valid.entry, deadline: valid.deadline })
    }

    /// The epoch that this site's actor may have promoted now.
    #[must_use]
    pub fn permitted(&self, stack: &StackId) -> Option<Epoch> {
        self.right(stack).map(|held| held.entry.epoch)
    }

    /// The actor takes an answer.
    pub fn take(&mut self, reply: &Reply, stack: &StackId) {
        match reply {
            Reply::Registered(run, answer) => {
                if *run != self.run || self.lease.incarnation() == Some(*run) {
                    return;
                }
                self.lease.register(*run, answer);
                if let Some(told) = answer.epochs.iter().find(|told| told.stack == *stack) {
                    self.hear(told.clone());
                }
            }
            Reply::Renewed(grant) => {
                self.lease.take(grant, self.clock.now);
            }
        }
    }

    /// Epochs only grow; they are on disk before anything of them is done.
    pub fn hear(&mut self, told: SiteEpochs) {
        let most = StackEpochs { highest: told.highest, closed: told.closed };
        self.stored = self.stored.max(most);
        self.told = Some(match self.told.take() {
            None => told,
            Some(before) => SiteEpochs {
                highest: before.highest.max(told.highest),
                closed: before.closed.max(told.closed),
                timeline_highest: before.timeline_highest.max(told.timeline_highest),
                stack: told.stack,
            },
        });
    }

    /// The gate asks, the actor answers from what it knows at this instant, the gate turns.
    pub fn ask_now(&mut self, stack: &StackId) -> Did {
        self.ask(stack);
        self.hear_answer()
    }

    /// The gate asks; the actor's answer is under way.
    pub fn ask(&mut self, stack: &StackId) {
        let now = self.clock.now;
        let known = self.lease.is_heard();
        let right = self.right(stack).filter(|_| known);
        let answer = permit::Answer {
            known,
            index: if known { self.lease.index() } else { LogIndex::default() },
            epochs: self.told.clone().filter(|_| known),
            remaining: if right.is_some() { self.lease.remaining(stack, now) } else { Millis::ZERO },
            cover: right.map(|held| held.entry),
            terms: self.lease.terms().filter(|_| known),
        };
        self.answer = Some((now, answer));
    }

    /// The answer under way reaches the gate, which turns.
    pub fn hear_answer(&mut self) -> Did {
        let now = self.clock.now;
        let Some((asked, answer)) = self.answer.take() else { return Did::Nothing };
        let (_, record) = self.gate.memory.take(&answer, asked, now);
        self.gate.write(record);
        self.gate.turn(now)
    }

    /// A view is taken for a permission: a planted bug's step.
    pub fn cover_by_view(&mut self, stack: &StackId, epoch: Epoch, since: LogIndex, now: Moment) -> Did {
        let kind = model::CoverKind::Timed { since };
        let answer = permit::Answer {
            known: true,
            index: since,
            epochs: None,
            cover: Some(model::CoverEntry { stack: stack.clone(), epoch, kind }),
            remaining: self.gate.memory.terms().lease_duration,
            terms: None,
        };
        let (_, record) = self.gate.memory.take(&answer, now, now);
        self.gate.write(record);
        self.gate.turn(now)
    }

    /// The actor's process ends and begins anew: what is on disk is left.
    pub fn restart_actor(&mut self) {
        self.lease = LeaseTable::default();
        self.told = None;
        self.seen = LogIndex::default();
        self.answer = None;
        if is_on(Bug::EpochNotPersisted) {
            self.stored = StackEpochs::default();
        }
        self.register_anew();
    }

    /// The host is off; what was on its way to it is gone.
    pub fn power_off(&mut self, stack: &StackId, terms: GrantTerms) {
        self.lease = LeaseTable::default();
        self.answer = None;
        self.requests.clear();
        self.replies.clear();
        self.gate.restart(stack, terms);
    }

    /// A new run asks for its registration.
    pub fn register_anew(&mut self) {
        self.lease.unregister();
        self.run = Incarnation(self.run.0 + 1);
        self.requests.push(Request::Register(self.run));
    }

    /// The gate dies, and its database with it; the next one starts.
    pub fn restart_gate(&mut self, stack: &StackId, terms: GrantTerms) {
        self.answer = None;
        self.gate.restart(stack, terms);
        self.gate.turn(self.clock.now);
    }

    /// Its part of the world's bytes.
    pub fn encode(&self, out: &mut Encoder, cut: u64) {
        let now = self.clock.now;
        out.put(&(&self.lease, self.run, &self.told, self.stored, self.seen), now, cut);
        let gate = &self.gate;
        let told = gate.memory.input(gate.data, gate.running, false, now).told.map(|(told, _)| told);
        out.put(&(gate.disk, &gate.memory, told, gate.closing, gate.ends_from(now), gate.decided), now, cut);
        out.small(u8::from(gate.stuck));
        match &self.answer {
            None => out.small(0),
            Some((asked, a)) => {
                out.put(&(asked, a.known, a.index, &a.epochs, &a.cover, a.remaining, a.terms), now, cut);
            }
        }
        out.small(match gate.data {
            Data::Absent => 0,
            Data::Standby => 1,
            Data::Primary => 2,
        });
        out.small(match gate.running {
            Running::No => 0,
            Running::Foreign => 1,
            Running::Open(Mode::Standby) => 2,
            Running::Open(Mode::Plain) => 3,
            Running::Open(Mode::Primary(epoch)) => 4 + u8::try_from(epoch.0).unwrap_or(u8::MAX - 4),
        });
        out.small(u8::try_from(self.requests.len()).unwrap_or(u8::MAX));
        for request in &self.requests {
            match request {
                Request::Register(run) => out.put(&(0_u8, run), now, cut),
                Request::Renew(request) => out.put(&(1_u8, request), now, cut),
            }
        }
        out.small(u8::try_from(self.replies.len()).unwrap_or(u8::MAX));
        for reply in &self.replies {
            match reply {
                Reply::Registered(run, answer) => out.put(&(0_u8, run, answer), now, cut),
                Reply::Renewed(grant) => out.put(&(1_u8, grant), now, cut),
            }
        }
    }
}
