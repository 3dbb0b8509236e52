//! Slots for the other sites. The role may not touch slots itself: one function of `role.sql`,
//! which knows only slots with our prefix, does it with its owner's rights.

use crate::session::Session;
use actor::DriverError;
use tokio_postgres::types::Type;

const KEEP: &str = "SELECT tripoint.keep_slot($1::text)";

/// What was done to each slot, if anything.
pub(crate) async fn keep(session: &Session, slots: Vec<String>) -> Result<Vec<String>, DriverError> {
    session
        .ask("look after the slots", async |client| {
            let mut done = Vec::new();
            for slot in &slots {
                let row = client.query_typed_one(KEEP, &[(slot, Type::TEXT)]).await?;
                if let Some(what) = row.try_get::<_, Option<String>>(0)? {
                    done.push(format!("{slot}: {what}"));
                }
            }
            Ok(done)
        })
        .await
}
