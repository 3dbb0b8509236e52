//! Whether a process is there: one call of `grpc.health.v1`.

use crate::client::within;
use model::Millis;
use tonic::{Code, transport::Channel};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// True if the authenticated peer of the channel answered anything within the limit: whether it
/// serves is another question.
pub async fn is_there(channel: &Channel, limit: Millis) -> bool {
    let mut client = HealthClient::new(channel.clone());
    match within(limit, client.check(HealthCheckRequest { service: String::new() })).await {
        Ok(_) => true,
        Err(status) => matches!(
            status.code(),
            Code::Unimplemented | Code::NotFound | Code::PermissionDenied | Code::Unauthenticated
        ),
    }
}
