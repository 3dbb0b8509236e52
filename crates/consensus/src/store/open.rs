//! Opening the store: who it belongs to, whether it is whole, and what is in it.

use super::{
    Cache, Identity, Store, StoredSnapshot,
    cache::Rejoin,
    identity::{marker_path, read_marker, sync_directory, write_marker},
    writer::{self, COMMITTED, IDENTITY, LOG, PURGED, RECORDS, REJOIN, SNAPSHOT, VOTE},
};
use crate::{
    codec::{
        CodecError, Kind, convert, open as open_frame, seal,
        wire::{Ballot, Position, StoreIdentity},
    },
    error::StoreError,
    group::LogId,
};
use redb::{Builder, Database, Durability, ReadableDatabase, ReadableTable};
use serde::de::DeserializeOwned;
use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};
use tokio::sync::mpsc;

/// Name of the database.
const DATABASE: &str = "consensus.redb";
/// redb's page cache: everything is read once, so it only serves writes.
const CACHE_BYTES: usize = 4 << 20;
/// Requests that may wait for the writer.
const QUEUE: usize = 1_024;

/// How to open a store.
pub(crate) struct Options<'a> {
    pub directory: &'a Path,
    pub identity: Identity,
    /// See [`crate::Config::reset_identity`].
    pub reset: bool,
}

pub(super) fn open(options: &Options<'_>) -> Result<Store, StoreError> {
    let directory = options.directory;
    let path = directory.join(DATABASE);
    let marker = marker_path(directory);
    fs::create_dir_all(directory).map_err(|e| io_error(directory, &e))?;
    let marked = match read_marker(&marker) {
        Err(StoreError::Damaged { .. }) if options.reset => None,
        other => other?,
    };
    if let Some(found) = &marked {
        options.identity.check(found, &marker)?;
    }
    let there = path.try_exists().map_err(|e| io_error(&path, &e))?;
    match (there, marked) {
        (false, None) => create(options, &path, options.reset),
        (false, Some(_)) if options.reset => create(options, &path, true),
        (false, Some(_)) => Err(StoreError::Missing { path, marker }),
        (true, marked) => match open_existing(options, &path, marked.as_ref()) {
            Err(StoreError::Damaged { reason, .. }) if options.reset => {
                tracing::warn!(path = %path.display(), reason, "damaged store set aside, as reset_identity demands");
                set_aside(&path)?;
                create(options, &path, true)
            }
            other => other,
        },
    }
}

fn open_existing(
    options: &Options<'_>,
    path: &Path,
    marked: Option<&StoreIdentity>,
) -> Result<Store, StoreError> {
    let database = builder().open(path).map_err(|e| database_error(path, e.into()))?;
    let Some(found) = identity_of(&database, path)? else {
        if marked.is_some() {
            return Err(damaged(path, "it holds no identity, though the marker says that it did"));
        }
        // Died between making the file and its first commit: it never voted.
        drop(database);
        fs::remove_file(path).map_err(|e| io_error(path, &e))?;
        return create(options, path, options.reset);
    };
    options.identity.check(&found, path)?;
    match marked {
        Some(marked) if marked.store != found.store => {
            return Err(damaged(path, "it is not the file that the marker beside it was written for"));
        }
        Some(_) => {}
        None => write_marker(options.directory, &found)?,
    }
    let mut cache = load(&database, path)?;
    if found.rejoining && cache.rejoin == Rejoin::No {
        cache.rejoin = Rejoin::Ask;
    }
    serve(database, cache, path)
}

fn create(options: &Options<'_>, path: &Path, rejoining: bool) -> Result<Store, StoreError> {
    let database = builder().create(path).map_err(|e| database_error(path, e.into()))?;
    let record = options.identity.record(rand::random(), rejoining);
    write_identity(&database, &record).map_err(|e| database_error(path, e))?;
    sync_directory(options.directory).map_err(|e| io_error(options.directory, &e))?;
    write_marker(options.directory, &record)?;
    let rejoin = if rejoining { Rejoin::Ask } else { Rejoin::No };
    serve(database, Cache { rejoin, ..Cache::default() }, path)
}

/// What a database on a backend is called in messages.
const NO_FILE: &str = "(memory)";

#[cfg(test)]
pub(super) fn with_backend(
    backend: impl redb::StorageBackend,
    identity: &Identity,
) -> Result<Store, StoreError> {
    let (database, cache) = on_backend(backend, identity)?;
    serve(database, cache, Path::new(NO_FILE))
}

pub(super) fn simulated(
    backend: Box<dyn redb::StorageBackend>,
    identity: &Identity,
    write_time: Duration,
) -> Result<Store, StoreError> {
    let (database, cache) = on_backend(Boxed(backend), identity)?;
    let cache = Arc::new(Mutex::new(cache));
    let (writes, requests) = mpsc::channel(QUEUE);
    tokio::spawn(writer::run_simulated(database, requests, Arc::clone(&cache), write_time));
    Ok(Store { cache, writes })
}

fn on_backend(
    backend: impl redb::StorageBackend,
    identity: &Identity,
) -> Result<(Database, Cache), StoreError> {
    let path = Path::new(NO_FILE);
    let database = builder().create_with_backend(backend).map_err(|e| database_error(path, e.into()))?;
    match identity_of(&database, path)? {
        Some(found) => identity.check(&found, path)?,
        None => write_identity(&database, &identity.record(1, false)).map_err(|e| database_error(path, e))?,
    }
    let cache = load(&database, path)?;
    Ok((database, cache))
}

#[derive(Debug)]
struct Boxed(Box<dyn redb::StorageBackend>);

impl redb::StorageBackend for Boxed {
    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.read(offset, out)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write(offset, data)
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_check_integrity_on_open(true).set_cache_size(CACHE_BYTES);
    builder
}

fn set_aside(path: &Path) -> Result<(), StoreError> {
    let now = rpc::clock::wall().0;
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".damaged-{now}"));
    fs::rename(path, PathBuf::from(name)).map_err(|e| io_error(path, &e))
}

fn serve(database: Database, cache: Cache, path: &Path) -> Result<Store, StoreError> {
    let cache = Arc::new(Mutex::new(cache));
    let (writes, requests) = mpsc::channel(QUEUE);
    let shared = Arc::clone(&cache);
    thread::Builder::new()
        .name("raft-store".to_owned())
        .spawn(move || writer::run(database, requests, &shared))
        .map_err(|e| io_error(path, &e))?;
    Ok(Store { cache, writes })
}

fn write_identity(database: &Database, record: &StoreIdentity) -> Result<(), redb::Error> {
    let bytes = seal(Kind::StoreIdentity, record).map_err(|e| redb::Error::Io(io::Error::other(e)))?;
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    transaction.set_two_phase_commit(true);
    transaction.open_table(RECORDS)?.insert(IDENTITY, bytes.as_slice())?;
    transaction.open_table(LOG)?;
    transaction.commit()?;
    Ok(())
}

fn identity_of(database: &Database, path: &Path) -> Result<Option<StoreIdentity>, StoreError> {
    let read = || -> Result<Option<Vec<u8>>, redb::Error> {
        let transaction = database.begin_read()?;
        let table = match transaction.open_table(RECORDS) {
            Ok(table) => table,
            Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        Ok(table.get(IDENTITY)?.map(|value| value.value().to_vec()))
    };
    let bytes = read().map_err(|e| database_error(path, e))?;
    bytes.map(|bytes| decode(Kind::StoreIdentity, &bytes, path)).transpose()
}

/// Reads and checks everything.
fn load(database: &Database, path: &Path) -> Result<Cache, StoreError> {
    let failed = |e: redb::Error| database_error(path, e);
    let transaction = database.begin_read().map_err(|e| failed(e.into()))?;
    let records = transaction.open_table(RECORDS).map_err(|e| failed(e.into()))?;
    let log = transaction.open_table(LOG).map_err(|e| failed(e.into()))?;
    let record = |key: &str| -> Result<Option<Vec<u8>>, StoreError> {
        Ok(records.get(key).map_err(|e| failed(e.into()))?.map(|value| value.value().to_vec()))
    };
    let place = |key: &str| -> Result<Option<LogId>, StoreError> {
        let position =
            record(key)?.map(|bytes| decode::<Position>(Kind::Position, &bytes, path)).transpose()?;
        Ok(convert::log_ids(position))
    };
    let mut cache = Cache { committed: place(COMMITTED)?, purged: place(PURGED)?, ..Cache::default() };
    if let Some(until) = place(REJOIN)? {
        cache.rejoin = Rejoin::Until(until);
    }
    if let Some(bytes) = record(VOTE)? {
        cache.vote = Some(convert::vote(decode::<Ballot>(Kind::Ballot, &bytes, path)?));
    }
    if let Some(bytes) = record(SNAPSHOT)? {
        cache.snapshot = Some(StoredSnapshot::decode(&bytes).map_err(|e| codec_error(path, e))?);
    }
    for item in log.iter().map_err(|e| failed(e.into()))? {
        let (key, value) = item.map_err(|e| failed(e.into()))?;
        let entry = convert::entry(value.value()).map_err(|e| codec_error(path, e))?;
        if entry.log_id.index != key.value() {
            return Err(damaged(path, "a log entry lies under another entry's index"));
        }
        cache.entries.insert(key.value(), entry);
    }
    check(&cache).map_err(|reason| damaged(path, reason))?;
    Ok(cache)
}

/// What must hold between the parts, or votes and entries were lost.
fn check(cache: &Cache) -> Result<(), &'static str> {
    let mut previous = cache.purged;
    for entry in cache.entries.values() {
        let next = previous.map_or(0, |id| id.index.saturating_add(1));
        if entry.log_id.index != next {
            return Err("the log has a hole");
        }
        if previous.is_some_and(|id| id > entry.log_id) {
            return Err("the log goes back in terms");
        }
        previous = Some(entry.log_id);
    }
    let voted = cache.vote.map_or(0, |vote| vote.leader_id.term);
    if previous.is_some_and(|id| id.leader_id.term > voted) {
        return Err("the log is of a later term than the vote");
    }
    let covered = cache.snapshot.as_ref().and_then(|snapshot| snapshot.meta.last_log_id);
    if covered < cache.purged {
        return Err("the log was purged beyond the snapshot");
    }
    if cache.committed > previous.max(covered) {
        return Err("committed entries are missing");
    }
    Ok(())
}

fn decode<T: DeserializeOwned>(kind: Kind, bytes: &[u8], path: &Path) -> Result<T, StoreError> {
    open_frame(kind, bytes).map_err(|e| codec_error(path, e))
}

fn codec_error(path: &Path, error: CodecError) -> StoreError {
    if error.is_unknown() {
        StoreError::Unknown { path: path.to_owned(), source: error }
    } else {
        damaged(path, &error.to_string())
    }
}

fn database_error(path: &Path, error: redb::Error) -> StoreError {
    match error {
        redb::Error::Io(e)
            if e.kind() == io::ErrorKind::InvalidData || e.kind() == io::ErrorKind::UnexpectedEof =>
        {
            damaged(path, &e.to_string())
        }
        redb::Error::Io(e) => io_error(path, &e),
        redb::Error::DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
        other => damaged(path, &other.to_string()),
    }
}

fn damaged(path: &Path, reason: &str) -> StoreError {
    StoreError::Damaged { path: path.to_owned(), reason: reason.to_owned() }
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Io { path: path.to_owned(), reason: error.to_string() }
}
