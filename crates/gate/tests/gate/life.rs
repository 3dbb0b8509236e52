//! Starting, restarting, ending: no lease lapses here.

use crate::site::{SOON, Site, Wish};
use crate::{clients, wait_for};
use model::Epoch;
use std::fs;
use std::time::{Duration, Instant};

fn site() -> Site {
    Site::new(Wish::held_by("auto"))
}

/// A primary open at this epoch.
fn open(epoch: u64) -> Site {
    let mut site = site();
    site.start_gate();
    site.actor.cover(epoch);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
    site
}

#[test]
fn a_standby_needs_no_cover() {
    let mut site = site();
    site.make_standby();
    site.start_gate();
    site.wait_log("waiting for the group's answer");
    assert!(site.processes().is_empty(), "nothing starts from an empty store");
    site.actor.say(|w| w.highest = 1);
    wait_for("a standby", SOON, || (site.role("GET", "/replica") == 200).then_some(()));
    assert_eq!(site.role("GET", "/primary"), 503);
    assert_eq!(site.role("OPTIONS", "/read-only"), 200);
    assert_eq!(site.role("GET", "/replica?lag=1MB"), 503, "no lag is known");
    let report = site.actor.world().report.clone().expect("it reports");
    assert!(report.standby && report.data_present && report.open.is_none());
    site.signal_gate(libc::SIGTERM);
    assert_eq!(site.gate_ends(SOON), Some(0));
    assert!(site.processes().is_empty());
}

#[test]
fn a_primary_waits_for_its_cover_and_a_planned_stop_is_clean() {
    let mut site = site();
    site.start_gate();
    site.actor.say(|w| w.highest = 2);
    site.wait_log("no cover: this site may not run the primary");
    assert!(site.processes().is_empty());
    site.actor.cover(2);
    wait_for("an open primary", SOON, || (site.role("OPTIONS", "/primary") == 200).then_some(()));
    assert_eq!(site.role("HEAD", "/read-write"), 200);
    assert_eq!(site.role("GET", "/replica"), 503);
    assert_eq!(site.role("GET", "/liveness"), 200);
    assert_eq!(site.role("GET", "/nothing"), 404);
    wait_for("the report", SOON, || {
        let world = site.actor.world();
        let report = world.report.as_ref()?;
        (report.open == Some(Epoch(2)) && world.timed_ack.is_some_and(|(epoch, _)| epoch == 2)).then_some(())
    });
    site.signal_gate(libc::SIGTERM);
    assert_eq!(site.gate_ends(SOON), Some(0));
    assert!(site.processes().is_empty());
    assert!(site.log().contains("shut down cleanly"), "{}", site.log());
}

#[test]
fn a_dead_postmaster_is_restarted_in_place() {
    let site = open(1);
    clients().block_on(async {
        let client = site.connect().await;
        client.batch_execute("create table t (n int)").await.expect("created");
        let killed = Instant::now();
        // SAFETY: plain system call.
        unsafe { libc::kill(site.postmaster(), libc::SIGKILL) };
        loop {
            if let Ok(client) = site.try_connect().await
                && client.execute("insert into t values (1)", &[]).await.is_ok()
            {
                break;
            }
            assert!(killed.elapsed() < SOON, "never back");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let outage = killed.elapsed();
        eprintln!("restarted in place after {outage:?}");
        assert!(outage < Duration::from_millis(1_500), "{outage:?}: the target is 0.7 s on an idle machine");
    });
}

#[test]
fn epoch_zero_is_a_plain_parent_and_later_epochs_are_taken_over_in_place() {
    let mut site = site();
    site.start_gate();
    site.actor.say(|w| w.highest = 0);
    wait_for("it runs", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
    let postmaster = site.postmaster();
    // The news of the adoption comes before the cover.
    site.actor.say(|w| w.highest = 1);
    site.actor.say(|w| w.cover = Some((1, true, w.index)));
    site.wait_log("epoch 1 taken over without a restart");
    // Held: silence closes nothing.
    site.actor.say(|w| w.cover = Some((1, false, w.index)));
    wait_for("a timed cover is acknowledged", SOON, || site.actor.world().timed_ack.filter(|a| a.0 == 1));
    // An abort entry names the same site.
    site.actor.say(|w| w.highest = 2);
    site.actor.cover(2);
    site.wait_log("epoch 2 taken over without a restart");
    assert_eq!(site.postmaster(), postmaster);
    assert_eq!(site.role("GET", "/primary"), 200);
    let record = fs::read_to_string(site.state().join("db/gate.record")).expect("on disk");
    assert!(record.contains("highest 2"), "{record}");
}

/// A stock HAProxy with the checks that Patroni's documentation gives.
#[test]
fn a_haproxy_written_for_patroni_follows_the_primary() {
    let mut site = open(1);
    let listener = std::net::SocketAddr::from(([127, 0, 0, 1], crate::site::free_port()));
    let config = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout client 30m\n  timeout connect 4s\n  timeout server 30m\n  \
         timeout check 1s\nlisten postgres_write\n  bind {listener}\n  option httpchk OPTIONS /primary\n  \
         http-check expect status 200\n  default-server inter 100ms fastinter 100ms rise 2 fall 2 on-marked-down shutdown-sessions\n  \
         server pg1 127.0.0.1:{} maxconn 100 check port {}\n",
        site.port, site.endpoint
    );
    let path = site.root.path().join("haproxy.cfg");
    fs::write(&path, config).expect("written");
    let mut haproxy =
        std::process::Command::new("haproxy").arg("-db").arg("-f").arg(&path).spawn().expect("installed");
    let through = || {
        clients().block_on(async {
            let mut pg = tokio_postgres::Config::new();
            pg.host("127.0.0.1")
                .port(listener.port())
                .user("postgres")
                .connect_timeout(Duration::from_secs(1));
            let Ok((client, connection)) = pg.connect(tokio_postgres::NoTls).await else { return false };
            tokio::spawn(async move { drop(connection.await) });
            client.execute("select 1", &[]).await.is_ok()
        })
    };
    wait_for("a way through", SOON, || through().then_some(()));
    site.signal_gate(libc::SIGTERM);
    site.gate_ends(SOON);
    site.make_standby();
    site.start_gate();
    wait_for("a standby", SOON, || (site.role("GET", "/replica") == 200).then_some(()));
    wait_for("no way to a standby", SOON, || (!through()).then_some(()));
    haproxy.kill().expect("ours");
    haproxy.wait().expect("ours");
}

#[test]
fn silence_does_not_end_a_held_cover() {
    let mut site = site();
    site.start_gate();
    site.actor.say(|w| {
        w.highest = 1;
        w.cover = Some((1, true, w.index));
    });
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
    site.actor.die();
    std::thread::sleep(Duration::from_millis(crate::actor::LEASE.0 + crate::actor::FENCE.0));
    assert_eq!(site.role("GET", "/primary"), 200);
}

#[test]
fn an_actor_that_restarts_takes_over_without_a_gap() {
    let mut site = open(1);
    let postmaster = site.postmaster();
    for _ in 0..3 {
        site.actor.die();
        site.actor.restart();
        let asks = site.actor.world().asks;
        wait_for("asks again", SOON, || (site.actor.world().asks > asks).then_some(()));
        assert_eq!(site.role("GET", "/primary"), 200, "an actor that knows nothing closes nothing");
        site.actor.say(|_| {});
    }
    std::thread::sleep(Duration::from_millis(crate::actor::LEASE.0));
    assert_eq!(site.role("GET", "/primary"), 200);
    assert_eq!(site.postmaster(), postmaster);
}

#[test]
fn a_damaged_record_opens_nothing_until_the_group_refills_it() {
    let mut site = open(3);
    site.signal_gate(libc::SIGKILL);
    site.gate_ends(SOON);
    site.wait_empty(SOON);
    let path = site.state().join("db/gate.record");
    let text = fs::read_to_string(&path).expect("there");
    fs::write(&path, text.replace("highest 3", "highest 1")).expect("written");
    site.actor.world().known = false;
    site.start_gate();
    site.wait_log("the record is lost or new");
    std::thread::sleep(Duration::from_millis(300));
    assert!(site.processes().is_empty());
    site.actor.say(|w| w.cover = None);
    site.wait_log("refilled by the group: highest epoch 3");
    assert!(site.processes().is_empty());
    site.actor.cover(3);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
}

#[test]
fn a_second_gate_is_refused() {
    let site = open(1);
    let output = site.gate_command().output().expect("it starts");
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(text.contains("another gate holds its lock"), "{text}");
    assert_eq!(site.role("GET", "/primary"), 200);
}

#[test]
fn a_standby_that_somebody_promotes_is_killed() {
    let mut site = site();
    site.make_standby();
    site.start_gate();
    site.actor.say(|w| w.highest = 1);
    wait_for("a standby", SOON, || (site.role("GET", "/replica") == 200).then_some(()));
    clients().block_on(async {
        let client = site.connect().await;
        let _ = client.execute("select pg_promote(false)", &[]).await;
    });
    site.wait_log("KILL: the standby was promoted, and not by the gate");
    site.wait_empty(SOON);
    site.wait_log("no cover: this site may not run the primary");
}

#[test]
fn at_epoch_zero_a_promotion_is_the_administrators() {
    let mut site = site();
    site.make_standby();
    site.start_gate();
    site.actor.say(|w| w.highest = 0);
    wait_for("a standby", SOON, || (site.role("GET", "/replica") == 200).then_some(()));
    let postmaster = site.postmaster();
    clients().block_on(async {
        site.connect().await.execute("select pg_promote(true)", &[]).await.expect("promoted");
    });
    wait_for("a primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
    site.actor.cover(1);
    site.wait_log("epoch 1 taken over without a restart");
    assert_eq!(site.postmaster(), postmaster);
}

#[test]
fn another_server_in_the_directory_is_refused_at_epoch_zero_and_killed_later() {
    let mut site = site();
    let start = |site: &Site| {
        let status = crate::site::program("pg_ctl")
            .args(["-w", "start", "-D"])
            .arg(&site.data)
            .arg("-l")
            .arg(site.root.path().join("pg.log"))
            .status();
        assert!(status.expect("it starts").success());
    };
    start(&site);
    site.start_gate();
    site.actor.say(|w| w.highest = 0);
    assert_eq!(site.gate_ends(SOON), Some(2));
    assert!(site.log().contains("stop it cleanly"), "{}", site.log());
    assert!(!site.processes().is_empty(), "it was not touched");
    site.start_gate();
    site.actor.say(|w| w.highest = 1);
    site.wait_log("KILL: a server that this gate did not start");
    site.wait_empty(SOON);
    site.actor.cover(1);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
}

#[test]
fn idle_connections_do_not_use_up_the_role_endpoint() {
    let site = open(1);
    let connect = || std::net::TcpStream::connect(("127.0.0.1", site.endpoint)).expect("queued");
    let idle: Vec<_> = (0..60).map(|_| connect()).collect();
    assert_eq!(site.role("GET", "/primary"), 200, "below the limit");
    let more: Vec<_> = (0..40).map(|_| connect()).collect();
    let fds = fs::read_dir(format!("/proc/{}/fd", site.gate_pid())).expect("readable").count();
    assert!(fds < 130, "{fds} descriptors");
    drop((idle, more));
    wait_for("an answer", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
}
