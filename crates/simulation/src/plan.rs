//! What a seed means: the group, its clocks, and every fault with its time, drawn before the run.
//!
//! A plan is data: faults can be left out of it without changing the rest.

mod plots;

use crate::checkers::liveness_bound;
use crate::dice::Dice;
use crate::history::{MILLI, SECOND, Setup, Site, Stack, Time};
use crate::message::Process;
use crate::postgres::{Ill, Settings};
use coordination::timing::Profile;
use coordination::{Policy, Timing};
use model::{Millis, Mode};

/// What kind of runs are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Class {
    /// Any fault.
    #[default]
    All,
    /// All faults are shorter than `detect.after`, and one at a time (L2).
    ShortFaults,
    /// One witness, link or leader is lost and nothing else (L3).
    OneLost,
    /// Only witnesses suffer, the network is whole (L4).
    WitnessesOnly,
    /// No fault at all.
    Calm,
}

/// What a frozen machine's clocks do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clocks {
    /// They go on.
    Run,
    /// Boottime goes on, the raw one stands.
    Suspend,
    /// Both stand: beyond what S1 rests on.
    Stand,
}

/// What can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// SIGKILL; the process is back when the fault is over.
    Kill(Process),
    /// SIGSTOP until the fault is over.
    Pause(Process),
    /// The postmaster is killed; with or without a backend that goes on.
    KillServer(Stack, Site, bool),
    /// Power, with everything on it.
    LoseSite(Site),
    /// The machine stands still.
    Freeze(Site, Clocks),
    /// One direction of one link.
    Cut(Site, Site),
    /// All links of a site: inward, outward.
    Isolate(Site, bool, bool),
    /// All links of a site: extra delay, loss and duplication in a thousand.
    Degrade(Site, Time, u16, u16),
    /// A witness applies nothing.
    Lag(Site),
    /// Another witness leads.
    MoveSeat(Site),
    /// NTP slews boottime: its rate in parts in a million.
    Slew(Site, i64),
    /// Both clocks of a machine jump forward, by more than `detect.after`.
    Jump(Site, Time),
    /// Operators make the lease longer for a while.
    LongerLease,
    /// Actor and gates can write no file.
    DiskFull(Site),
    /// Each write takes longer.
    DiskSlow(Site, Time),
    /// An actor's store is lost, the actor restarts.
    LoseStore(Site),
    /// A gate's record is lost, the gate restarts.
    LoseRecord(Stack, Site),
    /// A data directory is lost.
    LoseData(Stack, Site),
    /// A server is ill.
    Ill(Stack, Site, Ill),
    /// A standby replays nothing.
    HoldReplay(Stack, Site, Time),
    /// An operator wants another mode for a while.
    SetMode(Stack, Mode),
    /// An operator attests.
    Attest(Stack),
    /// An operator wants another site.
    StopAndElect(Stack, Site),
    /// Whichever witness leads is killed.
    KillLeader,
    /// When a site's actor orders a relinquishment it dies; true: the postmaster does instead.
    DiesOrdering(Site, bool),
    /// A site whose promotion was just reported is cut off from everybody.
    IsolatePromoted(Stack),
}

impl FaultKind {
    /// The site that it hits first.
    #[must_use]
    pub const fn site(&self) -> Site {
        match self {
            Self::Kill(process) | Self::Pause(process) => process.site(),
            Self::KillServer(_, site, _)
            | Self::LoseSite(site)
            | Self::Freeze(site, _)
            | Self::Cut(site, _)
            | Self::Isolate(site, ..)
            | Self::Degrade(site, ..)
            | Self::Lag(site)
            | Self::MoveSeat(site)
            | Self::Slew(site, _)
            | Self::Jump(site, _)
            | Self::DiskFull(site)
            | Self::DiskSlow(site, _)
            | Self::LoseStore(site)
            | Self::LoseRecord(_, site)
            | Self::LoseData(_, site)
            | Self::Ill(_, site, _)
            | Self::HoldReplay(_, site, _)
            | Self::StopAndElect(_, site)
            | Self::DiesOrdering(site, _) => *site,
            Self::SetMode(..)
            | Self::Attest(_)
            | Self::KillLeader
            | Self::LongerLease
            | Self::IsolatePromoted(_) => 0,
        }
    }
}

/// One fault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// When it begins.
    pub at: Time,
    /// How long it lasts; `Time::MAX`: until everything is healed.
    pub lasts: Time,
    /// What it is.
    pub kind: FaultKind,
}

/// Everything that a seed decides before the run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What kind of run it is.
    pub class: Class,
    /// Sites.
    pub sites: Site,
    /// Stacks.
    pub stacks: Stack,
    /// The group's policy.
    pub policy: Policy,
    /// Errors of each site's clocks (boottime, raw) in parts in a million.
    pub clock_rates: Vec<(i64, i64)>,
    /// False if any clock leaves what S1 rests on.
    pub clocks_hold: bool,
    /// Leaders without a quorum believe for ever.
    pub stubborn_leaders: bool,
    /// A follower that is further behind gets a snapshot.
    pub snapshot_behind: u64,
    /// Mean of an fsync.
    pub fsync_mean: Time,
    /// The databases.
    pub database: Settings,
    /// By stack: where it runs at first.
    pub primaries: Vec<Site>,
    /// What goes wrong, by time.
    pub faults: Vec<Fault>,
    /// When all that is over.
    pub heals: Time,
    /// When the run ends.
    pub ends: Time,
}

/// What lingers after SIGKILL is gone within so many hundredths of F: a kernel timer that comes at
/// eight tenths of it leaves no more.
const LINGERS_HUNDREDTHS: u64 = 15;

/// Families of faults: a seed has some of them.
const FAMILIES: [&str; 17] = [
    "kill", "pause", "server", "site", "freeze", "cut", "isolate", "degrade", "log", "clock", "disk",
    "store", "ill", "mode", "operator", "data", "policy",
];

impl Plan {
    /// What this seed means.
    #[must_use]
    pub fn new(seed: u64, class: Class) -> Self {
        let mut dice = Dice::new(seed, 2);
        let profile = *dice.pick(&[Profile::Fast, Profile::Metro, Profile::Wan]);
        let sites = *dice.pick(&[3, 3, 3, 3, 3, 3, 3, 5, 5, 7]);
        let stacks = if dice.permille(150) { 2 } else { 1 };
        let beyond = class == Class::All && dice.permille(60);
        let policy = policy(&mut dice, profile, class);
        let drift = i64::try_from(policy.timing.values().drift_max_ppm).unwrap_or_default();
        let clock_rates = (0..sites).map(|_| rates(&mut dice, drift, beyond)).collect();
        let safety = dice.between(15 * SECOND, 60 * SECOND);
        let mut database = Settings::new(0);
        database.latency = policy.timing.values().round_trip_p99.0 * MILLI / 4;
        database.linger = policy.timing.terms().fence_deadline.0 * MILLI * LINGERS_HUNDREDTHS / 100;
        let mut plan = Self {
            seed,
            class,
            sites,
            stacks,
            clock_rates,
            clocks_hold: !beyond,
            stubborn_leaders: dice.permille(500),
            snapshot_behind: *dice.pick(&[3, 20, 100, 100_000]),
            fsync_mean: *dice.pick(&[MILLI, 4 * MILLI, 10 * MILLI]),
            database,
            primaries: (0..stacks).map(|stack| stack % sites).collect(),
            faults: Vec::new(),
            heals: 8 * SECOND + safety,
            ends: 0,
            policy,
        };
        plan.draw_faults(&mut dice);
        plan.draw_plots();
        plan.faults.sort_by_key(|fault| fault.at);
        plan.ends = plan.heals + liveness_bound(&plan.policy) + 2 * SECOND;
        plan
    }

    /// A group to which nothing happens by itself: a script says what does, and when it ends.
    #[must_use]
    pub fn scripted(seed: u64, class: Class, sites: Site, primaries: Vec<Site>, policy: Policy) -> Self {
        let mut dice = Dice::new(seed, 2);
        let drift = i64::try_from(policy.timing.values().drift_max_ppm).unwrap_or_default();
        let mut database = Settings::new(0);
        database.latency = policy.timing.values().round_trip_p99.0 * MILLI / 4;
        (database.promote_fails_permille, database.slow_stop_permille) = (0, 0);
        Self {
            seed,
            class,
            sites,
            stacks: Stack::try_from(primaries.len()).unwrap_or(Stack::MAX),
            clock_rates: (0..sites).map(|_| rates(&mut dice, drift, false)).collect(),
            clocks_hold: true,
            stubborn_leaders: dice.permille(500),
            snapshot_behind: *dice.pick(&[3, 20, 100, 100_000]),
            fsync_mean: *dice.pick(&[MILLI, 4 * MILLI, 10 * MILLI]),
            database,
            primaries,
            faults: Vec::new(),
            heals: Time::MAX,
            ends: Time::MAX,
            policy,
        }
    }

    /// How long a run goes on at least after the last fault: whatever is still under way has had
    /// its time.
    #[must_use]
    pub fn calm_least(&self) -> Time {
        let timing = &self.policy.timing;
        (timing.wait(timing.terms()).0 + 3_000) * MILLI
    }

    /// What checkers may know.
    #[must_use]
    pub fn setup(&self) -> Setup {
        Setup {
            sites: self.sites,
            stacks: self.stacks,
            policy: self.policy.clone(),
            clocks_hold: self.clocks_hold,
            short_faults: self.class == Class::ShortFaults,
            one_lost: self.class == Class::OneLost,
            witnesses_only: self.class == Class::WitnessesOnly,
            seed: self.seed,
        }
    }

    /// Where a stack runs at first.
    #[must_use]
    pub fn primary(&self, stack: Stack) -> Site {
        self.primaries[usize::from(stack)]
    }

    fn draw_faults(&mut self, dice: &mut Dice) {
        match self.class {
            Class::Calm => {}
            Class::OneLost => self.draw_one_loss(dice),
            Class::ShortFaults => self.draw_short(dice),
            Class::WitnessesOnly | Class::All => self.draw_swarm(dice),
        }
    }

    fn draw_one_loss(&mut self, dice: &mut Dice) {
        let (a, b) = self.pair(dice);
        let at = dice.between(10 * SECOND, self.heals - 10 * SECOND);
        let kinds = [
            vec![FaultKind::Kill(Process::Witness(a))],
            vec![FaultKind::Cut(a, b)],
            vec![FaultKind::Cut(a, b), FaultKind::Cut(b, a)],
            vec![FaultKind::KillLeader],
            vec![FaultKind::MoveSeat(a)],
        ];
        for kind in dice.pick(&kinds).clone() {
            self.faults.push(Fault { at, lasts: Time::MAX, kind });
        }
    }

    fn draw_short(&mut self, dice: &mut Dice) {
        let values = *self.policy.timing.values();
        let longest = values.detect_after.0 * MILLI * 4 / 5;
        let pause = (values.lease_duration.0 + 2 * values.detect_after.0) * MILLI;
        let mut at = 12 * SECOND;
        while at < self.heals {
            let lasts = dice.between(longest / 10, longest);
            let kind = self.short_kind(dice);
            self.faults.push(Fault { at, lasts, kind });
            at += lasts + pause.min(8 * SECOND) + dice.below(2 * SECOND);
        }
    }

    fn short_kind(&self, dice: &mut Dice) -> FaultKind {
        let (a, b) = self.pair(dice);
        let stack = self.stack(dice);
        match dice.below(9) {
            0 => FaultKind::Kill(Process::Witness(a)),
            1 => FaultKind::Kill(Process::Actor(a)),
            2 => FaultKind::Pause(Process::Witness(a)),
            3 => FaultKind::Pause(Process::Actor(a)),
            4 => FaultKind::Pause(Process::Gate(stack, a)),
            5 => FaultKind::Cut(a, b),
            6 => FaultKind::Isolate(a, true, dice.permille(500)),
            7 => FaultKind::Freeze(a, if dice.permille(500) { Clocks::Run } else { Clocks::Suspend }),
            _ => FaultKind::MoveSeat(a),
        }
    }

    fn draw_swarm(&mut self, dice: &mut Dice) {
        let witnesses_only = self.class == Class::WitnessesOnly;
        let mut families: Vec<&str> = FAMILIES.iter().copied().filter(|_| dice.permille(350)).collect();
        if witnesses_only {
            families = vec!["witness"];
        } else if families.is_empty() {
            families.push(*dice.pick::<&str>(&FAMILIES));
        }
        // A swarm has its own pace: on average at least one fault each 10 seconds.
        let mean = dice.between(2 * SECOND, 8 * SECOND);
        let mut at = dice.between(SECOND, 12 * SECOND);
        while at < self.heals {
            let family = *dice.pick(&families);
            self.draw_one(dice, family, at);
            at += dice.between(mean / 4, mean * 7 / 4);
        }
    }

    /// Mostly about as long as the lease, now and then minutes or moments.
    fn lasts(&self, dice: &mut Dice) -> Time {
        let lease = self.policy.timing.values().lease_duration.0 * MILLI;
        match dice.below(10) {
            0..3 => dice.between(10 * MILLI, lease / 4),
            3..8 => dice.between(lease / 4, lease * 5 / 2),
            8 => dice.between(lease, 40 * SECOND),
            _ => Time::MAX,
        }
    }

    fn draw_one(&mut self, dice: &mut Dice, family: &str, at: Time) {
        let (a, b) = self.pair(dice);
        let stack = self.stack(dice);
        let process = match dice.below(3) {
            0 => Process::Witness(a),
            1 => Process::Actor(a),
            _ => Process::Gate(stack, a),
        };
        let mut lasts = self.lasts(dice);
        let kind = match family {
            "kill" => FaultKind::Kill(process),
            "pause" => FaultKind::Pause(process),
            "witness" => match dice.below(4) {
                0 => FaultKind::Pause(Process::Witness(a)),
                1 => FaultKind::Lag(a),
                2 => FaultKind::MoveSeat(a),
                _ => FaultKind::Kill(Process::Witness(a)),
            },
            "server" => FaultKind::KillServer(stack, a, dice.permille(600)),
            "site" => FaultKind::LoseSite(a),
            "freeze" => FaultKind::Freeze(a, self.frozen_clocks(dice)),
            "cut" => FaultKind::Cut(a, b),
            "isolate" => {
                let (inward, outward) =
                    *dice.pick(&[(true, true), (true, true), (true, false), (false, true)]);
                FaultKind::Isolate(a, inward, outward)
            }
            "degrade" => {
                let slower = dice.below(self.policy.timing.values().round_trip_p99.0 * 10) * MILLI;
                let loss = *dice.pick(&[0, 20, 100, 300, 600]);
                let twice = *dice.pick(&[0, 0, 50, 300]);
                FaultKind::Degrade(a, slower, loss, twice)
            }
            "log" => match dice.below(3) {
                0 => FaultKind::MoveSeat(a),
                1 => FaultKind::KillLeader,
                _ => FaultKind::Lag(a),
            },
            "clock" if dice.permille(250) => {
                lasts = 0;
                let least = self.policy.timing.values().detect_after.0 * 2;
                FaultKind::Jump(a, dice.between(least, 4 * least) * MILLI)
            }
            "clock" => FaultKind::Slew(a, self.slew(dice, a)),
            "disk" if dice.permille(500) => FaultKind::DiskFull(a),
            "disk" => FaultKind::DiskSlow(a, dice.between(50 * MILLI, 4 * SECOND)),
            "store" if dice.permille(500) => FaultKind::LoseStore(a),
            "store" => FaultKind::LoseRecord(stack, a),
            "ill" => self.illness(dice, stack, a),
            "mode" => FaultKind::SetMode(stack, *dice.pick(&[Mode::Observe, Mode::Approve])),
            "operator" if dice.permille(500) => FaultKind::Attest(stack),
            "operator" => FaultKind::StopAndElect(stack, a),
            "policy" => FaultKind::LongerLease,
            _ => {
                lasts = 0;
                // All copies lost is the end of any stack: one a run.
                if self.faults.iter().any(|f| matches!(f.kind, FaultKind::LoseData(of, _) if of == stack)) {
                    return;
                }
                FaultKind::LoseData(stack, a)
            }
        };
        // One down until the end is enough now and then; more would leave nothing to see.
        if lasts == Time::MAX && !dice.permille(400) {
            lasts = 20 * SECOND;
        }
        self.faults.push(Fault { at, lasts, kind });
    }

    fn illness(&self, dice: &mut Dice, stack: Stack, site: Site) -> FaultKind {
        if dice.permille(250) {
            return FaultKind::HoldReplay(stack, site, dice.between(SECOND, 20 * SECOND));
        }
        let ills = [Ill::SlowStop, Ill::PromoteFails, Ill::PromoteStalls, Ill::Hangs, Ill::DiskFull];
        FaultKind::Ill(stack, site, *dice.pick(&ills))
    }

    fn frozen_clocks(&mut self, dice: &mut Dice) -> Clocks {
        match dice.below(2) {
            0 => Clocks::Suspend,
            _ if !self.clocks_hold && dice.permille(500) => Clocks::Stand,
            _ => Clocks::Run,
        }
    }

    /// NTP slews boottime by up to 8 % against the raw clock.
    fn slew(&self, dice: &mut Dice, site: Site) -> i64 {
        let (_, raw) = self.clock_rates[usize::from(site)];
        let slew = i64::try_from(dice.below(160_001)).unwrap_or_default() - 80_000;
        raw + slew
    }

    fn pair(&self, dice: &mut Dice) -> (Site, Site) {
        let a = dice.below(u64::from(self.sites));
        let b = (a + 1 + dice.below(u64::from(self.sites) - 1)) % u64::from(self.sites);
        (u8::try_from(a).unwrap_or_default(), u8::try_from(b).unwrap_or_default())
    }

    fn stack(&self, dice: &mut Dice) -> Stack {
        u8::try_from(dice.below(u64::from(self.stacks))).unwrap_or_default()
    }
}

fn policy(dice: &mut Dice, profile: Profile, class: Class) -> Policy {
    let timing = Timing::new(profile.values()).expect("the profiles keep the rules");
    let values = *timing.values();
    let mut policy = Policy::with_timing(timing);
    // Shorter than the defaults, so that a run of minutes sees what comes after them.
    policy.unhealthy_after =
        Millis(dice.between(values.lease_duration.0, values.lease_duration.0 * 2).max(5_000));
    policy.promote_deadline = Millis(dice.between(5_000, 12_000));
    policy.cooldown = Millis(dice.between(1_000, 20_000));
    policy.window = Millis(*dice.pick(&[20_000, 40_000]));
    policy.failovers_max = *dice.pick(&[3, 6, 50, 50]);
    policy.attempts_max = *dice.pick(&[3, 6, 10]);
    if class == Class::ShortFaults {
        policy.unhealthy_after = Millis(30_000);
    }
    policy
}

/// Errors of one site's clocks: both within the drift, or beyond it.
fn rates(dice: &mut Dice, drift: i64, beyond: bool) -> (i64, i64) {
    let mut one = |most: i64| {
        let most = u64::try_from(most).unwrap_or_default();
        i64::try_from(dice.below(2 * most + 1)).unwrap_or_default() - i64::try_from(most).unwrap_or_default()
    };
    let most = if beyond { drift * 8 } else { drift };
    let raw = match one(3) {
        // Often at the very edge: there the factors of W are told apart.
        1 => most,
        -1 => -most,
        _ => one(most),
    };
    let boottime = raw + one(100);
    (boottime, raw)
}

impl Fault {
    /// What happens, for people.
    #[must_use]
    pub fn words(&self) -> String {
        let name = |site: Site| format!("dc{}", site + 1);
        let lasts = match self.lasts {
            Time::MAX => String::from("until all is healed"),
            0 => String::from("once"),
            lasts => format!("for {:.3} s", lasts as f64 / 1e6),
        };
        let what = match &self.kind {
            FaultKind::Cut(a, b) => format!("cut {} from {} (one way)", name(*b), name(*a)),
            FaultKind::LoseSite(site) => format!("{} loses power", name(*site)),
            FaultKind::Isolate(site, true, true) => format!("isolate {}", name(*site)),
            FaultKind::Isolate(site, true, false) => format!("{} hears nobody", name(*site)),
            FaultKind::Isolate(site, ..) => format!("nobody hears {}", name(*site)),
            other => format!("{other:?}"),
        };
        format!("at {:.3} s {what}, {lasts}", self.at as f64 / 1e6)
    }
}
