//! The simulated network in place of TCP. TLS and HTTP/2 run over it as they do over the real one.

use futures::future::BoxFuture;
use rpc::network::{Accept, Transport, Wire};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use turmoil::net::{TcpListener, TcpStream};

/// Where every program listens.
pub const PORT: u16 = 7_000;

thread_local! {
    /// From, to, and by how many faults this direction is cut.
    static CUTS: RefCell<BTreeMap<(String, String), u32>> = const { RefCell::new(BTreeMap::new()) };
    /// Changes of them so far.
    static CHANGES: Cell<u64> = const { Cell::new(0) };
}

/// Forgets every cut.
pub fn whole() {
    CUTS.take();
    CHANGES.set(0);
}

/// One direction of a link is cut by one more fault, or one less.
pub fn cut(from: &str, to: &str, more: bool) {
    CUTS.with_borrow_mut(|cuts| {
        let count = cuts.entry((from.to_owned(), to.to_owned())).or_default();
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
    });
    CHANGES.set(CHANGES.get() + 1);
}

/// True if nothing goes from one to the other.
pub fn is_cut(from: &str, to: &str) -> bool {
    CUTS.with_borrow(|cuts| cuts.get(&(from.to_owned(), to.to_owned())).is_some_and(|count| *count > 0))
}

/// If a host and each of the others do not reach each other in one direction at least: a number
/// that stays the same while no link changes.
pub fn alone_since(host: &str, all: &[String]) -> Option<u64> {
    let alone = all.iter().filter(|other| *other != host).all(|o| is_cut(host, o) || is_cut(o, host));
    alone.then(|| CHANGES.get())
}

/// One host's end of the network.
pub struct Net {
    pub host: String,
}

impl Transport for Net {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<Wire>> {
        Box::pin(async move {
            let (host, port) = address.split_once(':').ok_or(io::ErrorKind::InvalidInput)?;
            let port = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
            // turmoil refuses at once where no SYN arrives, and hands the SYN-ACK over beside the
            // link. A real cut is silent, in either direction: the caller's own deadline ends it.
            if is_cut(&self.host, host) || is_cut(host, &self.host) {
                pending::<()>().await;
            }
            match TcpStream::connect((host, port)).await {
                Ok(stream) => Ok(Box::new(stream) as Wire),
                Err(_) if is_cut(&self.host, host) || is_cut(host, &self.host) => pending().await,
                Err(error) => Err(error),
            }
        })
    }

    fn bind(&self, address: SocketAddr) -> BoxFuture<'_, io::Result<Box<dyn Accept>>> {
        Box::pin(async move {
            let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, address.port()));
            Ok(Box::new(Listener(TcpListener::bind(any).await?)) as Box<dyn Accept>)
        })
    }
}

struct Listener(TcpListener);

impl Accept for Listener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(Wire, SocketAddr)>> {
        Box::pin(async move {
            let (stream, remote) = self.0.accept().await?;
            Ok((Box::new(stream) as Wire, remote))
        })
    }
}
