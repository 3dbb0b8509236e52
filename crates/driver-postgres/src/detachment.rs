//! Proof that a standby has let go of its primary, and where its WAL ends.
//!
//! Proven by both: no walreceiver process is left, and an empty `primary_conninfo` is in force.
//! Either alone is none: with a paused replay the setting does nothing to a running walreceiver,
//! and one that was ended comes back while the setting stands.

use crate::session::{Failure, Session};
use actor::{Detachment, DriverError};
use model::{Lsn, Timeline, WalPosition};
use tokio_postgres::Client;
use tokio_postgres::types::{PgLsn, Type};

/// The walreceiver is looked for among the processes: pg_stat_wal_receiver shows none that has
/// not connected yet.
const LOOK: &str = "SELECT pg_is_in_recovery(), current_setting('primary_conninfo'), \
     EXISTS (SELECT FROM pg_stat_activity WHERE backend_type = 'walreceiver'), \
     (SELECT max(wait_event) FROM pg_stat_activity WHERE backend_type = 'startup'), \
     pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()";

/// The startup process waits so when it has replayed all WAL that it could find anywhere.
const AT_THE_END: &str = "RecoveryRetrieveRetryInterval";

/// Highest timeline of which the segment with this position is in pg_wal. pg_control would tell
/// that of the last restartpoint.
const TIMELINE: &str = "SELECT max(substr(name, 1, 8)) FROM pg_ls_waldir() \
     WHERE length(name) = 24 AND substr(name, 9) = substr($1::text, 9)";

const TIMELINE_OF_CONTROL: &str = "SELECT greatest(c.timeline_id, r.min_recovery_end_timeline) \
     FROM pg_control_checkpoint() c, pg_control_recovery() r";

pub(crate) async fn detachment(session: &Session) -> Result<Detachment, DriverError> {
    session.ask("look for the walreceiver", async |client| look(client).await).await
}

async fn look(client: &Client) -> Result<Detachment, Failure> {
    let row = client.query_typed_one(LOOK, &[]).await?;
    if !row.try_get::<_, bool>(0)? {
        return Err(Failure::Refused("this server is a primary, there is nothing to let go of".to_owned()));
    }
    if !row.try_get::<_, String>(1)?.is_empty() {
        return Ok(Detachment::Attached("primary_conninfo is still in force".to_owned()));
    }
    if row.try_get(2)? {
        return Ok(Detachment::Attached("the walreceiver is still there".to_owned()));
    }
    let waits: Option<String> = row.try_get(3)?;
    let received: Option<PgLsn> = row.try_get(4)?;
    let replayed = row.try_get::<_, Option<PgLsn>>(5)?.map_or(Lsn(0), |lsn| Lsn(lsn.into()));
    let end = match received {
        // After a restart a walreceiver begins at its segment's start, below what was replayed.
        Some(received) => Lsn(received.into()).max(replayed),
        None if waits.as_deref() == Some(AT_THE_END) => replayed,
        None => return Ok(Detachment::Replaying(replayed)),
    };
    match timeline_on_disk(client, end).await? {
        Some(timeline) => Ok(Detachment::Detached(WalPosition { timeline, lsn: end })),
        None => Err(Failure::Refused("the timeline of the received WAL is unknown".to_owned())),
    }
}

/// The timeline of the WAL that ends here, on a standby.
pub(crate) async fn timeline_on_disk(client: &Client, end: Lsn) -> Result<Option<Timeline>, Failure> {
    let size =
        client.query_typed_one("SELECT pg_size_bytes(current_setting('wal_segment_size'))", &[]).await?;
    let size = size.try_get::<_, i64>(0)?.max(1).cast_unsigned();
    let name = segment_name(end, size);
    let row = client.query_typed_one(TIMELINE, &[(&name, Type::TEXT)]).await?;
    if let Some(digits) = row.try_get::<_, Option<String>>(0)? {
        return Ok(Some(crate::probe::timeline_of(&digits)?));
    }
    let row = client.query_typed_one(TIMELINE_OF_CONTROL, &[]).await?;
    Ok(row.try_get::<_, Option<i32>>(0)?.filter(|t| *t > 0).map(|t| Timeline(t.cast_unsigned())))
}

/// Name, with timeline 0, of the segment that holds the last byte before `end`.
fn segment_name(end: Lsn, segment_size: u64) -> String {
    let segment = end.0.saturating_sub(1) / segment_size;
    let per_file_id = (1_u64 << 32) / segment_size;
    format!("{:08X}{:08X}{:08X}", 0, segment / per_file_id.max(1), segment % per_file_id.max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_named_as_postgresql_names_them() {
        let size = 16 << 20;
        assert_eq!(segment_name(Lsn(0x16_B374_D848), size), "0000000000000016000000B3");
        assert_eq!(segment_name(Lsn(0x0300_0000), size), "000000000000000000000002");
        assert_eq!(segment_name(Lsn(0x0300_0001), size), "000000000000000000000003");
        assert_eq!(segment_name(Lsn(0), size), "000000000000000000000000");
    }
}
