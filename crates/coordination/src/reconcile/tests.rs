//! What follows from each instruction, and what must not.

use super::*;
use model::{Containment, Lsn, Millis, Mode, StackId, Upstream};
use std::vec;

fn at(ms: u64) -> Moment {
    Moment { boottime: 1_000_000, raw: 2_000_000 }.after(Millis(ms))
}

fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("a name of the test")
}

fn desired(epoch: u64, closed: u64, instruction: Instruction) -> DesiredStack {
    DesiredStack {
        stack: StackId::new("ess").expect("a name of the test"),
        epoch: Epoch(epoch),
        closed: Epoch(closed),
        active: Some(site("dc2")),
        mode: Mode::Auto,
        system_id: None,
        instruction,
        sync: None,
        chain: Vec::new(),
    }
}

fn standby_gate() -> GateReport {
    GateReport {
        highest: Epoch(1),
        closed: Epoch(0),
        open: None,
        running: true,
        standby: true,
        data_present: true,
        clean_shutdown: None,
        containment: Containment::Cgroup,
        kernel_lease: false,
        problem: None,
        copy: None,
    }
}

/// dc2: a running standby whose store knows `highest` and `closed`.
fn observed(highest: u64, closed: u64) -> Observed {
    Observed {
        site: site("dc2"),
        database: DatabaseReport { role: DatabaseRole::Standby, ..DatabaseReport::unknown() },
        gate: Some(standby_gate()),
        epochs: Some(StackEpochs { highest: Epoch(highest), closed: Epoch(closed) }),
        progress: Progress::default(),
    }
}

fn run(epoch: u64) -> Instruction {
    Instruction::Run {
        epoch: Epoch(epoch),
        timeline_highest: Timeline(1),
        promote_due: true,
        verify_due: false,
    }
}

fn lease(epoch: u64, until: u64) -> LeaseView {
    LeaseView { right: Some((Epoch(epoch), Some(Deadline::new(at(0), Millis(until))))) }
}

const NO_LEASE: LeaseView = LeaseView { right: None };
const POSITION: WalPosition = WalPosition { timeline: Timeline(2), lsn: Lsn(77) };

#[test]
fn nothing_is_done_before_the_store_is_refilled() {
    let mut o = observed(0, 0);
    o.epochs = None;
    assert_eq!(reconcile(&desired(2, 1, run(2)), &o, &lease(2, 5_000), at(1)), vec![]);
}

#[test]
fn leave_and_stay_touch_nothing() {
    for instruction in [Instruction::Leave, Instruction::Stay] {
        assert_eq!(reconcile(&desired(1, 0, instruction), &observed(1, 0), &NO_LEASE, at(1)), vec![]);
    }
}

#[test]
fn an_election_is_written_down_and_renewed_for_at_once_and_once() {
    let d = desired(2, 1, run(2));
    let mut o = observed(1, 0);
    let persist = Action::Persist(StackEpochs { highest: Epoch(2), closed: Epoch(1) });
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![persist, Action::Renew]);
    o.epochs = Some(StackEpochs { highest: Epoch(2), closed: Epoch(1) });
    o.progress.renewed_for = Some(Epoch(2));
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![]);
}

#[test]
fn promotion_waits_for_cover_of_exactly_this_epoch_for_the_disk_and_for_the_gate() {
    let d = desired(2, 1, run(2));
    let order = Action::Order(OrderKind::Promote { epoch: Epoch(2), timeline_highest: Timeline(1) });
    let mut o = observed(2, 1);
    o.progress.renewed_for = Some(Epoch(2));
    o.progress.cover_told = Some(Epoch(2));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![order]);
    assert_eq!(reconcile(&d, &o, &lease(1, 5_000), at(1)), vec![]);
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(5_000)), vec![], "the lease is over");
    o.progress.cover_told = Some(Epoch(1));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![]);
    o.progress.cover_told = Some(Epoch(2));
    o.progress.order_after = Some(at(2));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![], "it failed a moment ago");
    let mut behind = observed(1, 1);
    behind.progress.cover_told = Some(Epoch(2));
    let actions = reconcile(&d, &behind, &lease(2, 5_000), at(1));
    assert!(matches!(actions[..], [Action::Persist(_)]), "{actions:?}");
}

#[test]
fn a_closed_or_older_epoch_never_runs() {
    for (highest, closed) in [(2, 2), (3, 1)] {
        let mut o = observed(highest, closed);
        o.progress.cover_told = Some(Epoch(2));
        assert_eq!(reconcile(&desired(2, 1, run(2)), &o, &lease(2, 5_000), at(1)), vec![]);
    }
}

#[test]
fn after_the_order_sql_tells_and_then_the_group_is_told() {
    let d = desired(2, 1, run(2));
    let mut o = observed(2, 1);
    o.progress.cover_told = Some(Epoch(2));
    o.progress.promote_ordered = Some(Epoch(2));
    let check = Action::Check(Check::Promoted(Epoch(2)));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![check]);
    o.progress.check = Some(Check::Promoted(Epoch(2)));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![]);
    o.progress.check = None;
    o.progress.promoted = Some((Epoch(2), POSITION));
    let actions = reconcile(&d, &o, &lease(2, 5_000), at(1));
    match &actions[..] {
        [Action::Report(report), Action::Check(Check::Written(Epoch(2)))] => {
            assert_eq!((report.step, report.outcome), (StepKind::Promote, StepOutcome::Done));
            assert_eq!(report.position, Some(POSITION));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_first_write_is_reported_once_it_is_asked_for() {
    let verify = Instruction::Run {
        epoch: Epoch(2),
        timeline_highest: Timeline(2),
        promote_due: false,
        verify_due: true,
    };
    let d = desired(2, 1, verify);
    let mut o = observed(2, 1);
    o.progress.promoted = Some((Epoch(2), POSITION));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![Action::Check(Check::Written(Epoch(2)))]);
    o.progress.written = Some(Epoch(2));
    let actions = reconcile(&d, &o, &lease(2, 5_000), at(1));
    assert!(matches!(&actions[..], [Action::Report(r)] if r.step == StepKind::VerifyWrite), "{actions:?}");
    o.progress.reporting.insert((StepKind::VerifyWrite, Epoch(2)));
    assert_eq!(reconcile(&d, &o, &lease(2, 5_000), at(1)), vec![]);
}

#[test]
fn a_restarted_actor_verifies_what_the_gate_opened() {
    let verify = Instruction::Run {
        epoch: Epoch(2),
        timeline_highest: Timeline(2),
        promote_due: false,
        verify_due: true,
    };
    let mut o = observed(2, 1);
    o.gate = Some(GateReport { open: Some(Epoch(2)), standby: false, ..standby_gate() });
    let actions = reconcile(&desired(2, 1, verify), &o, &lease(2, 5_000), at(1));
    assert_eq!(actions, vec![Action::Check(Check::Written(Epoch(2)))]);
}

#[test]
fn a_primary_restarted_in_place_is_reported_without_a_promote_order() {
    let mut o = observed(3, 2);
    o.gate = Some(GateReport { open: Some(Epoch(3)), standby: false, ..standby_gate() });
    o.database.role = DatabaseRole::Primary;
    o.progress.cover_told = Some(Epoch(3));
    let actions = reconcile(&desired(3, 2, run(3)), &o, &lease(3, 5_000), at(1));
    assert_eq!(actions, vec![Action::Check(Check::Promoted(Epoch(3)))]);
}

#[test]
fn a_promotion_that_keeps_failing_is_given_up() {
    let mut o = observed(2, 1);
    o.progress.cover_told = Some(Epoch(2));
    o.progress.promote_failed = Some((Epoch(2), PROMOTE_FAILURES_MAX, "pg_wal is full".to_owned()));
    let actions = reconcile(&desired(2, 1, run(2)), &o, &lease(2, 5_000), at(1));
    match &actions[..] {
        [Action::Report(report)] => assert_eq!(report.outcome, StepOutcome::Failed),
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_active_standby_without_a_promotion_due_stays_closed() {
    let quiet = Instruction::Run {
        epoch: Epoch(2),
        timeline_highest: Timeline(2),
        promote_due: false,
        verify_due: false,
    };
    let mut o = observed(2, 1);
    o.progress.cover_told = Some(Epoch(2));
    let actions = reconcile(&desired(2, 1, quiet), &o, &lease(2, 5_000), at(1));
    assert_eq!(actions, vec![Action::Problem(STANDBY_AT_ACTIVE)]);
}

#[test]
fn a_fence_is_on_disk_before_it_is_ordered_and_reported_when_done() {
    let d = desired(1, 0, Instruction::Fence { epoch: Epoch(1) });
    let mut o = observed(1, 0);
    let persist = Action::Persist(StackEpochs { highest: Epoch(1), closed: Epoch(1) });
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![persist]);
    o.epochs = Some(StackEpochs { highest: Epoch(1), closed: Epoch(1) });
    let order = OrderKind::Relinquish { epoch: Epoch(1) };
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![Action::Order(order.clone())]);
    o.progress.ordered = Some(order);
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![]);
    o.progress.ordered = None;
    o.progress.relinquished = Some((Epoch(1), "no process left".to_owned()));
    let actions = reconcile(&d, &o, &NO_LEASE, at(1));
    assert!(matches!(&actions[..], [Action::Report(r)] if r.step == StepKind::FenceDatabase), "{actions:?}");
}

#[test]
fn a_detachment_is_ordered_proven_and_reported_with_its_position() {
    let d = desired(1, 1, Instruction::Detach { epoch: Epoch(1) });
    let mut o = observed(1, 1);
    assert_eq!(
        reconcile(&d, &o, &NO_LEASE, at(1)),
        vec![Action::Order(OrderKind::Detach { epoch: Epoch(1) })]
    );
    o.progress.detach_ordered = Some(Epoch(1));
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![Action::Check(Check::Detached(Epoch(1)))]);
    o.progress.detached = Some((Epoch(1), POSITION));
    let actions = reconcile(&d, &o, &NO_LEASE, at(1));
    assert!(matches!(&actions[..], [Action::Report(r)] if r.position == Some(POSITION)), "{actions:?}");
    let stale = observed(2, 1);
    assert_eq!(reconcile(&d, &stale, &NO_LEASE, at(1)), vec![], "a newer epoch was seen");
}

#[test]
fn following_is_reported_only_when_it_streams_from_the_right_site_on_the_right_timeline() {
    let follow =
        |timeline| Instruction::Follow { site: site("dc3"), epoch: Epoch(2), timeline, report_due: true };
    let mut o = observed(2, 1);
    let d = desired(2, 1, follow(Some(Timeline(2))));
    let order = OrderKind::Follow { epoch: Epoch(2), site: site("dc3"), slot: true };
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![Action::Order(order)]);
    o.progress.following = Some((Epoch(2), site("dc3")));
    let up = Upstream {
        site: Some(site("dc3")),
        streaming: true,
        timeline: Timeline(2),
        message_age: Millis(1),
        lag_bytes: 0,
    };
    o.database.upstream = Some(up.clone());
    assert_eq!(reconcile(&desired(2, 1, follow(None)), &o, &NO_LEASE, at(1)), vec![]);
    let actions = reconcile(&d, &o, &NO_LEASE, at(1));
    assert!(matches!(&actions[..], [Action::Report(r)] if r.step == StepKind::Follow), "{actions:?}");
    for wrong in [
        Upstream { site: Some(site("dc1")), ..up.clone() },
        Upstream { streaming: false, ..up.clone() },
        Upstream { timeline: Timeline(1), ..up.clone() },
    ] {
        o.database.upstream = Some(wrong);
        assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![]);
    }
}

#[test]
fn a_former_primary_is_left_alone() {
    let follow = Instruction::Follow { site: site("dc3"), epoch: Epoch(2), timeline: None, report_due: true };
    let mut o = observed(2, 2);
    o.gate = Some(GateReport { standby: false, running: false, ..standby_gate() });
    for instruction in [follow, Instruction::Detach { epoch: Epoch(2) }] {
        let actions = reconcile(&desired(2, 2, instruction), &o, &NO_LEASE, at(1));
        assert_eq!(actions, vec![Action::Problem(NEEDS_REJOIN)]);
    }
}

fn link(epoch: u64, name: &str, timeline: u32, start: u64) -> model::ChainLink {
    model::ChainLink {
        epoch: Epoch(epoch),
        site: site(name),
        timeline: Timeline(timeline),
        start: Lsn(start),
    }
}

/// dc2 ran epoch 1 and comes back; dc3 is active at epoch 2, on timeline 2 from 1000 on.
fn returning() -> (DesiredStack, Observed) {
    let follow = Instruction::Follow {
        site: site("dc3"),
        epoch: Epoch(2),
        timeline: Some(Timeline(2)),
        report_due: false,
    };
    let chain = vec![link(1, "dc2", 1, 0), link(2, "dc3", 2, 1_000)];
    let d = DesiredStack { chain, ..desired(2, 2, follow) };
    let copy = model::CopyReport {
        state: model::CopyState::Primary,
        timeline: Timeline(1),
        checkpoint: Lsn(900),
        can_rewind: true,
        ..model::CopyReport::absent()
    };
    let mut o = observed(2, 2);
    o.database = DatabaseReport::unknown();
    o.gate = Some(GateReport { standby: false, running: false, copy: Some(copy), ..standby_gate() });
    (d, o)
}

fn set_copy(o: &mut Observed, change: impl FnOnce(&mut model::CopyReport)) {
    change(o.gate.as_mut().and_then(|g| g.copy.as_mut()).expect("there is a copy"));
}

fn ways(actions: &[Action]) -> Vec<Way> {
    let way = |action: &Action| match action {
        Action::Order(OrderKind::Rejoin { way, epoch: Epoch(2), .. }) => Some(*way),
        _ => None,
    };
    actions.iter().filter_map(way).collect()
}

const FORK: WalPosition = WalPosition { timeline: Timeline(1), lsn: Lsn(1_000) };

#[test]
fn a_returning_primary_is_looked_into_told_of_and_only_then_rewound() {
    let (d, mut o) = returning();
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(1))), [Way::Inspect { fork: FORK }]);
    let task =
        model::CopyTask { work: model::CopyWork::Inspect, done_kib: 0, total_kib: None, elapsed: Millis(1) };
    set_copy(&mut o, |c| c.task = Some(task));
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![], "it is being done");
    let diverged = model::Diverged {
        fork: FORK,
        readable: true,
        records: 84,
        bytes: 8_400,
        commits: 42,
        summary: "42 committed transactions".into(),
    };
    set_copy(&mut o, |c| {
        c.task = None;
        c.diverged = Some(diverged);
    });
    let actions = reconcile(&d, &o, &NO_LEASE, at(1));
    assert!(
        matches!(&actions[..], [Action::Report(r)] if r.step == StepKind::ListDiverged && r.position == Some(FORK)),
        "{actions:?}"
    );
    o.progress.told.insert((StepKind::ListDiverged, Epoch(2)));
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(1))), [Way::Rewind { fork: FORK }]);
    o.progress.rewind_refused = Some((Epoch(2), 3));
    assert_eq!(
        ways(&reconcile(&d, &o, &NO_LEASE, at(1))),
        [Way::Clone],
        "refused before it changed anything"
    );
    o.progress.rewind_refused = None;
    set_copy(&mut o, |c| c.mark = Some(model::CopyMark::RewindBegun));
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(1))), [Way::Clone], "interrupted");
}

#[test]
fn nothing_comes_home_before_the_promotion_is_committed() {
    let (mut d, o) = returning();
    d.instruction =
        Instruction::Follow { site: site("dc3"), epoch: Epoch(2), timeline: None, report_due: false };
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(1))), []);
    d.instruction = Instruction::Detach { epoch: Epoch(2) };
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(1))), []);
}

#[test]
fn a_standby_that_is_ahead_or_stuck_comes_home_too_but_not_at_once() {
    let (d, mut o) = returning();
    o.gate = Some(GateReport { copy: o.gate.and_then(|g| g.copy), ..standby_gate() });
    set_copy(&mut o, |c| c.state = model::CopyState::Standby);
    o.progress.following = Some((Epoch(2), site("dc3")));
    o.database = DatabaseReport {
        role: DatabaseRole::Standby,
        timeline: Some(Timeline(1)),
        received: Some(Lsn(1_200)),
        ..DatabaseReport::unknown()
    };
    o.progress.unstreamed = Some(at(0));
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1_000)), vec![]);
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(3_000))), [Way::Inspect { fork: FORK }], "ahead");
    o.database.received = Some(Lsn(800));
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(3_000))), []);
    let slotless = OrderKind::Follow { epoch: Epoch(2), site: site("dc3"), slot: false };
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(9_000)), vec![Action::Order(slotless)]);
    assert_eq!(ways(&reconcile(&d, &o, &NO_LEASE, at(130_000))), [Way::Clone], "stuck");
}

#[test]
fn being_home_is_told_once() {
    let (d, mut o) = returning();
    o.gate = Some(standby_gate());
    o.progress.following = Some((Epoch(2), site("dc3")));
    o.progress.rejoined = Some((Epoch(2), "rewound".into()));
    o.database.upstream = Some(Upstream {
        site: Some(site("dc3")),
        streaming: true,
        timeline: Timeline(2),
        message_age: Millis(1),
        lag_bytes: 0,
    });
    let actions = reconcile(&d, &o, &NO_LEASE, at(1));
    assert!(
        matches!(&actions[..], [Action::Report(r)] if r.step == StepKind::Rejoin && r.evidence.starts_with("rewound; ")),
        "{actions:?}"
    );
    o.progress.told.insert((StepKind::Rejoin, Epoch(2)));
    assert_eq!(reconcile(&d, &o, &NO_LEASE, at(1)), vec![]);
}
