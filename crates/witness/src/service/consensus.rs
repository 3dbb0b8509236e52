//! `Consensus`: witness to witness. Raft's messages go to the consensus crate; probes and
//! handed reports are answered here.

use super::{malformed, name};
use crate::door::Door;
use crate::event::Event;
use crate::links::{self, Link};
use crate::consensus_api::{ConsensusService, ServiceError};
use model::{SiteId, SiteReport};
use rpc::clock;
use rpc::identity::Role;
use rpc::server::{require, require_site};
use rpc::tonic::{Request, Response, Status, async_trait};
use rpc::v1;

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
    async fn raft(&self, _: Request<v1::RaftRequest>) -> Result<Response<v1::RaftResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }
    type AppendStream = std::pin::Pin<Box<dyn tokio_stream::Stream<Item = Result<v1::RaftResponse, Status>> + Send>>;
    async fn append(
        &self,
        _: Request<rpc::tonic::Streaming<v1::RaftRequest>>,
    ) -> Result<Response<Self::AppendStream>, Status> {
        Err(Status::unimplemented("soon"))
    }
    async fn snapshot(
        &self,
        _: Request<rpc::tonic::Streaming<v1::RaftRequest>>,
    ) -> Result<Response<v1::RaftResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }
    async fn propose(&self, _: Request<v1::ProposeRequest>) -> Result<Response<v1::ProposeResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }
    async fn read_index(
        &self,
        _: Request<v1::ReadIndexRequest>,
    ) -> Result<Response<v1::ReadIndexResponse>, Status> {
        Err(Status::unimplemented("soon"))
    }

    async fn hand(&self, request: Request<v1::HandRequest>) -> Result<Response<v1::HandResponse>, Status> {
        require(&request, &[Role::Witness])?;
        for report in request.into_inner().reports {
            let report = SiteReport::try_from(report).map_err(malformed)?;
            if is_known(&self.door, &report) {
                self.door.tell(Event::Report(report)).await?;
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
