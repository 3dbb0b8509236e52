//! Each refusal of an adoption, from a group in which it is allowed.

use super::*;
use model::{
    Containment, DatabaseReport, Epoch, GateReport, Incarnation, LogIndex, Millis, Mode, SiteView, StackView,
    TakeoverView, Timeline, Upstream, Verdict,
};

fn site(name: &str) -> SiteId {
    SiteId::new(name).unwrap()
}

fn stack() -> StackId {
    StackId::new("app").unwrap()
}

fn gate() -> GateReport {
    GateReport {
        highest: Epoch::NONE,
        closed: Epoch::NONE,
        open: None,
        running: true,
        standby: false,
        data_present: true,
        clean_shutdown: None,
        containment: Containment::None,
        kernel_lease: false,
        problem: None,
        copy: None,
    }
}

fn report_of(name: &str, role: DatabaseRole) -> SiteReport {
    let upstream = Upstream {
        site: Some(site("dc1")),
        streaming: true,
        timeline: Timeline(1),
        message_age: Millis(10),
        lag_bytes: 0,
    };
    let database = DatabaseReport {
        role,
        system_id: Some(SystemId(7)),
        timeline: Some(Timeline(1)),
        upstream: (role == DatabaseRole::Standby).then_some(upstream),
        ..DatabaseReport::unknown()
    };
    SiteReport { site: site(name), stack: stack(), database, gate: Some(gate()) }
}

fn site_view(name: &str) -> SiteView {
    SiteView {
        site: site(name),
        verdict: Verdict::Up,
        incarnation: Some(Incarnation(1)),
        renewed_ago: Some(Millis(1)),
        expired: false,
        actor_reachable: true,
    }
}

fn healthy() -> GroupStatus {
    let view = StackView {
        stack: stack(),
        mode: Mode::Observe,
        active: None,
        epoch: Epoch::NONE,
        since: None,
        held: true,
        closed: false,
        transition: None,
        takeover: TakeoverView { to: None, outage_max: Millis(0), lag_bytes: None, candidates: vec![] },
        holds: vec![],
        reports: vec![report_of("dc1", DatabaseRole::Primary), report_of("dc2", DatabaseRole::Standby)],
    };
    GroupStatus {
        group: "g".into(),
        answered_by: site("dc3"),
        stale: false,
        leader: None,
        term: 1,
        index: LogIndex(9),
        sentences: vec![],
        witnesses: vec![],
        sites: vec![site_view("dc1"), site_view("dc2")],
        stacks: vec![view],
    }
}

fn refused(status: &GroupStatus, active: &str) -> String {
    check(status, &stack(), &[site("dc1"), site("dc2")], &site(active)).expect_err("a refusal")
}

#[test]
fn a_streaming_pair_is_adopted() {
    let command = check(&healthy(), &stack(), &[site("dc1"), site("dc2")], &site("dc1")).unwrap();
    let expected =
        Command::Adopt { stack: stack(), site: site("dc1"), system_id: SystemId(7), timeline: Timeline(1) };
    assert_eq!(command, expected);
}

#[test]
fn the_named_site_must_be_the_primary() {
    assert!(refused(&healthy(), "dc2").contains("--active dc1"));
    let mut two = healthy();
    two.stacks[0].reports[1].database.role = DatabaseRole::Primary;
    assert!(refused(&two, "dc1").contains("More than one"));
}

#[test]
fn every_site_has_registered_reported_and_has_a_gate() {
    let mut unregistered = healthy();
    unregistered.sites[1].incarnation = None;
    assert!(refused(&unregistered, "dc1").contains("not registered"));
    let mut silent = healthy();
    silent.stacks[0].reports.pop();
    assert!(refused(&silent, "dc1").contains("reported nothing"));
    let mut gateless = healthy();
    gateless.stacks[0].reports[1].gate = None;
    assert!(refused(&gateless, "dc1").contains("No gate"));
}

#[test]
fn the_others_stream_from_it() {
    let mut idle = healthy();
    idle.stacks[0].reports[1].database.upstream = None;
    assert!(refused(&idle, "dc1").contains("does not stream"));
    let mut other = healthy();
    other.stacks[0].reports[1].database.system_id = Some(SystemId(8));
    assert!(refused(&other, "dc1").contains("another system identifier"));
}

#[test]
fn once_is_enough() {
    let mut adopted = healthy();
    adopted.stacks[0].active = Some(site("dc1"));
    assert!(refused(&adopted, "dc1").contains("adopted before"));
}
