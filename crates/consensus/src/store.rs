//! One redb file for vote, log, committed index and snapshot.
//!
//! All reads are served from memory ([`cache`]); one thread ([`writer`]) owns the database and
//! writes in the order of arrival, several requests a transaction, two-phase and fsynced before
//! anything is acknowledged. What was not committed is as if never written (a torn tail); what
//! was and can't be read back is damage, and then nothing is opened.

mod cache;
mod identity;
mod log;
mod open;
mod writer;

pub(crate) use cache::StoredSnapshot;
pub(crate) use identity::Identity;
pub(crate) use open::Options;

use crate::{
    codec::{
        Kind, convert, seal,
        wire::{Ballot, Position},
    },
    error::StoreError,
    group::Vote,
};
use cache::{Cache, Rejoin};
use std::{
    io,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::sync::{mpsc, oneshot};
use writer::Write;

/// The open store; clones share it.
#[derive(Clone)]
pub(crate) struct Store {
    cache: Arc<Mutex<Cache>>,
    writes: mpsc::Sender<Write>,
}

impl Store {
    /// Opens or makes the store.
    pub(crate) fn open(options: &Options<'_>) -> Result<Self, StoreError> {
        open::open(options)
    }

    /// Opens or makes a store on a simulated disk, written by a task of this runtime.
    pub(crate) fn simulated(
        backend: Box<dyn redb::StorageBackend>,
        identity: &Identity,
        write_time: Duration,
    ) -> Result<Self, StoreError> {
        open::simulated(backend, identity, write_time)
    }

    /// Opens a store on a backend of its own: for tests of crashes and damage.
    #[cfg(test)]
    pub(crate) fn with_backend(
        backend: impl redb::StorageBackend,
        identity: &Identity,
    ) -> Result<Self, StoreError> {
        open::with_backend(backend, identity)
    }

    fn cache(&self) -> MutexGuard<'_, Cache> {
        // Nothing panics while holding it; if something did, its contents would still be whole.
        self.cache.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    async fn send(&self, write: Write) -> io::Result<()> {
        self.writes.send(write).await.map_err(|_| closed())
    }

    async fn written(&self, make: impl FnOnce(oneshot::Sender<io::Result<()>>) -> Write) -> io::Result<()> {
        let (done, result) = oneshot::channel();
        self.send(make(done)).await?;
        result.await.map_err(|_| closed())?
    }

    /// The vote on disk.
    pub(crate) fn vote(&self) -> Option<Vote> {
        self.cache().vote
    }

    /// True for a store that replaces a lost one: it must not found the group anew.
    pub(crate) fn is_replacement(&self) -> bool {
        self.cache().rejoin != Rejoin::No
    }

    /// True if the others have not been asked yet what the lost store knew.
    pub(crate) fn must_ask(&self) -> bool {
        self.cache().rejoin == Rejoin::Ask
    }

    /// True until everything is there that the lost store may have acknowledged: no votes so long.
    pub(crate) fn is_quarantined(&self) -> bool {
        let cache = self.cache();
        match cache.rejoin {
            Rejoin::No => false,
            Rejoin::Ask => true,
            Rejoin::Until(until) => cache.last() < Some(until),
        }
    }

    /// Takes over what the others know, durable on return.
    pub(crate) async fn rejoin(&self, vote: Ballot, until: Position) -> io::Result<()> {
        let record = seal(Kind::Ballot, &vote).map_err(io::Error::other)?;
        let place = seal(Kind::Position, &until).map_err(io::Error::other)?;
        self.written(|done| Write::Rejoin { vote: record, until: place, done }).await?;
        let mut cache = self.cache();
        cache.vote = Some(convert::vote(vote));
        cache.rejoin = Rejoin::Until(convert::log_id(until));
        Ok(())
    }

    /// The last snapshot on disk.
    pub(crate) fn snapshot(&self) -> Option<StoredSnapshot> {
        self.cache().snapshot.clone()
    }

    /// Replaces the snapshot, durable on return.
    pub(crate) async fn save_snapshot(&self, snapshot: StoredSnapshot) -> io::Result<()> {
        let record = snapshot.encode().map_err(io::Error::other)?;
        self.written(|done| Write::Snapshot { record, done }).await?;
        self.cache().snapshot = Some(snapshot);
        Ok(())
    }

    /// Writes what is pending and closes the file.
    pub(crate) async fn close(&self) -> io::Result<()> {
        self.written(|done| Write::Close { done }).await
    }
}

fn closed() -> io::Error {
    io::Error::other("the store is closed")
}

#[cfg(test)]
mod tests;
