//! The operator's commands and how they are shown. Talks to witnesses alone; decides nothing.
#![forbid(unsafe_code)]

pub mod certs;
pub mod change;
pub mod connect;
pub mod events;
mod exit;
pub mod explain;
pub mod out;
pub mod render;
pub mod status;
pub mod style;

pub use exit::Exit;

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Output {
    /// For people.
    #[default]
    Text,
    /// Stable names, for tools.
    Json,
}

/// Says why a command failed; its exit code.
#[must_use]
pub fn fail(failure: &connect::Failure) -> Exit {
    let word = style::paint("error", style::Tone::Bad, style::colour_on_stderr());
    eprintln!("{word}: {failure}");
    failure.exit()
}
