//! Probes of what the public reaches: a TCP connection, or one HTTP GET.

use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// Longest part of an HTTP answer that is read: the status line.
const STATUS_LINE_MAX: usize = 64;
/// From this HTTP status on, the service behind the endpoint counts as not reached.
const STATUS_SERVER_ERROR: u16 = 500;
const SCHEME: &str = "http://";

/// True if the endpoint answered within the deadline.
pub async fn answers(endpoint: &str, deadline: Duration) -> bool {
    let probe = async {
        match endpoint.strip_prefix(SCHEME) {
            Some(rest) => get(rest).await.is_some_and(|status| status < STATUS_SERVER_ERROR),
            None => TcpStream::connect(endpoint).await.is_ok(),
        }
    };
    timeout(deadline, probe).await.unwrap_or(false)
}

/// The status of a GET of `authority[/path]`; none if there was no HTTP answer.
async fn get(rest: &str) -> Option<u16> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if has_port(authority) { authority.to_owned() } else { format!("{authority}:80") };
    let mut stream = TcpStream::connect(address).await.ok()?;
    let request = format!("GET /{path} HTTP/1.1\r\nHost: {authority}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut line = Vec::with_capacity(STATUS_LINE_MAX);
    stream.take(STATUS_LINE_MAX as u64).read_to_end(&mut line).await.ok()?;
    status(&line)
}

fn has_port(authority: &str) -> bool {
    authority.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
}

/// The number in `HTTP/1.1 200 OK`.
fn status(line: &[u8]) -> Option<u16> {
    let text = String::from_utf8_lossy(line);
    let mut words = text.split_ascii_whitespace();
    words.next().filter(|word| word.starts_with("HTTP/"))?;
    words.next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const SOON: Duration = Duration::from_secs(5);

    async fn serves(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 256];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(answer.as_bytes()).await;
        });
        address.to_string()
    }

    #[tokio::test]
    async fn a_listening_port_answers_and_a_closed_one_does_not() {
        let open = serves("").await;
        assert!(answers(&open, SOON).await);
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
        assert!(!answers(&closed.to_string(), SOON).await);
    }

    #[tokio::test]
    async fn an_http_url_needs_an_answer_below_500() {
        let good = serves("HTTP/1.1 404 Not Found\r\n\r\n").await;
        assert!(answers(&format!("http://{good}/health"), SOON).await);
        let bad = serves("HTTP/1.1 503 Service Unavailable\r\n\r\n").await;
        assert!(!answers(&format!("http://{bad}/"), SOON).await);
        let no_http = serves("220 smtp\r\n").await;
        assert!(!answers(&format!("http://{no_http}"), SOON).await);
    }
}
