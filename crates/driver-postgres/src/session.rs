//! One session with the server: made when needed, kept open, given up after a deadline.

use actor::{DatabaseConfig, DriverError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::AbortHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, NoTls};

/// Opening a session ahead of its use takes no longer.
const WARM_DEADLINE: Duration = Duration::from_millis(500);

/// How to log in.
#[derive(Clone, Debug)]
pub(crate) struct Settings(Arc<DatabaseConfig>);

impl Settings {
    pub(crate) fn new(config: DatabaseConfig) -> Self {
        Self(Arc::new(config))
    }

    /// "host:port as user", for messages.
    fn place(&self) -> String {
        format!("PostgreSQL at {}:{} as {}", self.0.host, self.0.port, self.0.user)
    }

    /// The server ends a statement by itself a little before we give it up.
    fn login(&self, deadline: Duration) -> Result<tokio_postgres::Config, DriverError> {
        let mut login = tokio_postgres::Config::new();
        let statement = deadline.as_millis().saturating_mul(9) / 10;
        login
            .host(&self.0.host)
            .port(self.0.port)
            .user(&self.0.user)
            .dbname(&self.0.dbname)
            .application_name(&self.0.application_name)
            .connect_timeout(deadline)
            .tcp_user_timeout(deadline)
            .options(format!(
                "-c statement_timeout={statement} -c lock_timeout={statement} -c synchronous_commit=local \
                 -c search_path=pg_catalog -c jit=off"
            ));
        if let Some(path) = &self.0.password_file {
            let text = std::fs::read_to_string(path).map_err(|e| {
                DriverError::Refused(format!(
                    "{}: cannot read the password of {}: {e}; make the file readable for the actor",
                    path.display(),
                    self.place()
                ))
            })?;
            login.password(text.lines().next().unwrap_or_default());
        }
        Ok(login)
    }
}

struct Open {
    client: Client,
    task: AbortHandle,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One session. Calls wait for each other, within the deadline of each.
pub(crate) struct Session {
    settings: Settings,
    deadline: Duration,
    open: tokio::sync::Mutex<Option<Open>>,
    /// The task that owns the socket of the open session: ending it closes the socket at once.
    task: Mutex<Option<AbortHandle>>,
}

impl Session {
    pub(crate) fn new(settings: Settings, deadline: Duration) -> Self {
        Self { settings, deadline, open: tokio::sync::Mutex::new(None), task: Mutex::new(None) }
    }

    /// Closes the socket, from any thread, without waiting.
    pub(crate) fn drop_now(&self) {
        if let Some(task) = self.task.lock().unwrap_or_else(PoisonError::into_inner).take() {
            task.abort();
        }
    }

    /// Asks something within the deadline. After a timeout or a broken connection the session is
    /// given up, and the next call makes a new one.
    pub(crate) async fn ask<T>(
        &self,
        what: &'static str,
        question: impl AsyncFnOnce(&Client) -> Result<T, Failure>,
    ) -> Result<T, DriverError> {
        let asked = async {
            let mut open = self.open.lock().await;
            // Taken out: whatever cuts this future short also gives the session up.
            let session = match open.take().filter(|s| !s.client.is_closed()) {
                Some(session) => session,
                None => self.connect().await?,
            };
            let answer = question(&session.client).await;
            if !session.client.is_closed() {
                *open = Some(session);
            }
            answer.map_err(|failure| self.explain(what, failure))
        };
        match tokio::time::timeout(self.deadline, asked).await {
            Ok(answer) => answer,
            Err(_) => Err(DriverError::Timeout(format!(
                "{}: {what}: no answer within {} ms",
                self.settings.place(),
                self.deadline.as_millis()
            ))),
        }
    }

    /// Opens the session if it is not, so that the next question needs no login. Waits for nobody.
    pub(crate) async fn warm(&self) {
        let Ok(mut open) = self.open.try_lock() else { return };
        if open.as_ref().is_none_or(|session| session.client.is_closed()) {
            let opened = tokio::time::timeout(self.deadline.min(WARM_DEADLINE), self.connect()).await;
            *open = opened.ok().and_then(Result::ok);
        }
    }

    async fn connect(&self) -> Result<Open, DriverError> {
        let login = self.settings.login(self.deadline)?;
        let (client, connection) =
            login.connect(NoTls).await.map_err(|e| self.explain("log in", Failure::Sql(e)))?;
        let task = tokio::spawn(async move {
            if let Err(e) = connection.await {
                tracing::debug!(error = %e, "a database session ended");
            }
        })
        .abort_handle();
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task.clone());
        Ok(Open { client, task })
    }

    fn explain(&self, what: &str, failure: Failure) -> DriverError {
        let place = self.settings.place();
        let error = match failure {
            Failure::Sql(error) => error,
            Failure::Refused(text) => return DriverError::Refused(format!("{place}: {what}: {text}")),
        };
        let Some(db) = error.as_db_error() else {
            return DriverError::Down(format!("{place}: {what}: {}", chain(&error)));
        };
        let text = format!("{place}: {what}: {} ({})", db.message(), db.code().code());
        match db.code() {
            code if code.code().starts_with("57P") => DriverError::Down(text),
            code if *code == SqlState::QUERY_CANCELED || *code == SqlState::LOCK_NOT_AVAILABLE => {
                DriverError::Timeout(text)
            }
            code => DriverError::Refused(format!("{text}{}", remedy(code))),
        }
    }
}

/// Why a question had no answer.
pub(crate) enum Failure {
    /// The server or the connection said so.
    Sql(tokio_postgres::Error),
    /// We said so ourselves.
    Refused(String),
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Sql(error)
    }
}

/// What to do about the errors that a person can mend.
fn remedy(code: &SqlState) -> &'static str {
    match code.code() {
        "28000" | "28P01" => "; let the actor's role in by pg_hba.conf, and check password_file",
        "3D000" => "; create the database, or name the one that has tripoint.probe",
        "3F000" | "42P01" | "42501" | "42883" => {
            "; run the driver's sql/role.sql as a superuser on the primary, in this database"
        }
        "53300" => "; raise max_connections: the actor holds three sessions",
        _ => "",
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
