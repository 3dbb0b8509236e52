//! What the rest of the witness holds of its Raft member.

use crate::{
    codec::{Kind, decode_outcome, encode_command, open, peek, wire::Refusal},
    config::Config,
    error::{ProposeError, Stopped},
    group::{Group, Metrics, Proposal, Raft, log_index},
    leadership::{self, Heard, Leadership},
    network::Peer,
    stop::StopCell,
    store::Store,
};
use coordination::{Command, Entry, Outcome, State};
use model::{LogIndex, Millis, SiteId};
use openraft::{
    ReadPolicy,
    async_runtime::WatchReceiver,
    errors::{ClientWriteError, ForwardReason, LinearizableReadError, RaftError},
};
use rpc::{
    client,
    v1::{ProposeRequest, ReadIndexRequest},
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

/// Longest command, encoded, in bytes.
pub const COMMAND_BYTES_MAX: usize = 48 * 1024;

pub(crate) struct Inner {
    pub config: Config,
    pub raft: Raft,
    pub store: Store,
    pub peers: Arc<BTreeMap<u64, Peer>>,
    pub heard: Heard,
    pub state: watch::Receiver<Arc<State>>,
    pub leadership: watch::Receiver<Leadership>,
    pub stop: StopCell,
}

/// Proposes, reads, watches. Clones share one member.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

/// What became of a proposal made here.
pub(crate) enum Local {
    Done(LogIndex, Outcome),
    /// Not appended: this member doesn't lead.
    NotLeader,
    Failed(ProposeError),
}

impl Handle {
    /// Has a command committed and applied, by the leader wherever it is, and says what `apply`
    /// made of it. Many may be under way at once. The caller must not be the one that drains the
    /// channel of [`crate::Applied`].
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`] at once if no leader is known, [`ProposeError::Unknown`] after
    /// the deadline or if the answer was lost: the command may still be committed.
    pub async fn propose(
        &self,
        command: Command,
        deadline: Millis,
    ) -> Result<(LogIndex, Outcome), ProposeError> {
        let started = Instant::now();
        if self.inner.stop.get().is_some() {
            return Err(ProposeError::Stopped);
        }
        match self.leader_node() {
            None if self.is_settling() => {}
            None => return Err(self.no_leader()),
            Some(leader) if leader != self.inner.config.me => {
                return self.forward(leader, &command, deadline).await;
            }
            Some(_) => {}
        }
        match self.propose_here(command.clone(), deadline).await {
            Local::Done(index, outcome) => Ok((index, outcome)),
            Local::Failed(error) => Err(error),
            Local::NotLeader => {
                let spent = Millis(u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
                match self.leader_node() {
                    Some(leader) if leader != self.inner.config.me => {
                        self.forward(leader, &command, deadline.minus(spent)).await
                    }
                    _ => Err(self.no_leader()),
                }
            }
        }
    }

    /// A log index at or above everything that was committed before the call; this witness has
    /// applied it when the call returns, so that [`Handle::state`] is linearizable.
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`], or [`ProposeError::Unknown`] after the deadline: nothing was read.
    pub async fn read_index(&self, deadline: Millis) -> Result<LogIndex, ProposeError> {
        if self.inner.stop.get().is_some() {
            return Err(ProposeError::Stopped);
        }
        let index = match self.leader_node() {
            None => return Err(self.no_leader()),
            Some(leader) if leader == self.inner.config.me => self.read_index_here(deadline).await?,
            Some(leader) => {
                let peer = self.inner.peers.get(&leader).ok_or(ProposeError::NoLeader)?;
                let mut client = peer.small.clone();
                let answer = client::within(deadline, client.read_index(ReadIndexRequest {})).await;
                LogIndex(answer.map_err(|_| ProposeError::Unknown)?.into_inner().index)
            }
        };
        let mut state = self.inner.state.clone();
        let applied = state.wait_for(|state| state.index() >= index);
        match timeout(deadline.into(), applied).await {
            Ok(Ok(_)) => Ok(index),
            Ok(Err(_)) => Err(ProposeError::Stopped),
            Err(_) => Err(ProposeError::Unknown),
        }
    }

    /// The leader, if one was heard of within the longest election timeout.
    #[must_use]
    pub fn leader(&self) -> Option<(u64, SiteId)> {
        let node = self.leader_node()?;
        Some((node, self.inner.config.members.get(&node)?.site.clone()))
    }

    /// Tells each change of the leader, the term, or of whether this witness leads.
    #[must_use]
    pub fn watch_leadership(&self) -> watch::Receiver<Leadership> {
        self.inner.leadership.clone()
    }

    /// At a leader: how long ago a quorum acknowledged it.
    #[must_use]
    pub fn quorum_ack_age(&self) -> Option<Millis> {
        let age = leadership::quorum_ack_age(&self.metrics())?;
        Some(Millis(u64::try_from(age.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The state as this witness has applied it: may be stale, see [`Handle::read_index`].
    #[must_use]
    pub fn state(&self) -> Arc<State> {
        self.inner.state.borrow().clone()
    }

    /// Asks the leader, which must be this witness, to hand its seat to another node. Whether it
    /// happened shows in [`Handle::watch_leadership`].
    ///
    /// # Errors
    /// [`ProposeError::NoLeader`] if this witness doesn't lead or the node is no member.
    pub async fn transfer_leader(&self, to: u64) -> Result<(), ProposeError> {
        if !self.metrics_lead() || !self.inner.config.members.contains_key(&to) {
            return Err(self.no_leader());
        }
        self.inner.raft.trigger().transfer_leader(to).await.map_err(|_| ProposeError::Stopped)
    }

    /// Stops the member and closes its store; the last durable state stays.
    pub async fn shutdown(&self) {
        self.inner.stop.set(Stopped::Asked);
        self.stop_raft().await;
    }

    /// Resolves once the member has stopped, by itself or not: the process must end then.
    pub async fn stopped(&self) -> Stopped {
        let reason = self.inner.stop.wait().await;
        self.stop_raft().await;
        reason
    }

    pub(crate) async fn stop_raft(&self) {
        if let Err(error) = self.inner.raft.shutdown().await {
            tracing::warn!(%error, "Raft did not end cleanly");
        }
        // Closed already if it was asked twice; and a failed store has said so before.
        let _ = self.inner.store.close().await;
    }

    pub(crate) fn metrics(&self) -> Metrics {
        self.inner.raft.metrics().borrow_watched().clone()
    }

    fn patience(&self) -> Duration {
        self.inner.config.timing.election_max.into()
    }

    fn leader_node(&self) -> Option<u64> {
        let receiver = self.inner.raft.metrics();
        let metrics = receiver.borrow_watched();
        leadership::leader(&metrics, &self.inner.heard, self.patience())
    }

    fn metrics_lead(&self) -> bool {
        let receiver = self.inner.raft.metrics();
        let metrics = receiver.borrow_watched();
        leadership::leads(&metrics, self.patience())
    }

    /// Elected, and no quorum has acknowledged it yet: soon one will, or another leads.
    fn is_settling(&self) -> bool {
        let receiver = self.inner.raft.metrics();
        let metrics = receiver.borrow_watched();
        metrics.state.is_leader() && metrics.last_quorum_acked.is_none()
    }

    fn no_leader(&self) -> ProposeError {
        if self.inner.stop.get().is_some() { ProposeError::Stopped } else { ProposeError::NoLeader }
    }

    async fn forward(
        &self,
        leader: u64,
        command: &Command,
        deadline: Millis,
    ) -> Result<(LogIndex, Outcome), ProposeError> {
        let command = encode_checked(command)?;
        let peer = self.inner.peers.get(&leader).ok_or(ProposeError::NoLeader)?;
        let mut client = peer.small.clone();
        let answer = client::within(deadline, client.propose(ProposeRequest { command })).await;
        let answer = answer.map_err(|_| ProposeError::Unknown)?.into_inner();
        match peek(&answer.outcome) {
            Ok(Kind::Outcome) => {
                let outcome = decode_outcome(&answer.outcome).map_err(|_| ProposeError::Unknown)?;
                Ok((LogIndex(answer.index), outcome))
            }
            Ok(Kind::Refusal) => Err(match open(Kind::Refusal, &answer.outcome) {
                Ok(Refusal::NoLeader | Refusal::Stopped) => ProposeError::NoLeader,
                Ok(Refusal::TooLong(bytes)) => ProposeError::TooLong(bytes),
                Ok(Refusal::Unknown) | Err(_) => ProposeError::Unknown,
            }),
            _ => Err(ProposeError::Unknown),
        }
    }

    /// Proposes if this member leads.
    pub(crate) async fn propose_here(&self, command: Command, deadline: Millis) -> Local {
        if let Err(error) = encode_checked(&command) {
            return Local::Failed(error);
        }
        let entry = Arc::new(Entry { at: rpc::clock::wall(), command });
        match timeout(deadline.into(), self.write(entry)).await {
            Ok(local) => local,
            Err(_) => Local::Failed(ProposeError::Unknown),
        }
    }

    async fn write(&self, entry: Arc<Entry>) -> Local {
        loop {
            let error = match self.inner.raft.client_write(Proposal(Arc::clone(&entry))).await {
                Ok(done) => return Local::Done(log_index(done.log_id.index), done.data),
                Err(error) => error,
            };
            match error {
                RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
                    // Elected a moment ago: wait for the first acknowledgement.
                    if forward.reason == ForwardReason::LeaseExpired
                        && self.is_settling()
                        && timeout(self.patience(), self.settled()).await.is_ok()
                    {
                        continue;
                    }
                    return Local::NotLeader;
                }
                RaftError::APIError(_) => return Local::Failed(ProposeError::Unknown),
                // It may have been appended before Raft ended.
                RaftError::Fatal(_) => return Local::Failed(ProposeError::Unknown),
            }
        }
    }

    async fn settled(&self) {
        let mut metrics = self.inner.raft.metrics();
        while self.is_settling() {
            if metrics.changed().await.is_err() {
                return;
            }
        }
    }

    pub(crate) async fn read_index_here(&self, deadline: Millis) -> Result<LogIndex, ProposeError> {
        let read = self.inner.raft.get_read_linearizer(ReadPolicy::ReadIndex);
        match timeout(deadline.into(), read).await {
            Err(_) => Err(ProposeError::Unknown),
            Ok(Ok(read)) => Ok(log_index(read.read_log_id().log_id().index)),
            Ok(Err(RaftError::APIError(error))) => match error {
                LinearizableReadError::<Group>::ForwardToLeader(_) => Err(self.no_leader()),
                LinearizableReadError::QuorumNotEnough(_) => Err(ProposeError::NoLeader),
            },
            Ok(Err(RaftError::Fatal(_))) => Err(ProposeError::Stopped),
        }
    }
}

fn encode_checked(command: &Command) -> Result<Vec<u8>, ProposeError> {
    let bytes = encode_command(command).map_err(|_| ProposeError::TooLong(u64::MAX))?;
    if bytes.len() > COMMAND_BYTES_MAX {
        return Err(ProposeError::TooLong(bytes.len() as u64));
    }
    Ok(bytes)
}
