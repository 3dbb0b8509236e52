//! Stores that must not be opened: missing, another's, of another group.

use super::suite::{directory, open};
use super::*;
use std::fs;

#[tokio::test]
async fn a_deleted_database_does_not_come_back_as_a_blank_voter() {
    let directory = directory();
    open(directory.path()).expect("new").close().await.expect("closed");
    fs::remove_file(directory.path().join("consensus.redb")).expect("removed");
    let Err(error) = open(directory.path()) else { panic!("it opened") };
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    assert!(error.to_string().contains("reset_identity"));

    let options = Options { directory: directory.path(), identity: identity(), reset: true };
    let store = Store::open(&options).expect("it was asked for");
    assert!(
        store.is_replacement() && store.must_ask() && store.is_quarantined(),
        "it could vote or found anew"
    );
    store.close().await.expect("closed");

    let mut store = open(directory.path()).expect("sound");
    assert!(store.is_replacement() && store.must_ask() && store.is_quarantined(), "after a restart it could");
    let heard = Ballot { term: 4, node: 1, granted: false };
    store.rejoin(heard, Position { term: 4, index: 2 }).await.expect("saved");
    append(&mut store, (0..2).map(|i| entry(4, i, 10)).collect()).await.expect("saved");
    assert!(store.is_quarantined() && !store.must_ask(), "an entry is still lacking");
    store.close().await.expect("closed");

    let mut store = open(directory.path()).expect("sound");
    assert!(store.is_quarantined() && !store.must_ask(), "an entry is still lacking after a restart");
    assert_eq!(store.vote(), Some(Vote::new(4, 1)));
    append(&mut store, vec![entry(4, 2, 10)]).await.expect("saved");
    assert!(!store.is_quarantined(), "all there");
}

#[tokio::test]
async fn a_damaged_database_is_set_aside_only_when_asked() {
    let directory = directory();
    let mut store = open(directory.path()).expect("new");
    vote(&mut store, 2).await.expect("saved");
    store.close().await.expect("closed");
    let path = directory.path().join("consensus.redb");
    fs::write(&path, vec![0x55; 64 * 1024]).expect("overwritten");
    let Err(error) = open(directory.path()) else { panic!("it opened") };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");

    let options = Options { directory: directory.path(), identity: identity(), reset: true };
    let store = Store::open(&options).expect("it was asked for");
    assert_eq!(store.vote(), None);
    let kept = fs::read_dir(directory.path()).expect("listed").filter_map(Result::ok);
    assert!(
        kept.into_iter().any(|file| file.file_name().to_string_lossy().contains("damaged")),
        "the old one is kept"
    );
}

#[tokio::test]
async fn reset_keeps_a_sound_store() {
    let directory = directory();
    let mut store = open(directory.path()).expect("new");
    vote(&mut store, 2).await.expect("saved");
    store.close().await.expect("closed");
    let options = Options { directory: directory.path(), identity: identity(), reset: true };
    let store = Store::open(&options).expect("sound");
    assert_eq!(store.vote(), Some(Vote::new_committed(2, 1)));
}

#[tokio::test]
async fn anothers_store_is_refused() {
    let directory = directory();
    open(directory.path()).expect("new").close().await.expect("closed");
    let refused = |identity: Identity| {
        Store::open(&Options { directory: directory.path(), identity, reset: true })
            .err()
            .map(|e| e.to_string())
    };
    for other in [
        Identity { node: 2, ..identity() },
        Identity { group: "other".to_owned(), ..identity() },
        Identity { site: "dc2".to_owned(), ..identity() },
    ] {
        let error = refused(other.clone()).unwrap_or_else(|| panic!("{other:?} opened it"));
        assert!(error.contains("belongs to node 1 of site dc1 in group test"), "{error}");
    }
    let error = refused(Identity { founding: 8, ..identity() }).expect("other members");
    assert!(error.contains("other members"), "{error}");
}

#[tokio::test]
async fn a_database_of_an_earlier_store_is_refused() {
    let (first, second) = (directory(), directory());
    open(first.path()).expect("new").close().await.expect("closed");
    open(second.path()).expect("new").close().await.expect("closed");
    fs::copy(first.path().join("consensus.redb"), second.path().join("consensus.redb")).expect("copied");
    let Err(error) = open(second.path()) else { panic!("it opened") };
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn two_processes_cannot_share_it() {
    let directory = directory();
    let _store = open(directory.path()).expect("new");
    let Err(error) = open(directory.path()) else { panic!("it opened twice") };
    assert!(matches!(error, StoreError::InUse { .. }), "{error}");
}
