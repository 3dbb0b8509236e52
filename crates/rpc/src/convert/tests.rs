//! Every value survives the way to its message, through bytes, and back; every bad field is named.

use super::*;
use crate::v1;
use model::{
    ChainLink, Containment, CopyMark, CopyReport, CopyState, CopyTask, CopyWork, Cover, CoverEntry,
    CoverKind, DatabaseReport, DatabaseRole, Desired, DesiredStack, Diverged, Epoch, GateReport, Grant,
    GrantTerms, Incarnation, Instruction, LogIndex, Lsn, Mode, RegistrationAnswer, RenewRequest,
    RenewalNumber, Replica, SiteEpochs, SiteReport, StepKind, StepOutcome, StepReport, SyncSeen, SyncSet,
    SyncSetting, SystemId, TimedAck, Timeline, Upstream, WalPosition,
};
use proptest::{collection::vec, option, prelude::*};
use prost::Message;

fn a_site() -> impl Strategy<Value = SiteId> {
    "[a-z][a-z0-9-]{0,39}".prop_map(|text| SiteId::new(&text).expect("the pattern is that of a name"))
}

fn a_stack() -> impl Strategy<Value = StackId> {
    "[a-z][a-z0-9-]{0,39}".prop_map(|text| StackId::new(&text).expect("the pattern is that of a name"))
}

fn an_lsn() -> impl Strategy<Value = Option<Lsn>> {
    option::of(any::<u64>().prop_map(Lsn))
}

fn an_epoch() -> impl Strategy<Value = Epoch> {
    any::<u64>().prop_map(Epoch)
}

fn a_timeline() -> impl Strategy<Value = Timeline> {
    any::<u32>().prop_map(Timeline)
}

fn some_terms() -> impl Strategy<Value = GrantTerms> {
    (any::<u64>(), any::<u64>())
        .prop_map(|(d, f)| GrantTerms { lease_duration: Millis(d), fence_deadline: Millis(f) })
}

fn a_cover() -> impl Strategy<Value = Cover> {
    let entry =
        (a_stack(), an_epoch(), any::<bool>(), any::<u64>()).prop_map(|(stack, epoch, held, since)| {
            let since = LogIndex(since);
            let kind = if held { CoverKind::Held { since } } else { CoverKind::Timed { since } };
            CoverEntry { stack, epoch, kind }
        });
    (any::<u64>(), vec(entry, 0..5)).prop_map(|(revision, mut entries)| {
        entries.sort_by(|a, b| a.stack.cmp(&b.stack));
        entries.dedup_by(|a, b| a.stack == b.stack);
        Cover { revision: LogIndex(revision), entries }
    })
}

fn an_ack() -> impl Strategy<Value = TimedAck> {
    (a_stack(), an_epoch(), any::<u64>()).prop_map(|(stack, epoch, since)| TimedAck {
        stack,
        epoch,
        since: LogIndex(since),
    })
}

fn an_answer() -> impl Strategy<Value = RegistrationAnswer> {
    let epochs = (a_stack(), an_epoch(), an_epoch(), a_timeline()).prop_map(
        |(stack, highest, closed, timeline_highest)| SiteEpochs { stack, highest, closed, timeline_highest },
    );
    (any::<u64>(), any::<u64>(), some_terms(), option::of(epochs), a_cover()).prop_map(
        |(index, last, terms, epochs, cover)| RegistrationAnswer {
            index: LogIndex(index),
            last_number: RenewalNumber(last),
            terms,
            epochs: epochs.into_iter().collect(),
            cover,
        },
    )
}

fn a_renewal() -> impl Strategy<Value = RenewRequest> {
    let lists = (vec(a_stack(), 0..3), vec(a_stack(), 0..3), vec(an_ack(), 0..3));
    (a_site(), any::<[u64; 3]>(), lists).prop_map(
        |(site, [incarnation, number, known], (stopping, unstopped, timed_acks))| RenewRequest {
            site,
            incarnation: Incarnation(incarnation),
            number: RenewalNumber(number),
            cover_known: LogIndex(known),
            stopping,
            unstopped,
            timed_acks,
        },
    )
}

fn a_grant() -> impl Strategy<Value = Grant> {
    (any::<[u64; 4]>(), some_terms(), option::of(a_cover())).prop_map(
        |([index, incarnation, number, revision], terms, cover)| Grant {
            index: LogIndex(index),
            incarnation: Incarnation(incarnation),
            number: RenewalNumber(number),
            terms,
            cover_revision: LogIndex(revision),
            cover,
        },
    )
}

fn a_role() -> impl Strategy<Value = DatabaseRole> {
    prop_oneof![
        Just(DatabaseRole::Primary),
        Just(DatabaseRole::Standby),
        Just(DatabaseRole::Down),
        Just(DatabaseRole::Unknown),
    ]
}

fn a_database() -> impl Strategy<Value = DatabaseReport> {
    let upstream = (option::of(a_site()), any::<bool>(), a_timeline(), any::<u64>(), any::<u64>()).prop_map(
        |(site, streaming, timeline, age, lag_bytes)| Upstream {
            site,
            streaming,
            timeline,
            message_age: Millis(age),
            lag_bytes,
        },
    );
    let replica = (".*", any::<bool>(), an_lsn(), an_lsn())
        .prop_map(|(name, streaming, flushed, replayed)| Replica { name, streaming, flushed, replayed });
    let numbers = (
        option::of(any::<u64>().prop_map(SystemId)),
        option::of(a_timeline()),
        an_lsn(),
        an_lsn(),
        option::of(any::<u64>().prop_map(Millis)),
    );
    (a_role(), numbers, option::of(upstream), vec(replica, 0..3), option::of(".*")).prop_map(
        |(role, (system_id, timeline, received, replayed, write_age), upstream, replicas, problem)| {
            DatabaseReport {
                role,
                system_id,
                timeline,
                received,
                replayed,
                write_age,
                upstream,
                replicas,
                sync: received.map(|lsn| SyncSeen { entry: LogIndex(7), lsn }),
                problem,
            }
        },
    )
}

fn a_setting() -> SyncSetting {
    let members = ["dc2", "dc3"].map(|m| SiteId::new(m).expect("a name"));
    SyncSetting { entry: LogIndex(9), set: SyncSet { k: 1, members: members.into_iter().collect() } }
}

fn a_link() -> ChainLink {
    let site = SiteId::new("dc1").expect("a name");
    ChainLink { epoch: Epoch(3), site, timeline: Timeline(4), start: Lsn(5) }
}

fn a_copy() -> CopyReport {
    let fork = WalPosition { timeline: Timeline(1), lsn: Lsn(77) };
    CopyReport {
        state: CopyState::Primary,
        system_id: Some(SystemId(9)),
        timeline: Timeline(2),
        parents: vec![fork],
        checkpoint: Lsn(78),
        clean: true,
        can_rewind: true,
        size: 10,
        free: 20,
        mark: Some(CopyMark::RewindDone),
        diverged: Some(Diverged {
            fork,
            readable: true,
            records: 1,
            bytes: 2,
            commits: 3,
            summary: "a list".to_owned(),
        }),
        task: Some(CopyTask { work: CopyWork::Rewind, done_kib: 1, total_kib: Some(2), elapsed: Millis(3) }),
    }
}

fn a_gate() -> impl Strategy<Value = GateReport> {
    let containment = prop_oneof![
        Just(Containment::Cgroup),
        Just(Containment::PidNamespace),
        Just(Containment::ContainerInit),
        Just(Containment::None),
    ];
    let epochs = (an_epoch(), an_epoch(), option::of(an_epoch()));
    (epochs, any::<[bool; 4]>(), option::of(any::<bool>()), containment, option::of(".*")).prop_map(
        |((highest, closed, open), flags, clean_shutdown, containment, problem)| GateReport {
            highest,
            closed,
            open,
            running: flags[0],
            standby: flags[1],
            data_present: flags[2],
            clean_shutdown,
            containment,
            kernel_lease: flags[3],
            copy: flags[0].then(a_copy),
            problem,
        },
    )
}

fn a_report() -> impl Strategy<Value = SiteReport> {
    (a_site(), a_stack(), a_database(), option::of(a_gate()))
        .prop_map(|(site, stack, database, gate)| SiteReport { site, stack, database, gate })
}

fn a_step() -> impl Strategy<Value = StepReport> {
    let outcome = prop_oneof![Just(StepOutcome::Done), Just(StepOutcome::Failed), Just(StepOutcome::Unknown)];
    let position =
        (a_timeline(), any::<u64>()).prop_map(|(timeline, lsn)| WalPosition { timeline, lsn: Lsn(lsn) });
    let names = (a_site(), a_stack(), an_epoch());
    (names, 0..StepKind::ALL.len(), outcome, option::of(position), ".*").prop_map(
        |((site, stack, epoch), step, outcome, position, evidence)| StepReport {
            site,
            stack,
            epoch,
            step: StepKind::ALL[step],
            outcome,
            position,
            evidence,
        },
    )
}

fn an_instruction() -> impl Strategy<Value = Instruction> {
    prop_oneof![
        Just(Instruction::Leave),
        Just(Instruction::Stay),
        an_epoch().prop_map(|epoch| Instruction::Fence { epoch }),
        an_epoch().prop_map(|epoch| Instruction::Detach { epoch }),
        (an_epoch(), a_timeline(), any::<bool>(), any::<bool>()).prop_map(
            |(epoch, timeline_highest, promote_due, verify_due)| Instruction::Run {
                epoch,
                timeline_highest,
                promote_due,
                verify_due,
            }
        ),
        (a_site(), an_epoch(), option::of(a_timeline()), any::<bool>()).prop_map(
            |(site, epoch, timeline, report_due)| Instruction::Follow { site, epoch, timeline, report_due }
        ),
    ]
}

fn a_view() -> impl Strategy<Value = Desired> {
    let mode = prop_oneof![Just(Mode::Observe), Just(Mode::Approve), Just(Mode::Auto)];
    let system_id = option::of(any::<u64>().prop_map(SystemId));
    let epochs = (an_epoch(), an_epoch());
    let part = (a_stack(), epochs, option::of(a_site()), mode, system_id, an_instruction()).prop_map(
        |(stack, (epoch, closed), active, mode, system_id, instruction)| DesiredStack {
            stack,
            epoch,
            closed,
            active,
            mode,
            system_id,
            instruction,
            sync: Some(a_setting()),
            chain: vec![a_link()],
        },
    );
    (any::<u64>(), vec(part, 0..4)).prop_map(|(index, mut stacks)| {
        stacks.sort_by(|a, b| a.stack.cmp(&b.stack));
        stacks.dedup_by(|a, b| a.stack == b.stack);
        Desired { index: LogIndex(index), stacks }
    })
}

/// To the message, to bytes, and all the way back.
fn round_trip<T, M>(value: &T) -> T
where
    M: From<T> + Message + Default,
    T: TryFrom<M, Error = ConvertError> + Clone,
{
    let bytes = M::from(value.clone()).encode_to_vec();
    let message = M::decode(bytes.as_slice()).expect("it was encoded just now");
    T::try_from(message).expect("it was a value before")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn covers(value in a_cover()) {
        prop_assert_eq!(&round_trip::<_, v1::Cover>(&value), &value);
    }

    #[test]
    fn acknowledgements(value in an_ack()) {
        prop_assert_eq!(&round_trip::<_, v1::TimedAck>(&value), &value);
    }

    #[test]
    fn registrations(who in a_site(), run in any::<u64>(), value in an_answer()) {
        let asking = (who, Incarnation(run));
        prop_assert_eq!(&round_trip::<_, v1::RegisterRequest>(&asking), &asking);
        prop_assert_eq!(&round_trip::<_, v1::RegisterResponse>(&value), &value);
    }

    #[test]
    fn renewals(request in a_renewal(), grant in a_grant()) {
        prop_assert_eq!(&round_trip::<_, v1::RenewRequest>(&request), &request);
        prop_assert_eq!(&round_trip::<_, v1::RenewResponse>(&grant), &grant);
    }

    #[test]
    fn reports(report in a_report(), step in a_step()) {
        prop_assert_eq!(&round_trip::<_, v1::SiteReport>(&report), &report);
        prop_assert_eq!(&round_trip::<_, v1::StepReport>(&step), &step);
    }

    #[test]
    fn views(value in a_view()) {
        prop_assert_eq!(&round_trip::<_, v1::Desired>(&value), &value);
    }
}

#[test]
fn the_field_at_fault_is_named() {
    let entry = |stack: &str| v1::CoverEntry { stack: stack.to_owned(), epoch: 1, held: false, since: 1 };
    let cover = v1::Cover { revision: 1, entries: vec![entry("a"), entry("B")] };
    let answer =
        v1::RenewResponse { terms: Some(v1::Terms::default()), cover: Some(cover), ..Default::default() };
    let error = Grant::try_from(answer).expect_err("B is no name").to_string();
    assert!(error.starts_with("field cover.entries[1].stack: "), "{error}");

    let error = Grant::try_from(v1::RenewResponse::default()).expect_err("there are no terms").to_string();
    assert!(error.starts_with("field terms is missing"), "{error}");

    let twice = v1::Cover { revision: 1, entries: vec![entry("a"), entry("a")] };
    assert!(matches!(Cover::try_from(twice), Err(ConvertError::Twice { .. })));

    let step = v1::StepReport { site: "dc1".into(), stack: "s".into(), ..Default::default() };
    let error = StepReport::try_from(step).expect_err("no step is named").to_string();
    assert!(error.starts_with("field step: 0 "), "{error}");

    let report = v1::SiteReport {
        site: "dc1".into(),
        stack: "s".into(),
        database: Some(v1::DatabaseReport { role: 77, ..Default::default() }),
        gate: None,
    };
    let error = SiteReport::try_from(report).expect_err("77 is no role").to_string();
    assert!(error.starts_with("field database.role: 77 "), "{error}");
    assert!(mode(0).is_err() && mode(3) == Ok(Mode::Auto));
}
