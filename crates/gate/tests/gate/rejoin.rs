//! A former primary comes home: listed, rewound, or copied anew.

use crate::site::{SOON, Site, Wish, program};
use crate::{clients, wait_for};
use model::{CopyMark, CopyReport, CopyState};
use rpc::v1::{self, RejoinWay, StepOutcome, order::Kind};
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// Tools on a loaded machine.
const TOOLS: Duration = Duration::from_secs(90);
/// Transactions that only the old primary had.
const ONLY_THERE: u64 = 42;

/// The site that was lost, with a data directory beside which the gate may work, and the server
/// that took over: its former standby, which no gate owns.
struct Lost {
    site: Site,
    winner: PathBuf,
    port: u16,
    fork: v1::WalPosition,
}

fn run(command: &mut std::process::Command) {
    assert!(command.status().expect("it starts").success(), "{command:?}");
}

impl Lost {
    fn new() -> Self {
        let mut site = Site::new(Wish::held_by("auto"));
        site.configure("wal_log_hints = on\n");
        site.start_gate();
        site.actor.cover(1);
        wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
        clients().block_on(async {
            let sql = "create table t (n int); insert into t select generate_series(1, 1000); checkpoint";
            site.connect().await.batch_execute(sql).await.expect("it writes");
        });
        let (winner, port) = (site.root.path().join("winner"), crate::site::free_port());
        let from = site.port.to_string();
        run(program("pg_basebackup")
            .args(["-h", "127.0.0.1", "-U", "postgres", "-R", "-c", "fast", "-p", &from, "-D"])
            .arg(&winner));
        let conf = format!(
            "port = {port}\nlisten_addresses = '127.0.0.1'\nunix_socket_directories = ''\nfsync = off\n\
             shared_buffers = 16MB\nwal_keep_size = 64MB\nwal_log_hints = on\n"
        );
        fs::write(winner.join("postgresql.conf"), conf).expect("written");
        let log = site.root.path().join("winner.log");
        run(program("pg_ctl").args(["-w", "start", "-D"]).arg(&winner).arg("-l").arg(log));
        run(program("pg_ctl").args(["-w", "promote", "-D"]).arg(&winner));
        clients().block_on(async {
            let client = site.connect().await;
            for n in 0..ONLY_THERE {
                let insert = format!("insert into t values ({})", 10_000 + n);
                client.batch_execute(&insert).await.expect("it writes");
            }
        });
        let (outcome, why) = site.actor.obey(Kind::Relinquish(v1::Relinquish { epoch: 1 }), SOON);
        assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
        site.actor.say(|w| {
            w.cover = None;
            (w.highest, w.closed) = (2, 1);
        });
        let history = fs::read_to_string(winner.join("pg_wal/00000002.history")).expect("promoted");
        let lsn: model::Lsn = history.split_whitespace().nth(1).expect("a place").parse().expect("an LSN");
        let fork = v1::WalPosition { timeline: 1, lsn: lsn.0 };
        Self { site, winner, port, fork }
    }

    fn order(&self, way: RejoinWay) -> Kind {
        let primary = format!("host=127.0.0.1 port={} user=postgres application_name=dc1", self.port);
        Kind::Rejoin(v1::Rejoin {
            epoch: 2,
            way: way.into(),
            rewind_conninfo: format!("{primary} dbname=postgres"),
            primary_conninfo: primary,
            primary_slot: None,
            fork: Some(self.fork),
            system_id: None,
        })
    }

    fn must(&self, way: RejoinWay) -> String {
        let (outcome, why) = self.site.actor.obey(self.order(way), TOOLS);
        assert_eq!(outcome, StepOutcome::OutcomeDone, "{way:?}: {why}");
        why
    }

    fn copy(&self, what: &str, good: impl Fn(&CopyReport) -> bool) -> CopyReport {
        wait_for(what, SOON, || {
            let copy = self.site.actor.world().report.clone().and_then(|r| r.copy);
            copy.filter(|c| good(c))
        })
    }

    fn beside(&self) -> PathBuf {
        self.site.data.with_extension("tripoint")
    }

    /// It streams, and has what the winner has.
    fn streams(&self) {
        clients().block_on(async {
            let end = Instant::now() + TOOLS;
            let streaming = "select received_tli from pg_stat_wal_receiver where status = 'streaming'";
            loop {
                let client = self.site.connect().await;
                let row = client.query_opt(streaming, &[]).await.ok().flatten();
                if let Some(row) = row {
                    assert_eq!(row.get::<_, i32>(0), 2);
                    let rows = client.query_one("select count(*) from t", &[]).await.expect("a standby");
                    assert_eq!(rows.get::<_, i64>(0), 1_000, "what only the old primary had is gone");
                    return;
                }
                assert!(Instant::now() < end, "it does not stream: {}", self.site.log());
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
    }
}

impl Drop for Lost {
    fn drop(&mut self) {
        let _ = program("pg_ctl").args(["-m", "immediate", "stop", "-D"]).arg(&self.winner).status();
    }
}

#[test]
fn what_only_it_had_is_counted_exactly_kept_and_rewound() {
    let lost = Lost::new();
    let before = lost.copy("a former primary", |c| c.state == CopyState::Primary && c.diverged.is_none());
    assert!(before.can_rewind && before.mark.is_none() && before.free > 0);
    let list = lost.must(RejoinWay::RejoinInspect);
    let diverged = lost.copy("a list", |c| c.diverged.is_some()).diverged.expect("waited for");
    assert_eq!(diverged.commits, ONLY_THERE, "{list}");
    assert!(diverged.readable && diverged.summary.starts_with("42 committed transactions"), "{list}");
    assert!(diverged.summary.contains("postgres.t (") && diverged.summary.contains(") 42"), "{list}");
    // Configuration in the data directory is this site's own; the tool would bring the winner's.
    let own = fs::read_to_string(lost.site.data.join("postgresql.conf")).expect("there");
    lost.must(RejoinWay::RejoinRewind);
    lost.streams();
    let now = fs::read_to_string(lost.site.data.join("postgresql.conf")).expect("there");
    assert!(now.contains(&format!("port = {}", lost.site.port)), "{now}");
    assert_eq!(now.lines().next(), own.lines().next());
    let set = lost.beside().join(format!("diverged/t1-{:X}", lost.fork.lsn));
    let list = fs::read_to_string(set.join("list.txt")).expect("kept");
    assert!(list.starts_with("42 committed transactions"), "{list}");
    assert!(fs::read_dir(&set).expect("kept").count() >= 2, "the WAL itself too");
    // Rewound once: remembered until it has streamed.
    lost.copy("a marker", |c| c.mark == Some(CopyMark::RewindDone));
    lost.site.actor.say(|w| w.streams = true);
    lost.copy("no marker any more", |c| c.mark.is_none());
}

/// Kills the real `pg_rewind` of this data directory as soon as it is there.
fn kill_rewind(data: &std::path::Path) {
    let wanted = data.display().to_string();
    wait_for("pg_rewind", TOOLS, || {
        let all = fs::read_dir("/proc").expect("readable").flatten();
        let pids = all.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
        let mut killed = None;
        for pid in pids {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line).replace('\0', " ");
            let program = line.split(' ').next().unwrap_or_default();
            if program.ends_with("pg_rewind") && line.contains(&wanted) && !line.contains("--dry-run") {
                // SAFETY: plain system call; it is this test's own tool.
                unsafe { libc::kill(pid, libc::SIGKILL) };
                killed = Some(());
            }
        }
        killed
    });
}

#[test]
fn a_rewind_killed_midway_never_runs_again_until_a_base_backup_took_its_place() {
    let mut lost = Lost::new();
    lost.must(RejoinWay::RejoinInspect);
    let number = lost.site.actor.order(lost.order(RejoinWay::RejoinRewind));
    kill_rewind(&lost.site.data);
    let (outcome, why) = lost.site.actor.outcome(number, TOOLS);
    assert_eq!(outcome, StepOutcome::OutcomeFailed, "{why}");
    let copy = lost.copy("a lost directory", |c| c.mark == Some(CopyMark::RewindBegun));
    assert_eq!(copy.task, None);
    // Whatever gate comes, with whatever cover: this copy does not run.
    lost.site.signal_gate(libc::SIGKILL);
    lost.site.gate_ends(SOON);
    lost.site.start_gate();
    lost.site.actor.cover(3);
    wait_for("the cover", SOON, || lost.site.actor.world().timed_ack.filter(|a| a.0 == 3));
    std::thread::sleep(Duration::from_millis(500));
    assert!(lost.site.processes().is_empty());
    lost.site.actor.say(|w| w.cover = None);
    let Kind::Rejoin(order) = lost.order(RejoinWay::RejoinClone) else { unreachable!() };
    let order = v1::Rejoin { epoch: 3, ..order };
    let (outcome, why) = lost.site.actor.obey(Kind::Rejoin(order), TOOLS);
    assert_eq!(outcome, StepOutcome::OutcomeDone, "{why}");
    lost.streams();
    let old = lost.beside().join("old");
    assert!(old.join("global/pg_control").exists(), "the old copy waits until the new one streams");
    lost.site.actor.say(|w| w.streams = true);
    wait_for("the old copy's end", SOON, || (!old.exists()).then_some(()));
    lost.copy("a clean slate", |c| c.mark.is_none() && c.state == CopyState::Standby);
}

#[test]
fn a_base_backup_that_fails_leaves_the_old_copy_alone() {
    let lost = Lost::new();
    let Kind::Rejoin(order) = lost.order(RejoinWay::RejoinClone) else { unreachable!() };
    let nowhere = "host=127.0.0.1 port=1 user=postgres".to_owned();
    let (outcome, why) =
        lost.site.actor.obey(Kind::Rejoin(v1::Rejoin { primary_conninfo: nowhere, ..order }), TOOLS);
    assert_eq!(outcome, StepOutcome::OutcomeFailed, "{why}");
    assert!(why.contains("the source at 127.0.0.1:1 is not there"), "{why}");
    let copy = lost.copy("the old copy", |c| c.task.is_none());
    assert_eq!((copy.state, copy.mark), (CopyState::Primary, None));
    let Kind::Rejoin(order) = lost.order(RejoinWay::RejoinClone) else { unreachable!() };
    let slot = Some("nobody_made_it".to_owned());
    let (outcome, why) =
        lost.site.actor.obey(Kind::Rejoin(v1::Rejoin { primary_slot: slot, ..order }), TOOLS);
    assert_eq!(outcome, StepOutcome::OutcomeFailed, "{why}");
    assert!(why.contains("pg_basebackup") && why.contains("replication slot"), "{why}");
    lost.copy("the old copy", |c| c.task.is_none() && c.state == CopyState::Primary);
    let Kind::Rejoin(order) = lost.order(RejoinWay::RejoinRewind) else { unreachable!() };
    let nobody = format!("host=127.0.0.1 port={} user=nobody dbname=postgres", lost.port);
    let (outcome, why) =
        lost.site.actor.obey(Kind::Rejoin(v1::Rejoin { rewind_conninfo: nobody, ..order }), TOOLS);
    assert_eq!(outcome, StepOutcome::OutcomeFailed, "{why}");
    assert!(why.contains("nothing was changed"), "{why}");
    lost.must(RejoinWay::RejoinInspect);
    lost.must(RejoinWay::RejoinRewind);
    lost.streams();
}
