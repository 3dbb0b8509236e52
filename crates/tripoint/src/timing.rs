//! `tripoint timing`: the rules between the durations and the outage that follows.

use coordination::Timing;
use coordination::timing::{Profile, TimingValues, rules};
use std::fmt::Write;

/// The whole report. The flag is true if every rule holds.
pub fn report(title: &str, values: &TimingValues) -> (String, bool) {
    let mut text = format!("{title}\n\n");
    durations(&mut text, values);
    let holds = rule_lines(&mut text, values);
    match Timing::new(*values) {
        Ok(timing) => outage(&mut text, &timing),
        Err(_) => text.push_str("No outage can be promised while a rule is broken.\n"),
    }
    (text, holds)
}

/// The name of a profile.
pub const fn profile_name(profile: Profile) -> &'static str {
    match profile {
        Profile::Wan => "wan",
        Profile::Metro => "metro",
        Profile::Fast => "fast",
    }
}

fn durations(text: &mut String, v: &TimingValues) {
    let rows = [
        ("lease.duration (D)", v.lease_duration),
        ("lease.renew_every (R)", v.renew_every),
        ("fence.deadline (F)", v.fence_deadline),
        ("detect.after", v.detect_after),
        ("raft.heartbeat", v.heartbeat),
        ("raft.election_min", v.election_min),
        ("raft.election_max", v.election_max),
        ("measured.rtt_p99", v.round_trip_p99),
        ("measured.fsync_p99", v.fsync_p99),
    ];
    for (name, value) in rows {
        line(text, format_args!("  {name:<24}{:>10}", value.to_string()));
    }
    let (whole, rest) = (v.drift_max_ppm / 10_000, v.drift_max_ppm % 10_000);
    let fraction = format!(".{rest:04}");
    let percent = format!("{whole}{} %", fraction.trim_end_matches('0').trim_end_matches('.'));
    line(text, format_args!("  {:<24}{percent:>10}", "clock.max_drift (rho)"));
}

fn rule_lines(text: &mut String, values: &TimingValues) -> bool {
    text.push_str("\nRules (renew_p99 is two round trips and two fsyncs)\n");
    let mut all = true;
    for (rule, left, right, holds) in rules(values) {
        all &= holds;
        let word = if holds { "ok" } else { "BROKEN" };
        line(text, format_args!("  {word:<7} {left} against {right}"));
        for part in wrapped(&rule.to_string(), 66) {
            line(text, format_args!("          {part}"));
        }
    }
    all
}

fn outage(text: &mut String, timing: &Timing) {
    let wait = timing.wait(timing.terms());
    line(
        text,
        format_args!("\nW = (D + F)(1 + rho)/(1 - rho) = {wait}: the longest that a lost site may act"),
    );
    line(text, format_args!("Suspicion after {} without a renewal.", timing.suspect_after()));
    text.push_str("\nWorst outage of a lost site, asynchronous replication, fenced by time\n");
    for term in timing.outage_by_time() {
        line(text, format_args!("  {:>9}  {}", term.at_most.to_string(), term.what));
    }
    let sum = timing.outage_by_time_max().to_string();
    line(text, format_args!("  {sum:>9}  at most, from the loss to the first write at the new site"));
    text.push_str("\nPostgreSQL alone lost: restarted in place under the lease, no failover.\n");
    text.push_str("Witness, leader or one link lost: no outage.\n");
}

fn line(text: &mut String, arguments: std::fmt::Arguments<'_>) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{arguments}");
}

/// Words filled into lines of at most `width` characters.
fn wrapped(sentence: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in sentence.split(' ') {
        let last = lines.len() - 1;
        if !lines[last].is_empty() && lines[last].len() + 1 + word.len() > width {
            lines.push(word.to_owned());
        } else {
            if !lines[last].is_empty() {
                lines[last].push(' ');
            }
            lines[last].push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_report_is_as_the_golden_file_says() {
        let (text, holds) = report("Profile metro", &Profile::Metro.values());
        let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("testdata/timing-metro.txt");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&golden, &text).expect("a golden file");
        }
        assert!(holds);
        assert_eq!(std::fs::read_to_string(&golden).expect("a golden file"), text);
        assert!(text.lines().all(|line| line.chars().count() <= 80));
    }

    #[test]
    fn a_broken_rule_is_marked() {
        let values = TimingValues { renew_every: model::Millis(1_000), ..Profile::Metro.values() };
        let (text, holds) = report("", &values);
        assert!(!holds && text.contains("BROKEN") && !text.contains("Worst outage"));
    }

    #[test]
    fn the_documentation_shows_the_outages_of_the_profiles() {
        let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/timing.md");
        let docs = std::fs::read_to_string(docs).expect("docs/timing.md");
        let timings = Profile::ALL.map(|p| Timing::new(p.values()).expect("a profile of the design"));
        for (n, term) in timings[0].outage_by_time().iter().enumerate() {
            let cells = timings.map(|t| t.outage_by_time()[n].at_most.to_string()).join(" | ");
            let row = format!("| {} | {cells} |", term.what);
            assert!(docs.contains(&row), "docs/timing.md lacks: {row}");
        }
        let sums = timings.map(|t| t.outage_by_time_max().to_string()).join(" | ");
        assert!(docs.contains(&format!("| **sum** | {sums} |")), "docs/timing.md lacks the sums {sums}");
    }
}
