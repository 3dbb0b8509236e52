//! The one thread that writes.

use super::Cache;
use crate::{
    codec::{Kind, convert, seal},
    group::{Group, LogId},
};
use openraft::storage::IOFlushed;
use redb::{Database, Durability, TableDefinition};
use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};

pub(super) const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records");
pub(super) const LOG: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("log");

pub(super) const VOTE: &str = "vote";
pub(super) const COMMITTED: &str = "committed";
pub(super) const PURGED: &str = "purged";
pub(super) const SNAPSHOT: &str = "snapshot";
pub(super) const IDENTITY: &str = "identity";
pub(super) const REJOIN: &str = "rejoin";

/// Most requests in one transaction.
const BATCH_MAX: usize = 256;

/// The committed index waiting for a transaction: it need not be durable at once, for a restart
/// learns it again from the leader.
pub(super) type Pending = Option<LogId>;

type Done = oneshot::Sender<io::Result<()>>;

/// A request. `Vec<u8>`s are frames.
pub(super) enum Write {
    Vote {
        record: Vec<u8>,
        done: Done,
    },
    Append {
        records: Vec<(u64, Vec<u8>)>,
        done: IOFlushed<Group>,
    },
    /// Drops all entries after this index; all there are for `None`.
    Truncate {
        after: Option<u64>,
        done: Done,
    },
    /// Drops all entries up to this one.
    Purge {
        upto: LogId,
        done: Done,
    },
    Snapshot {
        record: Vec<u8>,
        done: Done,
    },
    /// What the others know in place of what this witness forgot.
    Rejoin {
        vote: Vec<u8>,
        until: Vec<u8>,
        done: Done,
    },
    Close {
        done: Done,
    },
}

impl Write {
    fn finish(self, result: &Result<(), String>) {
        let result = result.as_ref().map_err(|reason| io::Error::other(reason.clone())).copied();
        match self {
            Self::Append { done, .. } => done.io_completed(result),
            Self::Vote { done, .. }
            | Self::Truncate { done, .. }
            | Self::Purge { done, .. }
            | Self::Snapshot { done, .. }
            | Self::Rejoin { done, .. }
            | Self::Close { done } => {
                // Who asked may be gone; the write stands all the same.
                let _ = done.send(result);
            }
        }
    }
}

/// Serves requests until the channel or the store is closed. After the first failure nothing is
/// written any more: what the disk then holds is unknown until it is read afresh.
pub(super) fn run(database: Database, mut requests: mpsc::Receiver<Write>, cache: &Arc<Mutex<Cache>>) {
    let mut writer = Writer { database, cache: Arc::clone(cache), failed: None, closing: Vec::new() };
    while writer.closing.is_empty()
        && let Some(first) = requests.blocking_recv()
    {
        writer.write(first, &mut requests);
    }
    writer.close();
}

/// As [`run`], as a task. A crash of the simulated host drops it between two transactions.
pub(super) async fn run_simulated(
    database: Database,
    mut requests: mpsc::Receiver<Write>,
    cache: Arc<Mutex<Cache>>,
    write_time: Duration,
) {
    let mut writer = Writer { database, cache, failed: None, closing: Vec::new() };
    while writer.closing.is_empty()
        && let Some(first) = requests.recv().await
    {
        tokio::time::sleep(write_time).await;
        writer.write(first, &mut requests);
    }
    writer.close();
}

struct Writer {
    database: Database,
    cache: Arc<Mutex<Cache>>,
    failed: Option<String>,
    /// Several may ask at once, and each waits until the file is closed.
    closing: Vec<(Done, Result<(), String>)>,
}

impl Writer {
    /// One transaction with this request and all that wait.
    fn write(&mut self, first: Write, requests: &mut mpsc::Receiver<Write>) {
        let mut batch = vec![first];
        while batch.len() < BATCH_MAX
            && let Ok(next) = requests.try_recv()
        {
            batch.push(next);
        }
        let result = match &self.failed {
            Some(reason) => Err(reason.clone()),
            None => commit(&self.database, &batch, &self.cache).map_err(|e| e.to_string()),
        };
        if let Err(reason) = &result {
            self.failed.get_or_insert_with(|| reason.clone());
        }
        for write in batch {
            match write {
                Write::Close { done } => self.closing.push((done, result.clone())),
                other => other.finish(&result),
            }
        }
    }

    fn close(self) {
        drop(self.database);
        for (done, result) in self.closing {
            Write::Close { done }.finish(&result);
        }
    }
}

fn commit(database: &Database, batch: &[Write], cache: &Arc<Mutex<Cache>>) -> Result<(), redb::Error> {
    let pending = cache.lock().unwrap_or_else(PoisonError::into_inner).pending.take();
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    {
        let mut records = transaction.open_table(RECORDS)?;
        let mut log = transaction.open_table(LOG)?;
        for write in batch {
            match write {
                Write::Vote { record, .. } => {
                    records.insert(VOTE, record.as_slice())?;
                }
                Write::Append { records: entries, .. } => {
                    for (index, record) in entries {
                        log.insert(*index, record.as_slice())?;
                    }
                }
                Write::Truncate { after, .. } => {
                    let first = after.map_or(0, |index| index.saturating_add(1));
                    log.retain_in(first.., |_, _| false)?;
                }
                Write::Purge { upto, .. } => {
                    log.retain_in(..=upto.index, |_, _| false)?;
                    records.insert(PURGED, position_frame(upto)?.as_slice())?;
                }
                Write::Snapshot { record, .. } => {
                    records.insert(SNAPSHOT, record.as_slice())?;
                }
                Write::Rejoin { vote, until, .. } => {
                    records.insert(VOTE, vote.as_slice())?;
                    records.insert(REJOIN, until.as_slice())?;
                }
                Write::Close { .. } => {}
            }
        }
        if let Some(committed) = pending {
            records.insert(COMMITTED, position_frame(&committed)?.as_slice())?;
        }
    }
    transaction.commit()?;
    Ok(())
}

fn position_frame(id: &LogId) -> Result<Vec<u8>, redb::Error> {
    seal(Kind::Position, &convert::position(id)).map_err(|e| redb::Error::Io(io::Error::other(e)))
}
