//! The actor's role and its probe table, made once by a superuser.

use crate::session::{Session, Settings};
use actor::{DatabaseConfig, DriverError};
use std::time::Duration;

/// What [`setup`] runs: for those who want to run it by hand.
pub const ROLE_SQL: &str = include_str!("../sql/role.sql");

/// Makes the role that `pg_rewind` reads the primary's files as: run it by hand, as a superuser, in
/// the database that `rewind_conninfo` names.
pub const REWIND_SQL: &str = include_str!("../sql/rewind.sql");

const SETUP_DEADLINE: Duration = Duration::from_secs(10);

/// Makes the role `tripoint` and its table, on the primary, in the database that the actor will
/// name. `superuser` says how to log in for this once. Run again it changes nothing.
///
/// # Errors
/// The server's, with what to do about it.
pub async fn setup(superuser: DatabaseConfig) -> Result<(), DriverError> {
    let session = Session::new(Settings::new(superuser), SETUP_DEADLINE);
    session.ask("make the actor's role", async |client| Ok(client.batch_execute(ROLE_SQL).await?)).await
}
