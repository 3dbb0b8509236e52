//! One flipped bit anywhere in the file: it has no effect, or the store is not opened. Never
//! another vote, another entry, or fewer of them.

use super::backend::Memory;
use super::*;
use std::panic::{AssertUnwindSafe, catch_unwind};

const ENTRIES: u64 = 40;
/// Distance of the flipped bits, in bytes: prime, so that all places in a page have their turn.
const STRIDE: usize = 397;

/// Everything that must not change silently.
fn contents(store: &Store) -> (Option<Vote>, Vec<LogEntry>, Option<LogId>) {
    let cache = store.cache();
    (cache.vote, cache.entries.values().cloned().collect(), cache.purged)
}

#[tokio::test]
async fn a_flipped_bit_is_never_silent() {
    let disk = Memory::default();
    let mut store = Store::with_backend(disk.clone(), &identity()).expect("new");
    vote(&mut store, 4).await.expect("saved");
    for i in 0..ENTRIES {
        append(&mut store, vec![entry(4, i, 200)]).await.expect("saved");
    }
    let wanted = contents(&store);
    // As after a kill -9: the file is not closed.
    let image = disk.contents();
    let (mut harmless, mut refused, mut panics) = (0, 0, 0);
    for at in (0..image.len()).step_by(STRIDE) {
        let mut damaged = image.clone();
        damaged[at] ^= 1 << (at % 8);
        let opened =
            catch_unwind(AssertUnwindSafe(|| Store::with_backend(Memory::with(damaged), &identity())));
        match opened {
            Ok(Ok(store)) => {
                assert!(contents(&store) == wanted, "byte {at}: other contents, and no error");
                harmless += 1;
            }
            Ok(Err(StoreError::Damaged { .. } | StoreError::Unknown { .. })) => refused += 1,
            Ok(Err(other)) => panic!("byte {at}: called {other}"),
            // It ends the process, so it is not silent either; but it names no remedy.
            Err(_) => panics += 1,
        }
    }
    println!("{} bytes: {harmless} flips without effect, {refused} refused, {panics} panics", image.len());
    assert!(refused > 10, "the test hits the records: only {refused} refused");
    assert_eq!(panics, 0);
}
