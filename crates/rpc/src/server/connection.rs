//! One authenticated connection, as tonic wants it: bytes, and who is at the other end.

use crate::{identity::PeerIdentity, network::Wire};
use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    sync::OwnedSemaphorePermit,
};
use tokio_rustls::server::TlsStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::transport::server::Connected;

/// Who is at the other end of a connection; every request carries it.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    pub(super) identity: Arc<PeerIdentity>,
    pub(super) remote: SocketAddr,
}

/// A TLS stream whose peer is known, that counts against the limit, and that can be cut.
pub(super) struct Secured {
    stream: TlsStream<Wire>,
    caller: Caller,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    _permit: OwnedSemaphorePermit,
}

impl Secured {
    pub(super) fn new(
        stream: TlsStream<Wire>,
        remote: SocketAddr,
        permit: OwnedSemaphorePermit,
        cut: CancellationToken,
    ) -> Result<Self, io::Error> {
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificate =
            certificates.first().ok_or_else(|| io::Error::other("the peer showed no certificate"))?;
        let identity = PeerIdentity::of_certificate(certificate).map_err(io::Error::other)?;
        let caller = Caller { identity: Arc::new(identity), remote };
        Ok(Self { stream, caller, cut: Box::pin(cut.cancelled_owned()), _permit: permit })
    }
}

impl Connected for Secured {
    type ConnectInfo = Caller;

    fn connect_info(&self) -> Caller {
        self.caller.clone()
    }
}

impl AsyncRead for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // A connection always reads, so this alone wakes and ends it.
        if self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
