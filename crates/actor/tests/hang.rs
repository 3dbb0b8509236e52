//! An actor whose runtime is blocked for longer than F ends by SIGABRT, from its own timer.
//!
//! The test starts itself again as the victim: a process of its own, whose only runtime thread a
//! driver blocks for ever.

use actor::{
    Config, DatabaseConfig, DatabaseDriver, Detachment, DriverError, DriverFuture, Drivers, Permit,
    StackConfig, TlsFiles, WitnessAddress,
};
use coordination::timing::{Profile, TimingValues};
use model::{DatabaseReport, Millis, SiteId, StackId, WalPosition};
use rpc::certs::{Authority, CA_CERT};
use rpc::identity::Role;
use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Names the victim's directory.
const VICTIM: &str = "TRIPOINT_ACTOR_HANG_TEST";
const FENCE: Duration = Duration::from_millis(600);

/// Blocks the thread that asks it.
struct Blocking;

fn absent<T>() -> DriverFuture<'static, T> {
    Box::pin(async { Err(DriverError::Down("a fake".to_owned())) })
}

impl DatabaseDriver for Blocking {
    fn observe(&self) -> DriverFuture<'_, DatabaseReport> {
        std::thread::sleep(Duration::from_secs(120));
        absent()
    }
    fn write_probe(&self, _permit: Permit) -> DriverFuture<'_, ()> {
        absent()
    }
    fn in_recovery(&self) -> DriverFuture<'_, bool> {
        absent()
    }
    fn detachment(&self) -> DriverFuture<'_, Detachment> {
        absent()
    }
    fn promotion(&self) -> DriverFuture<'_, WalPosition> {
        absent()
    }
    fn drop_connections(&self) {}
}

fn config(directory: &Path) -> Config {
    let site = SiteId::new("dc1").expect("a name");
    let at = |name: &str| -> PathBuf { directory.join(name) };
    let database = DatabaseConfig {
        host: "nowhere".to_owned(),
        port: 1,
        user: "tripoint".to_owned(),
        dbname: "postgres".to_owned(),
        password_file: None,
        application_name: "tripoint-actor".to_owned(),
    };
    Config {
        group: "test".to_owned(),
        site: site.clone(),
        listen: "127.0.0.1:0".parse().expect("an address"),
        witnesses: vec![WitnessAddress { site, address: "127.0.0.1:1".to_owned() }],
        tls: TlsFiles { ca: at(CA_CERT), certificate: at("actor.pem"), key: at("actor.key") },
        state_directory: at("state"),
        timing: TimingValues { fence_deadline: Millis(600), ..Profile::Fast.values() },
        stacks: vec![StackConfig {
            stack: StackId::new("ess").expect("a name"),
            database,
            primary_conninfo: BTreeMap::new(),
            rewind_conninfo: BTreeMap::new(),
            slots: true,
        }],
    }
}

#[test]
fn a_blocked_runtime_is_ended_by_the_self_fence() {
    if let Some(directory) = std::env::var_os(VICTIM) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let stack = StackId::new("ess").expect("a name");
        let drivers =
            Drivers { databases: BTreeMap::from([(stack, Arc::new(Blocking) as Arc<dyn DatabaseDriver>)]) };
        let ended =
            runtime.block_on(actor::run(config(Path::new(&directory)), drivers, std::future::pending()));
        panic!("it must not end by itself: {ended:?}");
    }
    let directory =
        tempfile::Builder::new().prefix("tripoint-actor-").tempdir_in("/var/tmp").expect("a temp dir");
    let authority = Authority::create(directory.path(), "test", 1, false).expect("a CA");
    let pair = authority.issue(Role::Actor, "dc1", &[], 1).expect("a certificate");
    let (certificate, key) = (directory.path().join("actor.pem"), directory.path().join("actor.key"));
    pair.write(&certificate, &key, true).expect("written");

    let begun = Instant::now();
    let output = Command::new(std::env::current_exe().expect("this test"))
        .args(["--exact", "a_blocked_runtime_is_ended_by_the_self_fence", "--nocapture"])
        .env(VICTIM, directory.path())
        .output()
        .expect("it starts");
    let took = begun.elapsed();
    assert_eq!(output.status.signal(), Some(nix::libc::SIGABRT), "{output:?}");
    assert!(took > FENCE && took < Duration::from_secs(10), "{took:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("the event loop hangs"), "{output:?}");
}
