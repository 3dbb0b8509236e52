//! A site's hand: registers and renews the site's lease, observes the databases, has their
//! gates detach, follow and promote, and tells the witnesses how it went.
//!
//! The async shell around pure parts: [`coordination::lease`] (what may run until when), [`mod@coordination::reconcile`]
//! (what to do next), [`epochs`] (what must never run again). [`guard`] is the self-fence.
#![forbid(unsafe_code)]

pub mod config;
pub mod drivers;
mod engine;
pub mod epochs;
mod error;
mod event;
pub mod guard;
mod process;
mod service;
mod stack;
mod witnesses;

pub use config::{Config, DatabaseConfig, StackConfig, TlsFiles, WitnessAddress};
pub use drivers::{DatabaseDriver, Detachment, DriverError, DriverFuture, Drivers, Permit};
pub use error::Error;
pub use process::run;

#[cfg(test)]
mod tests;
