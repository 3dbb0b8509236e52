//! The role endpoint: plain HTTP with the paths and codes that load balancers know from
//! Patroni. `/primary` is 200 only under a valid cover at the instant of the answer.

use crate::shared::{Role, Shared, Snapshot};
use axum::Router;
use axum::extract::State;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::IntoResponse;
use axum::serve::Listener;
use coordination::permit::Mode;
use model::{DatabaseRole, Millis, Moment};
use serde::Serialize;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};

/// A lag that is older than this is not known.
const LAG_AGE_MAX: Millis = Millis(10_000);
/// The main thread turns at least each 0.1 s; one that did not for so long hangs.
const TURN_AGE_MAX: Millis = Millis(2_000);

/// Connections at one time; the next ones wait in the kernel's queue. The gate needs its
/// descriptors for better things.
const CONNECTIONS_MAX: usize = 64;
/// A connection is cut after this, whatever it does: checks make a new one each time.
const CONNECTION_AGE_MAX: Duration = Duration::from_secs(30);

/// What the body says.
#[derive(Debug, Serialize)]
struct Body {
    role: &'static str,
    state: &'static str,
    epoch: Option<u64>,
    timeline: Option<u32>,
    lag_bytes: Option<u64>,
    lag_age_ms: Option<u64>,
    lease_remaining_ms: Option<u64>,
    containment: String,
    kernel_lease: bool,
}

/// All paths.
fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(answer).with_state(shared)
}

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: std::net::TcpListener, shared: Arc<Shared>) -> io::Result<()> {
    let listener = TcpListener::from_std(listener)?;
    let bounded = Bounded { listener, permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)) };
    axum::serve(bounded, router(shared)).await
}

/// A listener with at most so many connections at one time.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        // The semaphore is never closed: there is always a permit, sooner or later.
        let permit = Arc::clone(&self.permits).acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        (Connection { stream, age: Box::pin(sleep(CONNECTION_AGE_MAX)), _permit: permit }, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection with a permit and an end.
struct Connection {
    stream: TcpStream,
    age: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Connection {
    fn check_age(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        match self.age.as_mut().poll(cx) {
            Poll::Ready(()) => Err(io::ErrorKind::TimedOut.into()),
            Poll::Pending => Ok(()),
        }
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check_age(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.check_age(cx)?;
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, method: Method, uri: Uri) -> impl IntoResponse {
    let (snapshot, now) = (shared.get(), rpc::clock::now());
    let json = [(header::CONTENT_TYPE, "application/json")];
    let code = match method {
        Method::GET | Method::HEAD | Method::OPTIONS => code(&snapshot, now, uri.path(), uri.query()),
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    let text = serde_json::to_string(&body(&snapshot, now)).unwrap_or_default();
    // A HEAD's body is dropped by the server below.
    (code, json, if method == Method::OPTIONS { String::new() } else { text })
}

fn code(snapshot: &Snapshot, now: Moment, path: &str, query: Option<&str>) -> StatusCode {
    let role = snapshot.role;
    let primary = role.is_some_and(|r| is_primary(&r, now));
    let standby = role.is_some_and(|r| r.mode == Mode::Standby && r.settled && r.ready);
    let good = match path.trim_end_matches('/') {
        "" | "/primary" | "/read-write" | "/master" | "/leader" => primary,
        "/replica" | "/standby" => standby && lag_fits(snapshot, now, query),
        "/read-only" => primary || standby,
        "/health" | "/readiness" => role.is_some_and(|r| r.ready) && (primary || standby),
        "/liveness" => now.elapsed_longest(snapshot.at) < TURN_AGE_MAX,
        _ => return StatusCode::NOT_FOUND,
    };
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

fn is_primary(role: &Role, now: Moment) -> bool {
    role.mode != Mode::Standby && role.settled && role.ready && role.deadline.is_none_or(|d| !d.is_over(now))
}

/// (bytes, age) of the standby's lag, as the actor told last.
fn lag(snapshot: &Snapshot, now: Moment) -> Option<(u64, Millis)> {
    let (at, database) = snapshot.database.as_ref()?;
    let age = now.elapsed_longest(*at);
    let upstream = database.upstream.as_ref().filter(|_| database.role == DatabaseRole::Standby)?;
    (age < LAG_AGE_MAX).then_some((upstream.lag_bytes, age))
}

fn lag_fits(snapshot: &Snapshot, now: Moment, query: Option<&str>) -> bool {
    let wanted = query.into_iter().flat_map(|q| q.split('&')).find_map(|pair| pair.strip_prefix("lag="));
    match wanted.map(bytes_of) {
        None => true,
        Some(None) => false,
        Some(Some(most)) => lag(snapshot, now).is_some_and(|(bytes, _)| bytes <= most),
    }
}

/// `1048576`, `16kB`, `1MB`, `1GB`, as PostgreSQL and Patroni write sizes.
fn bytes_of(text: &str) -> Option<u64> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let factor = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1 << 10,
        "mb" => 1 << 20,
        "gb" => 1 << 30,
        "tb" => 1 << 40,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

fn body(snapshot: &Snapshot, now: Moment) -> Body {
    let (role, state) = match &snapshot.role {
        None => ("none", if snapshot.report.running { "stopping" } else { "stopped" }),
        Some(r) if !r.settled => (name(r), "changing"),
        Some(r) if !r.ready => (name(r), "starting"),
        Some(r) if r.mode != Mode::Standby && !is_primary(r, now) => (name(r), "no cover"),
        Some(r) => (name(r), "running"),
    };
    let lag = lag(snapshot, now);
    let told = snapshot.database.as_ref().and_then(|(_, d)| d.timeline);
    Body {
        role,
        state,
        epoch: snapshot.report.open.map(|e| e.0),
        timeline: told.or(snapshot.timeline).map(|t| t.0),
        lag_bytes: lag.map(|l| l.0),
        lag_age_ms: lag.map(|l| l.1.0),
        lease_remaining_ms: snapshot.role.and_then(|r| r.deadline).map(|d| d.remaining(now).0),
        containment: snapshot.report.containment.to_string(),
        kernel_lease: snapshot.report.kernel_lease,
    }
}

fn name(role: &Role) -> &'static str {
    // Patroni's words, for tools that read the body.
    if role.mode == Mode::Standby { "replica" } else { "primary" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_patroni_reads_them() {
        for (text, bytes) in [("0", 0), ("1048576", 1 << 20), ("16kB", 16 << 10), ("1MB", 1 << 20)] {
            assert_eq!(bytes_of(text), Some(bytes), "{text}");
        }
        for bad in ["", "MB", "-1", "1x", "99999999999999999999"] {
            assert_eq!(bytes_of(bad), None, "{bad}");
        }
    }
}
