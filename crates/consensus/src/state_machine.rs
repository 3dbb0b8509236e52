//! The core under Raft: decode, apply, reply. Nothing is decided here.
//!
//! The state lives in memory; on disk are the snapshot and the log after it.

use crate::{
    codec::{Kind, open, seal},
    error::Stopped,
    group::{
        Group, LogId, Proposal, Snapshot, SnapshotBytes, SnapshotMeta, StoredMembership, log_index,
        log_index_of,
    },
    stop::StopCell,
    store::{Store, StoredSnapshot},
};
use coordination::{Command, Entry, Outcome, State};
use futures::{Stream, StreamExt};
use model::{LogIndex, WallMillis};
use openraft::{
    EntryPayload, OptionalSend, RaftSnapshotBuilder,
    storage::{EntryResponder, RaftStateMachine},
};
use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{mpsc, watch};

/// What happened to the replicated state, in log order, on every witness.
#[derive(Clone, Debug)]
pub enum Applied {
    /// One entry was applied.
    Entry {
        /// Its index.
        index: LogIndex,
        /// The entry. A leader's own first entry, and changes of membership, are `Nothing`.
        entry: Arc<Entry>,
        /// What `apply` said.
        outcome: Outcome,
        /// The state after it.
        state: Arc<State>,
    },
    /// The state is another one altogether: after the start, or from a snapshot.
    Restored {
        /// The state.
        state: Arc<State>,
    },
}

/// Where the state machine tells what happened.
#[derive(Clone)]
pub(crate) struct Output {
    pub applied: mpsc::Sender<Applied>,
    pub state: watch::Sender<Arc<State>>,
    /// False while old entries are replayed at the start.
    pub live: Arc<AtomicBool>,
    pub stop: StopCell,
}

impl Output {
    async fn tell(&self, applied: Applied) {
        if self.live.load(Ordering::Acquire) {
            // Nobody listens any more: the process is ending.
            let _ = self.applied.send(applied).await;
        }
    }
}

/// See the module.
pub(crate) struct StateMachine {
    state: Arc<State>,
    last: Option<LogId>,
    members: StoredMembership,
    store: Store,
    output: Output,
}

impl StateMachine {
    pub(crate) fn new(store: Store, output: Output) -> Self {
        Self { state: Arc::default(), last: None, members: StoredMembership::default(), store, output }
    }

    fn meta(&self) -> SnapshotMeta {
        SnapshotMeta { last_log_id: self.last, last_membership: self.members.clone() }
    }

    fn stop(&self, reason: Stopped) -> io::Error {
        tracing::error!(%reason, "consensus stops");
        self.output.stop.set(reason.clone());
        io::Error::other(reason)
    }
}

impl RaftStateMachine<Group> for StateMachine {
    type SnapshotData = SnapshotBytes;
    type SnapshotBuilder = Builder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        Ok((self.last, self.members.clone()))
    }

    async fn apply<S>(&mut self, mut entries: S) -> Result<(), io::Error>
    where
        S: Stream<Item = Result<EntryResponder<Group>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some(next) = entries.next().await {
            let (raft_entry, responder) = next?;
            let entry = match raft_entry.payload {
                EntryPayload::Normal(Proposal(entry)) => entry,
                EntryPayload::Blank => nothing(),
                EntryPayload::Membership(members) => {
                    self.members = StoredMembership::new(Some(raft_entry.log_id), members);
                    nothing()
                }
            };
            let index = log_index(raft_entry.log_id.index);
            let outcome = Arc::make_mut(&mut self.state).apply(index, &entry);
            if outcome == Outcome::Diverged {
                return Err(self.stop(Stopped::Diverged(index.0)));
            }
            self.last = Some(raft_entry.log_id);
            self.output.state.send_replace(Arc::clone(&self.state));
            if let Some(responder) = responder {
                responder.send(outcome.clone());
            }
            self.output.tell(Applied::Entry { index, entry, outcome, state: Arc::clone(&self.state) }).await;
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> Builder {
        Builder { state: Arc::clone(&self.state), meta: self.meta(), store: self.store.clone() }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, bytes: SnapshotBytes) -> Result<(), io::Error> {
        let state: State =
            open(Kind::State, &bytes).map_err(|e| self.stop(Stopped::Unknown(format!("snapshot: {e}"))))?;
        let (found, wanted) = (state.index(), log_index_of(meta.last_log_id.as_ref()));
        if found != wanted {
            let reason = format!("the snapshot's state is of log index {found}, its heading says {wanted}");
            return Err(self.stop(Stopped::Store(reason)));
        }
        if self.store.snapshot().is_none_or(|stored| stored.meta != *meta) {
            self.store.save_snapshot(StoredSnapshot { meta: meta.clone(), state: bytes }).await?;
        }
        self.state = Arc::new(state);
        self.last = meta.last_log_id;
        self.members = meta.last_membership.clone();
        self.output.state.send_replace(Arc::clone(&self.state));
        self.output.tell(Applied::Restored { state: Arc::clone(&self.state) }).await;
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<Snapshot>, io::Error> {
        Ok(self.store.snapshot().map(|stored| Snapshot { meta: stored.meta, snapshot: stored.state }))
    }
}

/// Raft's own entries count in the core's index and change nothing.
fn nothing() -> Arc<Entry> {
    Arc::new(Entry { at: WallMillis(0), command: Command::Nothing })
}

/// A view of the state at one index, to be written as a snapshot.
pub(crate) struct Builder {
    state: Arc<State>,
    meta: SnapshotMeta,
    store: Store,
}

impl RaftSnapshotBuilder<Group> for Builder {
    type SnapshotData = SnapshotBytes;

    async fn build_snapshot(&mut self) -> Result<Snapshot, io::Error> {
        let bytes: SnapshotBytes = seal(Kind::State, &*self.state).map_err(io::Error::other)?.into();
        let meta = self.meta.clone();
        self.store.save_snapshot(StoredSnapshot { meta: meta.clone(), state: Arc::clone(&bytes) }).await?;
        Ok(Snapshot { meta, snapshot: bytes })
    }
}
