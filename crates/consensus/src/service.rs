//! What other witnesses ask of this one. The witness implements the gRPC service and hands
//! these calls on, with the sender's identity from its certificate.

use crate::{
    codec::{
        CodecError, Kind, convert, decode_command, encode_outcome, open, open_borrowed, peek, seal, wire,
    },
    error::{ProposeError, ServiceError, Stopped},
    group::{Group, Snapshot},
    handle::{Handle, Local},
};
use futures::{Stream, StreamExt, future::ready, stream};
use model::Millis;
use openraft::raft::{AppendEntriesRequest, StreamAppendResult};
use rpc::{
    identity::{PeerIdentity, Role},
    tonic::Status,
    v1::{ProposeRequest, ProposeResponse, RaftRequest, RaftResponse, ReadIndexRequest, ReadIndexResponse},
};
use std::{fmt::Display, pin::pin};
use tokio::sync::mpsc;

/// Longest snapshot that is taken, in bytes.
pub const SNAPSHOT_BYTES_MAX: u64 = 64 << 20;
/// Answers to log entries that wait to be sent.
const PIPELINE: usize = 64;
/// How long a forwarded proposal is worked on; its sender gives up by its own deadline.
const FORWARDED: Millis = Millis(10_000);

/// The handlers. Clones share one member.
#[derive(Clone)]
pub struct ConsensusService {
    pub(crate) handle: Handle,
}

impl ConsensusService {
    /// One message: a heartbeat, a vote, a transfer of the leader's seat.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was done.
    pub async fn raft(
        &self,
        from: &PeerIdentity,
        request: RaftRequest,
    ) -> Result<RaftResponse, ServiceError> {
        self.check(from, &request)?;
        let frame = request.frame.as_slice();
        let answer = match peek(frame).map_err(invalid)? {
            Kind::AppendRequest => self.append_one(request.from, frame).await?,
            kind @ (Kind::VoteRequest | Kind::PreVoteRequest) => self.vote(request.from, kind, frame).await?,
            Kind::Hello => seal(Kind::Hello, &()).map_err(invalid)?,
            Kind::TransferRequest => self.transfer(frame).await?,
            other => return Err(ServiceError::Invalid(format!("a {other:?} frame is no request"))),
        };
        Ok(RaftResponse { frame: answer })
    }

    /// Log entries, pipelined; the answers come in order and end with the first that is no success.
    pub fn append<S>(
        &self,
        from: &PeerIdentity,
        requests: S,
    ) -> impl Stream<Item = Result<RaftResponse, ServiceError>> + Send + use<S>
    where
        S: Stream<Item = Result<RaftRequest, Status>> + Send + Unpin + 'static,
    {
        let (answers, answered) = mpsc::channel(PIPELINE);
        tokio::spawn(self.clone().append_all(from.clone(), requests, answers));
        stream::unfold(answered, |mut answered| async move { Some((answered.recv().await?, answered)) })
    }

    async fn append_all<S>(
        self,
        from: PeerIdentity,
        requests: S,
        answers: mpsc::Sender<Result<RaftResponse, ServiceError>>,
    ) where
        S: Stream<Item = Result<RaftRequest, Status>> + Send + Unpin + 'static,
    {
        let (service, complaints) = (self.clone(), answers.clone());
        let input = requests.filter_map(move |request| {
            let taken = request
                .map_err(|status| ServiceError::Unavailable(status.message().to_owned()))
                .and_then(|request| service.take_append(&from, &request));
            let complaints = complaints.clone();
            async move {
                match taken {
                    Ok(request) => Some(Some(request)),
                    Err(error) => {
                        // Its sender makes a new stream, and reads the reason if it still listens.
                        let _ = complaints.send(Err(error)).await;
                        Some(None)
                    }
                }
            }
        });
        let input = input.take_while(|request| ready(request.is_some())).filter_map(ready);
        let results = self.handle.inner.raft.stream_append(input);
        let mut results = pin!(results);
        loop {
            let answer = tokio::select! {
                result = results.next() => match result {
                    Some(result) => result.map_err(unavailable).and_then(answer_frame),
                    None => return,
                },
                () = answers.closed() => return,
            };
            if answers.send(answer).await.is_err() {
                return;
            }
        }
    }

    /// A snapshot: its heading, then its pieces.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was installed.
    pub async fn snapshot<S>(
        &self,
        from: &PeerIdentity,
        mut requests: S,
    ) -> Result<RaftResponse, ServiceError>
    where
        S: Stream<Item = Result<RaftRequest, Status>> + Send + Unpin,
    {
        let first =
            next(&mut requests).await?.ok_or_else(|| ServiceError::Invalid("no heading".to_owned()))?;
        self.check(from, &first)?;
        let header: wire::SnapshotHeader = open(Kind::SnapshotHeader, &first.frame).map_err(invalid)?;
        self.check_leader(first.from, header.founding, header.leader)?;
        if header.length > SNAPSHOT_BYTES_MAX {
            return Err(ServiceError::Invalid(format!("a snapshot of {} bytes", header.length)));
        }
        let mut bytes = Vec::new();
        while let Some(request) = next(&mut requests).await? {
            let piece: &[u8] = open_borrowed(Kind::SnapshotPiece, &request.frame).map_err(invalid)?;
            bytes.extend_from_slice(piece);
            if bytes.len() as u64 > header.length {
                break;
            }
        }
        if bytes.len() as u64 != header.length {
            return Err(ServiceError::Invalid(format!("{} of {} bytes came", bytes.len(), header.length)));
        }
        let snapshot = Snapshot { meta: convert::snapshot_meta_back(header.meta), snapshot: bytes.into() };
        let installed =
            self.handle.inner.raft.install_full_snapshot(convert::vote(header.leader), snapshot).await;
        let ballot = convert::ballot(&installed.map_err(unavailable)?.vote);
        Ok(RaftResponse { frame: seal(Kind::SnapshotResponse, &ballot).map_err(invalid)? })
    }

    /// A command that another witness hands on. Not handed on again: this one leads or says no.
    ///
    /// # Errors
    /// [`ServiceError`]; nothing was proposed. That this one doesn't lead is an answer.
    pub async fn propose(
        &self,
        from: &PeerIdentity,
        request: ProposeRequest,
    ) -> Result<ProposeResponse, ServiceError> {
        self.check_member(from)?;
        let command = decode_command(&request.command).map_err(invalid)?;
        let refusal = match self.handle.propose_here(command, FORWARDED).await {
            Local::Done(index, outcome) => {
                let outcome = encode_outcome(&outcome).map_err(invalid)?;
                return Ok(ProposeResponse { index: index.0, outcome });
            }
            Local::NotLeader | Local::Failed(ProposeError::NoLeader) => wire::Refusal::NoLeader,
            Local::Failed(ProposeError::Unknown) => wire::Refusal::Unknown,
            Local::Failed(ProposeError::Stopped) => wire::Refusal::Stopped,
            Local::Failed(ProposeError::TooLong(bytes)) => wire::Refusal::TooLong(bytes),
        };
        Ok(ProposeResponse { index: 0, outcome: seal(Kind::Refusal, &refusal).map_err(invalid)? })
    }

    /// A log index at or above which a read is linearizable.
    ///
    /// # Errors
    /// [`ServiceError::Unavailable`] if this one doesn't lead or a quorum does not confirm it.
    pub async fn read_index(
        &self,
        from: &PeerIdentity,
        _request: ReadIndexRequest,
    ) -> Result<ReadIndexResponse, ServiceError> {
        self.check_member(from)?;
        let index = self.handle.read_index_here(FORWARDED).await.map_err(unavailable)?;
        Ok(ReadIndexResponse { index: index.0 })
    }

    async fn append_one(&self, from: u64, frame: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let request = self.read_append(from, frame)?;
        let previous = convert::positions(request.prev_log_id.as_ref());
        let last = request.entries.last().map(|entry| convert::position(&entry.log_id)).or(previous);
        let response = self.handle.inner.raft.append_entries(request).await.map_err(unavailable)?;
        seal(Kind::AppendResponse, &convert::append_response(&response, previous, last)).map_err(invalid)
    }

    fn take_append(
        &self,
        from: &PeerIdentity,
        request: &RaftRequest,
    ) -> Result<AppendEntriesRequest<Group>, ServiceError> {
        self.check(from, request)?;
        self.read_append(request.from, &request.frame)
    }

    fn read_append(&self, from: u64, frame: &[u8]) -> Result<AppendEntriesRequest<Group>, ServiceError> {
        let request: wire::AppendRequest = open(Kind::AppendRequest, frame).map_err(invalid)?;
        self.check_leader(from, request.founding, request.leader)?;
        let request = convert::append_request_back(request).map_err(|error| self.unknown_entry(&error))?;
        self.handle.inner.heard.from(from);
        Ok(request)
    }

    /// An entry that this program does not know must be neither skipped nor taken: stop.
    fn unknown_entry(&self, error: &CodecError) -> ServiceError {
        if error.is_unknown() {
            self.handle.inner.stop.set(Stopped::Unknown(format!("log entry from the leader: {error}")));
        }
        ServiceError::Invalid(error.to_string())
    }

    async fn vote(&self, from: u64, kind: Kind, frame: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let request: wire::VoteRequest = open(kind, frame).map_err(invalid)?;
        self.check_founding(request.founding)?;
        if request.ballot.node != from {
            return Err(ServiceError::Refused(format!(
                "node {from} asks for votes for {}",
                request.ballot.node
            )));
        }
        self.check_quarantine()?;
        let request = convert::vote_request_back(request);
        let raft = &self.handle.inner.raft;
        let response = if kind == Kind::PreVoteRequest {
            raft.pre_vote(request).await
        } else {
            raft.vote(request).await
        };
        seal(Kind::VoteResponse, &convert::vote_response(&response.map_err(unavailable)?)).map_err(invalid)
    }

    async fn transfer(&self, frame: &[u8]) -> Result<Vec<u8>, ServiceError> {
        let request: wire::TransferRequest = open(Kind::TransferRequest, frame).map_err(invalid)?;
        self.check_founding(request.founding)?;
        self.check_quarantine()?;
        let request = convert::transfer_request_back(request);
        let response = self.handle.inner.raft.handle_transfer_leader(request).await.map_err(unavailable)?;
        seal(Kind::TransferResponse, &convert::transfer_response(&response)).map_err(invalid)
    }

    /// The sender is the member that it says it is, and means us.
    fn check(&self, from: &PeerIdentity, request: &RaftRequest) -> Result<(), ServiceError> {
        self.check_member(from)?;
        let config = &self.handle.inner.config;
        let sender = config.members.get(&request.from).map(|member| member.site.as_str());
        if sender != Some(from.name.as_str()) || request.from == config.me {
            return Err(ServiceError::Refused(format!("{from} is not node {}", request.from)));
        }
        if request.to != config.me {
            return Err(ServiceError::Refused(format!(
                "meant for node {}, and this is {}",
                request.to, config.me
            )));
        }
        Ok(())
    }

    fn check_member(&self, from: &PeerIdentity) -> Result<(), ServiceError> {
        if let Some(reason) = self.handle.inner.stop.get() {
            return Err(ServiceError::Unavailable(reason.to_string()));
        }
        let config = &self.handle.inner.config;
        let known = config.members.values().any(|member| member.site.as_str() == from.name);
        if from.role != Role::Witness || from.group != config.group || !known {
            return Err(ServiceError::Refused(format!("{from} is no witness of this group")));
        }
        Ok(())
    }

    fn check_founding(&self, founding: u64) -> Result<(), ServiceError> {
        if founding == self.handle.inner.config.founding() {
            return Ok(());
        }
        let reason = "the sender's list of members is not ours; give every witness the same";
        Err(ServiceError::Refused(reason.to_owned()))
    }

    /// A witness that forgot what it acknowledged has no say in who leads.
    fn check_quarantine(&self) -> Result<(), ServiceError> {
        if self.handle.inner.store.is_quarantined() {
            let reason = "this witness lost its store and has not caught up yet: it does not vote";
            return Err(ServiceError::Unavailable(reason.to_owned()));
        }
        Ok(())
    }

    fn check_leader(&self, from: u64, founding: u64, leader: wire::Ballot) -> Result<(), ServiceError> {
        self.check_founding(founding)?;
        if leader.node != from || !leader.granted {
            return Err(ServiceError::Refused(format!("node {from} speaks for leader {}", leader.node)));
        }
        Ok(())
    }
}

async fn next<S>(requests: &mut S) -> Result<Option<RaftRequest>, ServiceError>
where
    S: Stream<Item = Result<RaftRequest, Status>> + Unpin,
{
    requests.next().await.transpose().map_err(|status| ServiceError::Unavailable(status.message().to_owned()))
}

fn answer_frame(result: StreamAppendResult<Group>) -> Result<RaftResponse, ServiceError> {
    let frame = seal(Kind::AppendResponse, &convert::stream_result(&result)).map_err(invalid)?;
    Ok(RaftResponse { frame })
}

#[allow(clippy::needless_pass_by_value)] // `map_err` gives it away
fn invalid(error: CodecError) -> ServiceError {
    ServiceError::Invalid(error.to_string())
}

fn unavailable(error: impl Display) -> ServiceError {
    ServiceError::Unavailable(error.to_string())
}

impl From<ServiceError> for Status {
    fn from(error: ServiceError) -> Self {
        let text = error.to_string();
        match error {
            ServiceError::Refused(_) => Self::permission_denied(text),
            ServiceError::Invalid(_) => Self::invalid_argument(text),
            ServiceError::Unavailable(_) => Self::unavailable(text),
        }
    }
}
