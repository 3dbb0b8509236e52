//! Each row of the decision table.

use super::*;
use alloc::{string::String, vec, vec::Vec};
use model::{Diverged, Epoch, Millis, SiteId};

fn link(epoch: u64, site: &str, timeline: u32, start: u64) -> ChainLink {
    let site = SiteId::new(site).expect("a name of the test");
    ChainLink { epoch: Epoch(epoch), site, timeline: Timeline(timeline), start: Lsn(start) }
}

/// dc1 from the beginning, then dc2 at 1000; dc2 went on at epoch 3 upon its timeline.
fn chain() -> Vec<ChainLink> {
    vec![link(1, "dc1", 1, 0), link(2, "dc2", 2, 1_000), link(3, "dc2", 2, 1_500)]
}

const FORK: WalPosition = WalPosition { timeline: Timeline(1), lsn: Lsn(1_000) };

/// dc1's copy: a former primary on timeline 1.
fn old_primary() -> CopyReport {
    CopyReport {
        state: CopyState::Primary,
        system_id: Some(SystemId(7)),
        timeline: Timeline(1),
        checkpoint: Lsn(900),
        can_rewind: true,
        size: 1 << 30,
        free: 10 << 30,
        ..CopyReport::absent()
    }
}

fn inspected(records: u64, readable: bool) -> CopyReport {
    let diverged = Diverged {
        fork: FORK,
        readable,
        records,
        bytes: records * 100,
        commits: records / 2,
        summary: String::new(),
    };
    CopyReport { diverged: Some(diverged), ..old_primary() }
}

fn facts<'a>(chain: &'a [ChainLink], copy: &'a CopyReport) -> Facts<'a> {
    Facts { chain, system_id: Some(SystemId(7)), copy, position: None, stuck: false, may_rewind: true }
}

fn chosen(copy: &CopyReport) -> Choice {
    choose(&facts(&chain(), copy))
}

fn clones(because: Because) -> Choice {
    Choice::Go(Way::Clone, because)
}

#[test]
fn nothing_is_known_of_the_chain() {
    assert_eq!(choose(&facts(&[], &old_primary())), Choice::Not(Obstacle::NoChain));
}

#[test]
fn work_under_way_is_waited_for() {
    let task =
        model::CopyTask { work: model::CopyWork::Clone, done_kib: 0, total_kib: None, elapsed: Millis(1) };
    let copy = CopyReport { task: Some(task), ..old_primary() };
    assert_eq!(chosen(&copy), Choice::Not(Obstacle::Busy));
}

#[test]
fn an_absent_copy_is_cloned_and_an_unreadable_one_is_left_alone() {
    assert_eq!(chosen(&CopyReport::absent()), clones(Because::NoCopy));
    let strange = CopyReport { state: CopyState::Unreadable, ..CopyReport::absent() };
    assert_eq!(chosen(&strange), Choice::Not(Obstacle::Unreadable));
}

#[test]
fn another_database_is_never_overwritten() {
    let other = CopyReport { system_id: Some(SystemId(8)), ..inspected(5, true) };
    assert_eq!(chosen(&other), Choice::Not(Obstacle::OtherDatabase { found: SystemId(8) }));
}

#[test]
fn an_interrupted_rewind_is_a_lost_directory_whatever_it_looks_like() {
    for state in [CopyState::Primary, CopyState::Standby, CopyState::Unreadable, CopyState::Absent] {
        let copy = CopyReport { mark: Some(CopyMark::RewindBegun), state, ..inspected(0, true) };
        assert_eq!(chosen(&copy), clones(Because::RewindInterrupted), "{state:?}");
    }
}

#[test]
fn one_that_was_rewound_and_diverges_again_is_cloned() {
    let copy = CopyReport { mark: Some(CopyMark::RewindDone), ..inspected(5, true) };
    assert_eq!(chosen(&copy), clones(Because::RewoundBefore));
}

#[test]
fn the_old_primary_is_looked_into_then_follows_or_is_rewound() {
    assert_eq!(chosen(&old_primary()), Choice::Go(Way::Inspect { fork: FORK }, Because::NotInspected));
    assert_eq!(chosen(&inspected(0, true)), Choice::Go(Way::Follow, Because::OnTheChain));
    assert_eq!(chosen(&inspected(5, true)), Choice::Go(Way::Rewind { fork: FORK }, Because::Diverged));
}

#[test]
fn an_inspection_of_another_fork_does_not_count() {
    let mut chain = chain();
    chain[1].start = Lsn(950);
    let fork = WalPosition { timeline: Timeline(1), lsn: Lsn(950) };
    let copy = inspected(0, true);
    assert_eq!(choose(&facts(&chain, &copy)), Choice::Go(Way::Inspect { fork }, Because::NotInspected));
}

#[test]
fn a_rewind_that_is_not_possible_is_a_base_backup() {
    assert_eq!(chosen(&inspected(0, false)), clones(Because::OwnWalGone));
    let copy = CopyReport { can_rewind: false, ..inspected(5, true) };
    assert_eq!(chosen(&copy), clones(Because::NoChecksums));
    let copy = inspected(5, true);
    let chain = chain();
    let off = Facts { may_rewind: false, ..facts(&chain, &copy) };
    assert_eq!(choose(&off), clones(Because::RewindOff));
}

#[test]
fn a_timeline_of_the_same_number_with_another_beginning_is_another_timeline() {
    let parents = vec![WalPosition { timeline: Timeline(1), lsn: Lsn(990) }];
    let copy = CopyReport {
        timeline: Timeline(2),
        parents: parents.clone(),
        state: CopyState::Standby,
        ..old_primary()
    };
    assert_eq!(chosen(&copy), clones(Because::SameNumberOtherStart));
    let same = CopyReport { parents: vec![FORK], ..copy };
    assert_eq!(chosen(&same), Choice::Go(Way::Follow, Because::OnTheChain));
}

#[test]
fn a_timeline_outside_the_chain_is_rewound_from_before_it() {
    // A promote step made timeline 3 from 980 of timeline 1, and was given up.
    let parents = vec![WalPosition { timeline: Timeline(1), lsn: Lsn(980) }];
    let fork = WalPosition { timeline: Timeline(1), lsn: Lsn(980) };
    let copy = CopyReport { timeline: Timeline(3), parents, ..old_primary() };
    assert_eq!(chosen(&copy), Choice::Go(Way::Inspect { fork }, Because::NotInspected));
    let seen = Diverged { fork, readable: true, records: 0, bytes: 0, commits: 0, summary: String::new() };
    let looked = CopyReport { diverged: Some(seen), ..copy.clone() };
    assert_eq!(chosen(&looked), Choice::Go(Way::Rewind { fork }, Because::Diverged), "never followed");
    let stranger = CopyReport { parents: vec![], ..copy };
    assert_eq!(chosen(&stranger), clones(Because::NoCommonHistory));
}

#[test]
fn a_fork_after_the_chain_left_is_where_the_chain_left() {
    let parents = vec![WalPosition { timeline: Timeline(1), lsn: Lsn(1_200) }];
    let copy = CopyReport { timeline: Timeline(3), parents, ..old_primary() };
    assert_eq!(chosen(&copy), Choice::Go(Way::Inspect { fork: FORK }, Because::NotInspected));
}

#[test]
fn a_primary_on_the_actives_timeline_is_nobodys() {
    let copy = CopyReport { timeline: Timeline(2), parents: vec![FORK], ..old_primary() };
    assert_eq!(chosen(&copy), clones(Because::OthersTimeline));
}

#[test]
fn a_running_standby_says_itself_how_far_it_is() {
    let copy = CopyReport { state: CopyState::Standby, ..old_primary() };
    let chain = chain();
    let at = |timeline: u32, lsn: u64| {
        let position = Some(WalPosition { timeline: Timeline(timeline), lsn: Lsn(lsn) });
        choose(&Facts { position, ..facts(&chain, &copy) })
    };
    assert_eq!(at(1, 1_000), Choice::Go(Way::Follow, Because::OnTheChain));
    assert_eq!(at(1, 1_001), Choice::Go(Way::Inspect { fork: FORK }, Because::NotInspected), "ahead");
    assert_eq!(at(2, 9_999), Choice::Go(Way::Follow, Because::OnTheChain));
}

#[test]
fn one_on_the_chain_that_never_streams_is_cloned() {
    let copy = CopyReport { state: CopyState::Standby, ..old_primary() };
    let chain = chain();
    let position = Some(WalPosition { timeline: Timeline(1), lsn: Lsn(400) });
    let stuck = Facts { position, stuck: true, ..facts(&chain, &copy) };
    assert_eq!(choose(&stuck), clones(Because::NotStreaming));
}

#[test]
fn nothing_begins_without_the_space_for_it() {
    let need = (1 << 30) / 100 * 110;
    let tight = CopyReport { free: 1 << 30, mark: Some(CopyMark::RewindBegun), ..old_primary() };
    assert_eq!(chosen(&tight), Choice::Not(Obstacle::NoSpace { need, free: 1 << 30 }));
    let full = CopyReport { free: 1_000, ..inspected(5, true) };
    assert!(matches!(chosen(&full), Choice::Not(Obstacle::NoSpace { .. })));
}
