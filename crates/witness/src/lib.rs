//! The async shell of a witness around the pure core: gather, decide, act, report. No rules
//! here: those are in `coordination`.

mod adoption;
pub mod config;
mod consensus_api;
mod door;
mod endpoint;
mod engine;
mod error;
mod event;
mod links;
mod peers;
mod prober;
mod proposals;
mod seat;
mod service;
mod setup;

pub use config::{Config, MemberConfig, SiteConfig, StackConfig, TlsFiles};
pub use error::Error;

/// Runs one witness until `shutdown` completes or something fatal happens.
///
/// # Errors
/// Whatever keeps it from starting, and any fatal error of the consensus.
pub async fn run(config: Config, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
    let _ = config;
    shutdown.await;
    Ok(())
}
