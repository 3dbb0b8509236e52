//! One run of one seed: whole witnesses, modelled actors, a network that breaks as planned.

use crate::actor::{self, Database};
use crate::clocks::{self, Rates};
use crate::dice::Dice;
use crate::disk::Disk;
use crate::faults::{Fault, Kind, Planned, Whom, plan};
use crate::group::{Files, actor_host, address, sites, witness_host};
use crate::judge::{Counts, Judge, Shared, Watcher, lock};
use crate::viewer;
use crate::wire::{self, Net};
use consensus::Compaction;
use coordination::timing::{Profile, Timing};
use model::{Incarnation, Lsn, SiteId, Timeline};
use rpc::network::Network;
use std::collections::BTreeMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use turmoil::{Builder, Sim};
use witness::Surroundings;

/// Who looks at the status and adopts the stack.
const VIEWER: &str = "viewer";
/// The group must be set up and the stack protected within this.
const READY_MAX: Duration = Duration::from_secs(40);
/// After the last fault everything is well again within so many leases.
const HEALED_LEASES: u32 = 6;
/// Snapshots come often, so that a witness that was away needs one.
const COMPACTION: Compaction = Compaction { snapshot_every: 60, log_kept: 20 };
/// How long a request waits for the disk.
const WRITE_TIME: Duration = Duration::from_millis(2);

/// What is to be run.
#[derive(Clone, Debug)]
pub struct Spec {
    pub seed: u64,
    pub kind: Kind,
    pub sites: usize,
    /// A defect of the ground below the witnesses that the judge must see.
    pub planted: Option<Planted>,
    /// Tells the story while it happens.
    pub aloud: bool,
}

/// Defects that no witness can help.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Planted {
    /// Disks say that they synced and did not.
    LyingDisks,
    /// Clocks drift ten times more than is allowed.
    WildClocks,
}

impl Spec {
    pub fn of(seed: u64) -> Self {
        Self { seed, kind: Kind::of(seed), sites: 3, planted: None, aloud: false }
    }
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    pub violations: Vec<String>,
    pub counts: Counts,
    pub simulated: Duration,
    pub syncs: u64,
    /// Of the story: equal if two runs are.
    pub digest: u64,
    /// Of what lies on the disks at the end.
    pub disks: u64,
    pub lines: Vec<String>,
}

struct World<'a> {
    sim: Sim<'a>,
    dice: Dice,
    sites: Vec<SiteId>,
    disks: BTreeMap<SiteId, Disk>,
    judge: Shared,
    protected: Arc<Mutex<bool>>,
    latency: (Duration, Duration),
}

/// Runs it. Call it in a thread whose randomness is the seed's.
pub fn run(spec: &Spec) -> Report {
    let mut dice = Dice::new(spec.seed ^ 0x7269_706f_696e_7432);
    let profile = if dice.percent(25) { Profile::Wan } else { Profile::Metro };
    let timing = Timing::new(profile.values()).expect("a profile of the design");
    let values = *timing.values();
    let sites = sites(spec.sites);
    let judge: Shared =
        Arc::new(Mutex::new(Judge::new(values.lease_duration, values.fence_deadline, spec.aloud)));
    wire::whole();
    let _clocks = clocks::simulated(rates(&sites, &mut dice, values.drift_max_ppm, spec.planted));
    // One way; the profile's round trip is the longest.
    let latency = (Duration::from_millis(1), Duration::from_millis(values.round_trip_p99.0 / 2));
    let sim = Builder::new()
        .rng_seed(dice.next())
        .min_message_latency(latency.0)
        .max_message_latency(latency.1)
        .tcp_capacity(4_096)
        .build();
    let disks = sites.iter().map(|site| (site.clone(), Disk::default())).collect();
    let mut world = World { sim, dice, sites, disks, judge, protected: Arc::default(), latency };
    world.populate(&timing);
    world.until_protected();
    let faults =
        plan(spec.kind, &mut world.dice, spec.sites, values.lease_duration.0, values.round_trip_p99.0);
    if spec.planted == Some(Planted::LyingDisks) {
        world.disks.values().for_each(Disk::lie);
    }
    if spec.kind.is_harmless() {
        lock(&world.judge).expect_calm(true);
    }
    world.suffer(&faults);
    world.steps(Duration::from(values.lease_duration) * HEALED_LEASES);
    world.report()
}

fn rates(
    sites: &[SiteId],
    dice: &mut Dice,
    drift_max_ppm: u64,
    planted: Option<Planted>,
) -> BTreeMap<String, Rates> {
    let worst = drift_max_ppm as i64;
    let hosts = sites.iter().flat_map(|site| [(witness_host(site), false), (actor_host(site), true)]);
    let mut rate = |is_actor: bool| match planted {
        // Holders too slow, waiters too fast.
        Some(Planted::WildClocks) => {
            if is_actor {
                -10 * worst
            } else {
                10 * worst
            }
        }
        _ => dice.between(0, 2 * worst as u64) as i64 - worst,
    };
    let mut all: BTreeMap<String, Rates> =
        hosts.map(|(host, actor)| (host, Rates { boottime: rate(actor), raw: rate(actor) })).collect();
    all.insert(VIEWER.to_owned(), Rates::default());
    all
}

impl World<'_> {
    fn populate(&mut self, timing: &Timing) {
        let files = Files::issue(&self.sites);
        let addresses: Vec<(SiteId, String)> =
            self.sites.iter().map(|s| (s.clone(), address(&witness_host(s)))).collect();
        for site in self.sites.clone() {
            self.witness(&site, &files, timing);
            self.actor(&site, &files, timing, &addresses);
            // A site's own link is short.
            let (witness, actor) = (witness_host(&site), actor_host(&site));
            self.sim.set_link_latency(witness, actor, Duration::from_millis(1));
        }
        let setup = viewer::Setup {
            witnesses: addresses,
            files,
            judge: Arc::clone(&self.judge),
            active: self.sites[0].clone(),
            protected: Arc::clone(&self.protected),
        };
        self.sim.host(VIEWER, move || {
            let setup = setup.clone();
            async move {
                viewer::run(setup, Net { host: VIEWER.to_owned() }).await;
                Ok(())
            }
        });
    }

    fn witness(&mut self, site: &SiteId, files: &Files, timing: &Timing) {
        let config = files.config(site, &self.sites, timing);
        let (site, disk, judge) = (site.clone(), self.disks[site].clone(), Arc::clone(&self.judge));
        let host = witness_host(&site);
        self.sim.host(host.clone(), move || {
            let (config, site, host) = (config.clone(), site.clone(), host.clone());
            let (disk, judge) = (disk.clone(), Arc::clone(&judge));
            async move {
                clocks::here_is(&host);
                lock(&judge).starts(&site);
                let surroundings = Surroundings {
                    consensus: consensus::Surroundings {
                        network: Network::simulated(Net { host }),
                        disk: consensus::Disk::Simulated {
                            backend: Box::new(disk.open()),
                            write_time: WRITE_TIME,
                        },
                        compaction: COMPACTION,
                    },
                    observer: Some(Arc::new(Watcher { site: site.clone(), judge: Arc::clone(&judge) })),
                };
                let ended = witness::run_on(surroundings, config, pending()).await;
                let error = ended.err().map_or_else(|| "without a reason".to_owned(), |e| e.to_string());
                lock(&judge).ended(&site, &error, disk.has_failed());
                Ok(())
            }
        });
    }

    fn actor(&mut self, site: &SiteId, files: &Files, timing: &Timing, addresses: &[(SiteId, String)]) {
        let place = self.sites.iter().position(|s| s == site).unwrap_or_default();
        let mut witnesses = addresses.to_vec();
        witnesses.rotate_left(place);
        let primary = &self.sites[0];
        let database = Database {
            timeline: Timeline(1),
            received: Lsn(1_000 - place as u64),
            follows: (site != primary).then(|| primary.clone()),
        };
        let setup = actor::Setup {
            site: site.clone(),
            witnesses,
            sites: self.sites.clone(),
            files: files.clone(),
            timing: *timing.values(),
            judge: Arc::clone(&self.judge),
            database: Arc::new(Mutex::new(database)),
            incarnation: Incarnation(0),
        };
        let runs = Mutex::new(Dice::new(self.dice.next()));
        let host = actor_host(site);
        self.sim.host(host.clone(), move || {
            let incarnation = Incarnation(runs.lock().expect("no holder panicked").next());
            let setup = actor::Setup { incarnation, ..setup.clone() };
            let net = Net { host: host.clone() };
            async move {
                actor::run(setup, net).await;
                Ok(())
            }
        });
    }

    fn step(&mut self) {
        self.sim.step().expect("no host's program ends with an error");
        lock(&self.judge).look(self.sim.elapsed());
    }

    fn steps(&mut self, span: Duration) {
        let end = self.sim.elapsed() + span;
        while self.sim.elapsed() < end {
            self.step();
        }
    }

    fn until_protected(&mut self) {
        while !*self.protected.lock().expect("no holder panicked") {
            self.step();
            if self.sim.elapsed() > READY_MAX {
                let mut judge = lock(&self.judge);
                judge.violations.push("L1: the stack was never protected, and nothing was broken".to_owned());
                return;
            }
        }
    }

    fn suffer(&mut self, faults: &[Planned]) {
        let begun = self.sim.elapsed();
        let mut waiting: Vec<Planned> = faults.to_vec();
        waiting.sort_by_key(|p| p.at);
        let mut ending: Vec<(Duration, Undo)> = Vec::new();
        while !waiting.is_empty() || !ending.is_empty() {
            let now = self.sim.elapsed() - begun;
            while waiting.first().is_some_and(|p| p.at <= now) {
                let next = waiting.remove(0);
                if let Some(undo) = self.begin(next.fault) {
                    ending.push((now + next.lasts, undo));
                }
            }
            for (_, undo) in ending.extract_if(.., |(at, _)| *at <= now).collect::<Vec<_>>() {
                self.end(undo);
            }
            self.step();
        }
    }

    fn who(&mut self, whom: Whom) -> SiteId {
        let leader = lock(&self.judge).leader().unwrap_or_else(|| self.sites[0].clone());
        match whom {
            Whom::Leader => leader,
            Whom::Follower(n) => {
                let others: Vec<&SiteId> = self.sites.iter().filter(|s| **s != leader).collect();
                others[n % others.len()].clone()
            }
            Whom::Site(n) => self.sites[n % self.sites.len()].clone(),
            Whom::Active => lock(&self.judge).active().unwrap_or_else(|| self.sites[0].clone()),
        }
    }

    fn others(&self, site: &SiteId) -> Vec<String> {
        self.sites.iter().filter(|s| *s != site).map(witness_host).collect()
    }

    fn begin(&mut self, fault: Fault) -> Option<Undo> {
        let text = format!("{fault:?}");
        let (what, undo) = match fault {
            Fault::CutWitness(whom) => {
                let site = self.who(whom);
                let me = witness_host(&site);
                let others = self.others(&site).into_iter();
                (site, Undo::Cuts(others.flat_map(|o| [(me.clone(), o.clone()), (o, me.clone())]).collect()))
            }
            Fault::Mute(whom) => {
                let site = self.who(whom);
                let me = witness_host(&site);
                let cuts = self.others(&site).into_iter().map(|o| (me.clone(), o)).collect();
                (site, Undo::Cuts(cuts))
            }
            Fault::Deafen(whom) => {
                let site = self.who(whom);
                let me = witness_host(&site);
                let cuts = self.others(&site).into_iter().map(|o| (o, me.clone())).collect();
                (site, Undo::Cuts(cuts))
            }
            Fault::CutLink { from, to, both } => {
                let (site, me, other) = self.link(from, to);
                let mut cuts = vec![(me.clone(), other.clone())];
                if both {
                    cuts.push((other, me));
                }
                (site, Undo::Cuts(cuts))
            }
            Fault::Slow { from, to, millis } => {
                let (site, me, other) = self.link(from, to);
                self.sim.set_link_latency(me.as_str(), other.as_str(), Duration::from_millis(millis));
                (site, Undo::Slow(me, other))
            }
            Fault::Kill(whom) => (self.who(whom), Undo::Start(vec![])),
            Fault::Power(whom) | Fault::Disk(whom, _) => (self.who(whom), Undo::Start(vec![])),
            Fault::PowerOfAll => (self.sites[0].clone(), Undo::Start(vec![])),
            Fault::CutSite(whom) => {
                let site = self.who(whom);
                (site.clone(), Undo::Cuts(self.around(&site)))
            }
            Fault::KillActor(whom) => {
                let site = self.who(whom);
                (site.clone(), Undo::StartActor(site))
            }
        };
        lock(&self.judge).tell("FAULT", &format!("{text} at {what}"));
        self.inflict(fault, &what, undo)
    }

    /// Every link of a site with anything outside it but the viewer.
    fn around(&self, site: &SiteId) -> Vec<(String, String)> {
        let own = [witness_host(site), actor_host(site)];
        let others = self.sites.iter().filter(|s| *s != site);
        let outside: Vec<String> = others.flat_map(|s| [witness_host(s), actor_host(s)]).collect();
        let pairs = own.iter().flat_map(|me| outside.iter().map(move |o| (me.clone(), o.clone())));
        pairs.flat_map(|(a, b)| [(a.clone(), b.clone()), (b, a)]).collect()
    }

    fn link(&mut self, from: Whom, to: usize) -> (SiteId, String, String) {
        let site = self.who(from);
        let others = self.others(&site);
        let me = witness_host(&site);
        (site, me, others[to % others.len()].clone())
    }

    fn inflict(&mut self, fault: Fault, site: &SiteId, undo: Undo) -> Option<Undo> {
        match (fault, undo) {
            (Fault::Kill(_), _) => {
                let host = self.take_down(std::slice::from_ref(site), false);
                Some(Undo::Start(host))
            }
            (Fault::Power(_), _) => Some(Undo::Start(self.take_down(std::slice::from_ref(site), true))),
            (Fault::Disk(_, operations), _) => {
                self.disks[site].fail_after(operations);
                Some(Undo::Start(vec![site.clone()]))
            }
            (Fault::PowerOfAll, _) => {
                let all = self.sites.clone();
                Some(Undo::Start(self.take_down(&all, true)))
            }
            (Fault::KillActor(_), undo) => {
                self.sim.crash(actor_host(site));
                lock(&self.judge).actor_gone(site);
                Some(undo)
            }
            (_, undo) => {
                if let Undo::Cuts(cuts) = &undo {
                    self.cut(cuts, true);
                }
                Some(undo)
            }
        }
    }

    /// Witnesses that run end, with or without their power; who was down stays so.
    fn take_down(&mut self, sites: &[SiteId], power: bool) -> Vec<SiteId> {
        let mut down = Vec::new();
        for site in sites {
            let host = witness_host(site);
            if !self.sim.is_host_running(host.as_str()) {
                continue;
            }
            let disk = &self.disks[site];
            if power {
                disk.lose_power(&mut self.dice);
            } else {
                disk.crash();
            }
            self.sim.crash(host.as_str());
            down.push(site.clone());
        }
        down
    }

    fn cut(&mut self, cuts: &[(String, String)], more: bool) {
        for (from, to) in cuts {
            wire::cut(from, to, more);
        }
        for (from, to) in cuts {
            self.sim.repair(from.as_str(), to.as_str());
            for (a, b) in [(from, to), (to, from)] {
                if wire::is_cut(a, b) {
                    self.sim.partition_oneway(a.as_str(), b.as_str());
                }
            }
        }
    }

    fn end(&mut self, undo: Undo) {
        lock(&self.judge).tell("HEAL", &format!("{undo:?}"));
        match undo {
            Undo::Cuts(cuts) => self.cut(&cuts, false),
            Undo::Slow(a, b) => {
                self.sim.set_link_latency(a.as_str(), b.as_str(), self.latency.0);
                self.sim.set_link_max_message_latency(a.as_str(), b.as_str(), self.latency.1);
            }
            Undo::Start(sites) => {
                for site in sites {
                    let host = witness_host(&site);
                    // A disk that was to fail and had no time to: its power goes now.
                    self.take_down(std::slice::from_ref(&site), true);
                    if self.disks[&site].has_failed() {
                        self.disks[&site].lose_power(&mut self.dice);
                    }
                    self.sim.bounce(host.as_str());
                }
            }
            Undo::StartActor(site) => {
                if !self.sim.is_host_running(actor_host(&site)) {
                    self.sim.bounce(actor_host(&site));
                }
            }
        }
    }

    fn report(self) -> Report {
        let mut judge = lock(&self.judge);
        judge.at_the_end(&self.sites);
        Report {
            violations: judge.violations.clone(),
            counts: judge.counts.clone(),
            simulated: self.sim.elapsed(),
            syncs: self.disks.values().map(Disk::syncs).sum(),
            digest: judge.digest(),
            disks: self.disks.values().fold(0, |sum: u64, disk| sum.rotate_left(1) ^ disk.digest()),
            lines: judge.lines().cloned().collect(),
        }
    }
}

/// How a fault ends.
#[derive(Clone, Debug)]
enum Undo {
    Cuts(Vec<(String, String)>),
    Slow(String, String),
    Start(Vec<SiteId>),
    StartActor(SiteId),
}
