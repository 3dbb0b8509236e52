//! Each kind of expectation goes red when it should: the same story with a line that is true and
//! with one that is not; and scripts of incidents with a planted bug.

use crate::{name, scripts};
use coordination::planted::Bug;
use simulation::scenario::{Finding, parse, play};

/// dc1 is cut off for 30 s: about 7 s later it is fenced and another site takes over.
const STORY: &str = "\
incident a story
rule     none
sites 3
profile metro
stack s1 active dc1
EXPECT FIRST
at 10s isolate dc1 for 30s
EXPECT
at 60s heal
";

/// Where the expectation stands in the story.
const LINE: usize = 8;

/// One that is true, and the same one when it is not.
const PAIRS: &[(&str, &str)] = &[
    ("active dc2 or dc3 within 10s", "active dc2 or dc3 within 5s"),
    ("active dc1 until 15s", "active dc1 throughout"),
    ("active dc1 at 12s", "active dc1 at 30s"),
    ("active dc2 or dc3 from 30s until 40s", "active dc1 from 30s until 40s"),
    ("writes at dc2 or dc3 within 12s", "writes at dc2 or dc3 within 4s"),
    ("writes at dc1 until 12s", "writes at dc1 until 25s"),
    ("no writes at dc1 from 18s", "no writes at dc1 from 12s"),
    ("no primary at dc1 from 18s", "no primary at dc1 from 12s"),
    ("no primary at dc1 from 18s", "no primary at dc1 from 5s until 18s"),
    ("fenced dc1 within 10s", "fenced dc1 within 3s"),
    ("elected", "elected dc1"),
    ("suspected dc1 within 5s", "suspected dc2 within 5s"),
    ("begun dc1 within 5s", "begun dc2"),
    ("expired dc1 within 9s", "expired dc3 within 9s"),
    ("detached dc2 within 10s", "detached dc1 within 10s"),
    ("promoted within 11s", "promoted dc1"),
    ("completed within 12s", "completed within 5s"),
    ("streams dc1", "streams dc1 within 20s"),
    ("never elected dc1", "never elected"),
    ("never elected until 14s", "never elected until 30s"),
    ("never would-begin", "never begun"),
    ("never fencing", "never fenced from 12s"),
    ("fenced dc1 before elected", "elected before fenced dc1"),
    ("begun before fenced", "begun dc2 before fenced"),
    ("expired dc1 before elected", "expired dc1 before elected dc1"),
    ("exactly 1 elected", "exactly 2 elected"),
    ("at most 1 begun", "at most 0 begun"),
    ("at most 5 leads", "at most 0 elected"),
    ("lost rows 0 before 9s", "lost rows 0"),
    ("lost rows at most 200", "lost rows at most 1"),
    ("takeover dc2 or dc3 at 9s", "takeover nobody at 9s"),
    ("takeover dc1 or dc2 or dc3 at 59s", "takeover dc1 at 9s"),
    ("against dc1 \"active one\" at 9s", "against dc2 \"active one\" at 9s"),
    ("held \"waiting for the fence\" within 6s", "held \"no standby streams\" within 6s"),
    ("status \"s1 is active at dc1\" until 10s", "status \"s1 is active at dc1\" until 20s"),
    ("status of dc1 \"site dc1: up\" at 12s", "status of dc1 \"site dc1: lost\" at 12s"),
];

fn told(expectation: &str) -> String {
    // What counts from an act comes after it, the rest is the same there.
    STORY.replace("EXPECT FIRST", "").replace("EXPECT", &format!("expect {expectation}"))
}

fn findings(text: &str, seed: u64) -> Vec<Finding> {
    let script = parse("a.scenario", text).unwrap_or_else(|error| panic!("{error}"));
    play(&script, seed, None, false).findings
}

#[test]
fn every_kind_of_expectation_can_fail() {
    for (good, bad) in PAIRS {
        for seed in 0..5 {
            let found = findings(&told(good), seed);
            assert!(found.iter().all(|finding| finding.seen.is_ok()), "seed {seed}: {found:?}");
        }
        let found = findings(&told(bad), 1);
        let red: Vec<&Finding> = found.iter().filter(|finding| finding.seen.is_err()).collect();
        assert_eq!(red.len(), 1, "{bad}: {found:?}");
        let said = red[0].to_string();
        assert!(said.starts_with(&format!("a.scenario:{LINE}: {bad}: NO, ")), "{said}");
    }
}

#[test]
fn what_never_comes_to_pass_is_no_success() {
    // The act waits for something that does not happen, and what counts from it fails as well.
    let text =
        told("completed").replace("at 60s", "when elected dc1 then kill leader\nexpect elected\nat 60s");
    let red: Vec<usize> =
        findings(&text, 1).iter().filter(|finding| finding.seen.is_err()).map(|f| f.line).collect();
    assert_eq!(red, [LINE + 1, LINE + 2]);
}

#[test]
fn the_checkers_judge_every_script() {
    let script = scripts().into_iter().find(|script| name(script) == "cloudnativepg-11280-open-sessions");
    let script = script.expect("it is there");
    let violated = |bug| (0..20).any(|seed| !play(&script, seed, bug, false).violations.is_empty());
    assert!(!violated(None));
    assert!(violated(Some(Bug::EpochNotRaised)));
}

/// Every script, and a bug with which it does not come true.
const BUGS: &[(&str, Bug)] = &[
    ("aws-2025-delayed-worker", Bug::CooldownCountsUnfinished),
    ("booth-68-17-restarts", Bug::EpochNotRaised),
    ("cloudflare-2020-half-broken-switch", Bug::OneWitnessForEver),
    ("cloudnativepg-11280-open-sessions", Bug::PermissionFromView),
    ("cloudnativepg-2144-all-unreachable", Bug::PermissionFromView),
    ("datadog-game-day", Bug::OldSiteNeverCandidate),
    ("datadog-game-day-lag", Bug::LagIgnored),
    ("documentdb-375-back-to-back", Bug::ConsentNotNeeded),
    ("facebook-2021-all-suspect", Bug::UnhealthyAtOnce),
    ("github-2018-partition", Bug::PermissionFromView),
    ("gitlab-2017-data-removed", Bug::EpochNotRaised),
    ("orchestrator-1217-hung-recoveries", Bug::PromoteBlocksForEver),
    ("orchestrator-1296-leader-died", Bug::CooldownCountsUnfinished),
    ("orchestrator-451-hooks", Bug::EpochNotRaised),
    ("patroni-3639-last-backend", Bug::PermissionFromView),
    ("pg-auto-failover-997-link-cut", Bug::OneWitnessForEver),
    ("roblox-2021-quorum-lost", Bug::UnhealthyAtOnce),
];

#[test]
fn every_script_sees_a_planted_bug() {
    for script in scripts() {
        let bug = BUGS.iter().find(|(of, _)| *of == name(&script)).map(|(_, bug)| *bug);
        let bug = bug.unwrap_or_else(|| panic!("{}: name a bug with which it fails", script.file));
        let red = |seed: u64| !play(&script, seed, Some(bug), false).wrong().is_empty();
        assert!((0..20).any(red), "{} comes true with {bug:?}", script.file);
    }
}
