//! The writing client: one row after the other with a rising number, at whichever host accepts
//! writes, and a log of what it was told.

use super::log::Log;
use super::session::{Session, Target, find_writable};
use crate::clock;
use anyhow::Result;
use clap::ValueEnum;
use futures::stream::{FuturesUnordered, StreamExt};
use std::cell::Cell;
use std::path::PathBuf;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Rows that a pipelining client sends in each tick, whatever is still unanswered.
const PIPELINE_BURST: u64 = 20;
/// Tick of a pipelining client.
const PIPELINE_TICK: Duration = Duration::from_millis(10);
/// Most unanswered rows of a pipelining client.
const PIPELINE_MAX: usize = 5_000;
/// A pipelining or long-running client waits this long: it must be there for a late reply.
const PATIENT: Duration = Duration::from_secs(30);

/// How a client writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Style {
    /// One row each interval, the next after the answer, with a deadline of a second.
    Steady,
    /// Many rows without waiting for answers.
    Pipeline,
    /// Statements that keep a backend busy for seconds before they write one row.
    Long,
}

/// What a writer needs to know.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Addresses.
    pub hosts: Vec<String>,
    /// Its name: the rows carry it.
    pub client: String,
    /// Where its log goes.
    pub log: PathBuf,
    /// How it writes.
    pub style: Style,
    /// Between two rows of a steady client.
    pub every: Duration,
    /// Connection.
    pub target: Target,
}

/// Writes until SIGTERM or SIGINT.
///
/// # Errors
/// If the log can't be made.
pub fn run(plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let log = Log::create(&plan.log)?;
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let writer = Writer { plan, log: &log, next: Cell::new(0) };
        tokio::select! {
            () = writer.for_ever() => {}
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        log.flush();
        Ok(())
    })
}

struct Writer<'a> {
    plan: &'a Plan,
    log: &'a Log,
    next: Cell<u64>,
}

impl Writer<'_> {
    async fn for_ever(&self) {
        loop {
            let first = async |session: &Session| self.write(session, self.plan.target.patience, false).await;
            let session = find_writable(&self.plan.hosts, &self.plan.target, self.log, first).await;
            self.log.chosen(&session.host);
            self.log.flush();
            match self.plan.style {
                Style::Steady => self.steadily(&session).await,
                Style::Pipeline => self.pipelined(&session).await,
                Style::Long => while self.write(&session, PATIENT, true).await {},
            }
            self.log.flush();
        }
    }

    fn number(&self) -> u64 {
        self.next.set(self.next.get() + 1);
        self.next.get()
    }

    async fn steadily(&self, session: &Session) {
        let mut tick = interval(self.plan.every);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            if !self.write(session, self.plan.target.patience, false).await {
                return;
            }
            self.log.flush();
        }
    }

    async fn pipelined(&self, session: &Session) {
        let mut tick = interval(PIPELINE_TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut unanswered = FuturesUnordered::new();
        loop {
            tokio::select! {
                _ = tick.tick() => {
                    for _ in 0..PIPELINE_BURST {
                        if unanswered.len() < PIPELINE_MAX {
                            unanswered.push(self.write(session, PATIENT, false));
                        }
                    }
                    self.log.flush();
                }
                Some(acknowledged) = unanswered.next() => {
                    if !acknowledged {
                        return;
                    }
                }
            }
        }
    }

    /// Writes one row; true if it was acknowledged.
    async fn write(&self, session: &Session, patience: Duration, long: bool) -> bool {
        let (id, sent) = (self.number(), clock::now());
        let insert = format!("insert into lab_w(client,id) values('{}',{id})", self.plan.client);
        let sql = if long { busy_first(&insert) } else { insert };
        match timeout(patience, session.run(&sql)).await {
            Ok(Ok(())) => {
                self.log.acked(id, sent, &session.host);
                true
            }
            Ok(Err(error)) => {
                self.log.unknown(id, sent, &session.host, &describe(&error));
                false
            }
            Err(_) => {
                self.log.unknown(id, sent, &session.host, "no answer");
                false
            }
        }
    }
}

/// A statement that computes for about four seconds without ever waiting, and writes at the end:
/// a backend that doesn't wait for its client doesn't notice its postmaster's death.
fn busy_first(insert: &str) -> String {
    format!(
        "do $$ declare until_then timestamptz := clock_timestamp() + interval '4 s'; n bigint := 0; \
         begin while clock_timestamp() < until_then loop n := n + 1; end loop; {insert}; end $$"
    )
}

fn describe(error: &tokio_postgres::Error) -> String {
    error.as_db_error().map_or_else(|| error.to_string(), |e| format!("{} {}", e.code().code(), e.message()))
}
