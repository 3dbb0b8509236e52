//! The status of a group as text: the sentences, then a table that fits 80 columns.

use crate::style::{Tone, WIDTH_DEFAULT, paint, wrap};
use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use model::{
    CandidateView, CopyTask, DatabaseReport, DatabaseRole, GroupStatus, SiteId, SiteReport, SiteView,
    StackView, StepState, TransitionView, Verdict,
};
use std::fmt::Write;

/// The whole status as text for people.
#[must_use]
pub fn status(group: &GroupStatus, colour: bool) -> String {
    let mut text = String::new();
    if group.stale {
        let note =
            format!("STALE: only what the witness {} knows by itself; it may be old.", group.answered_by);
        line(&mut text, &paint(&note, Tone::Bad, colour));
    }
    for sentence in &group.sentences {
        line(&mut text, &paint(&wrap(sentence, WIDTH_DEFAULT, "  "), Tone::Bold, colour));
    }
    if group.sentences.is_empty() {
        line(&mut text, "No stack is protected yet.");
    }
    for stack in &group.stacks {
        text.push('\n');
        stack_part(&mut text, group, stack, colour);
    }
    text.push('\n');
    witnesses(&mut text, group, colour);
    text
}

fn stack_part(text: &mut String, group: &GroupStatus, stack: &StackView, colour: bool) {
    let active = stack.active.as_ref().map_or("none", SiteId::as_str);
    let mut heading = format!("{}  active {active}  epoch {}  mode {}", stack.stack, stack.epoch, stack.mode);
    if stack.held && stack.epoch.0 > 0 {
        heading.push_str("  cover held");
    }
    if stack.closed {
        heading.push_str("  FENCED");
    }
    line(text, &paint(&heading, Tone::Bold, colour));
    line(text, &site_table(group, stack, colour));
    if let Some(transition) = &stack.transition {
        transition_part(text, transition, colour);
    }
    for hold in &stack.holds {
        line(text, &paint(&format!("holds: {}", hold_text(hold)), Tone::Watch, colour));
    }
}

fn site_table(group: &GroupStatus, stack: &StackView, colour: bool) -> String {
    let mut table = plain_table(colour);
    table.set_header(["site", "verdict", "renewed", "database", "behind", "gate", "can take over"]);
    let sites: Vec<&SiteId> = stack.takeover.candidates.iter().map(|c| &c.site).collect();
    for view in group.sites.iter().filter(|v| sites.is_empty() || sites.contains(&&v.site)) {
        let report = stack.reports.iter().find(|r| r.site == view.site);
        let candidate = stack.takeover.candidates.iter().find(|c| c.site == view.site);
        table.add_row(site_row(view, stack, report, candidate, colour));
    }
    table.trim_fmt()
}

fn site_row(
    view: &SiteView,
    stack: &StackView,
    report: Option<&SiteReport>,
    candidate: Option<&CandidateView>,
    colour: bool,
) -> Vec<Cell> {
    let active = stack.active.as_ref() == Some(&view.site);
    let name = Cell::new(if active { format!("* {}", view.site) } else { format!("  {}", view.site) });
    let verdict = toned(view.verdict.to_string(), verdict_tone(view.verdict), colour);
    let renewed = match (view.expired, view.renewed_ago) {
        (true, _) => toned("expired".to_owned(), Tone::Bad, colour),
        (false, Some(ago)) => Cell::new(format!("{:.1} s ago", ago.0 as f64 / 1_000.0)),
        (false, None) => toned("never".to_owned(), Tone::Watch, colour),
    };
    let (database, behind) = report.map_or(("-".to_owned(), "-".to_owned()), |r| database_text(&r.database));
    // What a lost site last said of itself is not what it is.
    let database = if view.verdict == Verdict::Lost { format!("was {database}") } else { database };
    let gate = report.filter(|_| view.verdict != Verdict::Lost).map_or("-".to_owned(), gate_text);
    let takeover = match candidate {
        _ if active => Cell::new("active"),
        Some(c) if c.against.is_empty() => toned("yes".to_owned(), Tone::Good, colour),
        Some(c) => toned(format!("no: {}", against_text(c)), Tone::Watch, colour),
        None => Cell::new("-"),
    };
    vec![name, verdict, renewed, Cell::new(database), Cell::new(behind), Cell::new(gate), takeover]
}

fn database_text(database: &DatabaseReport) -> (String, String) {
    let timeline = database.timeline.map_or(String::new(), |t| format!(" t{t}"));
    let behind = match (database.role, &database.upstream) {
        (DatabaseRole::Standby, Some(upstream)) if upstream.streaming => bytes(upstream.lag_bytes),
        (DatabaseRole::Standby, _) => "no stream".to_owned(),
        _ => "-".to_owned(),
    };
    (format!("{}{timeline}", database.role), behind)
}

fn gate_text(report: &SiteReport) -> String {
    let Some(gate) = &report.gate else { return "away".to_owned() };
    if let Some(task) = gate.copy.as_ref().and_then(|copy| copy.task.as_ref()) {
        return task_text(task);
    }
    let state = match gate.open {
        Some(epoch) => format!("open {epoch}"),
        None if gate.running => "standby".to_owned(),
        None => "closed".to_owned(),
    };
    if gate.problem.is_some() { format!("{state} !") } else { state }
}

/// What is being done to the copy, and how far it is: `rewind 47 %, 12 s`.
fn task_text(task: &CopyTask) -> String {
    let part = match task.total_kib {
        Some(total @ 1..) => format!(" {} %,", task.done_kib.min(total) * 100 / total),
        _ => String::new(),
    };
    format!("{}{part} {} s", words(&format!("{:?}", task.work)), task.elapsed.0 / 1_000)
}

fn against_text(candidate: &CandidateView) -> String {
    let reasons: Vec<String> = candidate.against.iter().map(|reason| words(&format!("{reason:?}"))).collect();
    reasons.join(", ")
}

fn hold_text(hold: &model::Hold) -> String {
    words(&format!("{hold:?}"))
}

/// A value's name as words: `NotStreaming` becomes "not streaming".
#[must_use]
pub fn words(name: &str) -> String {
    let head = name.split([' ', '(', '{']).next().unwrap_or(name);
    let mut text = String::new();
    for (i, c) in head.chars().enumerate() {
        if c.is_uppercase() && i > 0 {
            text.push(' ');
        }
        text.extend(c.to_lowercase());
    }
    text
}

fn transition_part(text: &mut String, transition: &TransitionView, colour: bool) {
    let to = transition.to.as_ref().map_or("not elected yet", SiteId::as_str);
    let cause = words(&format!("{:?}", transition.cause));
    let heading = format!(
        "transition: {} (epoch {}) -> {to}, because: {cause}, attempt {}",
        transition.from, transition.from_epoch, transition.attempts
    );
    line(text, &paint(&heading, Tone::Watch, colour));
    let steps: Vec<String> = transition
        .steps
        .iter()
        .map(|step| {
            let tone = match step.state {
                StepState::Done => Tone::Good,
                StepState::Running => Tone::Watch,
                StepState::Failed => Tone::Bad,
                StepState::Waiting => Tone::Faint,
            };
            format!("  {:<15} {}", step.kind, paint(&step.state.to_string(), tone, colour))
        })
        .collect();
    line(text, &steps.join("\n"));
}

fn witnesses(text: &mut String, group: &GroupStatus, colour: bool) {
    let mut table = plain_table(colour);
    table.set_header(["witness", "", "round trip"]);
    for witness in &group.witnesses {
        let own = witness.site == group.answered_by;
        let reach = match (own, witness.reachable) {
            (true, _) => Cell::new("answers"),
            (false, true) => toned("reachable".to_owned(), Tone::Good, colour),
            (false, false) => toned("UNREACHABLE".to_owned(), Tone::Bad, colour),
        };
        let leads = if group.leader.as_ref() == Some(&witness.site) { " (leader)" } else { "" };
        let trip = witness.round_trip.map_or("-".to_owned(), |t| t.to_string());
        table.add_row(vec![Cell::new(format!("  {}{leads}", witness.site)), reach, Cell::new(trip)]);
    }
    line(text, &table.trim_fmt());
    let leader = group.leader.as_ref().map_or("no leader known".to_owned(), |l| format!("leader {l}"));
    let foot = format!("group {}, {leader}, term {}, entry {}", group.group, group.term, group.index);
    line(text, &paint(&foot, Tone::Faint, colour));
}

fn plain_table(colour: bool) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Dynamic)
        .set_width(WIDTH_DEFAULT as u16);
    if colour {
        table.enforce_styling()
    } else {
        table.force_no_tty()
    };
    table
}

fn toned(text: String, tone: Tone, colour: bool) -> Cell {
    let cell = Cell::new(text);
    match tone {
        _ if !colour => cell,
        Tone::Good => cell.fg(Color::Green),
        Tone::Watch => cell.fg(Color::Yellow),
        Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
        Tone::Faint | Tone::Bold => cell,
    }
}

const fn verdict_tone(verdict: Verdict) -> Tone {
    match verdict {
        Verdict::Up => Tone::Good,
        Verdict::Suspect => Tone::Watch,
        Verdict::Lost => Tone::Bad,
    }
}

/// A number of bytes in the largest unit that leaves it above one.
#[must_use]
pub fn bytes(count: u64) -> String {
    match count {
        0..1_024 => format!("{count} B"),
        1_024..1_048_576 => format!("{:.1} KiB", count as f64 / 1_024.0),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", count as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", count as f64 / 1_073_741_824.0),
    }
}

fn line(text: &mut String, content: &str) {
    // Writing to a String does not fail.
    let _ = writeln!(text, "{content}");
}

#[cfg(test)]
mod tests;
