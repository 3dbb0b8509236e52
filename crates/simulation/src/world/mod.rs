//! The world: hosts with clocks, processes, links, disks and databases, moved on by one queue of
//! events. The processes run the production rules; everything around them is modelled here.
//!
//! | part | what it is |
//! | --- | --- |
//! | `raft` | the replicated log |
//! | `witness` | a witness's loop around `apply`, the local view and `decide` |
//! | `actor` | an actor's loop around its renewals, its book and `reconcile` |
//! | `gate` | a gate's loop around its memory and `permit` |
//! | `life` | processes and hosts that start, stop, pause and end |
//! | `faults`, `plots` | what the plan of a seed does to all that |
//! | `operator` | people: adoption, modes, attestations, rejoins |
//! | `script` | the script of a scenario |

mod actor;
mod faults;
mod gate;
mod life;
mod operator;
mod plots;
mod process;
mod raft;
mod script;
mod story;
mod witness;

use crate::clock::Clock;
use crate::dice::Dice;
use crate::history::{History, Record, SECOND, Site, Stack, Time, What};
use crate::message::{Event, Message, Process};
use crate::net::Net;
use crate::plan::Plan;
use crate::postgres::{self, Database};
use crate::queue::Queue;
use actor::Actor;
use coordination::planted::{Bug, is_on};
use coordination::timing::TimingValues;
use gate::Gate;
use model::{Moment, SiteId, StackId};
use operator::Operator;
use process::Host;
use raft::Raft;
use witness::Witness;

/// Figures of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Simulated time, in microseconds.
    pub simulated: u64,
    /// Events handled.
    pub events: u64,
    /// Databases started by gates.
    pub starts: u64,
    /// Epochs closed.
    pub fences: u64,
    /// Election entries.
    pub elections: u64,
    /// Leaders elected.
    pub leaders: u64,
    /// Faults that began.
    pub faults: u64,
    /// Changes of an active site.
    pub moves: u64,
    /// Leases that expired.
    pub expired: u64,
}

impl Figures {
    /// Both together.
    pub const fn add(&mut self, other: &Self) {
        self.simulated += other.simulated;
        self.events += other.events;
        self.starts += other.starts;
        self.fences += other.fences;
        self.elections += other.elections;
        self.leaders += other.leaders;
        self.faults += other.faults;
        self.moves += other.moves;
        self.expired += other.expired;
    }
}

/// Everything.
pub struct World {
    now: Time,
    sites: Site,
    stacks: Stack,
    plan: Plan,
    /// The group's D, R, F and so on, by the policy of the run.
    timing: TimingValues,
    site_ids: Vec<SiteId>,
    stack_ids: Vec<StackId>,
    queue: Queue<Event>,
    dice: Dice,
    net: Net,
    hosts: Vec<Host>,
    raft: Raft,
    fsync_mean: Time,
    witnesses: Vec<Witness>,
    actors: Vec<Option<Box<Actor>>>,
    /// By stack, then site.
    gates: Vec<Vec<Option<Box<Gate>>>>,
    databases: Vec<Database>,
    /// When each database is next woken.
    database_due: Vec<Time>,
    operator: Operator,
    healed: bool,
    /// Everything has come right: nothing more is to be seen.
    settled: bool,
    /// Wakings asked for by a process in the middle of its own turn.
    late_wakes: Vec<(Process, Time)>,
    /// Faults that hold now, by their number in the plan.
    holding: Vec<bool>,
    killed_leader: Option<Site>,
    /// By stack: a promoted site is cut off; which one was.
    isolates: Vec<(bool, Option<Site>)>,
    /// Everything that happened.
    pub history: History,
    /// Figures.
    pub figures: Figures,
    hash: u64,
    /// Prints what happens.
    story: bool,
    /// The bug that is planted in the shells.
    bug: Option<Bug>,
}

impl World {
    /// A world that is about to begin.
    #[must_use]
    pub fn new(plan: Plan, story: bool) -> Self {
        let (sites, stacks, seed) = (plan.sites, plan.stacks, plan.seed);
        let mut dice = Dice::new(seed, 1);
        let timing = *plan.policy.timing.values();
        let site_ids: Vec<SiteId> = (1..=sites).filter_map(|n| SiteId::new(&format!("dc{n}")).ok()).collect();
        let stack_ids: Vec<StackId> =
            (1..=stacks).filter_map(|n| StackId::new(&format!("s{n}")).ok()).collect();
        let net = Net::new(&mut dice, timing.round_trip_p99.0 * 1_000 / 3);
        let setup = plan.setup();
        let hosts = (0..sites).map(|site| Host::new(plan_clock(&plan, site), stacks)).collect();
        let databases = (0..stacks)
            .map(|stack| {
                let settings = postgres::Settings { stack, ..plan.database.clone() };
                Database::with(&site_ids, plan.primary(stack), seed ^ (u64::from(stack) + 1) << 40, settings)
            })
            .collect();
        let mut world = Self {
            now: 0,
            sites,
            stacks,
            timing,
            queue: Queue::default(),
            net,
            hosts,
            raft: Raft::new(sites, plan.stubborn_leaders, plan.snapshot_behind),
            fsync_mean: plan.fsync_mean,
            witnesses: Vec::new(),
            actors: (0..sites).map(|_| None).collect(),
            gates: (0..stacks).map(|_| (0..sites).map(|_| None).collect()).collect(),
            databases,
            database_due: vec![Time::MAX; usize::from(stacks)],
            operator: Operator::new(stacks, Dice::new(seed, 3)),
            healed: false,
            settled: false,
            late_wakes: Vec::new(),
            holding: vec![false; plan.faults.len()],
            killed_leader: None,
            isolates: vec![(false, None); usize::from(stacks)],
            history: History::new(setup),
            figures: Figures::default(),
            hash: 0xcbf2_9ce4_8422_2325,
            story,
            bug: Bug::ALL.iter().copied().find(|bug| is_on(*bug)),
            site_ids,
            stack_ids,
            dice,
            plan,
        };
        world.begin();
        world
    }

    fn begin(&mut self) {
        for site in 0..self.sites {
            let witness =
                Witness::new(self.site_ids[usize::from(site)].clone(), &self.site_ids, self.moment(site));
            self.witnesses.push(witness);
        }
        for site in 0..self.sites {
            self.start_actor(site);
            for stack in 0..self.stacks {
                self.start_gate(stack, site);
            }
            self.wake_now(Process::Witness(site));
        }
        self.recheck_log();
        for stack in 0..self.stacks {
            self.touch_database(stack);
        }
        self.queue.push(SECOND, Event::Operator);
        self.queue.push(self.plan.heals, Event::Heal);
        for number in 0..self.plan.faults.len() {
            let fault = &self.plan.faults[number];
            let number = u32::try_from(number).expect("a plan has few faults");
            self.queue.push(fault.at, Event::Fault(number, true));
        }
    }

    /// To the end of the plan.
    pub fn run(&mut self) {
        let end = self.plan.ends;
        while let Some(at) = self.queue.next() {
            if at > end {
                break;
            }
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.handle(event);
            if self.settled {
                break;
            }
        }
        self.now = if self.settled { self.now } else { end };
        self.finish();
    }

    fn handle(&mut self, event: Event) {
        self.figures.events += 1;
        match event {
            Event::Wake(process, life) => self.woken(process, life),
            Event::Deliver(process, life, message) => self.deliver(process, life, message),
            Event::Commit(term, index) => self.commit(term, index),
            Event::Learn(site, index) => self.learn(site, index),
            Event::Campaign(site, armed) => self.campaign(site, armed),
            Event::Won(site, term) => self.won(site, term),
            Event::Depose(site, term) => self.depose(site, term),
            Event::Fault(number, begins) => self.fault(number as usize, begins),
            Event::Database(stack, at) => {
                if self.database_due[usize::from(stack)] == at {
                    self.database_due[usize::from(stack)] = Time::MAX;
                    self.touch_database(stack);
                }
            }
            Event::KernelTimer(stack, site, number) => self.kernel_timer(stack, site, number),
            Event::Contained(stack, site) => self.contained(stack, site),
            Event::Restart(process) => self.restart(process),
            Event::Operator => self.operator_looks(),
            Event::Heal => self.heal(),
            Event::Script => {}
            Event::Betray(betrayal) => self.betray(betrayal),
        }
        self.settle_wakes();
    }

    fn finish(&mut self) {
        for database in &self.databases {
            database.finish(&mut self.history);
        }
        for site in 0..self.sites {
            self.see_state(site);
        }
        self.history.ended = self.now;
        if self.story {
            self.tell_end();
        }
        self.figures.simulated = self.now;
        self.figures.leaders = self.raft.elections;
        self.count_entries();
    }

    /// The hash of everything that was noted: equal runs have equal ones.
    #[must_use]
    pub const fn hash(&self) -> u64 {
        self.hash
    }

    /// Takes something into the hash.
    fn note(&mut self, kind: u64, a: u64, b: u64) {
        for word in [self.now ^ kind << 56, a ^ b << 32] {
            self.hash = (self.hash ^ word).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(23);
        }
    }

    /// A line of the story, if somebody reads it.
    fn say(&self, line: impl FnOnce(&Self) -> String) {
        if self.story {
            use std::io::Write as _;
            // Whoever read it may have seen enough.
            let _ = writeln!(std::io::stdout(), "{:>10.3} s  {}", self.now as f64 / 1e6, line(self));
        }
    }

    fn add(&mut self, what: What) {
        self.history.records.push(Record { at: self.now, what });
    }

    fn name(&self, site: Site) -> &SiteId {
        &self.site_ids[usize::from(site)]
    }

    fn stack_name(&self, stack: Stack) -> &StackId {
        &self.stack_ids[usize::from(stack)]
    }

    const fn timing(&self) -> &TimingValues {
        &self.timing
    }

    /// A site's clocks now.
    fn moment(&self, site: Site) -> Moment {
        self.hosts[usize::from(site)].clock.read(self.now)
    }

    fn clock(&self, site: Site) -> &Clock {
        &self.hosts[usize::from(site)].clock
    }

    fn site_of(&self, id: &SiteId) -> Option<Site> {
        History::site_named(id).filter(|site| *site < self.sites)
    }

    fn stack_of(&self, id: &StackId) -> Option<Stack> {
        History::stack_named(id).filter(|stack| *stack < self.stacks)
    }

    /// One message from site to site, which may be lost, late or doubled.
    fn send(&mut self, from: Site, to: Process, message: Message) {
        let (once, again) = self.net.send(&mut self.dice, from, to.site(), self.now);
        let life = self.life_of(to);
        if let Some(at) = again {
            self.queue.push(at, Event::Deliver(to, life, message.clone()));
        }
        if let Some(at) = once {
            self.queue.push(at, Event::Deliver(to, life, message));
        }
    }

    /// Lets a database go on up to now, and tells who watches it.
    fn touch_database(&mut self, stack: Stack) {
        let mut changed = 0_u32;
        let net = &self.net;
        let reach = |a: Site, b: Site| a == postgres::OUTSIDE || b == postgres::OUTSIDE || net.is_up(a, b);
        self.databases[usize::from(stack)].advance(self.now, &reach, &mut self.history, &mut changed);
        self.mind_database(stack);
        if changed != 0 {
            self.note(4, u64::from(changed), u64::from(stack));
            for site in (0..self.sites).filter(|site| changed & 1 << site != 0) {
                self.wake_now(Process::Gate(stack, site));
                self.database_changed(stack, site);
            }
        }
    }

    /// After a hand was laid on it: when it goes on by itself.
    fn mind_database(&mut self, stack: Stack) {
        let due = self.databases[usize::from(stack)].due().max(self.now);
        let known = &mut self.database_due[usize::from(stack)];
        if due < *known {
            *known = due;
            self.queue.push(due, Event::Database(stack, due));
        }
    }
}

fn plan_clock(plan: &Plan, site: Site) -> Clock {
    let (boottime, raw) = plan.clock_rates[usize::from(site)];
    let start = 10_000_000 + u64::from(site) * 1_000_000_007;
    Clock::new(Moment { boottime: start + 3_000_000, raw: start }, boottime, raw)
}
