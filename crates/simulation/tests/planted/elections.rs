//! Directed scenarios of a leader that hears of the sites: whom it takes off the list, and for whom
//! it waits before it elects.

use crate::group::{Group, START, site, stack};
use crate::methods::Seen;
use coordination::invariants::Invariant::{L1ItEnds, S4NoLostAcknowledgement};
use coordination::{Command, Entry, LocalView, decide};
use model::{
    Containment, DatabaseReport, DatabaseRole, GateReport, Lsn, Millis, Moment, Replica, SiteReport,
    StepKind, SystemId, Timeline, Upstream, WallMillis,
};

/// Between two turns.
const TURN: Millis = Millis(200);

/// The witness of `dc3` leads and hears of everybody.
struct Leader {
    group: Group,
    view: LocalView,
    now: Moment,
}

impl Leader {
    fn new() -> Self {
        let group = Group::new();
        let mut view = LocalView::new(site(3), (1..=3).map(site).collect(), START);
        view.restored(&group.state, START);
        view.leading(true, START);
        Self { group, view, now: START }
    }

    /// A turn in which these sites renew and report.
    fn turn(&mut self, there: &[u64], report: impl Fn(u64) -> SiteReport) -> Vec<Command> {
        self.now = self.now.after(TURN);
        self.view.tick(&self.group.state, self.now);
        for n in there {
            self.renew(*n);
            self.view.report(report(*n), self.now);
        }
        decide(&self.group.state, &self.view, self.now)
    }

    fn renew(&mut self, n: u64) {
        let outcome = self.group.renew(n, Vec::new());
        let terms = self.group.terms();
        let request = model::RenewRequest {
            site: site(n),
            incarnation: model::Incarnation(1),
            number: self.group.number(n),
            cover_known: model::LogIndex(0),
            stopping: vec![],
            unstopped: vec![],
            timed_acks: vec![],
        };
        self.applied(Command::Renew { request, terms }, &outcome);
    }

    fn applied(&mut self, command: Command, outcome: &coordination::Outcome) {
        let entry = Entry { at: WallMillis(0), command };
        self.view.applied(self.group.index, &entry, outcome, &self.group.state, self.now);
    }

    /// The view follows what was committed.
    fn follow(&mut self) {
        self.applied(Command::Nothing, &coordination::Outcome::Applied);
    }
}

/// A standby of `dc1` that is well, or a primary that takes writes; what it streams is as it is told.
fn report(n: u64, primary: bool, streams: bool, writes: bool) -> SiteReport {
    let database = DatabaseReport {
        role: if primary { DatabaseRole::Primary } else { DatabaseRole::Standby },
        system_id: Some(SystemId(7)),
        timeline: Some(Timeline(1)),
        received: Some(Lsn(100)),
        replayed: Some(Lsn(100)),
        write_age: writes.then_some(Millis(10)),
        upstream: streams.then_some(Upstream {
            site: Some(site(1)),
            streaming: true,
            timeline: Timeline(1),
            message_age: Millis(10),
            lag_bytes: 0,
        }),
        replicas: Vec::<Replica>::new(),
        ..DatabaseReport::unknown()
    };
    let gate = GateReport {
        highest: model::Epoch(1),
        closed: model::Epoch(if primary { 0 } else { 1 }),
        open: primary.then_some(model::Epoch(1)),
        running: true,
        standby: !primary,
        data_present: true,
        clean_shutdown: None,
        containment: Containment::Cgroup,
        kernel_lease: false,
        problem: None,
        copy: None,
    };
    SiteReport { site: site(n), stack: stack(), database, gate: Some(gate) }
}

/// The primary's disk is going: it takes no writes, and its standbys lose their streams one second
/// before it is lost altogether.
pub fn a_sick_primary_and_its_standbys() -> Seen {
    let mut leader = Leader::new();
    for _ in 0..25 {
        let commands = leader.turn(&[1, 2, 3], |n| report(n, n == 1, false, false));
        let off = commands.iter().any(|c| matches!(c, Command::SetStreaming { streams: None, .. }));
        if off {
            let text = "a primary that takes no writes takes its successors with it";
            return Some((L1ItEnds, text.to_owned()));
        }
    }
    None
}

/// `dc3`, which has the longer log, let go 200 ms ago, and its actor starts anew.
pub fn the_longer_log_is_away_for_a_moment() -> Seen {
    let mut leader = Leader::new();
    for _ in 0..3 {
        leader.turn(&[1, 2, 3], |n| report(n, n == 1, true, true));
    }
    leader.group.begin(1);
    leader.group.expire();
    leader.follow();
    // Long after the fence nobody is waited for because of that.
    for _ in 0..12 {
        leader.turn(&[2], |n| report(n, false, false, false));
    }
    leader.group.report(3, StepKind::Detach, 1, 1, 900);
    leader.group.report(2, StepKind::Detach, 1, 1, 100);
    leader.follow();
    let commands = leader.turn(&[2], |n| report(n, false, false, false));
    let hasty = commands.iter().any(|c| matches!(c, Command::Elect { site: to, .. } if *to == site(2)));
    hasty.then(|| {
        (S4NoLostAcknowledgement, String::from("dc2 is elected at 100; dc3 had told that it has 900"))
    })
}
