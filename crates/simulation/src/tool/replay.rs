//! The story of one run.

use crate::run::{Options, plan, run};

/// Tells it; false if something was violated.
#[must_use]
pub fn tell(seed: u64, options: Options) -> bool {
    let options = Options { story: true, ..options };
    let planned = plan(seed, &options);
    println!(
        "seed {seed}: {} sites, {} stacks, D {}, clocks {}, {} faults, healed at {:.1} s, ends at {:.1} s",
        planned.sites,
        planned.stacks,
        planned.policy.timing.values().lease_duration,
        if planned.clocks_hold { "within the drift" } else { "beyond the drift" },
        planned.faults.len(),
        planned.heals as f64 / 1e6,
        planned.ends as f64 / 1e6,
    );
    for (number, fault) in planned.faults.iter().enumerate() {
        println!("  fault {number}: {}", fault.words());
    }
    let outcome = run(seed, &options);
    for violation in &outcome.violations {
        println!("VIOLATION {violation}");
    }
    println!("trace {:016x}", outcome.trace_hash);
    outcome.violations.is_empty()
}
