//! PostgreSQL, as an actor sees and asks it: implements [`actor::DatabaseDriver`] over SQL, as a
//! role that can watch and write one row, and nothing else.

use actor::{DatabaseConfig, DatabaseDriver, Detachment, DriverError, DriverFuture};
use model::{DatabaseReport, SiteId, WalPosition};
use std::collections::BTreeMap;

/// One PostgreSQL server.
pub struct Postgres {
    config: DatabaseConfig,
}

impl Postgres {
    /// A driver for one server; connects when it is first asked something. `primary_conninfo` is
    /// the stack's table of it: by its hosts and ports a standby's primary is recognised.
    #[must_use]
    pub fn new(config: DatabaseConfig, primary_conninfo: &BTreeMap<SiteId, String>) -> Self {
        let _ = primary_conninfo;
        Self { config }
    }

    fn absent<T>(&self) -> DriverFuture<'_, T> {
        let text = format!("{}:{}: driver under construction", self.config.host, self.config.port);
        Box::pin(async move { Err(DriverError::Refused(text)) })
    }
}

impl DatabaseDriver for Postgres {
    fn observe(&self) -> DriverFuture<'_, DatabaseReport> {
        self.absent()
    }
    fn write_probe(&self) -> DriverFuture<'_, ()> {
        self.absent()
    }
    fn in_recovery(&self) -> DriverFuture<'_, bool> {
        self.absent()
    }
    fn detachment(&self) -> DriverFuture<'_, Detachment> {
        self.absent()
    }
    fn promotion(&self) -> DriverFuture<'_, WalPosition> {
        self.absent()
    }
    fn drop_connections(&self) {}
}
