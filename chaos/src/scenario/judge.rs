//! The judgement on what was seen: the checkers' findings against what the scenario expects.

use super::plan::{Ends, Inside, Scenario};
use super::run::Seen;
use crate::client::writer::Style;
use crate::clock::seconds;
use crate::product::layout::site_name;
use crate::product::profile::Profile;
use serde::Serialize;
use serde_json::{Value, json};
use simulation::checkers::{Ack, leftovers, lost_writes, one_writer, outage};

/// A client inside must have been acknowledged this shortly before the fault.
const ACKED_BEFORE: u64 = 1_000_000_000;
/// And must never have been idle for longer than this.
const IDLE_MAX: u64 = 2_500_000_000;
/// Gaps from here on are added up.
const GAP: u64 = 250_000_000;
/// What the outside look itself may be late by.
const LOOK_LATE: u64 = 100_000_000;

/// One run's result, as it is printed and written down.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The scenario.
    pub scenario: String,
    /// The profile.
    pub profile: String,
    /// Which run.
    pub run: usize,
    /// What went against the expectation; empty: it went well.
    pub violations: Vec<String>,
    /// Why the run doesn't count, if it doesn't.
    pub invalid: Option<String>,
    /// The longest gap of the client outside, seconds.
    pub outage: f64,
    /// What the issue allows, if it says.
    pub bound: Option<f64>,
    /// The sites in the order in which they were active.
    pub tenures: Vec<String>,
    /// Acknowledged writes of all clients.
    pub acknowledged: usize,
    /// Those that are gone.
    pub lost: usize,
    /// The first and the last of them, seconds after the fault.
    pub lost_from_to: Option<(f64, f64)>,
    /// Overlapping acknowledgements (S1).
    pub overlaps: usize,
    /// Late replies that are no violation.
    pub late_replies: usize,
    /// Processes of the old server left at the deadline, if none may be.
    pub left: Option<usize>,
    /// When the last process of the old server was seen, seconds after the fault.
    pub empty_after: Option<f64>,
    /// The last acknowledgement inside, seconds after the fault.
    pub inner_last: Option<f64>,
    /// From the fence's proof to the first acknowledged write at the new site, seconds.
    pub fence_to_write: Option<f64>,
    /// The log's new entries: seconds after the fault, what.
    pub events: Vec<(f64, Value)>,
}

impl Verdict {
    /// A run that could not be made or finished.
    #[must_use]
    pub fn failed(scenario: &str, profile: Profile, run: usize, why: String) -> Self {
        Self {
            scenario: scenario.to_owned(),
            profile: profile.name().to_owned(),
            run,
            violations: vec![why],
            invalid: None,
            outage: 0.0,
            bound: None,
            tenures: Vec::new(),
            acknowledged: 0,
            lost: 0,
            lost_from_to: None,
            overlaps: 0,
            late_replies: 0,
            left: None,
            empty_after: None,
            inner_last: None,
            fence_to_write: None,
            events: Vec::new(),
        }
    }

    /// True if the outage was longer than the issue allows.
    #[must_use]
    pub fn over(&self) -> bool {
        self.bound.is_some_and(|bound| self.outage > bound)
    }
}

/// Judges one run.
#[must_use]
pub fn judge(scenario: &Scenario, profile: Profile, run: usize, seen: &Seen) -> Verdict {
    let tenures = tenures(seen);
    let acks: Vec<Ack> = seen.clients.iter().flat_map(|(_, _, h)| h.acks.iter().cloned()).collect();
    let writer = one_writer(&acks, &tenures, &seen.rows);
    let lost = lost_writes(&acks, &seen.rows);
    let outside: Vec<Ack> =
        seen.clients.iter().filter(|c| !c.0).flat_map(|c| c.2.acks.iter().cloned()).collect();
    let gap = outage(&outside, seen.fault.saturating_sub(GAP), seen.healed, GAP);
    let deadline = seen.fault + nanos(profile.lease() + profile.fence()) + LOOK_LATE;
    let left = leftovers(&seen.processes, seen.fault, deadline);
    let relative = |t: u64| round(seconds(seen.fault, t));
    let inner = seen.clients.iter().filter(|c| c.0).filter_map(|c| c.2.last_ack()).max();
    let mut verdict = Verdict {
        invalid: invalid(scenario, seen),
        outage: round(seconds(gap.longest.from, gap.longest.to)),
        bound: scenario.outage.of(profile).map(|b| b.as_secs_f64()),
        acknowledged: lost.acknowledged,
        lost: lost.lost,
        lost_from_to: lost.first.zip(lost.last).map(|(a, b)| (relative(a), relative(b))),
        overlaps: writer.overlaps.len(),
        late_replies: writer.late_replies,
        left: scenario.gone.then(|| left.iter().map(|l| l.pids.len()).sum()),
        empty_after: old_server_last(seen).map(relative),
        inner_last: inner.map(relative),
        fence_to_write: fence_to_write(seen, &outside),
        events: timeline(seen),
        tenures,
        ..Verdict::failed(scenario.name, profile, run, String::new())
    };
    verdict.violations = violations(scenario, seen, &verdict);
    verdict
}

/// The sites that were active, in order, each once in a row.
fn tenures(seen: &Seen) -> Vec<String> {
    let mut sites = vec![site_name(seen.active.0)];
    sites.extend(seen.elected.iter().map(|n| site_name(*n)));
    sites.dedup();
    sites
}

fn violations(scenario: &Scenario, seen: &Seen, verdict: &Verdict) -> Vec<String> {
    let mut found = Vec::new();
    if verdict.overlaps > 0 {
        found.push(format!("S1: {} overlapping acknowledgements", verdict.overlaps));
    }
    if let Some(left @ 1..) = verdict.left {
        found.push(format!("{left} processes of the old server left at D + F"));
    }
    if scenario.keeps_all && verdict.lost > 0 {
        found.push(format!("{} acknowledged writes lost", verdict.lost));
    }
    let changes = verdict.tenures.len() - 1;
    match scenario.ends {
        Ends::Same if changes > 0 => {
            found.push(format!("the active site changed: {}", verdict.tenures.join(" > ")))
        }
        Ends::Moved if changes != 1 => found.push(format!("{changes} changes of the active site, not one")),
        _ => {}
    }
    if let Some(stuck) = &seen.stuck {
        found.push(stuck.clone());
    }
    found
}

/// A run counts only if the client inside wrote until the fault and tried throughout.
fn invalid(scenario: &Scenario, seen: &Seen) -> Option<String> {
    if scenario.inside == Inside::Nobody {
        return None;
    }
    for (_, style, history) in seen.clients.iter().filter(|c| c.0) {
        let before = history.acks.iter().map(|a| a.acked).filter(|t| *t <= seen.fault).max().unwrap_or(0);
        let late = if *style == Style::Long { 5 * ACKED_BEFORE } else { ACKED_BEFORE };
        if seen.fault - before > late {
            return Some(format!("{}: not acknowledged just before the fault", history.client));
        }
        if *style == Style::Steady && history.longest_idle(seen.fault, seen.healed) > IDLE_MAX {
            return Some(format!("{}: did not try throughout", history.client));
        }
    }
    None
}

/// When the last process of a server that lived at the fault was seen.
fn old_server_last(seen: &Seen) -> Option<u64> {
    let old = |g: u64| seen.processes.iter().any(|p| p.generation == g && p.first <= seen.fault);
    seen.processes.iter().filter(|p| old(p.generation)).map(|p| p.last).max()
}

/// From the wall clock of the last fence before the first write elsewhere to that write.
fn fence_to_write(seen: &Seen, outside: &[Ack]) -> Option<f64> {
    let first_site = site_name(seen.active.0);
    let write =
        outside.iter().filter(|a| a.acked > seen.fault && a.site != first_site).map(|a| a.acked).min()?;
    let fenced = seen.events.iter().filter(|e| e["kind"]["event"] == "fenced").filter_map(|e| at(seen, e));
    let last = fenced.filter(|t| *t <= i128::from(write)).max()?;
    i64::try_from(i128::from(write) - last).ok().map(|ns| round(ns as f64 / 1e9))
}

/// An event's time on the observers' clock.
fn at(seen: &Seen, event: &Value) -> Option<i128> {
    event["at"].as_u64().map(|ms| i128::from(ms) * 1_000_000 - seen.wall_offset)
}

fn timeline(seen: &Seen) -> Vec<(f64, Value)> {
    let relative = |e: &Value| {
        at(seen, e)
            .and_then(|t| i64::try_from(t - i128::from(seen.fault)).ok())
            .map_or(0.0, |ns| round(ns as f64 / 1e9))
    };
    seen.events.iter().map(|e| (relative(e), json!(e["kind"]))).collect()
}

fn nanos(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// To milliseconds.
fn round(seconds: f64) -> f64 {
    (seconds * 1e3).round() / 1e3
}

#[cfg(test)]
mod tests;
