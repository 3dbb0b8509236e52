//! openraft's own conformance suite.

use super::*;
use crate::state_machine::{Output, StateMachine};
use crate::stop::StopCell;
use openraft::{
    StorageError,
    testing::log::{StoreBuilder, Suite},
};
use std::{path::Path, sync::atomic::AtomicBool};
use tempfile::TempDir;
use tokio::sync::watch;

struct Builder;

impl StoreBuilder<crate::group::Group, Store, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, Store, StateMachine), StorageError<crate::group::Group>> {
        let directory = directory();
        let store = open(directory.path()).expect("a new store opens");
        let (applied, _) = mpsc::channel(1);
        let output = Output {
            applied,
            state: watch::Sender::default(),
            live: Arc::new(AtomicBool::new(false)),
            stop: StopCell::new(),
        };
        Ok((directory, store.clone(), StateMachine::new(store, output)))
    }
}

pub(super) fn directory() -> TempDir {
    tempfile::Builder::new().prefix("tripoint-consensus-").tempdir_in("/var/tmp").expect("a directory")
}

pub(super) fn open(directory: &Path) -> Result<Store, StoreError> {
    Store::open(&Options { directory, identity: identity(), reset: false })
}

#[tokio::test]
async fn the_store_passes_openrafts_suite() {
    Suite::test_all(Builder).await.expect("the suite passes");
}

#[tokio::test]
async fn everything_is_there_after_a_restart() {
    let directory = directory();
    let mut store = open(directory.path()).expect("a new store opens");
    vote(&mut store, 3).await.expect("saved");
    append(&mut store, (0..20).map(|i| entry(3, i, 100)).collect()).await.expect("saved");
    store.save_committed(Some(log_id(3, 17))).await.expect("saved");
    let meta = crate::group::SnapshotMeta { last_log_id: Some(log_id(3, 9)), ..Default::default() };
    store
        .save_snapshot(StoredSnapshot { meta: meta.clone(), state: vec![1, 2, 3].into() })
        .await
        .expect("saved");
    store.purge(log_id(3, 5)).await.expect("purged");
    store.truncate_after(Some(log_id(3, 18))).await.expect("truncated");
    store.close().await.expect("closed");

    let mut store = open(directory.path()).expect("it opens again");
    assert_eq!(store.vote(), Some(Vote::new_committed(3, 1)));
    assert_eq!(store.read_committed().await.expect("read"), Some(log_id(3, 17)));
    let log = store.get_log_state().await.expect("read");
    assert_eq!((log.last_purged_log_id, log.last_log_id), (Some(log_id(3, 5)), Some(log_id(3, 18))));
    assert_eq!(store.cache().entries.len(), 13);
    assert_eq!(store.cache().entries.get(&7), Some(&entry(3, 7, 100)));
    assert_eq!(store.snapshot().map(|s| (s.meta, s.state.to_vec())), Some((meta, vec![1, 2, 3])));
}

#[tokio::test]
async fn a_hole_is_refused() {
    let directory = directory();
    let mut store = open(directory.path()).expect("a new store opens");
    append(&mut store, vec![entry(1, 0, 1)]).await.expect("saved");
    assert!(append(&mut store, vec![entry(1, 2, 1)]).await.is_err());
}

/// Two that ask at once are answered in one batch: neither before the file is closed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_closed_the_store_finds_it_closed() {
    for _ in 0..20 {
        let directory = directory();
        let mut store = open(directory.path()).expect("a new store opens");
        append(&mut store, (0..20).map(|i| entry(3, i, 100)).collect()).await.expect("saved");
        let path = directory.path().join("consensus.redb");
        let closes = (0..4).map(|_| {
            let (store, path) = (store.clone(), path.clone());
            tokio::spawn(async move {
                // A second one may be told that it is closed already.
                let _ = store.close().await;
                let file = std::fs::File::open(path).expect("there");
                assert!(file.try_lock_shared().is_ok(), "the store still holds its file");
            })
        });
        for close in closes.collect::<Vec<_>>() {
            close.await.expect("closed");
        }
    }
}
