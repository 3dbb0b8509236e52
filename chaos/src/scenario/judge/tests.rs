//! Planted histories: what must be found, and what must not.

use super::*;
use crate::client::history::History;
use crate::scenario::catalogue;
use simulation::checkers::{FinalRows, ProcessSeen, WriteId};
use std::path::Path;

const MS: u64 = 1_000_000;
const FAULT: u64 = 10_000 * MS;

/// A client that wrote every 20 ms at `site` from `from` to `to` (milliseconds), all acknowledged
/// within a millisecond.
fn client(name: &str, tenures: &[(&str, u64, u64)]) -> History {
    let mut history = History::new(name, Path::new("/nowhere"));
    let mut number = 0;
    for (site, from, to) in tenures {
        for sent in (*from..*to).step_by(20) {
            number += 1;
            let write = WriteId { client: name.to_owned(), number };
            history.acks.push(Ack {
                write,
                site: (*site).to_owned(),
                sent: sent * MS,
                acked: (sent + 1) * MS,
            });
        }
    }
    // it tried on to the end
    history.tries = (9_000..30_000).step_by(200).map(|t| t * MS).collect();
    history
}

fn rows(histories: &[&History], keep: impl Fn(&Ack) -> bool) -> FinalRows {
    histories.iter().flat_map(|h| &h.acks).filter(|a| keep(a)).map(|a| a.write.clone()).collect()
}

/// dc1 cut off at 10 s, dc2 elected, writes there from 17 s on; healed at 25 s. `inner_until`: how
/// long the client inside dc1 was acknowledged.
fn partition(inner_until: u64) -> Seen {
    let outside = client("out", &[("dc1", 8_000, 10_000), ("dc2", 17_000, 27_000)]);
    let inside = client("in", &[("dc1", 8_000, inner_until)]);
    let rows = rows(&[&outside, &inside], |a| a.site == "dc2" || a.acked < FAULT);
    Seen {
        clients: vec![(false, Style::Steady, outside), (true, Style::Steady, inside)],
        active: (1, Some(2)),
        elected: vec![2],
        fault: FAULT,
        healed: 25_000 * MS,
        rows,
        processes: vec![ProcessSeen { pid: 7, generation: 1, first: 9_000 * MS, last: inner_until * MS }],
        events: Vec::new(),
        wall_offset: 0,
        stuck: None,
    }
}

fn judged(name: &str, seen: &Seen) -> Verdict {
    judge(catalogue::find(name).expect("it is in the catalogue"), Profile::Metro, 1, seen)
}

#[test]
fn a_site_that_fences_itself_in_time_passes() {
    let verdict = judged("site-partitioned", &partition(14_800));
    assert_eq!(verdict.violations, Vec::<String>::new());
    assert_eq!(verdict.invalid, None);
    assert!((7.0..7.1).contains(&verdict.outage), "{}", verdict.outage);
    assert_eq!(verdict.lost, 240, "asynchronous: what was acknowledged inside after the cut is lost");
    assert_eq!((verdict.overlaps, verdict.left), (0, Some(0)));
}

#[test]
fn a_site_that_writes_on_breaks_s1_and_leaves_processes() {
    let verdict = judged("site-partitioned", &partition(20_000));
    assert!(verdict.overlaps > 100);
    assert_eq!(verdict.left, Some(1));
    assert_eq!(verdict.violations.len(), 2, "{:?}", verdict.violations);
}

#[test]
fn a_run_whose_inner_client_was_silent_before_the_fault_does_not_count() {
    let verdict = judged("site-partitioned", &partition(8_500));
    assert!(verdict.invalid.is_some());
}

#[test]
fn a_change_of_site_is_too_much_for_a_harmless_fault() {
    let verdict = judged("leader-killed", &partition(14_800));
    assert!(verdict.violations.iter().any(|v| v.contains("dc1 > dc2")), "{:?}", verdict.violations);
    assert!(verdict.over());
}
