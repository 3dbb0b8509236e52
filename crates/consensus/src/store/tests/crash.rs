//! Power loss at any operation of the disk: what was acknowledged is there afterwards, and
//! what was not is there whole or not at all (a torn tail is no damage).

use super::backend::Memory;
use super::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};

const ROUNDS: u64 = 300;
const ENTRIES: u64 = 12;

/// What was acknowledged before the power went.
#[derive(Default)]
struct Acknowledged {
    term: u64,
    entries: u64,
}

async fn work(store: &mut Store) -> Acknowledged {
    let mut done = Acknowledged::default();
    for i in 0..ENTRIES {
        if i % 4 == 0 {
            if vote(store, i + 1).await.is_err() {
                return done;
            }
            done.term = i + 1;
        }
        let term = done.term;
        if append(store, vec![entry(term, i, 200)]).await.is_err() {
            return done;
        }
        done.entries = i + 1;
    }
    done
}

/// So many operations does undisturbed work take, at most.
async fn operations() -> u64 {
    let mut operations = 64;
    loop {
        let disk = Memory::default();
        let mut store = Store::with_backend(disk.clone(), &identity()).expect("new");
        disk.fail_after(operations);
        if work(&mut store).await.entries == ENTRIES {
            return operations;
        }
        operations *= 2;
    }
}

#[tokio::test]
async fn nothing_acknowledged_is_lost_in_a_power_loss() {
    let most = operations().await;
    for seed in 0..ROUNDS {
        let mut random = StdRng::seed_from_u64(seed);
        let disk = Memory::default();
        let mut store = Store::with_backend(disk.clone(), &identity()).expect("new");
        disk.fail_after(random.random_range(0..most));
        let done = work(&mut store).await;
        // Ends the writer; with the power gone its last words go nowhere.
        let _ = store.close().await;
        let keep = random.random_range(0.0..1.0);
        let left = Memory::with(disk.after_power_loss(|| random.random_bool(keep)));
        let store = match Store::with_backend(left, &identity()) {
            Ok(store) => store,
            Err(error) => panic!("seed {seed}: a torn tail was taken for damage: {error}"),
        };
        let term = store.vote().map_or(0, |vote| vote.leader_id.term);
        assert!(term >= done.term, "seed {seed}: vote of term {} lost, found {term}", done.term);
        let found = store.cache().entries.len() as u64;
        let range = done.entries..=done.entries + 1;
        assert!(range.contains(&found), "seed {seed}: {} acknowledged, {found} found", done.entries);
        for (index, got) in &store.cache().entries {
            let EntryPayload::Normal(Proposal(got)) = &got.payload else {
                panic!("seed {seed}: another payload")
            };
            assert_eq!(got.at, WallMillis(*index), "seed {seed}");
        }
    }
}

#[tokio::test]
async fn after_an_error_nothing_is_acknowledged_any_more() {
    let disk = Memory::default();
    let mut store = Store::with_backend(disk.clone(), &identity()).expect("new");
    append(&mut store, vec![entry(1, 0, 10)]).await.expect("saved");
    disk.fail_after(0);
    assert!(append(&mut store, vec![entry(1, 1, 10)]).await.is_err());
    disk.fail_after(1_000_000);
    assert!(vote(&mut store, 9).await.is_err(), "the disk is back, but what it holds is unknown");
}
