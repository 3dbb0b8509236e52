//! The async shell of a witness around the pure core: gather, decide, act, report. No rules
//! here: those are in `coordination`.

mod adoption;
pub mod config;
mod door;
mod endpoint;
mod engine;
mod error;
mod event;
mod links;
mod peers;
mod prober;
mod process;
mod proposals;
mod seat;
mod service;
mod setup;
mod surroundings;

pub use config::{Config, MemberConfig, SiteConfig, StackConfig, TlsFiles};
pub use error::Error;
pub use process::{run, run_on};
pub use surroundings::{Observer, Surroundings};

#[cfg(test)]
mod tests;
