//! What goes wrong in a run, drawn from its seed.

use crate::dice::Dice;
use std::fmt;
use std::time::Duration;

/// What kind of run a seed is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The leader's witness is cut from the other witnesses.
    LeaderCut,
    /// The leader's witness hears, and is not heard; or the other way round.
    OneWay,
    /// One witness crashes, or its power goes, and it comes back with its disk.
    Crash,
    /// One link is as slow as the profile allows, and slower.
    Slow,
    /// One follower is away until its part of the log is gone.
    Away,
    /// The power of all witnesses goes at once.
    AllCrash,
    /// A whole site is cut off, the active one among them.
    SiteLost,
    /// Everything, side by side.
    Swarm,
}

impl Kind {
    pub const ALL: [Self; 8] = [
        Self::LeaderCut,
        Self::OneWay,
        Self::Crash,
        Self::Slow,
        Self::Away,
        Self::AllCrash,
        Self::SiteLost,
        Self::Swarm,
    ];

    pub fn of(seed: u64) -> Self {
        Self::ALL[(seed % Self::ALL.len() as u64) as usize]
    }

    /// One witness, leader or link at a time: no actor may lose its lease, no site may change
    /// (L2, L3).
    pub fn is_harmless(self) -> bool {
        matches!(self, Self::LeaderCut | Self::OneWay | Self::Crash | Self::Slow | Self::Away)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&format!("{self:?}"))
    }
}

/// Whom a fault hits; who leads is looked up when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whom {
    Leader,
    /// One that does not lead, by its place among those.
    Follower(usize),
    /// A site by its place.
    Site(usize),
    /// Whatever site is active.
    Active,
}

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A witness and the other witnesses do not reach each other.
    CutWitness(Whom),
    /// What the witness sends does not reach the other witnesses.
    Mute(Whom),
    /// What the other witnesses send does not reach it.
    Deafen(Whom),
    /// One link between two witnesses, one way or both.
    CutLink { from: Whom, to: usize, both: bool },
    /// One witness's program is killed.
    Kill(Whom),
    /// One witness's power goes.
    Power(Whom),
    /// One witness's disk fails after so many operations, as in a loss of power in the middle of one.
    Disk(Whom, u64),
    /// All witnesses' power goes.
    PowerOfAll,
    /// One link between witnesses takes so many milliseconds each way.
    Slow { from: Whom, to: usize, millis: u64 },
    /// Nothing of a site reaches anybody, nor the other way round.
    CutSite(Whom),
    /// A site's actor dies, and all that it ran.
    KillActor(Whom),
}

/// When it begins, after the stack is protected, and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub at: Duration,
    pub lasts: Duration,
    pub fault: Fault,
}

/// How fast faults follow each other, in milliseconds.
struct Pace {
    /// Length of a fault.
    shortest: u64,
    longest: u64,
    /// Rest between two.
    rest: u64,
}

/// The faults of one run, for a lease of so many milliseconds.
pub fn plan(kind: Kind, dice: &mut Dice, sites: usize, lease: u64, round_trip: u64) -> Vec<Planned> {
    match kind {
        Kind::Swarm => swarm(dice, sites, lease),
        Kind::Away => {
            let fault = match dice.between(0, 2) {
                0 => Fault::Power(Whom::Follower(0)),
                _ => Fault::CutWitness(Whom::Follower(dice.between(0, 1) as usize)),
            };
            vec![planned(1_000, dice.between(25_000, 35_000), fault)]
        }
        Kind::AllCrash => {
            let pace = Pace { shortest: 300, longest: 3_000, rest: 2 * lease };
            sequence(dice, 3, &pace, |_| Fault::PowerOfAll)
        }
        Kind::SiteLost => {
            let pace = Pace { shortest: 3 * lease, longest: 4 * lease, rest: 4 * lease };
            sequence(dice, 2, &pace, |dice| match dice.between(0, 3) {
                0 => Fault::KillActor(Whom::Active),
                1 => Fault::CutSite(Whom::Site(dice.between(0, sites as u64 - 1) as usize)),
                _ => Fault::CutSite(Whom::Active),
            })
        }
        _ => {
            let pace = Pace { shortest: 500, longest: 3 * lease, rest: 2 * lease };
            sequence(dice, 3, &pace, |dice| single(kind, dice, sites, round_trip))
        }
    }
}

fn planned(at: u64, lasts: u64, fault: Fault) -> Planned {
    Planned { at: Duration::from_millis(at), lasts: Duration::from_millis(lasts), fault }
}

/// One after the other, never two at once.
fn sequence(
    dice: &mut Dice,
    count: usize,
    pace: &Pace,
    mut fault: impl FnMut(&mut Dice) -> Fault,
) -> Vec<Planned> {
    let mut at = 1_000;
    let mut all = Vec::new();
    for _ in 0..count {
        let lasts = dice.between(pace.shortest, pace.longest);
        all.push(planned(at, lasts, fault(dice)));
        at += lasts + pace.rest + dice.between(0, 500);
    }
    all
}

fn single(kind: Kind, dice: &mut Dice, sites: usize, round_trip: u64) -> Fault {
    let anybody = match dice.between(0, 2) {
        0 => Whom::Follower(dice.between(0, 1) as usize),
        _ => Whom::Leader,
    };
    let to = dice.between(0, sites as u64 - 1) as usize;
    match kind {
        Kind::LeaderCut => Fault::CutWitness(Whom::Leader),
        Kind::OneWay => match dice.between(0, 3) {
            0 => Fault::Mute(Whom::Leader),
            1 => Fault::Deafen(Whom::Leader),
            2 => Fault::CutLink { from: anybody, to, both: true },
            _ => Fault::CutLink { from: anybody, to, both: false },
        },
        Kind::Crash => match dice.between(0, 2) {
            0 => Fault::Kill(anybody),
            1 => Fault::Disk(anybody, dice.between(1, 60)),
            _ => Fault::Power(anybody),
        },
        _ => Fault::Slow { from: anybody, to, millis: dice.between(round_trip, 10 * round_trip) },
    }
}

/// Up to three at a time, of all kinds.
fn swarm(dice: &mut Dice, sites: usize, lease: u64) -> Vec<Planned> {
    let mut all = Vec::new();
    for _ in 0..dice.between(6, 10) {
        let site = dice.between(0, sites as u64 - 1) as usize;
        let whom = match dice.between(0, 3) {
            0 => Whom::Leader,
            1 => Whom::Active,
            _ => Whom::Site(site),
        };
        let to = dice.between(0, sites as u64 - 1) as usize;
        let fault = match dice.between(0, 10) {
            0 => Fault::CutWitness(whom),
            1 => Fault::Mute(whom),
            2 => Fault::Deafen(whom),
            3 => Fault::CutLink { from: whom, to, both: dice.percent(50) },
            4 => Fault::Kill(whom),
            5 => Fault::Power(whom),
            6 => Fault::Disk(whom, dice.between(1, 200)),
            7 => Fault::PowerOfAll,
            8 => Fault::Slow { from: whom, to, millis: dice.between(5, 600) },
            9 => Fault::CutSite(whom),
            _ => Fault::KillActor(whom),
        };
        all.push(planned(dice.between(500, 40_000), dice.between(200, 3 * lease), fault));
    }
    all
}
