//! One matrix, held for longer than the lease: production state, view, decisions and lease tables
//! in rounds of half a second. A message arrives in its round or never.

use super::Graph;
use super::oracle::Ending;
use coordination::invariants;
use coordination::lease::LeaseTable;
use coordination::timing::Profile;
use coordination::{Command, Entry, LinkRow, LocalView, Outcome, Policy, State, Timing, decide, desired};
use model::{
    Containment, CoverKind, DatabaseReport, DatabaseRole, GateReport, Incarnation, Instruction, LogIndex,
    Lsn, Millis, Mode, Moment, RenewRequest, Replica, SiteId, SiteReport, StackId, StepKind, StepOutcome,
    StepReport, SystemId, TimedAck, Timeline, Upstream, Verdict, WalPosition, WallMillis,
};
use std::collections::BTreeSet;

const ROUND: Millis = Millis(500);
/// Everything is in order for this many rounds, then the matrix holds.
const ROUNDS_WHOLE: u32 = 10;
/// Ten seconds above W.
const ROUNDS_CUT: u32 = 36;

/// The group behind one leader, and every site's actor.
pub struct Links {
    sites: Vec<SiteId>,
    stack: StackId,
    state: State,
    view: LocalView,
    leader: Option<usize>,
    leases: Vec<LeaseTable>,
    now: Moment,
    index: u64,
    cut: Option<(Graph, Moment)>,
    suspected: BTreeSet<usize>,
}

/// Runs it.
#[must_use]
pub fn run(graph: &Graph, leader: Option<usize>) -> Ending {
    let mut links = Links::new(graph.sites, leader);
    (0..ROUNDS_WHOLE).for_each(|_| links.round());
    assert!(links.is_in_order(), "the beginning is in order");
    links.cut = Some((*graph, links.now));
    (0..ROUNDS_CUT).for_each(|_| links.round());
    links.ending()
}

impl Links {
    fn new(count: usize, leader: Option<usize>) -> Self {
        let now = Moment { boottime: 1_000_000_000, raw: 900_000_000 };
        let site = |n| SiteId::new(&format!("dc{n}")).expect("a valid name");
        let sites: Vec<SiteId> = (0..count).map(site).collect();
        // Without a leader somebody led until the matrix came.
        let me = sites[leader.unwrap_or_default()].clone();
        let mut links = Self {
            view: LocalView::new(me, sites.clone(), now),
            stack: StackId::new("chat").expect("a valid name"),
            state: State::default(),
            leases: (0..count).map(|_| LeaseTable::default()).collect(),
            leader,
            sites,
            now,
            index: 0,
            cut: None,
            suspected: BTreeSet::new(),
        };
        links.view.restored(&links.state, now);
        links.view.leading(true, now);
        links.found();
        links
    }

    fn found(&mut self) {
        let timing = Timing::new(Profile::Metro.values()).expect("the profile holds");
        self.commit(Command::SetPolicy(Policy::with_timing(timing)));
        for site in self.sites.clone() {
            self.commit(Command::DefineSite { site, actor: true });
        }
        let (stack, sites) = (self.stack.clone(), self.sites.clone());
        self.commit(Command::DefineStack { stack: stack.clone(), sites });
        for n in 0..self.sites.len() {
            let (site, incarnation) = (self.sites[n].clone(), Incarnation(n as u64 + 1));
            let outcome = self.commit(Command::Register { site, incarnation, terms: timing.terms() });
            let Outcome::Registered(answer) = outcome else { panic!("{outcome:?}") };
            self.leases[n].register(incarnation, &answer);
        }
        let (site, system_id, timeline) = (self.sites[0].clone(), SystemId(7), Timeline(1));
        self.commit(Command::Adopt { stack: stack.clone(), site, system_id, timeline });
        self.commit(Command::SetMode { stack, mode: Mode::Auto });
    }

    fn is_in_order(&self) -> bool {
        let stack = &self.state.stacks()[&self.stack];
        stack.streaming.len() + 1 == self.sites.len() && stack.cover.is_fenced_by_time()
    }

    fn commit(&mut self, command: Command) -> Outcome {
        self.index += 1;
        let (index, entry) = (LogIndex(self.index), Entry { at: WallMillis(0), command });
        let before = self.state.clone();
        let outcome = self.state.apply(index, &entry);
        let mut broken = invariants::violations(&self.state);
        broken.extend(invariants::violations_between(&before, &self.state));
        assert!(broken.is_empty(), "{broken:?} after {entry:?}");
        self.view.applied(index, &entry, &outcome, &self.state, self.now);
        let suspect = |(n, site): (usize, &SiteId)| {
            (self.state.sites().get(site).map(|s| s.verdict) == Some(Verdict::Suspect)).then_some(n)
        };
        self.suspected.extend(self.sites.iter().enumerate().filter_map(suspect));
        outcome
    }

    fn answers(&self, from: usize, to: usize) -> bool {
        from == to || self.cut.is_none_or(|(graph, _)| graph.answers(from, to))
    }

    /// The witness through which a site's actor gets to the leader, if there is one.
    fn has_way(&self, site: usize) -> bool {
        let leader = self.leader();
        let way = |w: usize| self.answers(site, w) && leader.is_some_and(|l| self.answers(w, l));
        (0..self.sites.len()).any(way)
    }

    fn leader(&self) -> Option<usize> {
        // Somebody led while the links were whole.
        if self.cut.is_some() { self.leader } else { Some(self.leader.unwrap_or_default()) }
    }

    fn round(&mut self) {
        self.now = self.now.after(ROUND);
        for n in 0..self.sites.len() {
            self.renew(n);
        }
        let Some(leader) = self.leader() else { return };
        self.view.tick(&self.state, self.now);
        for from in 0..self.sites.len() {
            if self.answers(from, leader) {
                let rows = self.rows(from);
                self.view.linked(&self.sites[from], &rows, self.now);
            }
            if self.has_way(from) {
                let report = self.report(from);
                self.view.report(report, self.now);
                self.steps(from);
            }
        }
        for command in decide(&self.state, &self.view, self.now) {
            self.commit(command);
        }
    }

    fn rows(&self, from: usize) -> Vec<LinkRow> {
        let age = |to: usize| match (self.answers(from, to), self.cut) {
            (false, Some((_, since))) => self.now.elapsed_longest(since),
            _ => Millis::ZERO,
        };
        let row = |to: usize| LinkRow {
            site: self.sites[to].clone(),
            witness_age: Some(age(to)),
            actor_age: Some(age(to)),
            endpoint_age: None,
        };
        (0..self.sites.len()).filter(|to| *to != from).map(row).collect()
    }

    fn renew(&mut self, n: usize) {
        let Some(send) = self.leases[n].send(self.now) else { return };
        if !self.has_way(n) {
            return;
        }
        let ack = self.leases[n].listed(&self.stack).and_then(|entry| match entry.kind {
            CoverKind::Timed { since } => Some(TimedAck { stack: entry.stack, epoch: entry.epoch, since }),
            CoverKind::Held { .. } => None,
        });
        let request = RenewRequest {
            site: self.sites[n].clone(),
            incarnation: send.incarnation,
            number: send.number,
            cover_known: send.cover_known,
            stopping: Vec::new(),
            unstopped: Vec::new(),
            timed_acks: ack.into_iter().collect(),
        };
        let terms = self.state.policy().expect("it is set").timing.terms();
        if let Outcome::Renewed { grant, .. } = self.commit(Command::Renew { request, terms }) {
            self.leases[n].take(&grant, self.now);
        }
    }

    /// The steps that the site's actor owns, done as soon as they are asked for.
    fn steps(&mut self, n: usize) {
        let view = desired(&self.state, &self.sites[n]);
        let Some(ours) = view.of(&self.stack) else { return };
        let position = |timeline| Some(WalPosition { timeline, lsn: Lsn(1_000) });
        let timeline = self.state.stacks()[&self.stack].timeline;
        let runs = self.leases[n].valid(&self.stack, self.now).is_some();
        let (step, epoch, position) = match &ours.instruction {
            Instruction::Detach { epoch } => (StepKind::Detach, *epoch, position(timeline)),
            Instruction::Run { epoch, timeline_highest, promote_due: true, .. } if runs => {
                (StepKind::Promote, *epoch, position(timeline_highest.next()))
            }
            Instruction::Run { epoch, verify_due: true, .. } => (StepKind::VerifyWrite, *epoch, None),
            Instruction::Follow { epoch, report_due: true, .. } => (StepKind::Follow, *epoch, None),
            _ => return,
        };
        let (site, stack, evidence) = (self.sites[n].clone(), self.stack.clone(), String::new());
        let outcome = StepOutcome::Done;
        self.commit(Command::Step(StepReport { site, stack, epoch, step, outcome, position, evidence }));
    }

    fn report(&self, n: usize) -> SiteReport {
        let stack = &self.state.stacks()[&self.stack];
        let active = self.state.active(&self.stack).map(|(site, _)| site.clone());
        let primary = active.as_ref() == Some(&self.sites[n]) && !stack.is_closed();
        let place = active.as_ref().and_then(|site| self.sites.iter().position(|s| s == site));
        let streams = !primary && place.is_some_and(|to| self.answers(n, to)) && !stack.is_closed();
        let replica = |s: usize| Replica {
            name: self.sites[s].to_string(),
            streaming: true,
            flushed: Some(Lsn(1_000)),
            replayed: Some(Lsn(1_000)),
        };
        let replicas = (0..self.sites.len()).filter(|s| primary && *s != n && self.answers(n, *s));
        SiteReport {
            site: self.sites[n].clone(),
            stack: self.stack.clone(),
            database: DatabaseReport {
                role: if primary { DatabaseRole::Primary } else { DatabaseRole::Standby },
                system_id: Some(SystemId(7)),
                timeline: Some(stack.timeline),
                received: Some(Lsn(1_000)),
                replayed: Some(Lsn(1_000)),
                write_age: primary.then_some(Millis(10)),
                upstream: streams.then_some(Upstream {
                    site: active.clone(),
                    streaming: true,
                    timeline: stack.timeline,
                    message_age: Millis(10),
                    lag_bytes: 0,
                }),
                replicas: replicas.map(replica).collect(),
                sync: None,
                problem: None,
            },
            gate: Some(GateReport {
                highest: stack.epoch(),
                closed: stack.closed_for(&self.sites[n]),
                open: primary.then(|| stack.epoch()),
                running: true,
                standby: !primary,
                data_present: true,
                clean_shutdown: None,
                containment: Containment::Cgroup,
                kernel_lease: false,
                problem: None,
                copy: None,
            }),
        }
    }

    fn ending(&self) -> Ending {
        let verdict = |n: usize| self.state.sites()[&self.sites[n]].verdict;
        let all = 0..self.sites.len();
        // A lease covers nothing at most sites: its last answer tells whether it goes on.
        let fresh =
            |n: &usize| self.cut.is_some() && self.has_way(*n) && self.state.is_registered(&self.sites[*n]);
        let valid = |n: &usize| self.leases[*n].valid(&self.stack, self.now).is_some();
        let writers: Vec<usize> = all.clone().filter(valid).collect();
        assert!(writers.len() < 2, "S1: {writers:?}");
        Ending {
            keep: all.clone().filter(fresh).collect(),
            suspected: self.suspected.iter().copied().collect(),
            lost: all.filter(|n| verdict(*n) == Verdict::Lost).collect(),
            active: writers.first().copied(),
        }
    }
}
