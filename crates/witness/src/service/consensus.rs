//! `Consensus`: witness to witness. Raft's messages go to the consensus crate; probes and
//! handed reports are answered here.

use super::{malformed, name};
use crate::door::Door;
use crate::event::Event;
use crate::links::{self, Link};
use ::consensus::ConsensusService;
use futures::StreamExt;
use model::{SiteId, SiteReport};
use rpc::clock;
use rpc::identity::Role;
use rpc::server::{require, require_site};
use rpc::tonic::{Request, Response, Status, Streaming, async_trait};
use rpc::v1;
use std::pin::Pin;
use tokio_stream::Stream;

/// The service.
pub struct Service {
    door: Door,
    consensus: ConsensusService,
}

impl Service {
    /// With the way to the loop and to Raft.
    #[must_use]
    pub const fn new(door: Door, consensus: ConsensusService) -> Self {
        Self { door, consensus }
    }
}

/// A handed report is taken only for a stack that the site carries.
fn is_known(door: &Door, report: &SiteReport) -> bool {
    door.state().stacks().get(&report.stack).is_some_and(|stack| stack.carries(&report.site))
}

#[async_trait]
impl v1::consensus_server::Consensus for Service {
    async fn raft(&self, request: Request<v1::RaftRequest>) -> Result<Response<v1::RaftResponse>, Status> {
        let from = require(&request, &[Role::Witness])?;
        Ok(Response::new(self.consensus.raft(&from, request.into_inner()).await?))
    }

    type AppendStream = Pin<Box<dyn Stream<Item = Result<v1::RaftResponse, Status>> + Send>>;

    async fn append(
        &self,
        request: Request<Streaming<v1::RaftRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        let from = require(&request, &[Role::Witness])?;
        let answers = self.consensus.append(&from, request.into_inner());
        Ok(Response::new(Box::pin(answers.map(|answer| answer.map_err(Status::from)))))
    }

    async fn snapshot(
        &self,
        request: Request<Streaming<v1::RaftRequest>>,
    ) -> Result<Response<v1::RaftResponse>, Status> {
        let from = require(&request, &[Role::Witness])?;
        Ok(Response::new(self.consensus.snapshot(&from, request.into_inner()).await?))
    }

    async fn propose(
        &self,
        request: Request<v1::ProposeRequest>,
    ) -> Result<Response<v1::ProposeResponse>, Status> {
        let from = require(&request, &[Role::Witness])?;
        Ok(Response::new(self.consensus.propose(&from, request.into_inner()).await?))
    }

    async fn read_index(
        &self,
        request: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        let from = require(&request, &[Role::Witness])?;
        Ok(Response::new(self.consensus.read_index(&from, request.into_inner()).await?))
    }

    async fn hand(&self, request: Request<v1::HandRequest>) -> Result<Response<v1::HandResponse>, Status> {
        require(&request, &[Role::Witness])?;
        for report in request.into_inner().reports {
            let report = SiteReport::try_from(report).map_err(malformed)?;
            if is_known(&self.door, &report) {
                self.door.tell(Event::Report(Box::new(report))).await?;
            }
        }
        Ok(Response::new(v1::HandResponse {}))
    }

    async fn probe(&self, request: Request<v1::ProbeRequest>) -> Result<Response<v1::ProbeResponse>, Status> {
        let from: SiteId = name("from", &request.get_ref().from)?;
        require_site(&request, Role::Witness, &from)?;
        let now = clock::now();
        let reach = |(site, link): (SiteId, Link)| v1::Reach {
            site: site.into(),
            witness_age_ms: links::age(link.witness, now).map(|age| age.0),
            actor_age_ms: links::age(link.actor, now).map(|age| age.0),
            endpoint_age_ms: links::age(link.endpoint, now).map(|age| age.0),
        };
        Ok(Response::new(v1::ProbeResponse {
            site: self.door.config.site.as_str().to_owned(),
            applied: self.door.state().index().0,
            reach: self.door.links.all().into_iter().map(reach).collect(),
        }))
    }
}
