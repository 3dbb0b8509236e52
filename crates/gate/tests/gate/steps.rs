//! What the actor orders: promote, detach, follow, relinquish, stop.

use crate::site::{SOON, Site, Wish, program};
use crate::{clients, wait_for};
use rpc::v1::{self, StepOutcome, order::Kind};
use std::fs;
use std::time::Instant;

fn standby() -> Site {
    let mut site = Site::new(Wish::held_by("auto"));
    site.make_standby();
    site.start_gate();
    site.actor.say(|w| w.highest = 1);
    wait_for("a standby", SOON, || (site.role("GET", "/replica") == 200).then_some(()));
    site
}

fn promote(epoch: u64, timeline_highest: u32) -> Kind {
    Kind::Promote(v1::Promote { epoch, timeline_highest })
}

async fn timeline(site: &Site) -> u32 {
    let client = site.connect().await;
    let row =
        client.query_one("select substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8)", &[]).await;
    u32::from_str_radix(row.expect("a primary").get(0), 16).expect("hexadecimal")
}

#[test]
fn a_promotion_needs_its_cover_and_skips_timelines() {
    let site = standby();
    let (outcome, why) = site.actor.obey(promote(2, 1), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeFailed, "{why}");
    site.actor.cover(2);
    let (outcome, why) = site.actor.obey(promote(1, 1), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeFailed, "{why}");
    wait_for("the cover", SOON, || site.actor.world().timed_ack.filter(|a| a.0 == 2));
    let began = Instant::now();
    let (outcome, why) = site.actor.obey(promote(2, 4), SOON);
    eprintln!("promoted in {:?}: {why}", began.elapsed());
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    clients().block_on(async {
        site.connect().await.batch_execute("create table t (n int)").await.expect("it writes");
        assert_eq!(timeline(&site).await, 5);
    });
    assert_eq!(site.role("GET", "/primary"), 200);
    let postmaster = site.postmaster();
    let (outcome, _) = site.actor.obey(promote(2, 4), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "harmless when repeated");
    assert_eq!(site.postmaster(), postmaster);
}

#[test]
fn a_closed_epoch_is_never_promoted() {
    let site = standby();
    let (outcome, _) = site.actor.obey(Kind::Relinquish(v1::Relinquish { epoch: 2 }), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "a standby goes on");
    assert!(!site.processes().is_empty());
    site.actor.cover(2);
    wait_for("the cover", SOON, || site.actor.world().timed_ack.filter(|a| a.0 == 2));
    let (outcome, why) = site.actor.obey(promote(2, 1), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeFailed);
    assert!(why.contains("closed"), "{why}");
}

#[test]
fn relinquish_is_answered_when_nothing_is_left_and_holds() {
    let mut site = Site::new(Wish::held_by("auto"));
    site.start_gate();
    site.actor.cover(1);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
    let (outcome, why) = site.actor.obey(Kind::Relinquish(v1::Relinquish { epoch: 1 }), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    assert!(site.processes().is_empty());
    assert!(why.contains("shut down cleanly"), "{why}");
    // The cover still says 1, also to a gate that comes later.
    site.wait_log("the cover's epoch is closed here");
    site.signal_gate(libc::SIGKILL);
    site.gate_ends(SOON);
    site.start_gate();
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(site.processes().is_empty());
    site.actor.cover(2);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
}

#[test]
fn a_stop_is_clean_and_relinquishes() {
    let mut site = Site::new(Wish::held_by("auto"));
    site.start_gate();
    site.actor.cover(1);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
    let number = site.actor.order(Kind::Stop(v1::Stop { epoch: 1 }));
    let (outcome, why) = site.actor.outcome(number, SOON);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    assert!(why.contains("shut down cleanly") && why.contains("relinquished"), "{why}");
    assert!(site.processes().is_empty());
    site.actor.order_again(number, Kind::Stop(v1::Stop { epoch: 1 }));
    assert_eq!(site.actor.outcome(number, SOON).0, StepOutcome::OutcomeDone);
    site.wait_log("the cover's epoch is closed here");
    assert!(site.processes().is_empty());
}

/// A primary that no gate owns, and a standby of it under the gate.
fn pair() -> (Upstream, Site) {
    let upstream = Upstream(Site::new(Wish::held_by("auto")));
    let primary = &upstream.0;
    let log = primary.root.path().join("pg.log");
    let started =
        program("pg_ctl").args(["-w", "start", "-D"]).arg(&primary.data).arg("-l").arg(log).status();
    assert!(started.expect("it starts").success());
    let mut site = Site::new(Wish::held_by("auto"));
    let conf = fs::read(site.data.join("postgresql.conf")).expect("there");
    fs::remove_dir_all(&site.data).expect("removed");
    let copied = program("pg_basebackup")
        .args([
            "-h",
            "127.0.0.1",
            "-U",
            "postgres",
            "-R",
            "-c",
            "fast",
            "-p",
            &primary.port.to_string(),
            "-D",
        ])
        .arg(&site.data)
        .status();
    assert!(copied.expect("it starts").success());
    fs::write(site.data.join("postgresql.conf"), conf).expect("written");
    site.start_gate();
    site.actor.say(|w| w.highest = 1);
    clients().block_on(async {
        let client = site.connect().await;
        let end = Instant::now() + SOON;
        let streaming = "select 1 from pg_stat_wal_receiver where status = 'streaming'";
        while client.query_opt(streaming, &[]).await.ok().flatten().is_none() {
            assert!(Instant::now() < end, "it does not stream: {}", site.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    });
    (upstream, site)
}

/// Ends with the test.
struct Upstream(Site);

impl Upstream {
    fn conninfo(&self) -> String {
        format!("host=127.0.0.1 port={} user=postgres application_name='dc1'", self.0.port)
    }
}

#[test]
fn detached_means_no_walreceiver_also_after_a_restart_until_it_follows() {
    let (upstream, mut site) = pair();
    let began = Instant::now();
    let (outcome, why) = site.actor.obey(Kind::Detach(v1::Detach { epoch: 1 }), SOON);
    eprintln!("detached in {:?}: {why}", began.elapsed());
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    assert!(site.titled("walreceiver").is_empty());
    clients().block_on(async {
        let row = site.connect().await.query_one("show primary_conninfo", &[]).await.expect("it answers");
        assert_eq!(row.get::<_, String>(0), "");
    });
    site.signal_gate(libc::SIGTERM);
    assert_eq!(site.gate_ends(SOON), Some(0));
    site.start_gate();
    wait_for("a standby", SOON, || (site.role("GET", "/replica") == 200).then_some(()));
    std::thread::sleep(std::time::Duration::from_millis(500));
    assert!(site.titled("walreceiver").is_empty());
    // Nobody follows an older epoch.
    site.actor.say(|w| w.highest = 2);
    wait_for("the news", SOON, || {
        site.actor.world().report.as_ref().filter(|r| r.highest.0 == 2).map(|_| ())
    });
    let follow =
        |epoch| Kind::Follow(v1::Follow { epoch, primary_conninfo: upstream.conninfo(), primary_slot: None });
    assert_eq!(site.actor.obey(follow(1), SOON).0, StepOutcome::OutcomeFailed);
    assert_eq!(site.actor.obey(Kind::Detach(v1::Detach { epoch: 1 }), SOON).0, StepOutcome::OutcomeFailed);
    assert_eq!(site.actor.obey(follow(2), SOON).0, StepOutcome::OutcomeDone);
    wait_for("a walreceiver", SOON, || site.titled("walreceiver").first().copied());
}

#[test]
fn a_standby_follows_over_skipped_timelines_and_starts_over_laid_ones() {
    let (mut upstream, site) = pair();
    let old = &mut upstream.0;
    let stopped = program("pg_ctl").args(["-w", "-m", "fast", "stop", "-D"]).arg(&old.data).status();
    assert!(stopped.expect("it starts").success());
    site.actor.cover(2);
    wait_for("the cover", SOON, || site.actor.world().timed_ack.filter(|a| a.0 == 2));
    let (outcome, why) = site.actor.obey(promote(2, 3), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    // The old primary comes back as its standby, with files of a promotion that never was.
    old.make_standby();
    let wal = old.data.join("pg_wal");
    for file in ["00000002.history", "00000003.history"] {
        fs::copy(site.data.join("pg_wal").join(file), wal.join(file)).expect("laid here");
    }
    old.start_gate();
    old.actor.say(|w| w.highest = 2);
    wait_for("a standby", SOON, || (old.role("GET", "/replica") == 200).then_some(()));
    let primary_conninfo = format!("host=127.0.0.1 port={} user=postgres", site.port);
    let follow = Kind::Follow(v1::Follow { epoch: 2, primary_conninfo, primary_slot: None });
    assert_eq!(old.actor.obey(follow, SOON).0, StepOutcome::OutcomeDone);
    clients().block_on(async {
        let (primary, standby) = (site.connect().await, old.connect().await);
        primary.batch_execute("create table t (n int); insert into t values (7)").await.expect("it writes");
        let end = Instant::now() + SOON;
        while standby.query_one("select n from t", &[]).await.is_err() {
            assert!(Instant::now() < end, "it does not stream: {}", old.log());
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
        let row =
            standby.query_one("select received_tli from pg_stat_wal_receiver", &[]).await.expect("streaming");
        assert_eq!(row.get::<_, i32>(0), 4);
    });
}

#[test]
fn a_paused_replay_does_not_keep_a_standby_attached() {
    let (_upstream, site) = pair();
    clients().block_on(async {
        site.connect().await.execute("select pg_wal_replay_pause()", &[]).await.expect("paused");
    });
    let (outcome, why) = site.actor.obey(Kind::Detach(v1::Detach { epoch: 1 }), SOON);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    std::thread::sleep(std::time::Duration::from_millis(700));
    assert!(site.titled("walreceiver").is_empty());
}
