//! PostgreSQL, as an actor sees and asks it: implements [`actor::DatabaseDriver`] over SQL, as a
//! role that can watch and write one row, and nothing else (`sql/role.sql`).
//!
//! Three sessions are held open, so that a server without free slots can still be asked, and so
//! that a probe that hangs keeps no observation waiting.

mod conninfo;
mod detachment;
mod observe;
mod probe;
mod session;
mod setup;
mod slots;
pub mod writer;

pub use setup::{REWIND_SQL, ROLE_SQL, setup};

use actor::{DatabaseConfig, DatabaseDriver, Detachment, DriverFuture, Permit};
use conninfo::Primaries;
use model::{DatabaseReport, DatabaseRole, SiteId, WalPosition};
use session::{Session, Settings};
use std::collections::BTreeMap;
use std::time::Duration;

/// An observation that takes longer says nothing any more.
const OBSERVE_DEADLINE: Duration = Duration::from_millis(1_000);
/// A write that takes longer has failed; the next one is tried anew.
const PROBE_DEADLINE: Duration = Duration::from_millis(2_000);
/// The poll during a promotion.
const POLL_DEADLINE: Duration = Duration::from_millis(500);

/// One PostgreSQL server.
pub struct Postgres {
    primaries: Primaries,
    watching: Session,
    polling: Session,
    probing: Session,
}

impl Postgres {
    /// A driver for one server; connects when it is first asked something. `primary_conninfo` is
    /// the stack's table of it: by its hosts and ports a standby's primary is recognised.
    #[must_use]
    pub fn new(config: DatabaseConfig, primary_conninfo: &BTreeMap<SiteId, String>) -> Self {
        let settings = Settings::new(config);
        Self {
            primaries: Primaries::new(primary_conninfo),
            watching: Session::new(settings.clone(), OBSERVE_DEADLINE),
            polling: Session::new(settings.clone(), POLL_DEADLINE),
            probing: Session::new(settings, PROBE_DEADLINE),
        }
    }
}

impl DatabaseDriver for Postgres {
    fn observe(&self) -> DriverFuture<'_, DatabaseReport> {
        Box::pin(async {
            let report = observe::observe(&self.watching, &self.primaries).await;
            if matches!(report.role, DatabaseRole::Primary | DatabaseRole::Standby) {
                futures::join!(self.polling.warm(), self.probing.warm());
            }
            Ok(report)
        })
    }

    fn write_probe(&self, permit: Permit) -> DriverFuture<'_, ()> {
        Box::pin(probe::write(&self.probing, permit))
    }

    fn in_recovery(&self) -> DriverFuture<'_, bool> {
        Box::pin(probe::in_recovery(&self.polling))
    }

    fn detachment(&self) -> DriverFuture<'_, Detachment> {
        Box::pin(detachment::detachment(&self.polling))
    }

    fn promotion(&self) -> DriverFuture<'_, WalPosition> {
        Box::pin(probe::promotion(&self.polling))
    }

    fn keep_slots(&self, slots: Vec<String>) -> DriverFuture<'_, Vec<String>> {
        Box::pin(slots::keep(&self.watching, slots))
    }

    fn drop_connections(&self) {
        for session in [&self.watching, &self.polling, &self.probing] {
            session.drop_now();
        }
    }
}
