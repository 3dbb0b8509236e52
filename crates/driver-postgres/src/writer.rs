//! A writing client for demos and trials: one row each interval, with a rising number, at
//! whichever site accepts writes.
//!
//! It measures the system's outage, not the client's order of hosts: without a working
//! connection it asks all sites at once, each try with a deadline of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::time::{sleep, sleep_until, timeout};
use tokio_postgres::{Client, Config, NoTls};

/// Makes the table that the writer fills. Run by whoever owns the database.
pub const TABLE_SQL: &str = "create table if not exists demo_row (client text, id bigint, at timestamptz default now(), primary key (client, id))";

/// A connection try, a question or an insert takes at most this long.
const STEP_DEADLINE: Duration = Duration::from_secs(1);
/// Pause before a site that did not do is asked again.
const RETRY_PAUSE: Duration = Duration::from_millis(20);

/// One server that may accept writes.
#[derive(Clone, Debug)]
pub struct Place {
    /// The site's name.
    pub site: String,
    /// Host name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

/// What the writer is told.
#[derive(Clone, Debug)]
pub struct WriterConfig {
    /// All servers.
    pub places: Vec<Place>,
    /// Role to log in as.
    pub user: String,
    /// Database with the table of [`TABLE_SQL`].
    pub dbname: String,
    /// The writer's name: part of each row.
    pub client: String,
    /// One row each.
    pub interval: Duration,
}

/// What a write came to.
#[derive(Clone, Debug)]
pub enum Write {
    /// The server acknowledged the row.
    Acknowledged {
        /// The row's number.
        id: u64,
        /// When it was sent.
        sent: Instant,
        /// When the acknowledgement came.
        at: Instant,
        /// The site that acknowledged.
        site: String,
    },
    /// The row may be there or not.
    Unknown {
        /// The row's number.
        id: u64,
        /// When it was given up.
        at: Instant,
        /// The site that was asked.
        site: String,
        /// The driver's words.
        why: String,
    },
}

/// Writes until the receiver of `results` is dropped.
pub async fn run(config: WriterConfig, results: mpsc::Sender<Write>) {
    let writer = Arc::new(Writer { next: AtomicU64::new(1), config, results });
    while !writer.results.is_closed() {
        let (place, client) = writer.seek().await;
        writer.fill(&place, &client).await;
    }
}

struct Writer {
    next: AtomicU64,
    config: WriterConfig,
    results: mpsc::Sender<Write>,
}

impl Writer {
    /// The first place that acknowledges a row. All are tried side by side.
    async fn seek(self: &Arc<Self>) -> (Place, Client) {
        let tries = self.config.places.iter().map(|place| Box::pin(self.try_until_written(place)));
        let (found, ..) = futures::future::select_all(tries).await;
        found
    }

    async fn try_until_written(&self, place: &Place) -> (Place, Client) {
        loop {
            if let Some(client) = self.connect(place).await {
                while let Some(recovering) = in_recovery(&client).await {
                    if !recovering {
                        if self.insert(place, &client).await {
                            return (place.clone(), client);
                        }
                        break;
                    }
                    sleep(RETRY_PAUSE).await;
                }
            }
            sleep(RETRY_PAUSE).await;
        }
    }

    async fn connect(&self, place: &Place) -> Option<Client> {
        let mut config = Config::new();
        config
            .host(&place.host)
            .port(place.port)
            .user(&self.config.user)
            .dbname(&self.config.dbname)
            .application_name("tripoint-demo-writer")
            .connect_timeout(STEP_DEADLINE)
            .options("-c statement_timeout=1000");
        let (client, connection) = timeout(STEP_DEADLINE, config.connect(NoTls)).await.ok()?.ok()?;
        // Ends with the client, or with the server.
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Some(client)
    }

    /// One row each interval until one is not acknowledged.
    async fn fill(&self, place: &Place, client: &Client) {
        let mut due = tokio::time::Instant::now() + self.config.interval;
        while !self.results.is_closed() {
            sleep_until(due).await;
            due = (due + self.config.interval).max(tokio::time::Instant::now());
            if !self.insert(place, client).await {
                return;
            }
        }
    }

    async fn insert(&self, place: &Place, client: &Client) -> bool {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let sent = Instant::now();
        let number = i64::try_from(id).unwrap_or(i64::MAX);
        let statement = "insert into demo_row (client, id) values ($1, $2)";
        let site = place.site.clone();
        let asked = timeout(STEP_DEADLINE, client.execute(statement, &[&self.config.client, &number])).await;
        let (result, done) = match asked {
            Ok(Ok(_)) => (Write::Acknowledged { id, sent, at: Instant::now(), site }, true),
            Ok(Err(error)) => {
                (Write::Unknown { id, at: Instant::now(), site, why: error.to_string() }, false)
            }
            Err(_) => {
                (Write::Unknown { id, at: Instant::now(), site, why: "no answer in time".to_owned() }, false)
            }
        };
        // Nobody listens any more: the writer ends.
        self.results.send(result).await.is_ok() && done
    }
}

async fn in_recovery(client: &Client) -> Option<bool> {
    let row = timeout(STEP_DEADLINE, client.query_one("select pg_is_in_recovery()", &[])).await.ok()?.ok()?;
    row.try_get(0).ok()
}

/// Numbers of a writer's rows that a server has.
///
/// # Errors
/// The server can't be asked, in the driver's words.
pub async fn rows_kept(config: &WriterConfig, place: &Place) -> Result<Vec<u64>, String> {
    let mut login = Config::new();
    login
        .host(&place.host)
        .port(place.port)
        .user(&config.user)
        .dbname(&config.dbname)
        .connect_timeout(STEP_DEADLINE);
    let (client, connection) = login.connect(NoTls).await.map_err(|error| error.to_string())?;
    tokio::spawn(async move {
        let _ = connection.await;
    });
    let statement = "select id from demo_row where client = $1 order by id";
    let asked = timeout(STEP_DEADLINE * 10, client.query(statement, &[&config.client])).await;
    let rows = asked.map_err(|_| "no answer in time")?.map_err(|error| error.to_string())?;
    rows.iter()
        .map(|row| row.try_get::<_, i64>(0).map(|id| id.unsigned_abs()).map_err(|error| error.to_string()))
        .collect()
}
