//! What the server says of itself, in two short queries.

use crate::conninfo::Primaries;
use crate::detachment::timeline_on_disk;
use crate::probe::timeline_of;
use crate::session::{Failure, Session};
use actor::DriverError;
use model::{DatabaseReport, DatabaseRole, Lsn, Millis, Replica, SystemId, Timeline, Upstream};
use tokio_postgres::types::PgLsn;
use tokio_postgres::{Client, Row};

/// One row, on a primary and on a standby. pg_is_in_recovery() is asked once: it may change
/// between two calls. The functions of the other role are never reached, as they would fail.
const SELF: &str = "SELECT r.standby, (SELECT system_identifier FROM pg_control_system()), \
     CASE WHEN NOT r.standby THEN pg_walfile_name(pg_current_wal_insert_lsn()) END, \
     CASE WHEN r.standby THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) \
          ELSE pg_current_wal_flush_lsn() END, \
     CASE WHEN r.standby THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_flush_lsn() END, \
     w.status, w.received_tli, w.conninfo, \
     (extract(epoch FROM clock_timestamp() - w.last_msg_receipt_time) * 1000)::float8, \
     pg_wal_lsn_diff(w.latest_end_lsn, pg_last_wal_replay_lsn())::float8 \
     FROM (SELECT pg_is_in_recovery() AS standby OFFSET 0) r LEFT JOIN pg_stat_wal_receiver w ON true";

const REPLICAS: &str = "SELECT application_name, state, flush_lsn, replay_lsn FROM pg_stat_replication \
     ORDER BY application_name, pid LIMIT 100";

/// A server that does not answer is a report too.
pub(crate) async fn observe(session: &Session, primaries: &Primaries) -> DatabaseReport {
    let observed = session.ask("observe", async |client| look(client, primaries).await).await;
    match observed {
        Ok(report) => report,
        Err(error) => {
            let role = match error {
                DriverError::Down(_) => DatabaseRole::Down,
                DriverError::Timeout(_) | DriverError::Refused(_) => DatabaseRole::Unknown,
            };
            DatabaseReport { role, problem: Some(error.to_string()), ..DatabaseReport::unknown() }
        }
    }
}

async fn look(client: &Client, primaries: &Primaries) -> Result<DatabaseReport, Failure> {
    let row = client.query_typed_one(SELF, &[]).await?;
    let standby: bool = row.try_get(0)?;
    let system: i64 = row.try_get(1)?;
    let lsn = |at: usize| -> Result<Option<Lsn>, Failure> {
        Ok(row.try_get::<_, Option<PgLsn>>(at)?.map(|lsn| Lsn(lsn.into())))
    };
    let (received, replayed) = (lsn(3)?, lsn(4)?);
    let upstream = if standby { upstream(&row, primaries)? } else { None };
    let timeline = match (row.try_get::<_, Option<String>>(2)?, &upstream) {
        (Some(file), _) => Some(timeline_of(&file)?),
        (None, Some(up)) if up.timeline != Timeline(0) => Some(up.timeline),
        (None, _) => timeline_on_disk(client, received.unwrap_or_default()).await?,
    };
    Ok(DatabaseReport {
        role: if standby { DatabaseRole::Standby } else { DatabaseRole::Primary },
        // Shown as a signed number, meant as an unsigned one.
        system_id: Some(SystemId(system.cast_unsigned())),
        timeline,
        received,
        replayed,
        write_age: None,
        upstream,
        replicas: if standby { Vec::new() } else { replicas(client).await? },
        sync: None,
        problem: None,
    })
}

/// The walreceiver, if there is one.
fn upstream(row: &Row, primaries: &Primaries) -> Result<Option<Upstream>, Failure> {
    let Some(status) = row.try_get::<_, Option<String>>(5)? else { return Ok(None) };
    let timeline = row.try_get::<_, Option<i32>>(6)?.map_or(0, i32::cast_unsigned);
    let conninfo = row.try_get::<_, Option<String>>(7)?.unwrap_or_default();
    // Saturating casts; below zero after a jump of the wall clock, or when nothing is behind.
    let whole = |number: Option<f64>| number.unwrap_or(0.0).max(0.0) as u64;
    Ok(Some(Upstream {
        site: primaries.site(&conninfo),
        streaming: status == "streaming",
        timeline: Timeline(timeline),
        message_age: Millis(whole(row.try_get(8)?)),
        lag_bytes: whole(row.try_get(9)?),
    }))
}

async fn replicas(client: &Client) -> Result<Vec<Replica>, Failure> {
    let rows = client.query_typed(REPLICAS, &[]).await?;
    rows.iter()
        .map(|row| {
            let lsn = |at: usize| -> Result<Option<Lsn>, Failure> {
                Ok(row.try_get::<_, Option<PgLsn>>(at)?.map(|lsn| Lsn(lsn.into())))
            };
            Ok(Replica {
                name: row.try_get::<_, Option<String>>(0)?.unwrap_or_default(),
                streaming: row.try_get::<_, Option<String>>(1)?.as_deref() == Some("streaming"),
                flushed: lsn(2)?,
                replayed: lsn(3)?,
            })
        })
        .collect()
}
