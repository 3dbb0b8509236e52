//! When, to whom, and what an answer changes.

use super::*;
use model::{Cover, CoverEntry, CoverKind, Epoch, LogIndex};

const NOW: Moment = Moment { boottime: 10_000_000, raw: 9_000_000 };
const TERMS: GrantTerms = GrantTerms { lease_duration: Millis(5_000), fence_deadline: Millis(2_000) };
const R: Millis = Millis(700);

fn stack() -> StackId {
    StackId::new("db").expect("a name")
}

fn answer() -> RegistrationAnswer {
    RegistrationAnswer {
        index: LogIndex(5),
        last_number: RenewalNumber(40),
        terms: TERMS,
        epochs: Vec::new(),
        cover: Cover::default(),
    }
}

fn registered() -> Renewals {
    let site = SiteId::new("dc1").expect("a name");
    let mut renewals = Renewals::new(site, 3, R, TERMS, Incarnation(7), NOW);
    assert_eq!(renewals.to_register(NOW), Some(0));
    assert_eq!(renewals.registered(Incarnation(7), 0, Some(&answer()), NOW), Registered::Yes);
    renewals
}

fn send(renewals: &mut Renewals, now: Moment) -> Sending {
    renewals.send(Leftovers::default(), now).expect("registered")
}

fn grant(sending: &Sending, index: u64) -> Grant {
    let kind = CoverKind::Timed { since: LogIndex(3) };
    let cover = Cover {
        revision: LogIndex(3),
        entries: alloc::vec![CoverEntry { stack: stack(), epoch: Epoch(2), kind }],
    };
    Grant {
        index: LogIndex(index),
        incarnation: sending.request.incarnation,
        number: sending.request.number,
        terms: TERMS,
        cover_revision: cover.revision,
        cover: Some(cover),
    }
}

#[test]
fn nothing_is_renewed_before_the_registration_and_another_witness_is_tried() {
    let site = SiteId::new("dc1").expect("a name");
    let mut renewals = Renewals::new(site, 3, R, TERMS, Incarnation(7), NOW);
    assert_eq!(renewals.send(Leftovers::default(), NOW), None);
    assert_eq!(renewals.to_register(NOW), Some(0));
    assert_eq!(renewals.to_register(NOW.after(R)), None, "one is under way");
    assert_eq!(renewals.registered(Incarnation(7), 0, None, NOW), Registered::TryNext);
    assert_eq!(renewals.to_register(NOW.after(R)), Some(1));
    let other = renewals.registered(Incarnation(6), 1, Some(&answer()), NOW);
    assert!(matches!(other, Registered::Ignored(_)), "of an earlier run");
}

#[test]
fn a_failed_witness_is_followed_by_each_other_once_until_the_next_round() {
    let mut renewals = registered();
    assert!(renewals.is_due(NOW));
    assert_eq!(send(&mut renewals, NOW).witness, 0);
    assert!(!renewals.is_due(NOW.after(Millis(699))) && renewals.is_due(NOW.after(R)));
    assert!(renewals.failed(0) && !renewals.failed(0), "a late failure of the same one says nothing");
    assert!(renewals.failed(1) && renewals.failed(2) && !renewals.failed(0));
    assert_eq!(renewals.witness(), 1);
}

#[test]
fn an_acknowledgement_is_carried_until_a_renewal_that_had_it_is_granted() {
    let mut renewals = registered();
    let first = send(&mut renewals, NOW);
    assert_eq!(first.request.number, RenewalNumber(41));
    assert_eq!(renewals.granted(&grant(&first, 6), 0, NOW), Renewed::Yes { changed: true });
    let ack = TimedAck { stack: stack(), epoch: Epoch(2), since: LogIndex(3) };
    assert!(!renewals.acknowledge(TimedAck { since: LogIndex(2), ..ack.clone() }), "not the last entry");
    let earlier = send(&mut renewals, NOW);
    assert!(renewals.acknowledge(ack.clone()) && !renewals.acknowledge(ack.clone()));
    let carrying = send(&mut renewals, NOW);
    assert_eq!(carrying.request.timed_acks.first(), Some(&ack));
    renewals.granted(&grant(&earlier, 7), 0, NOW);
    assert_eq!(send(&mut renewals, NOW).request.timed_acks, [ack]);
    renewals.granted(&grant(&carrying, 8), 0, NOW);
    assert!(send(&mut renewals, NOW).request.timed_acks.is_empty());
}

#[test]
fn a_refusal_of_the_last_send_means_another_run_but_not_faster_than_r() {
    let mut renewals = registered();
    let (first, second) = (send(&mut renewals, NOW), send(&mut renewals, NOW));
    renewals.granted(&grant(&second, 6), 0, NOW);
    let (run, fresh) = (Incarnation(7), Incarnation(8));
    assert!(!renewals.refused(run, first.request.number, fresh, NOW), "overtaken");
    let third = send(&mut renewals, NOW);
    assert!(renewals.refused(run, third.request.number, fresh, NOW));
    assert_eq!(renewals.incarnation(), fresh);
    assert_eq!(renewals.to_register(NOW), None);
    assert_eq!(renewals.to_register(NOW.after(R)), Some(0));
    assert!(renewals.lease().valid(&stack(), NOW).is_some(), "rights stand until their deadlines");
}
