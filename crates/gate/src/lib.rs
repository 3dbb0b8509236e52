//! The gate: owns one database and runs it as a primary only while the lease is valid.
//! The dead-man's switch of a site (design, section 5).
//!
//! [`run`] is called on the process's main thread and stays there: it is the only thread that
//! forks, decides and kills. The actor's link and the role endpoint live on other threads and
//! hand it events.

mod config;
mod error;

pub use config::{Config, ContainmentChoice, KernelLeaseChoice, TERMS_DEFAULT};
pub use error::Error;

/// Runs a gate until it is told to stop; the exit code for the process.
///
/// # Errors
/// [`Error`] says why it did not start, with the remedy.
pub fn run(_config: Config) -> Result<u8, Error> {
    Ok(0)
}

/// What is wrong with a configuration on this host, each with its remedy; empty if it will do.
#[must_use]
pub fn check(_config: &Config) -> Vec<Error> {
    Vec::new()
}
