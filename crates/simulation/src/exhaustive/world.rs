//! The state of a world: a log, two sites, two witnesses, messages, and a judge who sees everything.

use super::encode::Encoder;
use super::judge::{Judge, Until};
use super::rules::{A, B, Budget, Leaders, Rules};
use super::site::{self, Reply, Request};
use super::witness::{Committed, Witness};
use coordination::permit::Data;
use coordination::planted::{Bug, is_on};
use coordination::timing::TimingValues;
use coordination::{Command, Entry, Outcome, Policy, State, Timing};
use model::{
    Cause, Epoch, GrantTerms, Incarnation, LogIndex, Lsn, Millis, Mode, SiteId, StackId, StepKind,
    StepOutcome, StepReport, SystemId, Timeline, WalPosition, WallMillis,
};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Names that never change.
#[derive(Debug)]
pub struct Names {
    /// The two sites, A and B.
    pub sites: [SiteId; 2],
    /// The stack.
    pub stack: StackId,
}

impl Default for Names {
    fn default() -> Self {
        let site = |name| SiteId::new(name).expect("a name of this file is valid");
        Self { sites: [site("a"), site("b")], stack: StackId::new("s").expect("so is this one") }
    }
}

/// A world.
#[derive(Clone, Debug)]
pub struct World {
    /// What it may contain.
    pub rules: Arc<Rules>,
    /// Names.
    pub names: Arc<Names>,
    /// Ticks since the beginning.
    pub tick: u64,
    /// The state after the last committed entry.
    pub head: Arc<State>,
    /// Index of that entry.
    pub index: u64,
    /// Hosts with an actor and a gate.
    pub sites: [Arc<site::Site>; 2],
    /// Witnesses, each of which believes to lead.
    pub witnesses: [Arc<Witness>; 2],
    /// Proposed, not committed yet.
    pub late: Vec<Command>,
    /// What is left of the bounds.
    pub left: Budget,
    /// The judge.
    pub judge: Judge,
}

/// Milliseconds: below one tick of any clock, so that every tick is a turn of the loop.
const RENEW_EVERY: Millis = Millis(30);
/// Above one tick of any clock.
const DETECT_AFTER: Millis = Millis(165);

/// The production timing of a world with this D and F.
#[must_use]
pub fn timing(terms: GrantTerms) -> Timing {
    let detect_after = Millis(DETECT_AFTER.0.min(terms.lease_duration.0.saturating_sub(RENEW_EVERY.0 + 2)));
    Timing::new(TimingValues {
        lease_duration: terms.lease_duration,
        fence_deadline: terms.fence_deadline,
        renew_every: RENEW_EVERY,
        drift_max_ppm: super::clock::DRIFT_PPM,
        detect_after,
        heartbeat: Millis(1),
        election_min: Millis(10),
        election_max: Millis(11),
        round_trip_p99: Millis(1),
        fsync_p99: Millis(0),
    })
    .expect("two ticks and more are enough for these")
}

impl World {
    /// A runs epoch 1 in mode `auto`, B streams; both are registered and have just renewed.
    #[must_use]
    pub fn new(rules: &Arc<Rules>, clocks: usize) -> Self {
        let names = Arc::new(Names::default());
        let rates = rules.clocks[clocks];
        let terms = rules.terms();
        let head = Arc::new(State::default());
        let site =
            |n: usize, data| Arc::new(site::Site::new(&names.stack, rates[n], n as u64 + 1, data, terms));
        let witness =
            |n: usize| Arc::new(Witness::new(&names.sites[n], &names.sites, rates[n + 2], head.clone()));
        let mut world = Self {
            rules: rules.clone(),
            tick: 0,
            head: head.clone(),
            index: 0,
            sites: [site(A, Data::Primary), site(B, Data::Standby)],
            witnesses: [witness(0), witness(1)],
            late: Vec::new(),
            left: rules.budget,
            judge: Judge {
                elected: vec![A],
                highest: [Epoch::NONE; 2],
                closed: [Epoch::NONE; 2],
                until: [Until::Tick(0); 2],
                sent: BTreeMap::new(),
                broken: None,
            },
            names: names.clone(),
        };
        world.found(terms);
        world
    }

    fn found(&mut self, terms: GrantTerms) {
        let names = self.names.clone();
        self.must(Command::SetPolicy(Policy::with_timing(timing(terms))));
        for site in &names.sites {
            self.must(Command::DefineSite { site: site.clone(), actor: true });
        }
        self.must(Command::DefineStack { stack: names.stack.clone(), sites: names.sites.to_vec() });
        for n in [A, B] {
            self.site_mut(n).requests.push(Request::Register(Incarnation(n as u64 + 1)));
            self.exchange(n);
        }
        if self.rules.fresh {
            self.send(A);
            self.exchange(A);
            self.judge.until[A] = Until::Held;
        }
        let (site, stack) = (names.sites[A].clone(), names.stack.clone());
        self.must(Command::Adopt { stack, site, system_id: SystemId(7), timeline: Timeline(1) });
        if !self.rules.held {
            self.must(Command::SetMode { stack: names.stack.clone(), mode: Mode::Auto });
        }
        // The second renewal acknowledges what the first one's answer said.
        for n in if self.rules.fresh { vec![B] } else { vec![A, A, B] } {
            self.send(n);
            self.exchange(n);
        }
        self.must(Command::SetStreaming {
            stack: names.stack.clone(),
            site: names.sites[B].clone(),
            epoch: Epoch(1),
            streams: Some(Timeline(1)),
        });
        for n in [0, 1] {
            self.witness_mut(n).catch_up();
        }
        self.judge.sent.clear();
    }

    /// Everything under way between a site and the group arrives at once.
    fn exchange(&mut self, n: usize) {
        while !self.sites[n].requests.is_empty() {
            self.commit_request(n, 0, false, 0);
        }
        while !self.sites[n].replies.is_empty() {
            self.deliver(n, 0, false);
        }
        self.ask(n);
    }

    fn must(&mut self, command: Command) {
        let outcome = self.commit(command);
        assert_eq!(outcome, Outcome::Applied, "the beginning is in order");
    }

    /// A site, to be changed.
    pub fn site_mut(&mut self, n: usize) -> &mut site::Site {
        Arc::make_mut(&mut self.sites[n])
    }

    /// A witness, to be changed.
    pub fn witness_mut(&mut self, n: usize) -> &mut Witness {
        Arc::make_mut(&mut self.witnesses[n])
    }

    /// The number of a site.
    pub(super) fn number(&self, site: &SiteId) -> usize {
        usize::from(*site == self.names.sites[B])
    }

    /// An entry is committed: everybody will apply it.
    pub fn commit(&mut self, command: Command) -> Outcome {
        self.index += 1;
        let index = LogIndex(self.index);
        let entry = Entry { at: WallMillis::default(), command };
        let mut state = (*self.head).clone();
        let outcome = state.apply(index, &entry);
        if matches!(outcome, Outcome::Refused(_)) {
            return outcome;
        }
        self.judge_commit(&entry.command, &outcome, &state);
        let state = Arc::new(state);
        self.head = state.clone();
        let one = Arc::new(Committed { index, entry, outcome: outcome.clone(), state });
        for n in [0, 1] {
            let lags = self.rules.lags[n];
            let witness = self.witness_mut(n);
            witness.pending.push(one.clone());
            if !lags {
                witness.catch_up();
            }
        }
        outcome
    }

    /// A site sends a renewal.
    pub fn send(&mut self, n: usize) {
        let (names, tick) = (self.names.clone(), self.tick);
        let run = self.sites[n].run;
        if let Some(number) = self.site_mut(n).send(&names.sites[n], &names.stack) {
            self.judge.sent.entry((n, run, number)).or_insert(tick);
        }
    }

    /// A request is committed by the leader, whose policy gives the terms.
    pub fn commit_request(&mut self, n: usize, place: usize, again: bool, witness: usize) {
        let request = if again {
            self.sites[n].requests[place].clone()
        } else {
            self.site_mut(n).requests.remove(place)
        };
        let policy = self.witnesses[witness].state.policy().or(self.head.policy());
        let Some(terms) = policy.map(|policy| policy.timing.terms()) else { return };
        match request {
            Request::Register(incarnation) => {
                let site = self.names.sites[n].clone();
                let outcome = self.commit(Command::Register { site, incarnation, terms });
                if let Outcome::Registered(answer) = outcome {
                    self.site_mut(n).replies.push(Reply::Registered(incarnation, answer));
                }
            }
            Request::Renew(request) if is_on(Bug::LeaderWithoutCommit) => {
                let entry = Entry { at: WallMillis::default(), command: Command::Renew { request, terms } };
                let mut own = (*self.witnesses[witness].state).clone();
                if let Outcome::Renewed { grant, .. } = own.apply(LogIndex(self.index + 1), &entry) {
                    self.site_mut(n).replies.push(Reply::Renewed(grant));
                }
            }
            Request::Renew(request) => {
                let outcome = self.commit(Command::Renew { request, terms });
                if let Outcome::Renewed { grant, .. } = outcome {
                    self.site_mut(n).replies.push(Reply::Renewed(grant));
                }
            }
        }
        self.prune(n);
    }

    /// Messages that can do nothing any more are gone, as lost ones are.
    fn prune(&mut self, n: usize) {
        if is_on(Bug::NoIncarnation) || is_on(Bug::AnswersOutOfOrder) {
            return;
        }
        let known = &self.head.sites()[&self.names.sites[n]];
        let (last, run) = (known.number, known.lease.as_ref().map(|lease| lease.incarnation));
        let site = &self.sites[n];
        let useless = |request: &Request| match request {
            Request::Register(_) => false,
            Request::Renew(request) => request.number < last || Some(request.incarnation) < run,
        };
        let ignored = |reply: &Reply| match reply {
            Reply::Registered(run, answer) => *run != site.run || answer.index < site.lease.index(),
            Reply::Renewed(grant) => {
                Some(grant.incarnation) < site.lease.incarnation() || grant.index < site.lease.index()
            }
        };
        if site.requests.iter().any(useless) || site.replies.iter().any(ignored) {
            let (requests, replies) = (site.requests.clone(), site.replies.clone());
            let requests = requests.into_iter().filter(|one| !useless(one)).collect();
            let replies = replies.into_iter().filter(|one| !ignored(one)).collect();
            let site = self.site_mut(n);
            (site.requests, site.replies) = (requests, replies);
        }
    }

    /// An answer arrives.
    pub fn deliver(&mut self, n: usize, place: usize, again: bool) {
        let stack = self.names.stack.clone();
        let site = self.site_mut(n);
        let reply = if again { site.replies[place].clone() } else { site.replies.remove(place) };
        site.take(&reply, &stack);
        self.prune(n);
        if !self.rules.asks || n == B {
            self.ask(n);
        }
    }

    /// The gate asks its actor and turns.
    pub fn ask(&mut self, n: usize) {
        let stack = self.names.stack.clone();
        let did = self.site_mut(n).ask_now(&stack);
        self.judge_gate(n, did);
    }

    /// One tick passes for everybody; who must have closed before its end has.
    pub fn pass(&mut self, suspended: Option<usize>) {
        self.tick += 1;
        for n in [A, B] {
            let site = self.site_mut(n);
            site.clock.tick(suspended == Some(n));
            if site.gate.is_overdue(site.clock.now) {
                site.gate.close();
            }
            self.judge_silence(n);
        }
        for n in [0, 1] {
            self.witness_mut(n).tick();
        }
        let oldest = self.tick.saturating_sub(self.rules.lease.0 + self.rules.lease.1 + 1);
        self.judge.sent.retain(|_, sent| *sent >= oldest);
    }

    /// The epoch is closed: a transition, its detachment and an election entry in one step.
    pub fn elect(&mut self, n: usize) -> bool {
        let stack = self.names.stack.clone();
        let Some((active, epoch)) = self.head.active(&stack).map(|(site, epoch)| (site.clone(), epoch))
        else {
            return false;
        };
        if self.head.stacks()[&stack].transition.is_none() {
            let cause = Cause::Expired;
            self.commit(Command::BeginTransition { stack: stack.clone(), epoch, cause, to: None });
        }
        let site = self.names.sites[n].clone();
        if active != site {
            self.commit(Command::Step(self.detached(n, epoch)));
        }
        self.commit(Command::Elect { stack, epoch, site }) == Outcome::Applied
    }

    /// The report of a standby that has let go.
    #[must_use]
    pub fn detached(&self, n: usize, epoch: Epoch) -> StepReport {
        StepReport {
            site: self.names.sites[n].clone(),
            stack: self.names.stack.clone(),
            epoch,
            step: StepKind::Detach,
            outcome: StepOutcome::Done,
            position: Some(WalPosition { timeline: Timeline(1), lsn: Lsn(100) }),
            evidence: String::new(),
        }
    }

    /// True if the rules let leaders propose anything.
    #[must_use]
    pub fn anything_goes(&self) -> bool {
        self.rules.leaders == Leaders::Anything
    }

    /// Canonical bytes: equal ones have the same future.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        let mut out = Encoder::default();
        out.small(u8::from(self.judge.broken.is_some()));
        let (cut_site, cut_witness) = (self.rules.cut_site(), self.rules.cut_witness());
        let here = model::Moment::default();
        out.put(&*self.head, here, cut_witness);
        for state in [&self.head, &self.witnesses[0].state, &self.witnesses[1].state] {
            out.small(state.policy().map_or(0, |policy| u8::try_from(policy.revision).unwrap_or(u8::MAX)));
        }
        for site in &self.sites {
            site.encode(&mut out, cut_site);
            out.small(rate(site.clock.rates.boottime));
        }
        for witness in &self.witnesses {
            witness.encode(&self.head, &mut out, cut_witness);
            out.small(rate(witness.clock.rates.boottime));
        }
        out.put(&self.late, here, cut_witness);
        self.encode_judge(&mut out);
        out.finish()
    }

    fn encode_judge(&self, out: &mut Encoder) {
        let left = &self.left;
        out.raw(&left.sends);
        out.raw(&[left.restarts, left.anew, left.duplicates, left.late, left.suspended]);
        out.raw(&[left.elections, left.policies, left.modes, left.begins, left.promotes]);
        out.raw(&[left.jumps, left.stuck]);
        let judge = &self.judge;
        judge.elected.iter().for_each(|site| out.small(*site as u8));
        for n in [A, B] {
            out.raw(&[judge.highest[n].0 as u8, judge.closed[n].0 as u8]);
            out.small(match judge.until[n] {
                Until::Held => u8::MAX,
                Until::Tick(until) => until.saturating_sub(self.tick) as u8,
            });
        }
        for ((site, run, number), sent) in &judge.sent {
            out.raw(&[*site as u8, run.0 as u8, number.0 as u8, (self.tick - sent) as u8]);
        }
    }
}

/// A world's rates fit into a byte.
const fn rate(rate: u64) -> u8 {
    if rate > u8::MAX as u64 { u8::MAX } else { rate as u8 }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.bytes());
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}
