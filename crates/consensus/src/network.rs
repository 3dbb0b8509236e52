//! Raft's messages to the other witnesses: one connection for the log, one for heartbeats and
//! votes, one for snapshots, so that none waits behind another.

mod pipeline;

use crate::{
    codec::{CodecError, Kind, convert, open, seal, wire},
    group::{Group, Snapshot, SnapshotBytes, Vote},
    silence::Silence,
};
use futures::Stream;
use model::Millis;
use openraft::base::{BoxFuture, BoxStream};
use openraft::{
    OptionalSend, RPCTypes, RaftNetworkFactory, RaftNetworkV2,
    errors::{NetworkError, RPCError, ReplicationClosed, StreamingError, Timeout, Unreachable},
    network::{RPCOption, stream_append_sequential},
    raft::{
        AppendEntriesRequest, AppendEntriesResponse, SnapshotResponse, StreamAppendResult,
        TransferLeaderRequest, TransferLeaderResponse, VoteRequest, VoteResponse,
    },
};
use rpc::{
    client,
    tonic::{Code, Status, transport::Channel},
    v1::{RaftRequest, consensus_client::ConsensusClient},
};
use std::{collections::BTreeMap, future::Future, sync::Arc, time::Duration};

/// Bytes of a snapshot in one message.
const PIECE: usize = 512 * 1024;

/// How often a connection that nothing else uses is tried.
const WARM: Duration = Duration::from_secs(2);

type Client = ConsensusClient<Channel>;

/// The three connections to one witness.
#[derive(Clone)]
pub(crate) struct Peer {
    pub log: Client,
    /// Also votes and forwarded proposals.
    pub small: Client,
    pub snapshot: Client,
}

/// Makes links.
#[derive(Clone)]
pub(crate) struct Network {
    pub me: u64,
    pub founding: u64,
    pub peers: Arc<BTreeMap<u64, Peer>>,
    pub silence: Arc<Silence>,
}

impl Network {
    /// A node that the configuration doesn't name can't be reached: the link says so at each call.
    pub(crate) fn small_link(&self, target: u64) -> Link {
        self.link(target, |peer| &peer.small, false)
    }

    /// Keeps the connections for votes and forwarded proposals made: an election must not wait
    /// for three round trips of TCP and TLS first.
    pub(crate) async fn keep_warm(self) {
        let links: Vec<Link> = self.peers.keys().map(|id| self.small_link(*id)).collect();
        loop {
            futures::future::join_all(links.iter().map(Link::greet)).await;
            tokio::time::sleep(WARM).await;
        }
    }

    fn link(&self, target: u64, pick: impl FnOnce(&Peer) -> &Client, pipelined: bool) -> Link {
        Link {
            network: self.clone(),
            target,
            client: self.peers.get(&target).map(|peer| pick(peer).clone()),
            pipelined,
        }
    }
}

impl RaftNetworkFactory<Group> for Network {
    type Network = Link;

    async fn new_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Link {
        self.link(target, |peer| &peer.log, true)
    }

    async fn new_heartbeat_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Link {
        self.link(target, |peer| &peer.small, false)
    }

    async fn new_snapshot_client(&mut self, target: u64, _node: &openraft::EmptyNode) -> Link {
        self.link(target, |peer| &peer.snapshot, false)
    }
}

/// To one witness, over one of its connections.
pub(crate) struct Link {
    network: Network,
    target: u64,
    client: Option<Client>,
    pipelined: bool,
}

impl Link {
    fn client(&self) -> Result<Client, RPCError<Group>> {
        self.client
            .clone()
            .ok_or_else(|| unreachable(format!("node {} is not in the configuration", self.target)))
    }

    fn speak(&self) -> Result<(), RPCError<Group>> {
        if self.network.silence.now() {
            Err(unreachable("no quorum acknowledges this leader: silent for a while".to_owned()))
        } else {
            Ok(())
        }
    }

    fn request(&self, frame: Vec<u8>) -> RaftRequest {
        RaftRequest { from: self.network.me, to: self.target, frame }
    }

    async fn call(
        &self,
        action: RPCTypes,
        frame: Result<Vec<u8>, CodecError>,
        limit: Duration,
    ) -> Result<Vec<u8>, RPCError<Group>> {
        let request = self.request(frame.map_err(|e| network(&e))?);
        let mut client = self.client()?;
        match client::within(millis(limit), client.raft(request)).await {
            Ok(response) => Ok(response.into_inner().frame),
            Err(status) => Err(self.failed(action, limit, &status)),
        }
    }

    fn failed(&self, action: RPCTypes, limit: Duration, status: &Status) -> RPCError<Group> {
        match status.code() {
            Code::DeadlineExceeded => self.timeout(action, limit),
            Code::Unavailable => unreachable(client::reason(status)),
            _ => RPCError::Network(NetworkError::from_string(client::reason(status))),
        }
    }

    fn timeout(&self, action: RPCTypes, timeout: Duration) -> RPCError<Group> {
        RPCError::Timeout(Timeout { action, id: self.network.me, target: self.target, timeout })
    }

    async fn greet(&self) {
        // That it failed shows in the calls that matter.
        let _ = self.call(RPCTypes::Vote, seal(Kind::Hello, &()), WARM).await;
    }

    /// For [`crate::rejoin`]: what a witness answers to a candidate that no one would elect.
    pub(crate) async fn inquire(&self, limit: Duration) -> Result<VoteResponse<Group>, RPCError<Group>> {
        self.ask(Kind::PreVoteRequest, &VoteRequest::new(Vote::new(0, self.network.me), None), limit).await
    }

    async fn ask(
        &self,
        kind: Kind,
        rpc: &VoteRequest<Group>,
        limit: Duration,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        let frame = seal(kind, &convert::vote_request(self.network.founding, rpc));
        let answer = self.call(RPCTypes::Vote, frame, limit).await?;
        let answer = open(Kind::VoteResponse, &answer).map_err(|e| network(&e))?;
        Ok(convert::vote_response_back(answer))
    }

    async fn send_snapshot(
        &self,
        vote: Vote,
        snapshot: Snapshot,
        limit: Duration,
    ) -> Result<SnapshotResponse<Group>, RPCError<Group>> {
        let header = wire::SnapshotHeader {
            founding: self.network.founding,
            leader: convert::ballot(&vote),
            meta: convert::snapshot_meta(&snapshot.meta),
            length: snapshot.snapshot.len() as u64,
        };
        let mut requests = vec![self.request(seal(Kind::SnapshotHeader, &header).map_err(|e| network(&e))?)];
        for piece in snapshot.snapshot.chunks(PIECE) {
            requests.push(self.request(seal(Kind::SnapshotPiece, piece).map_err(|e| network(&e))?));
        }
        let mut client = self.client()?;
        let sent = client::within(millis(limit), client.snapshot(futures::stream::iter(requests))).await;
        let frame =
            sent.map_err(|status| self.failed(RPCTypes::InstallSnapshot, limit, &status))?.into_inner().frame;
        let ballot = open(Kind::SnapshotResponse, &frame).map_err(|e| network(&e))?;
        Ok(SnapshotResponse::new(convert::vote(ballot)))
    }
}

impl RaftNetworkV2<Group> for Link {
    type SnapshotData = SnapshotBytes;

    async fn append_entries(
        &mut self,
        rpc: AppendEntriesRequest<Group>,
        option: RPCOption,
    ) -> Result<AppendEntriesResponse<Group>, RPCError<Group>> {
        self.speak()?;
        let last = rpc.entries.last().map(|entry| convert::position(&entry.log_id));
        let last = last.or(convert::positions(rpc.prev_log_id.as_ref()));
        let frame = convert::append_request(self.network.founding, &rpc);
        let answer = self.call(RPCTypes::AppendEntries, frame, option.soft_ttl()).await?;
        let answer = open(Kind::AppendResponse, &answer).map_err(|e| network(&e))?;
        Ok(convert::append_response_back(answer, last))
    }

    fn stream_append<'s, S>(
        &'s mut self,
        input: S,
        option: RPCOption,
    ) -> BoxFuture<
        's,
        Result<BoxStream<'s, Result<StreamAppendResult<Group>, RPCError<Group>>>, RPCError<Group>>,
    >
    where
        S: Stream<Item = AppendEntriesRequest<Group>> + OptionalSend + Unpin + 'static,
    {
        if self.pipelined {
            Box::pin(pipeline::run(self, input, option.soft_ttl()))
        } else {
            stream_append_sequential(self, input, option)
        }
    }

    async fn vote(
        &mut self,
        rpc: VoteRequest<Group>,
        option: RPCOption,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        self.ask(Kind::VoteRequest, &rpc, option.soft_ttl()).await
    }

    async fn pre_vote(
        &mut self,
        rpc: VoteRequest<Group>,
        option: RPCOption,
    ) -> Result<VoteResponse<Group>, RPCError<Group>> {
        self.ask(Kind::PreVoteRequest, &rpc, option.soft_ttl()).await
    }

    async fn full_snapshot(
        &mut self,
        vote: Vote,
        snapshot: Snapshot,
        cancel: impl Future<Output = ReplicationClosed> + OptionalSend + 'static,
        option: RPCOption,
    ) -> Result<SnapshotResponse<Group>, StreamingError<Group>> {
        self.speak()?;
        tokio::select! {
            closed = cancel => Err(StreamingError::Closed(closed)),
            sent = self.send_snapshot(vote, snapshot, option.soft_ttl()) => Ok(sent.inspect_err(|error| {
                tracing::warn!(node = self.target, %error, "a snapshot was not taken");
            })?),
        }
    }

    async fn transfer_leader(
        &mut self,
        request: TransferLeaderRequest<Group>,
        option: RPCOption,
    ) -> Result<TransferLeaderResponse<Group>, RPCError<Group>> {
        let frame = seal(Kind::TransferRequest, &convert::transfer_request(self.network.founding, &request));
        let answer = self.call(RPCTypes::TransferLeader, frame, option.soft_ttl()).await?;
        let answer = open(Kind::TransferResponse, &answer).map_err(|e| network(&e))?;
        Ok(convert::transfer_response_back(answer))
    }
}

fn unreachable(reason: String) -> RPCError<Group> {
    RPCError::Unreachable(Unreachable::from_string(reason))
}

fn network(error: &CodecError) -> RPCError<Group> {
    RPCError::Network(NetworkError::new(error))
}

fn millis(duration: Duration) -> Millis {
    Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
