//! Clients that keep their connections.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::SendRequest;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::AnyError;
use crate::server::{Server, Stand};

/// As many as a busy API server opens.
const CONNECTIONS: usize = 16;

/// One body for one server.
pub(crate) struct Load<'s> {
    stand: &'s Stand,
    server: &'s Server,
    body: &'s Bytes,
}

/// What a turn came to.
pub(crate) struct Measured {
    /// Of processor time, for a request.
    pub(crate) micros: f64,
    pub(crate) a_second: f64,
}

impl<'s> Load<'s> {
    pub(crate) fn new(stand: &'s Stand, server: &'s Server, body: &'s Bytes) -> Self {
        Self { stand, server, body }
    }

    /// Each connection sends its next request as soon as it is answered.
    pub(crate) async fn run(&self, time: Duration) -> Result<Measured, AnyError> {
        let mut clients = Vec::new();
        for _ in 0..CONNECTIONS {
            clients.push(self.connect().await?);
        }
        let (before, began) = (self.server.processor_time()?, Instant::now());
        let mut tasks = JoinSet::new();
        for mut client in clients {
            let body = self.body.clone();
            tasks.spawn(async move {
                let mut count = 0_u64;
                while began.elapsed() < time {
                    send(&mut client, &body).await?;
                    count += 1;
                }
                Ok::<_, AnyError>(count)
            });
        }
        let mut count = 0;
        while let Some(done) = tasks.join_next().await {
            count += done??;
        }
        let spent = self.server.processor_time()?.saturating_sub(before);
        let micros = spent.as_secs_f64() * 1e6 / count as f64;
        Ok(Measured { micros, a_second: count as f64 / began.elapsed().as_secs_f64() })
    }

    /// Sends at fixed times, whether others are answered or not. Returns each time from when it was due to its answer.
    pub(crate) async fn open(&self, a_second: u32, time: Duration) -> Result<Vec<Duration>, AnyError> {
        let mut tasks = JoinSet::new();
        let interval = Duration::from_secs(1) / a_second * CONNECTIONS as u32;
        let began = Instant::now() + Duration::from_millis(100);
        for index in 0..CONNECTIONS as u32 {
            let (mut client, body) = (self.connect().await?, self.body.clone());
            tasks.spawn(async move {
                let mut times = Vec::new();
                let mut due = began + interval * index / CONNECTIONS as u32;
                while due < began + time {
                    tokio::time::sleep_until(due.into()).await;
                    send(&mut client, &body).await?;
                    times.push(due.elapsed());
                    due += interval;
                }
                Ok::<_, AnyError>(times)
            });
        }
        let mut times = Vec::new();
        while let Some(done) = tasks.join_next().await {
            times.extend(done??);
        }
        Ok(times)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, AnyError> {
        let tcp = TcpStream::connect(self.server.address).await?;
        tcp.set_nodelay(true)?;
        let name = ServerName::try_from("localhost")?;
        let tls = TlsConnector::from(self.stand.client.clone()).connect(name, tcp).await?;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tls)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

async fn send(client: &mut SendRequest<Full<Bytes>>, body: &Bytes) -> Result<(), AnyError> {
    client.ready().await?;
    let request = Request::post("/validate?timeout=10s")
        .header(header::HOST, "localhost")
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(body.clone()))?;
    let answer = client.send_request(request).await?;
    let status = answer.status();
    let answer = answer.into_body().collect().await?.to_bytes();
    let allowed = answer.windows(14).any(|part| part == b"\"allowed\":true");
    match (status, allowed) {
        (StatusCode::OK, true) => Ok(()),
        _ => Err(format!("{status}: {}", String::from_utf8_lossy(&answer)).into()),
    }
}
