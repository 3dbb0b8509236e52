//! What a script can say, and what is said to one that says something else.

use super::parse;
use crate::history::SECOND;
use crate::scenario::{Claim, Deed, Kind, Place, When, Window};

const HEAD: &str = "incident x\nrule y\nsites 3\nprofile metro\nstack s1 active dc1\n";

fn script(rest: &str) -> Result<crate::scenario::Script, String> {
    parse("f", &format!("{HEAD}{rest}")).map_err(|error| error.to_string())
}

#[test]
fn a_script_says_what_it_says() {
    let text = "# a remark\nat 10s cut dc1 to dc2 for 500ms # D\nwhen elected s1 dc2 or dc3 then after 1s kill leader\n\
                expect active dc2 or dc3 within 2min\nat 90s heal\nexpect never begun\n";
    let script = script(text).expect("it is one");
    assert_eq!(script.acts[0].deed, Deed::Cut(0, 1, false));
    assert_eq!(script.acts[0].lasts, SECOND / 2);
    let When::On(occasion, later) = &script.acts[1].when else { panic!("it waits") };
    assert_eq!((occasion.kind, &occasion.sites[..], *later), (Kind::Elected, &[1, 2][..], SECOND));
    assert!(matches!(script.acts[1].deed, Deed::Blow(_, 0, Place::Leader)));
    assert_eq!(script.expectations[0].claim, Claim::Active(0, vec![1, 2]));
    assert_eq!(script.expectations[0].window, Window::Within(120 * SECOND));
    assert_eq!((script.expectations[0].line, script.expectations[0].after), (9, Some(1)));
    assert_eq!(script.expectations[1].window, Window::Between(0, u64::MAX));
}

#[test]
fn a_name_may_have_a_number_sign() {
    let text = "incident orchestrator #1296   # a remark\nrule y\nstack s1 active dc1\nat 1s heal\nexpect never begun\n";
    assert_eq!(parse("f", text).expect("it is a script").incident, "orchestrator #1296");
}

#[test]
fn what_is_wrong_is_said_with_its_line_and_a_remedy() {
    let cases = [
        (
            "at 10 heal",
            "f:6: expected a length of time, found `10`; write a whole number of ms, s or min, as `43s`",
        ),
        (
            "at 10s cut dc1 dc4",
            "expected a site, found `dc4`; this script has dc1 to dc3; `sites` says how many",
        ),
        ("at 10s cut dc1 dc1", "expected another site, found `dc1`"),
        ("at 10s explode dc1", "expected something that is done, found `explode`; there are: cut, isolate"),
        ("at 10s kill postgres dc1", "expected a process, `postmaster` or `leader`, found `postgres`"),
        (
            "at 10s kill gate s2 dc1",
            "expected a stack of this script, found `s2`; define it: `stack s2 active dc1`",
        ),
        ("at 10s ill dc1 dizzy", "expected an illness, found `dizzy`; there are: hangs"),
        ("at 10s operator pause s1", "expected what an operator does, found `pause`; there are: failover"),
        ("at 10s isolate dc1 till 20s", "expected the end of the line, found `till 20s`"),
        (
            "at 10s isolate dc1\nat 9s isolate dc2",
            "f:7: expected at least 10.0 s, found `9s`; write what is done in the order",
        ),
        ("when exploded then heal", "expected something that occurs, found `exploded`; there are: suspected"),
        ("when begun kill leader", "expected `then`, found `kill`"),
        ("when begun then heal", "expected a fixed time for `heal`"),
        ("at 1s heal\nat 2s isolate dc1", "f:7: expected nothing after `heal`"),
        ("at 1s heal", "f:0: expected an expectation, found none"),
        ("at 1s isolate dc1\nexpect never begun", "f:0: expected `heal` as the last act, found none"),
        ("sites 4", "expected 3, 5 or 7 sites, found `4`"),
        ("profile slow", "expected a profile, found `slow`; there are: fast, metro, wan"),
        ("policy patience 3s", "expected a setting of the policy, found `patience`"),
        ("stack s3 active dc1", "expected `s2`, found `s3`; write it as `stack s2 active dc1`"),
        ("hello", "expected a line of a script, found `hello`; there are: incident, rule"),
        ("at 1s heal\nsites 3", "f:7: expected `at`, `when` or `expect`, found `sites`"),
        ("expect active dc1", "expected a time, found the end of the line; say when: within 20s"),
        ("expect active within 3s", "expected a site, found `within`"),
        ("expect glory", "expected something to expect, found `glory`; there are: active"),
        ("expect elected from 3s", "expected another time, found `elected from 3s`; say `within 20s`"),
        ("expect no writes at dc1 within 3s", "say from when on, as `from 20s`"),
        ("expect active dc1 from 9s until 3s", "the end comes after the beginning"),
        ("expect exactly 1 elected within 3s", "this is judged over the whole run"),
        ("expect status dc1 at 3s", "expected a text in quotes, found `dc1 at 3s`"),
        ("expect lost nothing", "expected `rows`, found `nothing`"),
    ];
    for (text, said) in cases {
        let error = script(text).expect_err(text);
        assert!(error.contains(said), "{text}: {error}");
    }
    let bare = parse("f", "rule y\n").expect_err("it names no incident").to_string();
    assert!(bare.starts_with("f:0: expected the incident's name, found none; add a line"), "{bare}");
}
