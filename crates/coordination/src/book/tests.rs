//! What is taken in, what is forgotten, and what the gate is told.

use super::*;
use crate::reconcile::OrderKind;
use crate::renewal::Leftovers;
use model::{Containment, StepOutcome};

const NOW: Moment = Moment { boottime: 10_000_000, raw: 9_000_000 };
const F: Millis = Millis(2_000);

fn stack() -> StackId {
    StackId::new("db").expect("a name")
}

fn epochs(highest: u64, closed: u64) -> StackEpochs {
    StackEpochs { highest: Epoch(highest), closed: Epoch(closed) }
}

fn gate(open: Option<u64>, running: bool, standby: bool) -> GateReport {
    GateReport {
        highest: Epoch(2),
        closed: Epoch(0),
        open: open.map(Epoch),
        running,
        standby,
        data_present: true,
        clean_shutdown: None,
        containment: Containment::PidNamespace,
        kernel_lease: false,
        problem: None,
        copy: None,
    }
}

#[test]
fn a_gate_is_told_nothing_before_the_group_is_heard() {
    let book = Book::new(stack(), Some(epochs(2, 1)));
    let answer = book.answer(&LeaseTable::default(), NOW);
    assert!(!answer.known && answer.cover.is_none() && answer.terms.is_none());
}

#[test]
fn what_a_registration_says_only_adds() {
    let mut book = Book::new(stack(), Some(epochs(5, 2)));
    let told =
        SiteEpochs { stack: stack(), highest: Epoch(4), closed: Epoch(3), timeline_highest: Timeline(1) };
    assert_eq!(book.refill(Some(&told)), epochs(5, 3));
    assert_eq!(book.refill(None), epochs(5, 2));
    book.persisted(epochs(4, 3));
    assert_eq!(book.epochs(), Some(epochs(5, 3)));
}

#[test]
fn an_order_keeps_its_number_until_its_end_is_known() {
    let mut book = Book::new(stack(), Some(epochs(2, 1)));
    let kind = OrderKind::Promote { epoch: Epoch(2), timeline_highest: Timeline(1) };
    assert_eq!(book.order_number(&kind, 7), 7);
    book.ordered(7, kind.clone(), NOW);
    assert_eq!(book.order_expired(NOW.after(Millis(29_999))), None);
    assert_eq!(book.order_expired(NOW.after(Millis(30_000))), Some(kind.clone()));
    assert_eq!(book.order_number(&kind, 8), 7, "unknown: asked under the same number");
    assert!(!book.order_ended(6, StepOutcome::Done, "", NOW));
    book.checking(Check::Promoted(Epoch(2)));
    assert!(book.order_ended(7, StepOutcome::Failed, "no", NOW));
    assert_eq!(book.check(), None);
    assert_eq!(book.order_number(&kind, 9), 9);
}

#[test]
fn what_is_left_without_a_right_is_stopping_and_after_f_unstopped() {
    let mut lease = LeaseTable::default();
    let mut book = Book::new(stack(), Some(epochs(2, 1)));
    let said = |book: &mut Book, lease: &LeaseTable, now| {
        let mut leftovers = Leftovers::default();
        book.note_left(lease, F, now, &mut leftovers);
        (leftovers.stopping.len(), leftovers.unstopped.len())
    };
    book.gate_says(Some(gate(Some(2), true, false)));
    assert_eq!(said(&mut book, &lease, NOW), (0, 0), "nothing is known yet");
    heard(&mut lease);
    assert_eq!(said(&mut book, &lease, NOW), (1, 0));
    assert_eq!(said(&mut book, &lease, NOW.after(Millis(2_001))), (0, 1));
    book.gate_changed(NOW.after(F));
    assert_eq!(said(&mut book, &lease, NOW.after(Millis(4_000))), (0, 1), "its gate may hang");
    assert_eq!(said(&mut book, &lease, NOW.after(Millis(4_001))), (0, 0), "its timers have ended it");
    book.gate_says(Some(gate(None, true, true)));
    assert_eq!(said(&mut book, &lease, NOW), (0, 0), "a standby");
}

fn heard(lease: &mut LeaseTable) {
    let terms = model::GrantTerms { lease_duration: Millis(5_000), fence_deadline: F };
    let answer = model::RegistrationAnswer {
        index: LogIndex(1),
        last_number: model::RenewalNumber(0),
        terms,
        epochs: alloc::vec![],
        cover: model::Cover::default(),
    };
    lease.register(model::Incarnation(1), &answer);
    let send = lease.send(NOW).expect("registered");
    let cover = Some(model::Cover { revision: LogIndex(1), entries: alloc::vec![] });
    let grant = model::Grant {
        index: LogIndex(2),
        incarnation: send.incarnation,
        number: send.number,
        terms,
        cover_revision: LogIndex(1),
        cover,
    };
    lease.take(&grant, NOW);
    assert!(lease.is_heard());
}

#[test]
fn after_standing_still_nothing_that_was_observed_counts() {
    let mut book = Book::new(stack(), Some(epochs(2, 1)));
    book.gate_says(Some(gate(Some(2), true, false)));
    book.wrote(NOW);
    book.checking(Check::Written(Epoch(2)));
    book.reporting(StepKind::Promote, Epoch(2));
    book.forget();
    let site = SiteId::new("dc1").expect("a name");
    let observed = book.observed(&site, NOW);
    assert_eq!(observed.gate, None);
    assert_eq!(observed.progress, Progress::default());
    assert_eq!(observed.epochs, Some(epochs(2, 1)), "the disk stays");
    assert!(!book.found(Check::Written(Epoch(2)), Found::Written, NOW), "begun before");
}

#[test]
fn a_way_home_that_fails_is_tried_ever_more_seldom_and_a_source_that_is_away_is_no_refusal() {
    use crate::rejoin::{Because, Way};
    let mut book = Book::new(StackId::new("db").expect("a name"), None);
    let fork = WalPosition { timeline: Timeline(1), lsn: model::Lsn(7) };
    let order = |way| OrderKind::Rejoin {
        epoch: Epoch(2),
        site: SiteId::new("dc2").expect("a name"),
        way,
        because: Because::Diverged,
    };
    let now = Moment { boottime: 1_000_000, raw: 1_000_000 };
    let mut fail = |number: u64, way, evidence: &str| {
        book.ordered(number, order(way), now);
        assert!(book.order_ended(number, StepOutcome::Failed, evidence, now));
        let p = &book.progress;
        (
            p.rewind_refused.map_or(0, |r| r.1),
            p.slotless,
            p.order_after.map_or(Millis(0), |t| t.elapsed_longest(now)),
        )
    };
    assert_eq!(
        fail(1, Way::Rewind { fork }, "the source at dc2:5432 is not there"),
        (0, None, Millis(1_000))
    );
    assert_eq!(fail(2, Way::Rewind { fork }, "pg_rewind refuses"), (1, None, Millis(2_000)));
    assert_eq!(fail(3, Way::Clone, "no replication slot"), (1, Some(Epoch(2)), Millis(4_000)));
    assert_eq!(fail(9, Way::Clone, "again").2, Millis(8_000));
}
