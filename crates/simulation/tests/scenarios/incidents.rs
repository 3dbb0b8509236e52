//! Every incident has a script, or a reason why it has none. The table in `docs/testing.md` is printed
//! from here: `BLESS=1 cargo test -p simulation --test scenarios incident` writes it anew.

use crate::{name, root, scripts};
use std::fmt::Write as _;

/// An incident, scenarios of the lab that show something of it with real parts, and why it has no
/// script, if it has none.
type Incident = (&'static str, &'static [&'static str], Option<&'static str>);

/// Every incident of this field that we know of. Each has a script of its own, or says why not.
const INCIDENTS: [Incident; 18] = [
    ("GitHub, October 2018", &["site-partitioned"], None),
    ("orchestrator #1296", &["winner-lost"], None),
    ("orchestrator #1217", &[], None),
    ("orchestrator #451", &["witnesses-restarted"], None),
    ("CloudNativePG #11280 (2026)", &["site-partitioned", "both-stopped", "both-killed-pipeline"], None),
    ("CloudNativePG #2144", &[], None),
    ("pg_auto_failover #997", &["link-cut"], None),
    ("AWS, October 2025", &["actor-stopped"], None),
    ("Cloudflare, November 2020", &["deaf", "dumb", "blips"], None),
    ("Facebook, October 2021", &[], None),
    ("Roblox, October 2021", &[], None),
    ("GitLab, January 2017", &["site-returns-diverged", "rewind-killed"], None),
    ("DocumentDB operator #375 (2026)", &["winner-lost"], None),
    ("Patroni #3639", &["both-killed-busy", "backend-stopped"], None),
    ("Patroni #1915", &[], Some("the sync set: comes with synchronous mode (issue 5)")),
    ("Booth #68, #17", &["actor-killed", "actor-stopped"], None),
    ("synapse #18544 (2026)", &[], Some("the application's check: comes with workloads, not built")),
    ("Datadog game day", &[], None),
];

const BEGIN: &str = "<!-- incidents: printed by crates/simulation/tests/scenarios -->\n";
const END: &str = "<!-- end of incidents -->\n";

fn ticked(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn render() -> String {
    let mut text =
        String::from("| incident | script | the rule | not shown | lab |\n| --- | --- | --- | --- | --- |\n");
    let scripts = scripts();
    for (incident, lab, without) in INCIDENTS {
        let ours: Vec<_> = scripts.iter().filter(|script| script.incident == incident).collect();
        let names: Vec<String> = ours.iter().map(|script| name(script)).collect();
        let rule = ours.first().map_or("-", |script| script.rule.as_str());
        let lacks = ours.iter().find_map(|script| script.lacks.as_deref()).or(without).unwrap_or_default();
        let names = if names.is_empty() { String::from("none yet") } else { ticked(&names) };
        let lab = ticked(&lab.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        writeln!(text, "| {incident} | {names} | {rule} | {lacks} | {lab} |")
            .expect("a String takes everything");
    }
    text
}

#[test]
fn every_incident_has_a_script_or_a_reason() {
    let scripts = scripts();
    for script in &scripts {
        let known = INCIDENTS.iter().any(|(incident, ..)| *incident == script.incident);
        assert!(known, "{}: no such incident: {}", script.file, script.incident);
    }
    for (incident, _, without) in INCIDENTS {
        let has = scripts.iter().any(|script| script.incident == incident);
        assert_ne!(has, without.is_some(), "{incident}: a script, or a reason why there is none");
    }
}

#[test]
fn the_labs_scenarios_for_incidents_are_there() {
    let catalogue = root().join("chaos/src/scenario/catalogue.rs");
    let catalogue = std::fs::read_to_string(&catalogue).expect("the lab has a catalogue");
    for name in INCIDENTS.iter().flat_map(|(_, lab, _)| lab.iter()) {
        assert!(catalogue.contains(&format!("name: \"{name}\"")), "the lab has no scenario {name}");
    }
}

#[test]
fn the_table_of_incidents_in_the_docs_is_current() {
    let path = root().join("docs/testing.md");
    let document = std::fs::read_to_string(&path).expect("docs/testing.md is there");
    let (before, rest) = document.split_once(BEGIN).expect("docs/testing.md has the first marker");
    let (known, after) = rest.split_once(END).expect("docs/testing.md has the second marker");
    let current = render();
    if std::env::var_os("BLESS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{current}{END}{after}")).expect("it can be written");
        return;
    }
    assert_eq!(known, current, "docs/testing.md is not current: run this test with BLESS=1");
}
