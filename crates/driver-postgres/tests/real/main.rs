//! The driver against a real PostgreSQL: a primary and a streaming standby, started here.

mod cluster;

use actor::{DatabaseConfig, DatabaseDriver, Detachment, DriverError, Permit};
use cluster::{Cluster, until};
use driver_postgres::Postgres;
use model::{DatabaseReport, DatabaseRole, Lsn, SiteId, Timeline, WalPosition};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

fn permit(answer: bool) -> Permit {
    Arc::new(move || answer)
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("a name of the test")
}

fn driver(cluster: &Cluster, port: u16) -> Postgres {
    let table =
        BTreeMap::from([(site("dc1"), cluster.conninfo()), (site("dc3"), "host=10.9.9.9".to_owned())]);
    Postgres::new(login(port, "tripoint"), &table)
}

fn login(port: u16, user: &str) -> DatabaseConfig {
    DatabaseConfig {
        host: "127.0.0.1".to_owned(),
        port,
        user: user.to_owned(),
        dbname: "postgres".to_owned(),
        password_file: None,
        application_name: "tripoint-actor".to_owned(),
    }
}

async fn setup(cluster: &Cluster) {
    for _ in 0..2 {
        driver_postgres::setup(login(cluster.primary_port, "postgres")).await.expect("setup, twice");
    }
}

async fn observed(driver: &Postgres, what: &str, good: impl Fn(&DatabaseReport) -> bool) -> DatabaseReport {
    let begun = Instant::now();
    loop {
        let report = driver.observe().await.expect("an observation is no error");
        if good(&report) {
            return report;
        }
        assert!(begun.elapsed() < Duration::from_secs(20), "not within 20 s: {what}: {report:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn detached(driver: &Postgres) -> WalPosition {
    let begun = Instant::now();
    loop {
        match driver.detachment().await {
            Ok(Detachment::Detached(position)) => return position,
            other => {
                assert!(begun.elapsed() < Duration::from_secs(20), "not detached within 20 s: {other:?}")
            }
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_and_its_standby_are_seen_detached_and_promoted() {
    let cluster = Cluster::start(6100);
    setup(&cluster).await;
    let primary = driver(&cluster, cluster.primary_port);
    let standby = driver(&cluster, cluster.standby_port);

    let report = observed(&primary, "a standby streams", |r| r.replicas.iter().any(|s| s.streaming)).await;
    assert_eq!((report.role, report.timeline), (DatabaseRole::Primary, Some(Timeline(1))));
    assert_eq!(report.replicas[0].name, "dc2");
    assert!(report.system_id.is_some() && report.received > Some(Lsn(0)) && report.upstream.is_none());
    let system = report.system_id;

    primary.write_probe(permit(true)).await.expect("a primary takes the probe");
    let refused = primary.write_probe(permit(false)).await;
    assert!(matches!(refused, Err(DriverError::Refused(_))), "{refused:?}");
    assert_eq!(primary.in_recovery().await, Ok(false));

    let streams = |r: &DatabaseReport| r.upstream.as_ref().is_some_and(|up| up.streaming);
    let report = observed(&standby, "it streams", streams).await;
    assert_eq!(
        (report.role, report.timeline, report.system_id),
        (DatabaseRole::Standby, Some(Timeline(1)), system)
    );
    assert_eq!(report.upstream.and_then(|up| up.site), Some(site("dc1")));
    assert_eq!(standby.in_recovery().await, Ok(true));
    let probe = standby.write_probe(permit(true)).await;
    assert!(matches!(probe, Err(DriverError::Refused(_))), "a standby takes no probe: {probe:?}");

    let attached = standby.detachment().await;
    assert!(matches!(attached, Ok(Detachment::Attached(_))), "{attached:?}");
    let sent = observed(&primary, "its end", |_| true).await.received.expect("a primary knows its end");
    observed(&standby, "it received that", |r| r.received >= Some(sent)).await;
    cluster.detach();
    let first = detached(&standby).await;
    assert!(first.lsn >= sent && first.timeline == Timeline(1), "{first:?} {sent}");

    // After a restart only the end of the replay tells, and it is the same.
    cluster.restart_standby();
    observed(&standby, "it is up again", |r| r.role == DatabaseRole::Standby).await;
    assert_eq!(detached(&standby).await.lsn, first.lsn);

    cluster.promote_standby();
    until("it leaves recovery", async || standby.in_recovery().await == Ok(false)).await;
    let promoted = standby.promotion().await.expect("a primary tells its position");
    assert_eq!(promoted, WalPosition { timeline: Timeline(2), lsn: first.lsn });
    standby.write_probe(permit(true)).await.expect("the new primary takes the probe");
    let report = observed(&standby, "a primary", |r| r.role == DatabaseRole::Primary).await;
    assert_eq!(report.timeline, Some(Timeline(2)));
    let refused = standby.detachment().await;
    assert!(matches!(refused, Err(DriverError::Refused(_))), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_role_cannot_promote_and_a_server_in_trouble_is_reported() {
    let cluster = Cluster::start(6110);
    setup(&cluster).await;
    let primary = driver(&cluster, cluster.primary_port);
    observed(&primary, "a standby streams", |r| r.replicas.iter().any(|s| s.streaming)).await;
    primary.write_probe(permit(true)).await.expect("a primary takes the probe");
    let standby = driver(&cluster, cluster.standby_port);
    observed(&standby, "the standby has replayed the role", |r| r.role == DatabaseRole::Standby).await;

    for statement in ["SELECT pg_promote()", "SELECT pg_reload_conf()", "SELECT pg_wal_replay_pause()"] {
        assert_eq!(cluster.refusal(cluster.standby_port, statement), "42501", "{statement}");
    }
    for statement in
        ["CREATE TABLE tripoint.x ()", "SELECT * FROM tripoint.probe", "DELETE FROM tripoint.probe"]
    {
        assert_eq!(cluster.refusal(cluster.primary_port, statement), "42501", "{statement}");
    }

    // Every session dropped from outside the runtime: the next question makes a new one.
    std::thread::scope(|scope| {
        scope.spawn(|| primary.drop_connections());
    });
    observed(&primary, "a primary", |r| r.role == DatabaseRole::Primary).await;

    primary.write_probe(permit(true)).await.expect("a primary takes the probe");

    // A server that hangs keeps nobody waiting for longer than the deadline.
    cluster.signal_backends("STOP");
    let begun = Instant::now();
    let report = primary.observe().await.expect("an observation is no error");
    assert!(begun.elapsed() < Duration::from_millis(1_500), "{:?}", begun.elapsed());
    assert_eq!(report.role, DatabaseRole::Unknown);
    let probe = primary.write_probe(permit(true)).await;
    assert!(matches!(probe, Err(DriverError::Timeout(_))), "{probe:?}");
    cluster.signal_backends("CONT");
    observed(&primary, "a primary", |r| r.role == DatabaseRole::Primary).await;

    let wrong = Postgres::new(login(cluster.primary_port, "nobody"), &BTreeMap::new());
    let report = wrong.observe().await.expect("an observation is no error");
    assert_eq!(report.role, DatabaseRole::Unknown);
    assert!(report.problem.as_ref().is_some_and(|p| p.contains("pg_hba.conf")), "{report:?}");

    cluster.stop_primary();
    let report = observed(&primary, "down", |r| r.role == DatabaseRole::Down).await;
    assert!(report.problem.is_some_and(|p| p.contains("127.0.0.1:6110")));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slots_are_made_on_both_advanced_on_the_standby_and_made_again_when_lost() {
    let cluster = Cluster::start(6120);
    setup(&cluster).await;
    let primary = driver(&cluster, cluster.primary_port);
    observed(&primary, "a standby streams", |r| r.replicas.iter().any(|s| s.streaming)).await;
    let standby = driver(&cluster, cluster.standby_port);
    let slots = || vec!["tripoint_dc2".to_owned(), "tripoint_dc3".to_owned()];
    let made = vec!["tripoint_dc2: made".to_owned(), "tripoint_dc3: made".to_owned()];
    let place = |port: u16| {
        cluster.sql(port, &["select restart_lsn from pg_replication_slots where slot_name = 'tripoint_dc3'"])
    };

    assert_eq!(primary.keep_slots(slots()).await, Ok(made.clone()));
    assert_eq!(primary.keep_slots(slots()).await, Ok(vec![]), "they are there");
    until("the standby has replayed the function", async || {
        standby.keep_slots(slots()).await.is_ok_and(|done| done == made)
    })
    .await;
    let before = place(cluster.standby_port);
    let more = [
        "create table if not exists filler (t text)",
        "insert into filler select repeat('x', 500) from generate_series(1, 2000)",
        "checkpoint",
    ];
    cluster.sql(cluster.primary_port, &more);
    let end = cluster.sql(cluster.primary_port, &["select pg_current_wal_flush_lsn()"]);
    let caught_up = format!("select pg_last_wal_replay_lsn() >= '{end}'");
    until("it is replayed", async || cluster.sql(cluster.standby_port, &[&caught_up]) == "t").await;
    cluster.sql(cluster.standby_port, &["checkpoint"]);
    assert_eq!(standby.keep_slots(slots()).await, Ok(vec![]));
    assert_ne!(place(cluster.standby_port), before, "the standby's slot is at its last restartpoint");
    // On the primary it waits for the site, whose walsender alone moves it.
    let waiting = place(cluster.primary_port);
    primary.keep_slots(slots()).await.expect("kept");
    assert_eq!(place(cluster.primary_port), waiting);

    cluster.sql(
        cluster.primary_port,
        &["alter system set max_slot_wal_keep_size = '1MB'", "select pg_reload_conf()"],
    );
    for _ in 0..4 {
        cluster.sql(
            cluster.primary_port,
            &[
                "insert into filler select repeat('y', 500) from generate_series(1, 2000)",
                "select pg_switch_wal()",
                "checkpoint",
            ],
        );
    }
    let lost = cluster.sql(
        cluster.primary_port,
        &["select wal_status from pg_replication_slots where slot_name = 'tripoint_dc3'"],
    );
    assert_eq!(lost, "lost");
    let done = primary.keep_slots(slots()).await.expect("kept");
    assert_eq!(done.len(), 2, "{done:?}");
    assert!(done[1].starts_with("tripoint_dc3: lost its WAL"), "{done:?}");
    assert_ne!(place(cluster.primary_port), waiting);

    // The role has rights on none of this but by the one function, for our slots.
    for statement in [
        "select pg_create_physical_replication_slot('tripoint_x')",
        "select tripoint.keep_slot('other')",
        "select pg_drop_replication_slot('tripoint_dc3')",
    ] {
        let refused = cluster.refusal(cluster.primary_port, statement);
        assert!(["42501", "22023"].contains(&refused.as_str()), "{statement}: {refused}");
    }
}
