//! Three sites, one stack, one witness that leads, time that a test moves on.

use crate::timing::{Profile, Timing};
use crate::view::LinkRow;
use crate::{Command, Entry, LocalView, Outcome, Policy, State, decide, desired, invariants};
use alloc::{collections::BTreeMap, format, string::String, vec, vec::Vec};
use model::{
    Containment, DatabaseReport, DatabaseRole, Epoch, GateReport, Grant, Incarnation, Instruction, LogIndex,
    Lsn, Millis, Mode, Moment, RenewRequest, RenewalNumber, Replica, SiteId, SiteReport, StackId, StepKind,
    StepOutcome, StepReport, SyncSeen, SystemId, TimedAck, Timeline, Upstream, WalPosition, WallMillis,
};

pub fn site(n: usize) -> SiteId {
    SiteId::new(&format!("dc{n}")).expect("a valid name")
}

pub fn chat() -> StackId {
    StackId::new("chat").expect("a valid name")
}

/// One simulated actor: its run, its number, and whether its site is alive.
#[derive(Clone)]
pub struct Hand {
    pub incarnation: Incarnation,
    pub number: RenewalNumber,
    pub alive: bool,
    pub stopping: Vec<StackId>,
    pub unstopped: Vec<StackId>,
    pub acknowledges_timed: bool,
    pub lsn: Lsn,
}

pub struct World {
    pub state: State,
    pub view: LocalView,
    pub now: Moment,
    pub hands: BTreeMap<SiteId, Hand>,
    pub log: Vec<(LogIndex, Command, Outcome)>,
    index: LogIndex,
    /// True if the database of a lost active site goes on and sends its WAL.
    pub primary_sends: bool,
    /// Sites whose witness answers though their actor does not.
    pub reached: Vec<SiteId>,
}

pub const STEP: Millis = Millis(100);

impl World {
    /// Three registered sites; stack `chat` defined but not adopted.
    pub fn new() -> Self {
        let now = Moment { boottime: 1_000_000_000, raw: 900_000_000 };
        let sites: Vec<SiteId> = (1..=3).map(site).collect();
        let view = LocalView::new(site(3), sites.clone(), now);
        let mut world = Self {
            state: State::default(),
            view,
            now,
            hands: BTreeMap::new(),
            log: Vec::new(),
            index: LogIndex::default(),
            primary_sends: false,
            reached: vec![],
        };
        world.view.restored(&world.state, now);
        world.view.leading(true, now);
        let timing = Timing::new(Profile::Metro.values()).expect("the profile holds");
        world.commit(Command::SetPolicy(Policy::with_timing(timing)));
        for id in &sites {
            world.commit(Command::DefineSite { site: id.clone(), actor: true });
        }
        world.commit(Command::DefineStack { stack: chat(), sites: sites.clone() });
        for (n, id) in sites.iter().enumerate() {
            world.register(id, n as u64 + 1);
        }
        world
    }

    /// Adopted at dc1, in mode auto, with both standbys streaming.
    pub fn automatic() -> Self {
        let mut world = Self::new();
        world.commit(Command::Adopt {
            stack: chat(),
            site: site(1),
            system_id: SystemId(7),
            timeline: Timeline(1),
        });
        world.commit(Command::SetMode { stack: chat(), mode: Mode::Auto });
        world.run(Millis(3_000));
        assert_eq!(world.stack().streaming.len(), 2, "both standbys stream");
        world
    }

    pub fn register(&mut self, id: &SiteId, incarnation: u64) {
        let incarnation = Incarnation(incarnation);
        let terms = self.state.policy().expect("a policy").timing.terms();
        let outcome = self.commit(Command::Register { site: id.clone(), incarnation, terms });
        let Outcome::Registered(answer) = outcome else { panic!("{outcome:?}") };
        let before = self.hands.get(id).map_or(Lsn(1_000), |h| h.lsn);
        self.hands.insert(
            id.clone(),
            Hand {
                incarnation,
                number: answer.last_number,
                alive: true,
                stopping: vec![],
                unstopped: vec![],
                acknowledges_timed: true,
                lsn: before,
            },
        );
    }

    pub fn stack(&self) -> &crate::state::Stack {
        &self.state.stacks()[&chat()]
    }

    pub fn commit(&mut self, command: Command) -> Outcome {
        self.index = self.index.next();
        let before = self.state.clone();
        let entry = Entry { at: WallMillis(0), command: command.clone() };
        let outcome = self.state.apply(self.index, &entry);
        if let Outcome::Refused(_) = outcome {
            let mut unchanged = before.clone();
            unchanged.index = self.index;
            unchanged.digested = self.state.digested;
            assert_eq!(unchanged, self.state, "a refusal changes nothing: {command:?}");
        }
        let broken = invariants::violations(&self.state);
        assert!(broken.is_empty(), "{broken:?} after {command:?}");
        let broken = invariants::violations_between(&before, &self.state);
        assert!(broken.is_empty(), "{broken:?} after {command:?}");
        self.view.applied(self.index, &entry, &outcome, &self.state, self.now);
        self.log.push((self.index, command, outcome.clone()));
        outcome
    }

    pub fn request(&mut self, id: &SiteId) -> RenewRequest {
        let cover = self.state.cover_of(id);
        let hand = self.hands.get_mut(id).expect("a known site");
        hand.number = hand.number.next();
        let acks = cover.entries.iter().filter_map(|entry| match entry.kind {
            model::CoverKind::Timed { since } if hand.acknowledges_timed => {
                Some(TimedAck { stack: entry.stack.clone(), epoch: entry.epoch, since })
            }
            _ => None,
        });
        RenewRequest {
            site: id.clone(),
            incarnation: hand.incarnation,
            number: hand.number,
            cover_known: LogIndex::default(),
            stopping: hand.stopping.clone(),
            unstopped: hand.unstopped.clone(),
            timed_acks: acks.collect(),
        }
    }

    pub fn renew(&mut self, id: &SiteId) -> Outcome {
        let request = self.request(id);
        let terms = self.state.policy().expect("a policy").timing.terms();
        self.commit(Command::Renew { request, terms })
    }

    pub fn granted(outcome: &Outcome) -> &Grant {
        match outcome {
            Outcome::Renewed { grant, .. } => grant,
            other => panic!("no grant: {other:?}"),
        }
    }

    pub fn report(&self, id: &SiteId) -> SiteReport {
        let stack = self.stack();
        let active = self.state.active(&chat()).map(|(s, _)| s.clone());
        let primary = stack.is_open_at(id);
        let open = active.clone().filter(|_| !stack.is_closed());
        let open = open.filter(|a| self.hands[a].alive || self.primary_sends);
        let streams = !primary && open.is_some();
        let replicas = self.hands.iter().filter(|(s, h)| primary && h.alive && *s != id);
        let lsn = self.hands[id].lsn;
        SiteReport {
            site: id.clone(),
            stack: chat(),
            database: DatabaseReport {
                role: if primary { DatabaseRole::Primary } else { DatabaseRole::Standby },
                system_id: Some(SystemId(7)),
                timeline: Some(stack.timeline),
                received: Some(lsn),
                replayed: Some(lsn),
                write_age: primary.then_some(Millis(10)),
                upstream: streams.then_some(Upstream {
                    site: active,
                    streaming: true,
                    timeline: stack.timeline,
                    message_age: Millis(10),
                    lag_bytes: 0,
                }),
                replicas: replicas
                    .map(|(s, h)| Replica {
                        name: String::from(s.as_str()),
                        streaming: true,
                        flushed: Some(h.lsn),
                        replayed: Some(h.lsn),
                    })
                    .collect(),
                sync: self.sync_seen(id),
                problem: None,
            },
            gate: Some(GateReport {
                highest: stack.epoch(),
                closed: stack.closed_for(id),
                open: primary.then_some(stack.epoch()),
                running: true,
                standby: !primary,
                data_present: true,
                clean_shutdown: None,
                containment: Containment::PidNamespace,
                kernel_lease: false,
                problem: None,
                copy: None,
            }),
        }
    }

    /// A primary's actor that has applied the setting of its view.
    fn sync_seen(&self, id: &SiteId) -> Option<SyncSeen> {
        let view = desired(&self.state, id);
        let setting = view.of(&chat())?.sync.as_ref()?;
        self.stack().is_open_at(id).then_some(SyncSeen { entry: setting.entry, lsn: self.hands[id].lsn })
    }

    /// What every living actor does about its instruction.
    fn hands_act(&mut self) {
        let alive: Vec<SiteId> = self.hands.iter().filter(|(_, h)| h.alive).map(|(s, _)| s.clone()).collect();
        for id in alive {
            let view = desired(&self.state, &id);
            let Some(part) = view.of(&chat()) else { continue };
            let lsn = self.hands[&id].lsn;
            let made = Timeline(self.stack().timeline_highest.0);
            let (step, epoch, position) = match part.instruction {
                Instruction::Run { epoch, promote_due: true, .. } => {
                    (StepKind::Promote, epoch, Some(WalPosition { timeline: made, lsn }))
                }
                Instruction::Run { epoch, verify_due: true, .. } => (StepKind::VerifyWrite, epoch, None),
                Instruction::Detach { epoch } => {
                    let timeline = self.stack().timeline;
                    (StepKind::Detach, epoch, Some(WalPosition { timeline, lsn }))
                }
                Instruction::Fence { epoch } => (StepKind::FenceDatabase, epoch, None),
                _ => continue,
            };
            if self.hands[&id].unstopped.contains(&chat()) && step == StepKind::FenceDatabase {
                continue;
            }
            self.report_step(&id, step, epoch, StepOutcome::Done, position);
        }
    }

    pub fn report_step(
        &mut self,
        id: &SiteId,
        step: StepKind,
        epoch: Epoch,
        outcome: StepOutcome,
        position: Option<WalPosition>,
    ) -> Outcome {
        self.commit(Command::Step(StepReport {
            site: id.clone(),
            stack: chat(),
            epoch,
            step,
            outcome,
            position,
            evidence: String::from("test"),
        }))
    }

    pub fn links(&mut self) {
        let alive: Vec<SiteId> = self.hands.iter().filter(|(_, h)| h.alive).map(|(s, _)| s.clone()).collect();
        for from in &alive {
            let rows: Vec<LinkRow> = alive
                .iter()
                .chain(&self.reached)
                .map(|id| LinkRow {
                    site: id.clone(),
                    witness_age: Some(Millis(0)),
                    actor_age: Some(Millis(0)),
                    endpoint_age: None,
                })
                .collect();
            self.view.linked(from, &rows, self.now);
        }
    }

    /// Lets `span` pass in steps: actors renew, report and act; the leader decides.
    pub fn run(&mut self, span: Millis) {
        for _ in 0..span.0 / STEP.0 {
            self.turn(true);
        }
    }

    /// Turns until it holds, for at most a minute.
    pub fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..600 {
            if holds(self) {
                return;
            }
            self.turn(true);
        }
        panic!("not within a minute: {what}");
    }

    pub fn turn(&mut self, acting: bool) {
        self.now = self.now.after(STEP);
        self.view.tick(&self.state, self.now);
        self.links();
        let alive: Vec<SiteId> = self.hands.iter().filter(|(_, h)| h.alive).map(|(s, _)| s.clone()).collect();
        for id in &alive {
            self.renew(id);
            let report = self.report(id);
            self.view.report(report, self.now);
        }
        if acting {
            self.hands_act();
        }
        for command in decide(&self.state, &self.view, self.now) {
            self.commit(command);
        }
    }

    /// The leader decides and living actors act, but renewals are the caller's.
    pub fn turn_without_renewals(&mut self) {
        let alive: Vec<SiteId> = self.hands.iter().filter(|(_, h)| h.alive).map(|(s, _)| s.clone()).collect();
        for id in &alive {
            let report = self.report(id);
            self.view.report(report, self.now);
        }
        self.hands_act();
        for command in decide(&self.state, &self.view, self.now) {
            self.commit(command);
        }
    }

    /// The site that the leader would elect now.
    pub fn decided_election(&self) -> Option<SiteId> {
        decide(&self.state, &self.view, self.now).into_iter().find_map(|command| match command {
            Command::Elect { site, .. } => Some(site),
            _ => None,
        })
    }

    pub fn lose(&mut self, id: &SiteId) {
        self.hands.get_mut(id).expect("a known site").alive = false;
    }

    pub fn count(&self, matches: impl Fn(&Command) -> bool) -> usize {
        self.log.iter().filter(|(_, c, o)| matches(c) && !matches!(o, Outcome::Refused(_))).count()
    }
}
