//! One GET over plain HTTP, for the health listener of a running program. Blocks, within bounds.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// Between two parts of the answer.
const READ_TIME_MAX: Duration = Duration::from_secs(5);
const ANSWER_BYTES_MAX: u64 = 8 << 20;

/// A status and a body.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum AskError {
    /// Nobody listens, or nothing came in time.
    #[error("nothing answers at {0}")]
    Silent(SocketAddr, #[source] io::Error),
    /// What came is no HTTP.
    #[error("what answers at {0} does not speak HTTP")]
    NoHttp(SocketAddr),
}

pub(super) fn ask(address: SocketAddr, path: &str) -> Result<Answer, AskError> {
    let bytes = exchange(address, path).map_err(|error| AskError::Silent(address, error))?;
    parse(&bytes).ok_or(AskError::NoHttp(address))
}

fn exchange(address: SocketAddr, path: &str) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect_timeout(&address, CONNECT_TIME_MAX)?;
    stream.set_read_timeout(Some(READ_TIME_MAX))?;
    stream.set_write_timeout(Some(READ_TIME_MAX))?;
    // In one write: a server that speaks first and hangs up would break a second one.
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes())?;
    let mut bytes = Vec::new();
    let read = stream.take(ANSWER_BYTES_MAX).read_to_end(&mut bytes);
    // A server may close the connection rudely once it has answered.
    match read {
        Err(error) if bytes.is_empty() => Err(error),
        _ => Ok(bytes),
    }
}

fn parse(bytes: &[u8]) -> Option<Answer> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..end]).ok()?;
    let mut words = head.lines().next()?.split(' ');
    words.next().filter(|version| version.starts_with("HTTP/1."))?;
    Some(Answer { status: words.next()?.parse().ok()?, body: bytes[end + 4..].to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_http_is_an_answer() {
        let answer = parse(b"HTTP/1.1 503 Service Unavailable\r\na: b\r\n\r\nbody").expect("is HTTP");
        assert_eq!((answer.status, &answer.body[..]), (503, &b"body"[..]));
        for other in
            [&b"SSH-2.0-OpenSSH_9.2\r\n\r\n"[..], b"HTTP/1.1 abc\r\n\r\n", b"HTTP/1.1 200 OK\r\n", b"\xff"]
        {
            assert!(parse(other).is_none(), "{other:?}");
        }
    }
}
