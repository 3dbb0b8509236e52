//! The lease ends: nothing of the database may be left, whatever has become of the gate.
//! Containment, kernel timer and kernel lease, each with the other two off.

use crate::actor::{FENCE, LEASE};
use crate::site::{SOON, Site, Wish};
use crate::{clients, wait_for};
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use model::{Deadline, Millis};
use rpc::clock::now;
use std::process::Command;
use std::time::Duration;

fn open(wish: Wish) -> Site {
    let mut site = Site::new(wish);
    site.start_gate();
    site.actor.cover(1);
    wait_for("an open primary", SOON, || site.log().contains("started: primary at epoch 1").then_some(()));
    clients_of(&site).block_on(async {
        site.connect().await.batch_execute("create table t (n bigint)").await.expect("it writes");
    });
    site
}

/// In the site's network namespace.
fn clients_of(site: &Site) -> Namespaced {
    Namespaced(crate::actor::runtime(site.namespace()), site.namespace().map(str::to_owned))
}

struct Namespaced(tokio::runtime::Runtime, Option<String>);

impl Namespaced {
    /// On a thread that lives in the namespace.
    fn block_on<T: Send>(&self, work: impl Future<Output = T> + Send) -> T {
        std::thread::scope(|scope| {
            let (handle, namespace) = (self.0.handle().clone(), self.1.clone());
            let inside = move || {
                crate::actor::enter(namespace.as_deref());
                handle.block_on(work)
            };
            scope.spawn(inside).join().expect("no panic")
        })
    }
}

/// An INSERT that does not wait for its client, and a client that pipelines.
async fn busy(site: &Site) {
    let (long, pipelining) = (site.connect().await, site.connect().await);
    tokio::spawn(async move {
        let _ = long.execute("insert into t select generate_series(1, 40000000)", &[]).await;
    });
    tokio::spawn(async move {
        let insert = pipelining.prepare("insert into t values (0)").await.expect("prepared");
        loop {
            let many = (0..200).map(|_| pipelining.execute(&insert, &[]));
            if futures::future::join_all(many).await.iter().any(Result::is_err) {
                return;
            }
        }
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
}

/// True once `deadline` + F is over.
fn too_late(deadline: Deadline) -> bool {
    Deadline::new(deadline.moment(), FENCE).is_over(now())
}

fn gone_in_time(site: &Site, deadline: Deadline) {
    while !site.processes().is_empty() {
        assert!(!too_late(deadline), "processes left after the deadline + F: {:?}", site.processes());
        std::thread::sleep(Duration::from_millis(2));
    }
    let left = Deadline::new(deadline.moment(), FENCE).remaining(now());
    eprintln!("nothing is left, {left} before the deadline + F");
}

#[test]
fn the_deadline_closes_what_is_open() {
    let site = open(Wish::held_by("auto"));
    let clients = clients();
    clients.block_on(busy(&site));
    let deadline = site.actor.cut();
    gone_in_time(&site, deadline);
    assert!(deadline.is_over(now()) || deadline.remaining(now()) < Millis(200), "not long before it, either");
    wait_for("refusal", SOON, || (site.role("GET", "/primary") == 503).then_some(()));
    // The next epoch opens it again.
    site.actor.say(|w| w.closed = 1);
    site.actor.cover(2);
    wait_for("an open primary", SOON, || (site.role("GET", "/primary") == 200).then_some(()));
}

#[test]
fn a_cover_that_is_taken_away_closes_at_once() {
    let site = open(Wish::held_by("auto"));
    site.actor.say(|w| w.cover = None);
    site.wait_empty(Duration::from_millis(FENCE.0));
}

#[test]
fn a_dead_actor_closes_at_the_deadline() {
    let mut site = open(Wish::held_by("auto"));
    let deadline = site.actor.cut();
    site.actor.die();
    gone_in_time(&site, deadline);
}

#[test]
fn a_stopped_backend_is_killed_before_f() {
    let site = open(Wish::held_by("auto"));
    let clients = clients();
    let _idle = clients.block_on(site.connect());
    let backend = wait_for("a backend", SOON, || site.titled("postgres: postgres postgres").first().copied());
    // SAFETY: plain system call.
    unsafe { libc::kill(backend, libc::SIGSTOP) };
    let deadline = site.actor.cut();
    gone_in_time(&site, deadline);
}

fn killed_gate(containment: &'static str) {
    let mut site = open(Wish { kernel_timer: false, ..Wish::held_by(containment) });
    let clients = clients();
    clients.block_on(busy(&site));
    site.signal_gate(libc::SIGKILL);
    site.wait_empty(Duration::from_millis(300));
    site.gate_ends(SOON);
    // The next gate restarts it in place, under the same cover.
    site.start_gate();
    clients.block_on(site.connect());
}

#[test]
fn containment_alone_a_killed_gate_takes_all_with_it_by_pid_namespace() {
    killed_gate("pid-namespace");
}

#[test]
fn containment_alone_a_killed_gate_takes_all_with_it_by_cgroup_and_warden() {
    killed_gate("cgroup");
}

#[test]
fn containment_alone_a_killed_gate_takes_all_with_it_by_both() {
    killed_gate("auto");
}

fn stopped_gate(containment: &'static str, kernel_timer: bool) {
    let mut site = open(Wish { kernel_timer, ..Wish::held_by(containment) });
    let clients = clients();
    clients.block_on(busy(&site));
    let deadline = site.actor.cut();
    site.signal_gate(libc::SIGSTOP);
    gone_in_time(&site, deadline);
    if kernel_timer {
        assert_eq!(site.gate_ends(SOON), None, "killed");
    }
}

#[test]
fn the_kernel_timer_ends_a_stopped_gate() {
    stopped_gate("pid-namespace", true);
}

#[test]
fn without_root_a_user_namespace_holds_all() {
    let mut site = open(Wish { unprivileged: true, ..Wish::held_by("auto") });
    assert!(
        site.log().contains("within a PID namespace") || site.log().contains("a PID namespace that dies"),
        "{}",
        site.log()
    );
    clients().block_on(busy(&site));
    site.signal_gate(libc::SIGKILL);
    site.wait_empty(Duration::from_millis(300));
    site.gate_ends(SOON);
    site.start_gate();
    clients().block_on(site.connect());
    site.signal_gate(libc::SIGTERM);
    assert_eq!(site.gate_ends(SOON), Some(0));
}

/// The gate below the PID 1 that it made of itself.
fn gate_in_container(site: &Site) -> i32 {
    let parent = |pid: i32| -> Option<i32> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        stat.get(stat.rfind(')')? + 1..)?.split_whitespace().nth(1)?.parse().ok()
    };
    let all = || {
        std::fs::read_dir("/proc")
            .expect("readable")
            .flatten()
            .filter_map(|e| e.file_name().to_str()?.parse().ok())
    };
    let child = |of: i32| all().find(|pid: &i32| parent(*pid) == Some(of)).expect("a child");
    child(child(site.gate_pid()))
}

#[test]
fn in_a_container_all_ends_with_the_gate() {
    let mut site = open(Wish { container: true, kernel_timer: false, ..Wish::held_by("container-init") });
    clients().block_on(busy(&site));
    // SAFETY: plain system call.
    unsafe { libc::kill(gate_in_container(&site), libc::SIGKILL) };
    site.wait_empty(Duration::from_millis(300));
    site.gate_ends(SOON);
}

#[test]
fn in_a_container_the_kernel_timer_ends_a_stopped_gate() {
    let mut site = open(Wish { container: true, ..Wish::held_by("container-init") });
    clients().block_on(busy(&site));
    let deadline = site.actor.cut();
    // SAFETY: plain system call.
    unsafe { libc::kill(gate_in_container(&site), libc::SIGSTOP) };
    gone_in_time(&site, deadline);
    site.gate_ends(SOON);
}

#[test]
fn the_warden_needs_no_timer() {
    stopped_gate("cgroup", false);
}

/// A network namespace, for as long as it lives.
struct NetworkNamespace(String);

impl NetworkNamespace {
    fn new(name: &str) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let ip = |words: &[&str]| {
            Command::new("ip").args(words).status().expect("iproute2 is installed").success()
        };
        assert!(ip(&["netns", "add", &name]));
        assert!(ip(&["-n", &name, "link", "set", "lo", "up"]));
        Self(name)
    }
}

impl Drop for NetworkNamespace {
    fn drop(&mut self) {
        let _ = Command::new("ip").args(["netns", "del", &self.0]).status();
    }
}

/// Commits rows until one fails, a thousand under way at any time: such a backend outlives its
/// postmaster for seconds. The instant of the last acknowledgement.
async fn commit_on(client: tokio_postgres::Client) -> model::Moment {
    let insert = client.prepare("insert into t values (1)").await.expect("prepared");
    let mut under_way = FuturesUnordered::new();
    let mut last = now();
    loop {
        while under_way.len() < 1_000 {
            under_way.push(client.execute(&insert, &[]));
        }
        match tokio::time::timeout(Duration::from_secs(1), under_way.next()).await {
            Ok(Some(Ok(_))) => last = now(),
            _ => return last,
        }
    }
}

fn kernel_lease_alone(signal: i32) {
    let namespace = NetworkNamespace::new(&format!("tripoint-gate-{signal}"));
    let wish = Wish {
        containment: "none-accepted",
        kernel_timer: false,
        kernel_lease: true,
        namespace: Some(namespace.0.clone()),
        ..Wish::held_by("none-accepted")
    };
    let mut site = open(wish);
    let clients = clients_of(&site);
    let client = clients.block_on(site.connect());
    let writer = std::thread::spawn({
        let handle = clients.0.handle().clone();
        move || handle.block_on(commit_on(client))
    });
    std::thread::sleep(Duration::from_millis(300));
    let deadline = site.actor.cut();
    site.signal_gate(signal);
    let last = writer.join().expect("no panic");
    assert!(!deadline.is_over(last), "an acknowledgement after the deadline");
    let before = deadline.remaining(last);
    eprintln!("last acknowledgement {before} before the deadline");
    if signal == libc::SIGSTOP {
        assert!(before < Millis(LEASE.0 / 2), "but not without need: {before}");
        assert!(!site.processes().is_empty(), "only the kernel closed it");
        wait_for("refusal", SOON, || clients.block_on(site.try_connect()).is_err().then_some(()));
        site.signal_gate(libc::SIGKILL);
    }
    site.gate_ends(SOON);
}

#[test]
fn kernel_lease_alone_with_a_stopped_gate() {
    kernel_lease_alone(libc::SIGSTOP);
}

#[test]
fn kernel_lease_alone_with_a_killed_gate() {
    kernel_lease_alone(libc::SIGKILL);
}
