//! The state of the world: what the group agreed, and what the databases have.

use coordination::planted::{Bug, is_on};
use coordination::state::Stack;
use coordination::{Command, Entry, Outcome, Policy, State, desired};
use model::{
    Epoch, GrantTerms, Incarnation, Instruction, LogIndex, Lsn, Millis, Mode, Replication, SiteId, StackId,
    StandbyLoss, SyncSeen, SyncSet, SyncSetting, SystemId, Timeline, WalPosition, WallMillis,
};
use serde::Serialize;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::super::encode::Encoder;

/// A record of the log that begins a timeline; smaller numbers are commits.
const TIMELINE: u8 = 100;

/// How much of everything there is.
#[derive(Clone, Debug)]
pub struct Bounds {
    /// Its name.
    pub name: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// Sites, dc1 the primary.
    pub sites: usize,
    /// What the operator asked for.
    pub replication: Replication,
    /// Commits.
    pub writes: u8,
    /// Changes of the set that leaders begin.
    pub changes: u8,
    /// Election entries.
    pub elections: u8,
    /// Primaries that die.
    pub deaths: u8,
    /// Renewals of the active site: each makes an abort possible.
    pub renewals: u8,
    /// Commands that commit later than they were proposed.
    pub late: u8,
}

/// What runs of a database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Run {
    Primary(Epoch),
    Standby,
    Stopped,
}

/// One site's database.
#[derive(Clone, Debug, Serialize)]
pub struct Db {
    pub run: Run,
    /// Its WAL: commits and beginnings of timelines.
    pub log: Vec<u8>,
    /// Whom it streams from.
    pub follows: Option<usize>,
    /// The setting on its disk.
    pub setting: SyncSetting,
    /// Every set that some walsender may have.
    pub held: Vec<SyncSet>,
    /// What its actor saw, as early as it can: a later look asks for more.
    pub seen: Option<SyncSeen>,
    /// The epoch whose primary it let go of last.
    pub let_go: Epoch,
}

impl Db {
    pub fn end(&self) -> Lsn {
        Lsn(self.log.len() as u64)
    }

    pub fn position(&self) -> WalPosition {
        let timeline = self.log.iter().rev().find(|r| **r >= TIMELINE).map_or(1, |r| u64::from(r - TIMELINE));
        let timeline = u32::try_from(timeline).expect("a byte");
        WalPosition { timeline: Timeline(timeline), lsn: self.end() }
    }
}

/// What is left of the bounds.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Left {
    pub writes: u8,
    pub changes: u8,
    pub elections: u8,
    pub deaths: u8,
    pub renewals: u8,
    pub late: u8,
}

/// A world.
#[derive(Clone, Debug)]
pub struct World {
    pub group: Arc<State>,
    pub dbs: Vec<Db>,
    /// Proposed, and not committed yet.
    pub under_way: Option<Command>,
    /// Settings that the views of a site had, oldest first: any of them may be read late.
    pub asked: Vec<Vec<SyncSetting>>,
    /// Commits of which a client has heard while they waited for standbys.
    pub promised: u32,
    pub left: Left,
    pub broken: Option<String>,
}

pub fn site(n: usize) -> SiteId {
    SiteId::new(&format!("dc{}", n + 1)).expect("a valid name")
}

pub fn chat() -> StackId {
    StackId::new("s").expect("a valid name")
}

/// The worlds of the check; `deep` ones have wider bounds and take far longer.
pub fn all(deep: bool) -> Vec<Bounds> {
    let strict = |k| Replication::Sync { k, loss: StandbyLoss::Strict };
    let available = |k| Replication::Sync { k, loss: StandbyLoss::Available };
    let more = u8::from(deep);
    let world = |name, about, replication, left: [u8; 6]| {
        let [writes, changes, elections, deaths, renewals, late] = left;
        let sites = if matches!(replication, Replication::Sync { k: 2, .. }) { 4 } else { 3 };
        Bounds { name, about, sites, replication, writes, changes, elections, deaths, renewals, late }
    };
    // writes, changes, elections, deaths, renewals, late
    vec![
        world("S1", "ANY 1 of 2: a change, a fence, an election", strict(1), [2, 1, 1, 1, 0, more]),
        world("S2", "ANY 2 of 3: a change, a fence, an election", strict(2), [1 + more, 1, 1, more, 0, 0]),
        world("S3", "ANY 1 of 2: degraded and back, an election", available(1), [2, 2, 1, more, 0, 0]),
        world(
            "S4",
            "ANY 1 of 2: a renewal ends a transition, or comes late",
            strict(1),
            [1 + more, 0, 2, 0, 1, 1],
        ),
        world("S5", "ANY 1 of 2: two elections", strict(1), [2, 0, 2, 1, 0, 0]),
        world("S6", "ANY 1 of 2: two elections and a change", strict(1), [1 + more, 1, 2, 0, 0, more]),
        world("S7", "ANY 2 of 3: two elections", strict(2), [1 + more, 0, 2, more, 0, 0]),
    ]
}

impl World {
    pub fn new(bounds: &Bounds) -> Self {
        let mut world = Self {
            group: Arc::new(State::default()),
            dbs: Vec::new(),
            under_way: None,
            asked: vec![Vec::new(); bounds.sites],
            promised: 0,
            left: Left {
                writes: bounds.writes,
                changes: bounds.changes,
                elections: bounds.elections,
                deaths: bounds.deaths,
                renewals: bounds.renewals,
                late: bounds.late,
            },
            broken: None,
        };
        let timing = coordination::Timing::new(coordination::timing::Profile::Metro.values());
        world.committed(Command::SetPolicy(Policy::with_timing(timing.expect("the profile holds"))));
        let sites: Vec<SiteId> = (0..bounds.sites).map(site).collect();
        let terms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };
        for (n, site) in sites.iter().enumerate() {
            world.committed(Command::DefineSite { site: site.clone(), actor: true });
            let incarnation = Incarnation(n as u64 + 1);
            world.committed(Command::Register { site: site.clone(), incarnation, terms });
        }
        world.committed(Command::DefineStack { stack: chat(), sites: sites.clone() });
        let (stack, system_id, timeline) = (chat(), SystemId(7), Timeline(1));
        world.committed(Command::Adopt { stack, site: site(0), system_id, timeline });
        world.committed(Command::SetMode { stack: chat(), mode: Mode::Auto });
        world.committed(Command::SetReplication { stack: chat(), replication: bounds.replication });
        let Replication::Sync { k, .. } = bounds.replication else { unreachable!("bounds are synchronous") };
        let set = SyncSet { k, members: sites[1..].iter().cloned().collect() };
        world.committed(Command::BeginSet { stack: chat(), epoch: Epoch(1), since: LogIndex(0), set });
        let since = world.stack().sync.since;
        world.committed(Command::SettleSet { stack: chat(), epoch: Epoch(1), since });
        let setting = world.setting(0).expect("just asked for");
        for n in 0..bounds.sites {
            let primary = n == 0;
            world.dbs.push(Db {
                run: if primary { Run::Primary(Epoch(1)) } else { Run::Standby },
                log: Vec::new(),
                follows: (!primary).then_some(0),
                setting: if primary {
                    setting.clone()
                } else {
                    SyncSetting { entry: LogIndex(0), set: SyncSet::NONE }
                },
                held: if primary { vec![setting.set.clone()] } else { vec![] },
                seen: None,
                let_go: Epoch::NONE,
            });
        }
        world
    }

    pub fn stack(&self) -> &Stack {
        &self.group.stacks()[&chat()]
    }

    pub fn sites(&self) -> std::ops::Range<usize> {
        0..self.dbs.len()
    }

    pub fn active(&self) -> usize {
        let active = self.stack().active.as_ref().expect("adopted");
        self.number_of(&active.site)
    }

    pub fn number_of(&self, name: &SiteId) -> usize {
        self.sites().find(|n| site(*n) == *name).expect("one of ours")
    }

    /// What the view of a site says now.
    pub fn instruction(&self, at: usize) -> Instruction {
        let view = desired(&self.group, &site(at));
        view.of(&chat()).expect("it carries the stack").instruction.clone()
    }

    /// The setting that the view of a site has now.
    pub fn setting(&self, at: usize) -> Option<SyncSetting> {
        let view = desired(&self.group, &site(at));
        view.of(&chat()).expect("it carries the stack").sync.clone()
    }

    /// Applies a command as the next entry.
    pub fn committed(&mut self, command: Command) -> Outcome {
        let index = LogIndex(self.group.index().0 + 1);
        let entry = Entry { at: WallMillis(0), command };
        let group = Arc::make_mut(&mut self.group);
        let before = group.stacks().get(&chat()).map(|stack| (stack.epoch(), stack.sync.since));
        let outcome = group.apply(index, &entry);
        let Some((epoch, since)) = before else { return outcome };
        if self.stack().sync.since != since {
            for n in 0..self.asked.len() {
                let setting = self.setting(n);
                self.asked[n].extend(setting);
            }
        }
        if matches!(entry.command, Command::SettleSet { .. }) && self.stack().sync.wanted().is_empty() {
            self.promised = 0;
        }
        if self.stack().epoch() != epoch {
            self.judge_election();
        }
        outcome
    }

    /// The site elected knows every commit that was promised to be kept.
    fn judge_election(&mut self) {
        if self.dbs.is_empty() {
            return;
        }
        let db = &self.dbs[self.active()];
        let has = db.log.iter().filter(|r| **r < TIMELINE).fold(0_u32, |bits, r| bits | 1 << r);
        let lost = self.promised & !has;
        if lost != 0 {
            self.broken = Some(format!("dc{} is elected without commits {lost:b}", self.active() + 1));
        }
    }

    /// Everything that a client may have heard of by now, on any primary that runs.
    pub fn acknowledge(&mut self) {
        for n in self.sites() {
            let Run::Primary(epoch) = self.dbs[n].run else { continue };
            let ours = self.streaming(n);
            for (place, record) in self.dbs[n].log.iter().enumerate() {
                if *record >= TIMELINE || self.promised >> record & 1 == 1 {
                    continue;
                }
                let flushed = |m: &SiteId| ours.iter().any(|(s, end)| site(*s) == *m && end.0 > place as u64);
                let waited = |set: &&SyncSet| !set.is_empty() && set.acknowledges(flushed);
                if !self.dbs[n].held.iter().any(|set| waited(&set)) {
                    continue;
                }
                let fence = self.stack().fence.as_ref();
                let method = fence.map(|f| f.method);
                let again = self.active() == n && self.stack().epoch() > epoch;
                let fenced =
                    self.stack().closed >= epoch && !again && method == Some(model::FenceMethod::Replication);
                if fenced && self.broken.is_none() {
                    self.broken = Some(format!("dc{} acknowledges {record} after the fence", n + 1));
                }
                self.promised |= 1 << record;
            }
        }
    }

    /// Standbys that stream from this primary, and what they have.
    pub fn streaming(&self, primary: usize) -> Vec<(usize, Lsn)> {
        let log = &self.dbs[primary].log;
        let streams = |s: &usize| {
            let db = &self.dbs[*s];
            db.run == Run::Standby && db.follows == Some(primary) && log.starts_with(&db.log)
        };
        self.sites().filter(streams).map(|s| (s, self.dbs[s].end())).collect()
    }

    /// Records of a promotion.
    pub fn begin_timeline(&mut self, at: usize, timeline: Timeline) {
        self.dbs[at].log.push(TIMELINE + u8::try_from(timeline.0).expect("few"));
    }

    /// True if a bug of the shells is planted.
    pub fn planted(bug: Bug) -> bool {
        is_on(bug)
    }

    fn key(&self) -> Vec<u8> {
        let now = model::Moment { boottime: 0, raw: 0 };
        let mut out = Encoder::default();
        out.put(&*self.group, now, 0);
        let number = self.group.sites()[&site(0)].number;
        out.put(&(&self.dbs, &self.under_way, &self.asked), now, 0);
        out.put(&(self.promised, self.left, number, self.broken.is_some()), now, 0);
        out.finish()
    }
}

impl Hash for World {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.key().hash(hasher);
    }
}

impl PartialEq for World {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}
