//! The judge on stories in which something is wrong.

use super::*;
use crate::clocks::Rates;
use model::WallMillis;

fn site(name: &str) -> SiteId {
    SiteId::new(name).expect("a good name")
}

fn judge() -> Judge {
    Judge::new(Millis(5_000), Millis(2_000), false)
}

fn broken(judge: &Judge, rule: &str) -> bool {
    judge.violations.iter().any(|how| how.starts_with(rule))
}

fn entry(index: u64, at: u64) -> Applied {
    let entry = Entry { at: WallMillis(at), command: Command::Nothing };
    let mut state = State::default();
    let mut outcome = Outcome::Applied;
    for i in 1..=index {
        outcome = state.apply(LogIndex(i), &entry);
    }
    Applied::Entry { index: LogIndex(index), entry: Arc::new(entry), outcome, state: Arc::new(state) }
}

#[test]
fn another_entry_at_an_index_and_a_hole_are_seen() {
    let mut judge = judge();
    judge.applied(&site("dc1"), &entry(1, 10));
    judge.applied(&site("dc2"), &entry(1, 10));
    assert!(judge.violations.is_empty(), "{:?}", judge.violations);
    judge.applied(&site("dc3"), &entry(1, 11));
    assert!(broken(&judge, "S7: dc3 has another entry"), "{:?}", judge.violations);
    judge.applied(&site("dc1"), &entry(3, 10));
    assert!(broken(&judge, "S7: dc1 applied 3"), "{:?}", judge.violations);
}

#[test]
fn two_leaders_of_a_term_are_seen() {
    let leads = |term| Leadership { leader: None, term, me_leading: true };
    let mut judge = judge();
    judge.leads(&site("dc1"), &leads(3));
    judge.leads(&site("dc2"), &leads(4));
    assert!(judge.violations.is_empty());
    judge.leads(&site("dc2"), &leads(3));
    assert!(broken(&judge, "S7: dc1 and dc2 both led in term 3"), "{:?}", judge.violations);
}

#[test]
fn an_old_answer_and_one_that_nobody_confirmed_are_seen() {
    let status = serde_json::json!({
        "group": "g", "answered_by": "dc1", "stale": false, "leader": null, "term": 1, "index": 7,
        "sentences": [], "witnesses": [], "sites": [], "stacks": [],
    });
    let status: GroupStatus = serde_json::from_value(status).expect("a status");
    let mut judge = judge();
    judge.told(&site("dc1"), LogIndex(7), false, &status);
    assert!(judge.violations.is_empty());
    judge.told(&site("dc1"), LogIndex(8), false, &status);
    judge.told(&site("dc1"), LogIndex(7), true, &status);
    assert_eq!(judge.violations.len(), 2, "{:?}", judge.violations);
}

#[test]
fn two_holders_and_an_epoch_that_goes_back_are_seen() {
    let hosts = ["a-dc1", "a-dc2"].map(|host| (host.to_owned(), Rates::default()));
    let _clocks = clocks::simulated(hosts.into());
    let stack = StackId::new("app").expect("a good name");
    let right = |epoch| Some((stack.clone(), Epoch(epoch), None));
    let mut judge = judge();
    judge.actor_starts(&site("dc1"), "a-dc1");
    judge.actor_starts(&site("dc2"), "a-dc2");
    judge.holds(&site("dc1"), right(2), LogIndex(5));
    judge.look(Duration::from_secs(1));
    assert!(judge.violations.is_empty());
    judge.holds(&site("dc2"), right(3), LogIndex(6));
    judge.look(Duration::from_secs(2));
    assert!(broken(&judge, "S1: several"), "{:?}", judge.violations);
    judge.holds(&site("dc1"), right(1), LogIndex(7));
    assert!(broken(&judge, "S3: dc1"), "{:?}", judge.violations);
}
