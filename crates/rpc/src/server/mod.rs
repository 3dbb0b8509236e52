//! A gRPC server over mutual TLS: accepts, authenticates, serves, and ends within a bound.

mod caller;
mod connection;

pub use caller::{peer, remote, require, require_site};

use crate::{
    clock,
    network::{Accept, Wire},
    tls::{Identity, RELOAD_INTERVAL},
    v1,
};
use connection::Secured;
use model::Millis;
use std::{future::Future, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{service::Routes, transport::Server};
pub use tonic_health::server::HealthReporter;
use tonic_health::server::health_reporter;

/// Authenticated connections at one time; the next one is closed.
pub const CONNECTIONS_MAX: usize = 512;
/// Handshakes at one time; the next ones wait in the kernel's queue.
pub const HANDSHAKES_MAX: usize = 64;
/// Within this a peer has authenticated itself, or is cut off.
pub const HANDSHAKE_TIMEOUT: Millis = Millis(5_000);
/// Largest message that is taken: what tonic takes by itself, said here for who must stay below.
pub const MESSAGE_SIZE_MAX: usize = 4 * 1024 * 1024;
/// Largest set of HTTP/2 headers.
const HEADERS_SIZE_MAX: u32 = 16 * 1024;
/// Calls at one time in one connection.
const CALLS_MAX: u32 = 256;
/// Bytes under way in one call, and in one connection: 1 MiB a round trip.
const WINDOW: u32 = 1024 * 1024;
/// A silent connection is asked for a sign of life this often, and cut if none comes in time.
const KEEPALIVE_INTERVAL: Millis = Millis(5_000);
const KEEPALIVE_TIMEOUT: Millis = Millis(5_000);
/// No new calls on an older connection, so that old certificates drain; calls go to their end.
const CONNECTION_AGE_MAX: Millis = Millis(3_600_000);
/// How long calls may take to end after the shutdown; what is left then is cut.
pub const SHUTDOWN_GRACE: Millis = Millis(500);
/// Pause after a failed accept: the usual cause, too many open files, does not end at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a server ended.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The transport gave up.
    #[error("the gRPC server ended: {0}; restart the process")]
    Transport(#[from] tonic::transport::Error),
}

/// Adds `grpc.health.v1` and server reflection. Any authenticated peer may call them. Tell the
/// reporter which services serve; the empty name stands for the process and serves from now on.
///
/// # Panics
/// Never: the descriptors are those of this build.
#[must_use]
pub fn with_standard(routes: Routes) -> (Routes, HealthReporter) {
    let (reporter, health) = health_reporter();
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        .build_v1()
        .expect("the descriptor sets were made by this very build");
    (routes.add_service(health).add_service(reflection), reporter)
}

/// Serves until `shutdown` is ready, and at most [`SHUTDOWN_GRACE`] longer; after that every
/// connection is closed. Certificate files that change are taken up for new connections.
///
/// # Errors
/// [`ServeError`]. A failed accept or handshake is no error: it is logged, and the next is tried.
pub async fn serve<F>(
    listener: TcpListener,
    identity: Identity,
    routes: Routes,
    shutdown: F,
) -> Result<(), ServeError>
where
    F: Future<Output = ()> + Send + 'static,
{
    serve_over(Box::new(listener), identity, routes, shutdown).await
}

/// As [`serve`], over the connections of any network.
///
/// # Errors
/// As [`serve`].
pub async fn serve_over<F>(
    listener: Box<dyn Accept>,
    identity: Identity,
    routes: Routes,
    shutdown: F,
) -> Result<(), ServeError>
where
    F: Future<Output = ()> + Send + 'static,
{
    let stopping = CancellationToken::new();
    let cut = CancellationToken::new();
    let _cut_when_dropped = cut.clone().drop_guard();
    let (sender, receiver) = mpsc::channel(HANDSHAKES_MAX);
    let accepting = accept(listener, identity, sender, cut.clone());
    let serving = builder()
        .add_routes(routes)
        .serve_with_incoming_shutdown(ReceiverStream::new(receiver), stopping.clone().cancelled_owned());
    let mut serving = pin!(serving);
    tokio::select! {
        ended = &mut serving => return Ok(ended?),
        () = accepting => {} // never: it goes on after every error
        () = shutdown => {}
    }
    stopping.cancel();
    match timeout(SHUTDOWN_GRACE.into(), &mut serving).await {
        Ok(ended) => Ok(ended?),
        Err(_) => Ok(()), // the guard cuts what is left
    }
}

fn builder() -> Server {
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE_INTERVAL.into()))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIMEOUT.into()))
        .http2_max_header_list_size(HEADERS_SIZE_MAX)
        .max_concurrent_streams(CALLS_MAX)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(4 * WINDOW)
        .max_connection_age(CONNECTION_AGE_MAX.into())
}

type Incoming = mpsc::Sender<Result<Secured, io::Error>>;

/// Accepts for ever; every handshake is a task of its own, so that none holds up another.
async fn accept(
    mut listener: Box<dyn Accept>,
    identity: Identity,
    incoming: Incoming,
    cut: CancellationToken,
) {
    let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
    let connections = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut look = interval(RELOAD_INTERVAL.into());
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next = async {
            let permit = Arc::clone(&handshakes).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            next = next => next,
            _ = look.tick() => { identity.refresh(); continue }
        };
        match accepted {
            Ok((stream, remote)) => {
                let handshake = Handshake {
                    identity: identity.clone(),
                    connections: Arc::clone(&connections),
                    incoming: incoming.clone(),
                    cut: cut.clone(),
                };
                let ended = cut.clone();
                tokio::spawn(async move {
                    let _one_of_many = permit;
                    tokio::select! {
                        () = handshake.run(stream, remote) => {}
                        () = ended.cancelled() => tracing::debug!(%remote, "cut during the handshake"),
                    }
                });
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted; trying on");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// What one handshake needs.
struct Handshake {
    identity: Identity,
    connections: Arc<Semaphore>,
    incoming: Incoming,
    cut: CancellationToken,
}

impl Handshake {
    async fn run(self, stream: Wire, remote: SocketAddr) {
        let began = clock::now();
        let secured = match timeout(HANDSHAKE_TIMEOUT.into(), self.secure(stream, remote)).await {
            Ok(Ok(secured)) => secured,
            Ok(Err(error)) => {
                return tracing::warn!(%remote, %error, "a connection was refused in the handshake");
            }
            Err(_) => {
                let after = clock::now().elapsed_longest(began);
                return tracing::warn!(%remote, %after, "a peer did not authenticate itself in time");
            }
        };
        // Fails only if the server ended meanwhile: then the connection ends here, too.
        let _ended = self.incoming.send(Ok(secured)).await;
    }

    async fn secure(&self, stream: Wire, remote: SocketAddr) -> Result<Secured, io::Error> {
        let tls = TlsAcceptor::from(self.identity.server_config()).accept(stream).await?;
        Secured::new(tls, remote, self.permit()?, self.cut.clone())
    }

    fn permit(&self) -> Result<OwnedSemaphorePermit, io::Error> {
        Arc::clone(&self.connections).try_acquire_owned().map_err(|_| {
            io::Error::other(format!("{CONNECTIONS_MAX} connections are open, which is the limit"))
        })
    }
}
