//! What `cargo simulate` does with the simulator.

pub mod check;
pub mod replay;
pub mod scenarios;
pub mod seeds;
pub mod shrink;

use crate::plan::Class;
use crate::run::Options;

/// The command that runs one seed again in the same way.
#[must_use]
pub fn command(what: &str, seed: u64, options: &Options) -> String {
    let mut text = format!("cargo simulate {what} {seed}");
    let class = match options.class {
        Class::All => "",
        Class::ShortFaults => " --class short-faults",
        Class::OneLost => " --class one-lost",
        Class::WitnessesOnly => " --class witnesses-only",
        Class::Calm => " --class calm",
    };
    text.push_str(class);
    if let Some(bug) = options.plant {
        text.push_str(&format!(" --plant {bug:?}"));
    }
    if let Some(only) = &options.only {
        let numbers: Vec<String> = only.iter().map(usize::to_string).collect();
        text.push_str(&format!(" --only {}", numbers.join(",")));
    }
    text
}
