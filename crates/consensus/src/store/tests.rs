//! The store: openraft's conformance suite, restarts, refusals, crashes, damage.

mod backend;
mod crash;
mod damage;
mod refusal;
mod suite;

use super::*;
use crate::group::{LogEntry, LogId, Proposal};
use coordination::{Command, Entry};
use model::WallMillis;
use openraft::{
    EntryPayload,
    storage::{IOFlushed, RaftLogStorage},
};

fn identity() -> Identity {
    Identity { group: "test".to_owned(), node: 1, site: "dc1".to_owned(), founding: 7 }
}

fn log_id(term: u64, index: u64) -> LogId {
    convert::log_id(Position { term, index })
}

/// An entry whose command has about `size` bytes.
fn entry(term: u64, index: u64, size: usize) -> LogEntry {
    let command = Command::Attest {
        stack: "ess".parse().expect("a name"),
        epoch: model::Epoch(index),
        operator: "o".repeat(size),
        reason: String::new(),
    };
    let entry = Entry { at: WallMillis(index), command };
    openraft::Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(Proposal(Arc::new(entry))) }
}

/// Appends and waits until it is durable.
async fn append(store: &mut Store, entries: Vec<LogEntry>) -> io::Result<()> {
    let (done, durable) = <crate::group::Group as openraft::type_config::TypeConfigExt>::oneshot();
    store.append(entries, IOFlushed::signal(done)).await?;
    durable.await.map_err(io::Error::other)?
}

async fn vote(store: &mut Store, term: u64) -> io::Result<()> {
    store.save_vote(&Vote::new_committed(term, 1)).await
}
