//! One connection to one server, with the client's own deadlines.

use super::log::Log;
use anyhow::{Context, Result, bail};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};

/// Pause before a host that does not do is tried again.
const RETRY: Duration = Duration::from_millis(50);

/// How a client connects and how long it waits.
#[derive(Clone, Debug)]
pub struct Target {
    /// TCP port of every host.
    pub port: u16,
    /// Database.
    pub database: String,
    /// Role; no password (the lab trusts its own network).
    pub user: String,
    /// Deadline of a connection try and of a probe.
    pub patience: Duration,
}

/// A connection; dropping it ends it at once.
pub struct Session {
    /// The server's address.
    pub host: String,
    client: Client,
    driver: JoinHandle<()>,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Session {
    /// Connects.
    ///
    /// # Errors
    /// If the server refuses or doesn't answer in time.
    pub async fn open(host: &str, target: &Target) -> Result<Self> {
        let mut config = tokio_postgres::Config::new();
        config.host(host).port(target.port).dbname(&target.database).user(&target.user);
        config.application_name("labwriter").keepalives(false).connect_timeout(target.patience);
        let opened = timeout(target.patience, config.connect(NoTls)).await;
        let (client, connection) = opened.context("connect: no answer")?.context("connect")?;
        let driver = tokio::spawn(async move {
            let _ = connection.await; // its end shows at the next statement
        });
        Ok(Self { host: host.to_owned(), client, driver })
    }

    /// True if the server is in recovery.
    ///
    /// # Errors
    /// If it doesn't answer in time.
    pub async fn is_standby(&self, target: &Target) -> Result<bool> {
        let asked = self.client.simple_query("select pg_is_in_recovery()");
        let rows = timeout(target.patience, asked).await.context("probe: no answer")?.context("probe")?;
        let answer = rows.iter().find_map(|m| match m {
            SimpleQueryMessage::Row(row) => row.get(0),
            _ => None,
        });
        match answer {
            Some("t") => Ok(true),
            Some("f") => Ok(false),
            other => bail!("probe: {other:?}"),
        }
    }

    /// Runs statements in one round trip; done means acknowledged.
    ///
    /// # Errors
    /// If the server refuses, or the connection ends. There is no deadline here.
    pub async fn run(&self, sql: &str) -> Result<(), tokio_postgres::Error> {
        self.client.batch_execute(sql).await
    }
}

/// Probes all hosts side by side, again and again, until one of them accepts `first`'s write; so
/// what is measured is the system's outage, not the client's order of hosts.
///
/// `first` writes one row and tells whether it was acknowledged.
pub async fn find_writable<F>(hosts: &[String], target: &Target, log: &Log, first: F) -> Session
where
    F: AsyncFn(&Session) -> bool,
{
    let tries = hosts.iter().map(|host| Box::pin(until_writable(host, target, log, &first)));
    futures::future::select_all(tries).await.0
}

async fn until_writable<F>(host: &str, target: &Target, log: &Log, first: &F) -> Session
where
    F: AsyncFn(&Session) -> bool,
{
    loop {
        log.tried(host);
        match Session::open(host, target).await {
            Ok(session) => {
                if let Some(session) = use_session(session, target, log, first).await {
                    return session;
                }
            }
            Err(error) => log.refused(host, &format!("{error:#}")),
        }
        log.flush();
        tokio::time::sleep(RETRY).await;
    }
}

/// Asks an open session until it takes a write (then it is returned) or fails.
async fn use_session<F>(session: Session, target: &Target, log: &Log, first: &F) -> Option<Session>
where
    F: AsyncFn(&Session) -> bool,
{
    loop {
        match session.is_standby(target).await {
            Ok(true) => tokio::time::sleep(RETRY).await,
            Ok(false) => return first(&session).await.then_some(session),
            Err(error) => {
                log.refused(&session.host, &format!("{error:#}"));
                return None;
            }
        }
        log.tried(&session.host);
    }
}
