//! The gRPC services of a witness. Each checks the caller's role, converts, asks the loop or
//! the consensus, and converts back.

mod actor;
mod consensus;
mod operator;
mod status;

use crate::door::Door;
use ::consensus::ConsensusService;
use coordination::explain::refusal_text;
use model::{IdError, Refusal};
use rpc::server::HealthReporter;
use rpc::tonic::{Status, service::Routes};
use rpc::v1::actor_server::ActorServer;
use rpc::v1::consensus_server::ConsensusServer;
use rpc::v1::operator_server::OperatorServer;
use rpc::v1::status_server::StatusServer;

/// All services of a witness.
#[must_use]
pub fn routes(door: &Door, consensus: ConsensusService) -> Routes {
    Routes::new(ConsensusServer::new(consensus::Service::new(door.clone(), consensus)))
        .add_service(ActorServer::new(actor::Service::new(door.clone())))
        .add_service(StatusServer::new(status::Service::new(door.clone())))
        .add_service(OperatorServer::new(operator::Service::new(door.clone())))
}

/// Tells the health service that all of them serve.
pub async fn set_serving(health: &HealthReporter) {
    health.set_serving::<ConsensusServer<consensus::Service>>().await;
    health.set_serving::<ActorServer<actor::Service>>().await;
    health.set_serving::<StatusServer<status::Service>>().await;
    health.set_serving::<OperatorServer<operator::Service>>().await;
}

/// A refusal as callers see it: the reason and the remedy.
fn refused(refusal: &Refusal) -> Status {
    Status::failed_precondition(refusal_text(refusal))
}

/// A message that is no value of ours.
fn malformed(error: impl std::fmt::Display) -> Status {
    Status::invalid_argument(error.to_string())
}

/// A name in a request.
fn name<T: std::str::FromStr<Err = IdError>>(field: &str, text: &str) -> Result<T, Status> {
    text.parse().map_err(|error: IdError| Status::invalid_argument(format!("{field} {text:?}: {error}")))
}
