//! Exhaustive parts of the proof: every state of small worlds, not a sample of large ones.
//!
//! [`links`] judges every link matrix. The rest is a bounded model check with stateright: two sites
//! (actor, gate, database), two witnesses that both believe to lead, a log that everybody applies
//! in order but when he gets to it, messages that are lost, late, doubled and out of order, clocks
//! that drift by all that is allowed. What decides is production code: `State::apply`, `decide`,
//! `LocalView`, `desired`, `LeaseTable`, `permit::Memory` and `permit::Input`; what is here carries
//! messages, writes records and opens and closes databases.
//!
//! | part | what it is |
//! | --- | --- |
//! | `world`, `site`, `witness`, `clock` | the state of a world |
//! | `judge` | what must never be |
//! | `action`, `transition` | what can happen next, and what may be proposed |
//! | `encode` | which worlds are the same: those with one future |
//! | `rules` | the worlds, rule by rule, and their bounds |
//! | `check`, `hunts` | stateright; which planted bug is looked for where |
//!
//! The judge sees everything and reads no rule: S1 no two primaries at once; S2 nothing opens where
//! it was not elected or before earlier epochs are fenced, and nothing counts as fenced while it
//! runs; S3 records and epochs only grow; S5 nobody runs longer than t_send + D + F of a renewal
//! that covered it, on the slowest clock; S6 one transition, each step once; and
//! `invariants::violations` of every committed state.
//!
//! What a bound leaves out is left out: two renewals do not prove three. Raft is what it promises:
//! one log, entries committed once and in order, a proposal that commits late or never. Leaders may
//! propose what `decide` never would; that `apply` refuses it is part of what is shown.

mod action;
mod check;
mod clock;
mod encode;
mod hunts;
mod judge;
pub mod links;
mod rules;
pub mod sets;
mod site;
mod transition;
mod witness;
mod world;

pub use check::{Counterexample, Verdict, check};
pub use hunts::{HUNTS, hunt};
pub use rules::{Budget, Rules, all};

use std::fmt;
use std::time::Instant;

/// What all exhaustive parts found.
#[derive(Clone, Debug)]
pub struct Report {
    /// One line for each part.
    pub lines: Vec<String>,
    /// Every counterexample, step by step.
    pub broken: Vec<String>,
}

impl Report {
    /// True if nothing was found that must not be.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.broken.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.lines.iter().chain(&self.broken).try_for_each(|line| writeln!(f, "{line}"))
    }
}

/// Runs every part to its end; `deep` has wider bounds and takes far longer.
#[must_use]
pub fn run(deep: bool) -> Report {
    run_and_say(deep, |_| {})
}

/// The same; each line is handed to `say` as soon as it is known.
pub fn run_and_say(deep: bool, mut say: impl FnMut(&str)) -> Report {
    let mut report = Report { lines: Vec::new(), broken: Vec::new() };
    let begun = Instant::now();
    let (table, differences) = links::tables();
    let rows = table.lines().filter(|line| line.contains(" : ")).count();
    let took = begun.elapsed().as_secs_f32();
    add(&mut report, &mut say, format!("links: {rows} rows of 64 + 2^20 matrices, {took:.1} s"));
    report.broken.extend(differences.iter().map(|one| format!("links: {one:?}")));
    for rules in all(deep) {
        let verdict = check(&rules, None, None);
        add(&mut report, &mut say, format!("{verdict} ({})", rules.about));
        if let Some(broken) = &verdict.broken {
            report.broken.push(format!("{}: {broken}", rules.name));
        }
        report.broken.extend(verdict.never.iter().map(|what| format!("{}: never seen: {what}", rules.name)));
    }
    for bounds in sets::all(deep) {
        let verdict = sets::check(&bounds, None, None);
        add(&mut report, &mut say, format!("{verdict} ({})", bounds.about));
        if let Some((how, steps)) = &verdict.broken {
            report.broken.push(format!("{}: {how}\n{}", bounds.name, steps.join("\n")));
        }
        report.broken.extend(verdict.never.iter().map(|what| format!("{}: never seen: {what}", bounds.name)));
    }
    report
}

fn add(report: &mut Report, say: &mut impl FnMut(&str), line: String) {
    say(&line);
    report.lines.push(line);
}

#[cfg(test)]
mod tests;
