//! The table at the end.

use super::judge::Verdict;

/// Renders all verdicts, one line each, and what went wrong below.
#[must_use]
pub fn render(verdicts: &[Verdict]) -> String {
    let mut text = format!(
        "{:<22} {:<6} {:>3} {:>8} {:>7} {:>7} {:>6} {:>5} {:>7} {:>7} {:<12} {}\n",
        "scenario",
        "prof",
        "run",
        "outage",
        "bound",
        "acked",
        "lost",
        "S1",
        "left",
        "f>write",
        "active",
        "verdict"
    );
    for v in verdicts {
        text += &line(v);
    }
    for v in verdicts.iter().filter(|v| !v.violations.is_empty() || v.invalid.is_some()) {
        for why in v.violations.iter().chain(&v.invalid) {
            text += &format!("  {} run {}: {why}\n", v.scenario, v.run);
        }
    }
    text
}

/// One verdict's line.
#[must_use]
pub fn line(v: &Verdict) -> String {
    let verdict = if !v.violations.is_empty() {
        "FAILED"
    } else if v.invalid.is_some() {
        "does not count"
    } else if v.over() {
        "ok, slow"
    } else {
        "ok"
    };
    let optional = |n: Option<f64>| n.map_or_else(|| "-".to_owned(), |n| format!("{n:.3}"));
    format!(
        "{:<22} {:<6} {:>3} {:>8.3} {:>7} {:>7} {:>6} {:>5} {:>7} {:>7} {:<12} {}\n",
        v.scenario,
        v.profile,
        v.run,
        v.outage,
        v.bound.map_or_else(|| "-".to_owned(), |b| format!("{b:.1}")),
        v.acknowledged,
        v.lost,
        v.overlaps,
        v.left.map_or_else(|| "-".to_owned(), |n| n.to_string()),
        optional(v.fence_to_write),
        v.tenures.join(">"),
        verdict
    )
}
