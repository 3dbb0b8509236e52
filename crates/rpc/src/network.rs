//! How bytes get from one process to another: TCP, or a simulated network in its place.
//!
//! TLS, identities and gRPC lie above and are the same over either: there is no plaintext mode.

use futures::future::BoxFuture;
use std::{fmt, io, net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
};

/// Bytes in both directions.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection below TLS.
pub type Wire = Box<dyn Stream>;

/// Takes connections.
pub trait Accept: Send {
    /// The next connection, and from where it comes. A future that is dropped loses none.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Wire, SocketAddr)>>;
}

/// Makes connections and takes them.
pub trait Transport: Send + Sync {
    /// A connection to `address` ("host:port").
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Wire>>;

    /// Listens.
    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Accept>>>;
}

/// What a process's connections run over: TCP unless a simulation says otherwise. Cheap to clone.
#[derive(Clone)]
pub struct Network(Arc<dyn Transport>);

impl Network {
    /// Another network than this host's.
    #[must_use]
    pub fn simulated(transport: impl Transport + 'static) -> Self {
        Self(Arc::new(transport))
    }

    /// Listens.
    ///
    /// # Errors
    /// The transport's.
    pub async fn bind(&self, address: SocketAddr) -> io::Result<Box<dyn Accept>> {
        self.0.bind(address).await
    }

    pub(crate) async fn dial(&self, address: &str) -> io::Result<Wire> {
        self.0.dial(address).await
    }
}

impl Default for Network {
    /// This host's TCP.
    fn default() -> Self {
        Self(Arc::new(Tcp))
    }
}

impl fmt::Debug for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}

struct Tcp;

impl Transport for Tcp {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Wire>> {
        Box::pin(async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Wire)
        })
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Accept>>> {
        Box::pin(async move { Ok(Box::new(TcpListener::bind(address).await?) as Box<dyn Accept>) })
    }
}

impl Accept for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Wire, SocketAddr)>> {
        Box::pin(async move {
            let (stream, remote) = Self::accept(self).await?;
            // A connection that its peer has given up meanwhile ends in the handshake.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%remote, %error, "no TCP_NODELAY");
            }
            Ok((Box::new(stream) as Wire, remote))
        })
    }
}
