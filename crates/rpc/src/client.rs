//! Connections to peers: made at the first call, verified, watched by keepalives, and made
//! again at the next call after they broke.

use crate::network::{Network, Wire};
pub use crate::tls::Expected;
use crate::tls::Identity;
use hyper_util::rt::TokioIo;
use model::Millis;
use rustls_pki_types::ServerName;
use std::{error::Error, future::Future, io, net::Ipv4Addr, sync::Arc};
use tokio::time::timeout;
use tokio_rustls::{TlsConnector, client::TlsStream};
use tonic::{
    Status,
    transport::{Channel, Endpoint},
};
use tower::service_fn;

/// Only HTTP/2's `:authority`: where to dial is the address, who answers is in the certificate.
const AUTHORITY: &str = "http://tripoint.internal";
/// Bytes under way in one call, and in one connection: 1 MiB a round trip.
const WINDOW: u32 = 1024 * 1024;
/// Calls that may wait for the connection.
const WAITING_MAX: usize = 256;

/// How fast a connection is made, and given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelTiming {
    /// Name look-up, TCP and TLS together. Calls wait for it: keep it short.
    pub connect_timeout: Millis,
    /// How long a connection may be silent before a sign of life is asked for.
    pub keepalive_interval: Millis,
    /// How long that sign may take; then the connection is closed, and its calls fail.
    pub keepalive_timeout: Millis,
}

impl Default for ChannelTiming {
    /// For round trips up to 250 ms.
    fn default() -> Self {
        Self {
            connect_timeout: Millis(1_000),
            keepalive_interval: Millis(1_000),
            keepalive_timeout: Millis(1_000),
        }
    }
}

/// A channel to `address` ("host:port") that talks to nobody but `expected`, of our own group.
///
/// Nothing is dialled yet: a wrong address, and a peer that is away or somebody else, show as
/// UNAVAILABLE at the call, and a server that does not let us in as UNAVAILABLE or UNKNOWN;
/// [`reason`] says why. The next call dials anew, at once. A call that waits for the connection is not bounded by its own gRPC deadline: use [`within`].
/// Must be called within a tokio runtime.
#[must_use]
pub fn channel(address: &str, identity: &Identity, expected: Expected, timing: ChannelTiming) -> Channel {
    channel_over(&Network::default(), address, identity, expected, timing)
}

/// As [`channel`], over the given network.
#[must_use]
pub fn channel_over(
    network: &Network,
    address: &str,
    identity: &Identity,
    expected: Expected,
    timing: ChannelTiming,
) -> Channel {
    let network = network.clone();
    let address: Arc<str> = address.into();
    let identity = identity.clone();
    let expected = Arc::new(expected);
    let connector = service_fn(move |_uri| {
        let (address, identity, expected) = (Arc::clone(&address), identity.clone(), Arc::clone(&expected));
        let network = network.clone();
        async move {
            let dialling = dial(&network, &address, &identity, &expected);
            match timeout(timing.connect_timeout.into(), dialling).await {
                Ok(Ok(stream)) => Ok(TokioIo::new(stream)),
                Ok(Err(error)) => Err(io::Error::new(error.kind(), format!("{address}: {error}"))),
                Err(_) => Err(timed_out(&address, timing.connect_timeout)),
            }
        }
    });
    Endpoint::from_static(AUTHORITY)
        .http2_keep_alive_interval(timing.keepalive_interval.into())
        .keep_alive_timeout(timing.keepalive_timeout.into())
        .keep_alive_while_idle(true)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .buffer_size(WAITING_MAX)
        .connect_with_connector_lazy(connector)
}

fn timed_out(address: &str, limit: Millis) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("{address}: no connection within {limit}"))
}

async fn dial(
    network: &Network,
    address: &str,
    identity: &Identity,
    expected: &Expected,
) -> Result<TlsStream<Wire>, io::Error> {
    let config = identity.client_config(expected).map_err(io::Error::other)?;
    let stream = network.dial(address).await?;
    // Not sent (no SNI) and not checked: the verifier looks at the identity alone.
    let nobody = ServerName::from(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    TlsConnector::from(Arc::new(config)).connect(nobody, stream).await
}

/// A call with a deadline of this process's own, which also counts while the connection is made.
///
/// # Errors
/// The call's, or DEADLINE_EXCEEDED: the call may have had its effect.
pub async fn within<T>(limit: Millis, call: impl Future<Output = Result<T, Status>>) -> Result<T, Status> {
    match timeout(limit.into(), call).await {
        Ok(answer) => answer,
        Err(_) => Err(Status::deadline_exceeded(format!("no answer within {limit}"))),
    }
}

/// Why a call failed, with all causes, for people.
#[must_use]
pub fn reason(status: &Status) -> String {
    let mut text = format!("{:?}: {}", status.code(), status.message());
    let mut cause = status.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}
