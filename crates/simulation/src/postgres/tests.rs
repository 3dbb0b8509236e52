//! The model's own behaviour, one nasty side each.

use super::*;
use crate::history::{Record, SECOND};
use coordination::permit::Data;
use model::{DatabaseRole, Timeline};

const ALL: fn(Site, Site) -> bool = |_, _| true;
/// Sites that are cut off from everybody, clients included.
fn without(site: Site) -> impl Fn(Site, Site) -> bool {
    move |a, b| a != site && b != site
}

struct Lab {
    database: Database,
    history: History,
    now: Time,
}

impl Lab {
    fn new(seed: u64, change: impl FnOnce(&mut Settings)) -> Self {
        let names: Vec<SiteId> =
            ["dc1", "dc2", "dc3"].iter().map(|n| SiteId::new(n).expect("a name")).collect();
        let mut settings = Settings {
            stall_permille: 0,
            promote_fails_permille: 0,
            slow_stop_permille: 0,
            ..Settings::new(0)
        };
        change(&mut settings);
        let database = Database::with(&names, 0, seed, settings);
        let mut lab = Self { database, history: History::new(setup()), now: 0 };
        lab.run(5 * SECOND, &ALL);
        lab
    }

    /// Everything up to `span` from now.
    fn run(&mut self, span: Time, reach: Reach<'_>) {
        let end = self.now + span;
        let mut turns = 0_u32;
        while self.database.due() <= end {
            self.now = self.now.max(self.database.due());
            self.database.advance(self.now, reach, &mut self.history, &mut 0);
            turns += 1;
            assert!(turns < 100_000, "it spins at {}", self.now);
        }
        self.now = end;
    }

    fn until(&mut self, what: &str, mut done: impl FnMut(&Database) -> bool) {
        for _ in 0..6_000 {
            if done(&self.database) {
                return;
            }
            self.run(10 * MILLI, &ALL);
        }
        panic!("not within a minute: {what}");
    }

    /// As a gate does it.
    fn detach(&mut self, site: Site) {
        self.database.set_conninfo(site, None);
        self.database.signal(site, Signal::Hup, self.now);
        for _ in 0..100 {
            self.database.kill_walreceiver(site, self.now);
            self.run(5 * MILLI, &ALL);
        }
    }

    fn promote(&mut self, site: Site, above: u32) {
        self.database.skip_timelines(site, Timeline(above));
        self.database.promote_file(site);
        self.database.signal(site, Signal::Usr1, self.now);
    }

    fn acks(&self, site: Site, since: Time) -> usize {
        let acked = |r: &&Record| r.at >= since && matches!(r.what, What::Acked { site: s, .. } if s == site);
        self.history.records.iter().filter(acked).count()
    }

    fn received(&self, site: Site) -> Option<Lsn> {
        self.database.observe(site, self.now).and_then(|r| r.received)
    }

    fn ended(&self, site: Site) -> bool {
        self.history.records.iter().any(|r| matches!(r.what, What::PrimaryEnded { site: s, .. } if s == site))
    }
}

fn setup() -> crate::history::Setup {
    crate::checkers::build::setup()
}

#[test]
fn rows_are_acknowledged_and_reach_every_standby() {
    let mut lab = Lab::new(1, |_| {});
    lab.run(20 * SECOND, &ALL);
    assert!(lab.acks(0, 0) > 15, "{} acknowledgements", lab.acks(0, 0));
    assert_eq!(lab.acks(1, 0) + lab.acks(2, 0), 0);
    lab.database.finish(&mut lab.history);
    let found = &lab.history.databases[0];
    assert!(found[0].primary && found[1].streams && found[2].streams);
    assert!(found[0].rows.len() - found[1].rows.len() < 5);
    let report = lab.database.observe(1, lab.now).expect("it answers");
    assert_eq!(report.role, DatabaseRole::Standby);
    assert!(report.upstream.is_some_and(|up| up.streaming && up.message_age.0 < 3_000));
    assert_eq!(lab.database.observe(0, lab.now).map(|r| r.replicas.len()), Some(2));
}

#[test]
fn the_same_seed_gives_the_same_history() {
    let story = |seed| {
        let mut lab = Lab::new(seed, |_| {});
        lab.database.crash(0, lab.now, true);
        lab.run(20 * SECOND, &ALL);
        format!("{:?}", lab.history.records)
    };
    assert_eq!(story(7), story(7));
    assert_ne!(story(7), story(8));
}

#[test]
fn a_backend_outlives_its_postmaster_and_acknowledges() {
    let mut lab = Lab::new(3, |_| {});
    let killed = lab.now;
    lab.database.crash(0, killed, true);
    assert!(!lab.database.postmaster_alive(0) && !lab.database.is_empty(0));
    assert!(!lab.database.start(0, lab.now), "orphans are left");
    lab.run(6 * SECOND, &ALL);
    assert!(lab.acks(0, killed) >= 1);
    assert!(lab.database.is_empty(0) && lab.ended(0));
}

#[test]
fn sigkill_of_all_ends_it_within_milliseconds() {
    let mut lab = Lab::new(4, |_| {});
    lab.database.crash(0, lab.now, true);
    lab.database.kill_all(0, lab.now);
    let killed = lab.now;
    lab.run(20 * MILLI, &ALL);
    assert!(lab.database.is_empty(0));
    lab.run(10 * SECOND, &ALL);
    assert_eq!(lab.acks(0, killed + 5 * MILLI), 0);
}

#[test]
fn a_restart_recovers_and_goes_on_upon_its_timeline() {
    let mut lab = Lab::new(5, |_| {});
    lab.database.kill_all(0, lab.now);
    lab.run(SECOND, &ALL);
    assert!(!lab.database.control(0).expect("there").is_clean());
    assert!(lab.database.start(0, lab.now));
    let started = lab.now;
    lab.until("it takes writes", |d| d.in_recovery(0) == Some(false));
    assert!(lab.now - started >= 200 * MILLI);
    lab.run(10 * SECOND, &ALL);
    assert!(lab.acks(0, started) > 3);
    assert_eq!(lab.database.promotion(0).map(|p| p.timeline), Some(Timeline(1)));
    assert!(lab.database.has_walreceiver(1));
}

#[test]
fn clearing_conninfo_has_no_effect_before_the_reload_nor_while_replay_is_held() {
    let mut lab = Lab::new(6, |_| {});
    let until = lab.now + 20 * SECOND;
    lab.database.hold_replay(1, until);
    assert!(lab.database.set_conninfo(1, None));
    lab.run(SECOND, &ALL);
    assert_eq!(lab.database.detachment(1, lab.now), Some(Detached::Attached));
    lab.database.signal(1, Signal::Hup, lab.now);
    let before = lab.received(1);
    lab.run(10 * SECOND, &ALL);
    assert!(lab.database.has_walreceiver(1));
    assert!(lab.received(1) > before, "it goes on receiving");
    lab.database.kill_walreceiver(1, lab.now);
    let before = lab.received(1);
    lab.run(20 * SECOND, &ALL);
    assert!(matches!(lab.database.detachment(1, lab.now), Some(Detached::Done(_))));
    assert_eq!(lab.received(1), before, "it stays away");
}

#[test]
fn a_killed_walreceiver_comes_back_while_the_setting_stands() {
    let mut lab = Lab::new(7, |_| {});
    lab.database.kill_walreceiver(1, lab.now);
    assert!(!lab.database.has_walreceiver(1));
    lab.run(6 * SECOND, &ALL);
    assert!(lab.database.has_walreceiver(1));
}

#[test]
fn a_standby_attaches_again_after_a_restart_and_a_detached_one_does_not() {
    let mut lab = Lab::new(8, |_| {});
    lab.detach(2);
    for site in [1, 2] {
        lab.database.kill_all(site, lab.now);
    }
    lab.run(SECOND, &ALL);
    let end = lab.received(0);
    for site in [1, 2] {
        assert_eq!(lab.database.data(site), Data::Standby);
        assert!(lab.database.start(site, lab.now));
    }
    lab.until("both answer", |d| d.in_recovery(1).is_some() && d.in_recovery(2).is_some());
    if let Some(Detached::Replaying(at)) = lab.database.detachment(2, lab.now) {
        assert!(Some(at) < end);
    }
    lab.run(10 * SECOND, &ALL);
    assert!(lab.database.has_walreceiver(1) && !lab.database.has_walreceiver(2));
    assert!(matches!(lab.database.detachment(2, lab.now), Some(Detached::Done(p)) if Some(p.lsn) <= end));
}

#[test]
fn a_promotion_may_sleep_five_seconds_unless_it_is_nudged() {
    let asleep = |nudge: bool| {
        let mut lab = Lab::new(9, |s| s.stall_permille = 1_000);
        lab.detach(1);
        let began = lab.now;
        lab.promote(1, 0);
        if nudge {
            lab.run(30 * MILLI, &ALL);
            lab.database.signal(1, Signal::Hup, lab.now);
        }
        lab.until("promoted", |d| d.in_recovery(1) == Some(false));
        lab.now - began
    };
    assert!(asleep(false) > 4 * SECOND);
    assert!(asleep(true) < 200 * MILLI);
}

#[test]
fn two_promotions_may_take_the_same_number_and_only_rows_tell_them_apart() {
    let mut lab = Lab::new(10, |_| {});
    lab.detach(1);
    lab.detach(2);
    lab.database.kill_all(0, lab.now);
    lab.run(SECOND, &ALL);
    lab.promote(1, 0);
    lab.run(SECOND, &without(2));
    lab.promote(2, 0);
    lab.until("both are promoted", |d| d.in_recovery(1) == Some(false) && d.in_recovery(2) == Some(false));
    let timeline = |site| lab.database.promotion(site).map(|p| p.timeline);
    assert_eq!((timeline(1), timeline(2)), (Some(Timeline(2)), Some(Timeline(2))));
    lab.database.finish(&mut lab.history);
}

#[test]
fn laid_numbers_are_skipped_and_end_a_standby_that_starts_over_them() {
    let mut lab = Lab::new(11, |_| {});
    lab.detach(1);
    lab.promote(1, 6);
    lab.until("promoted", |d| d.in_recovery(1) == Some(false));
    assert_eq!(lab.database.promotion(1).map(|p| p.timeline), Some(Timeline(7)));
    lab.database.skip_timelines(2, Timeline(6));
    lab.database.kill_all(2, lab.now);
    lab.run(SECOND, &ALL);
    assert!(lab.database.start(2, lab.now));
    lab.run(3 * SECOND, &ALL);
    assert!(lab.database.is_empty(2));
    lab.database.clear_timelines(2);
    assert!(lab.database.start(2, lab.now));
    lab.until("it answers", |d| d.in_recovery(2) == Some(true));
}

#[test]
fn a_standby_follows_a_promoted_one_and_one_that_is_ahead_waits() {
    let mut lab = Lab::new(12, |_| {});
    lab.detach(1);
    lab.run(5 * SECOND, &ALL);
    assert!(lab.received(2) > lab.received(1));
    lab.database.kill_all(0, lab.now);
    lab.run(SECOND, &ALL);
    lab.promote(1, 1);
    lab.database.set_conninfo(2, Some(1));
    lab.database.signal(2, Signal::Hup, lab.now);
    lab.run(20 * SECOND, &ALL);
    let up = lab.database.observe(2, lab.now).and_then(|r| r.upstream).expect("a walreceiver");
    assert!(!up.streaming, "it is ahead");
    assert!(lab.database.observe(1, lab.now).is_some_and(|r| r.replicas.iter().all(|r| !r.streaming)));
    lab.database.kill_all(2, lab.now);
    lab.run(SECOND, &ALL);
    assert!(lab.database.clone_from(2, 1, lab.now));
    assert_eq!(lab.database.data(2), Data::Absent);
    lab.until("cloned", |d| d.data(2) == Data::Standby);
    assert!(lab.database.start(2, lab.now));
    lab.run(20 * SECOND, &ALL);
    let up = lab.database.observe(2, lab.now).and_then(|r| r.upstream).expect("a walreceiver");
    assert!(up.streaming && up.timeline == Timeline(2));
}

#[test]
fn a_frozen_standby_holds_a_fast_shutdown_up_until_its_walsender_is_ended() {
    let mut lab = Lab::new(13, |_| {});
    lab.database.freeze(1, lab.now + 100 * SECOND, lab.now);
    lab.run(3 * SECOND, &ALL);
    lab.database.signal(0, Signal::Int, lab.now);
    lab.run(5 * SECOND, &ALL);
    assert!(!lab.database.is_empty(0));
    assert!(lab.database.control(0).expect("there").is_clean(), "shut down is on disk already");
    lab.database.kill_walsenders(0, lab.now);
    lab.run(50 * MILLI, &ALL);
    assert!(lab.database.is_empty(0));
    let clean = lab.history.records.iter().any(|r| matches!(r.what, What::PrimaryEnded { clean: true, .. }));
    assert!(clean);
}

#[test]
fn a_clean_shutdown_ships_its_last_record() {
    let mut lab = Lab::new(14, |_| {});
    lab.database.signal(0, Signal::Int, lab.now);
    lab.run(SECOND, &ALL);
    assert!(lab.database.is_empty(0));
    let checkpoint = lab.database.control(0).expect("there").checkpoint;
    assert!(lab.received(1) > Some(checkpoint) && lab.received(2) > Some(checkpoint));
}

#[test]
fn a_frozen_primary_that_is_killed_does_not_run_again() {
    let mut lab = Lab::new(15, |_| {});
    let frozen = lab.now;
    lab.database.freeze(0, frozen + 10 * SECOND, frozen);
    lab.run(5 * SECOND, &ALL);
    lab.database.kill_all(0, lab.now);
    lab.run(20 * SECOND, &ALL);
    assert_eq!(lab.acks(0, frozen), 0);
    let told: Vec<_> = lab.history.records.iter().filter(|r| r.at >= frozen).collect();
    assert!(matches!(
        told[..],
        [Record { what: What::Frozen { .. }, .. }, Record { what: What::PrimaryEnded { .. }, .. }]
    ));
}

#[test]
fn a_thawed_primary_goes_on() {
    let mut lab = Lab::new(16, |_| {});
    let frozen = lab.now;
    lab.database.freeze(0, frozen + 10 * SECOND, frozen);
    assert_eq!(lab.database.observe(0, frozen), None);
    lab.run(9 * SECOND, &ALL);
    assert_eq!(lab.acks(0, frozen), 0);
    lab.run(10 * SECOND, &ALL);
    assert!(lab.acks(0, frozen) > 3);
}

#[test]
fn a_cut_off_primary_acknowledges_only_to_the_client_inside() {
    let mut lab = Lab::new(17, |_| {});
    let cut = lab.now;
    lab.run(20 * SECOND, &without(0));
    let inside = 2_u64 << 40;
    let rows: Vec<u64> = lab
        .history
        .records
        .iter()
        .filter(|r| r.at > cut)
        .filter_map(|r| match r.what {
            What::Acked { row, .. } => Some(row),
            _ => None,
        })
        .collect();
    assert!(rows.len() > 2 && rows.iter().all(|row| row >> 40 == inside >> 40), "{rows:x?}");
    let lost = lab.received(0).expect("it answers").bytes_since(lab.received(1).expect("it answers"));
    assert!(lost > 0);
    lab.run(10 * SECOND, &ALL);
    assert!(lab.received(0).expect("it answers").bytes_since(lab.received(1).expect("it answers")) < 500);
}

#[test]
fn nothing_is_acknowledged_before_enough_standbys_have_it() {
    let mut lab = Lab::new(18, |s| s.sync = SyncSet::any(1, &[1, 2]));
    lab.run(10 * SECOND, &ALL);
    assert!(lab.acks(0, 0) > 5);
    let cut = lab.now;
    let outside_alone = |a: Site, b: Site| a == OUTSIDE || b == OUTSIDE;
    lab.run(20 * SECOND, &outside_alone);
    let late = lab.acks(0, cut + SECOND);
    assert_eq!(late, 0, "{late} acknowledged alone");
    lab.detach(1);
    lab.detach(2);
    lab.database.set_sync(0, SyncSet::NONE);
    lab.database.signal(0, Signal::Hup, lab.now);
    let emptied = lab.now;
    lab.run(10 * SECOND, &ALL);
    assert!(lab.acks(0, emptied) > 3, "an empty set waits for nobody");
    lab.database.set_sync(0, SyncSet::any(1, &[1, 2]));
    lab.database.signal(0, Signal::Hup, lab.now);
    assert_ne!(lab.database.sync_shown(0), lab.database.sync_in_force(0), "shown before it is in force");
    lab.run(3 * SECOND, &ALL);
    assert_eq!(lab.database.sync_shown(0), lab.database.sync_in_force(0));
}

#[test]
fn a_full_disk_ends_a_primary_and_keeps_it_from_starting() {
    let mut lab = Lab::new(19, |_| {});
    lab.database.set_ill(0, Ill::DiskFull, true);
    lab.run(5 * SECOND, &ALL);
    assert!(lab.database.is_empty(0));
    assert!(lab.database.start(0, lab.now));
    lab.run(5 * SECOND, &ALL);
    assert!(lab.database.is_empty(0));
    lab.database.set_ill(0, Ill::DiskFull, false);
    assert!(lab.database.start(0, lab.now));
    lab.until("it answers", |d| d.in_recovery(0) == Some(false));
}

#[test]
fn a_quiet_minute_is_cheap() {
    let mut lab = Lab::new(20, |_| {});
    let mut turns = 0;
    let end = lab.now + 60 * SECOND;
    while lab.database.due() <= end {
        lab.now = lab.now.max(lab.database.due());
        lab.database.advance(lab.now, &ALL, &mut lab.history, &mut 0);
        turns += 1;
    }
    assert!(turns < 60 * 24, "{turns} turns in a minute");
}

#[test]
fn a_process_that_hangs_in_the_kernel_outlives_sigkill_and_writes_nothing() {
    let mut lab = Lab::new(21, |_| {});
    lab.database.set_ill(0, Ill::OutlivesKill, true);
    let killed = lab.now;
    for _ in 0..40 {
        lab.database.kill_all(0, lab.now);
        lab.run(100 * MILLI, &ALL);
    }
    assert!(!lab.database.is_empty(0) && !lab.database.postmaster_alive(0));
    lab.run(60 * SECOND, &ALL);
    assert!(lab.database.is_empty(0) && lab.ended(0));
    assert_eq!(lab.acks(0, killed + 5 * MILLI), 0);
}
