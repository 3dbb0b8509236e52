//! Short questions: the write probe, and the poll during a promotion.

use crate::session::{Failure, Session};
use actor::{DriverError, Permit};
use model::{Lsn, Timeline, WalPosition};
use tokio_postgres::types::PgLsn;

/// No column is read: the role may only update.
const WRITE: &str = "UPDATE tripoint.probe SET written_at = clock_timestamp()";

const PROMOTION: &str = "SELECT pg_walfile_name(pg_current_wal_insert_lsn()), \
     coalesce(pg_last_wal_replay_lsn(), pg_current_wal_insert_lsn())";

/// Updates the one row. The session commits with `synchronous_commit = local`.
pub(crate) async fn write(session: &Session, permit: Permit) -> Result<(), DriverError> {
    let rows = session
        .ask("write probe", async |client| {
            // Check and act in one step: connecting may have taken long.
            if !permit() {
                return Err(Failure::Refused("the lease does not permit a write any more".to_owned()));
            }
            Ok(client.execute_typed(WRITE, &[]).await?)
        })
        .await?;
    if rows == 1 {
        return Ok(());
    }
    Err(DriverError::Refused(format!(
        "tripoint.probe has {rows} rows instead of 1; run the driver's sql/role.sql as a superuser on the primary"
    )))
}

pub(crate) async fn in_recovery(session: &Session) -> Result<bool, DriverError> {
    session
        .ask("poll the recovery", async |client| {
            Ok(client.query_typed_one("SELECT pg_is_in_recovery()", &[]).await?.try_get(0)?)
        })
        .await
}

/// Where a primary left recovery. The end of its replay stays known after a promotion.
pub(crate) async fn promotion(session: &Session) -> Result<WalPosition, DriverError> {
    session
        .ask("read the promotion's position", async |client| {
            let row = client.query_typed_one(PROMOTION, &[]).await?;
            let (file, lsn): (String, PgLsn) = (row.try_get(0)?, row.try_get(1)?);
            Ok(WalPosition { timeline: timeline_of(&file)?, lsn: Lsn(lsn.into()) })
        })
        .await
}

/// The timeline in the name of a WAL file: its first eight hexadecimal digits.
pub(crate) fn timeline_of(file: &str) -> Result<Timeline, Failure> {
    file.get(..8)
        .and_then(|digits| u32::from_str_radix(digits, 16).ok())
        .map(Timeline)
        .ok_or_else(|| Failure::Refused(format!("{file:?} is no name of a WAL file")))
}
