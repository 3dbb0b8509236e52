//! The fewest faults with which a seed still goes wrong in the same way.

use super::command;
use crate::run::{Options, plan, run};
use coordination::invariants::Invariant;

/// Shortens one seed and prints the rest; false if something is still violated.
#[must_use]
pub fn shorten(seed: u64, options: &Options) -> bool {
    let all: Vec<usize> =
        options.only.clone().unwrap_or_else(|| (0..plan(seed, options).faults.len()).collect());
    let Some(invariant) = violated(seed, options, &all) else {
        println!("seed {seed} violates nothing");
        return true;
    };
    let kept = fewest(all, |only| violated(seed, options, only) == Some(invariant));
    let whole = plan(seed, &Options { only: None, ..options.clone() });
    println!("seed {seed} violates {invariant:?} with {} of its {} faults:", kept.len(), whole.faults.len());
    for number in &kept {
        println!("  {number}: {}", whole.faults[*number].words());
    }
    println!("{}", command("--replay", seed, &Options { only: Some(kept), ..options.clone() }));
    false
}

fn violated(seed: u64, options: &Options, only: &[usize]) -> Option<Invariant> {
    let options = Options { only: Some(only.to_vec()), story: false, ..options.clone() };
    run(seed, &options).violations.first().map(|violation| violation.invariant)
}

/// Leaves out halves, then quarters and so on, then single ones, until nothing more can go.
pub(crate) fn fewest(mut kept: Vec<usize>, bad: impl Fn(&[usize]) -> bool) -> Vec<usize> {
    let mut size = kept.len().div_ceil(2);
    while size > 0 {
        let mut place = 0;
        while place < kept.len() {
            let end = (place + size).min(kept.len());
            let rest: Vec<usize> = kept[..place].iter().chain(&kept[end..]).copied().collect();
            if bad(&rest) {
                kept = rest;
            } else {
                place = end;
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::fewest;

    #[test]
    fn only_what_matters_is_kept() {
        let needed = [3, 17];
        let kept = fewest((0..40).collect(), |only| needed.iter().all(|n| only.contains(n)));
        assert_eq!(kept, needed);
    }
}
