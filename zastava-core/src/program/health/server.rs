//! The plain HTTP listener for probes, metrics and status.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz/live`, `/health/liveness` | 200 while the process answers |
//! | `/healthz/ready`, `/health/readiness` | 200 when every check holds, else 503; one line for each check, with what is wrong |
//! | `/status` | JSON: version, commit, checks, and what the program adds |
//! | `/metrics` | OpenMetrics text |

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::Health;
use crate::options::HealthOptions;
use crate::program::{Program, Shutdown};
use crate::telemetry::Telemetry;

/// Connections served at once. More wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// The time in which a client must send a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// The listener, bound but not serving yet.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    health: Health,
    telemetry: Telemetry,
    program: Program,
}

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen} for probes and metrics")]
pub struct HealthError {
    listen: SocketAddr,
    source: std::io::Error,
}

impl HealthServer {
    /// Binds the address.
    ///
    /// # Errors
    /// When the address is in use or is not an address of this machine.
    pub async fn bind(
        options: &HealthOptions,
        program: &Program,
        health: Health,
        telemetry: Telemetry,
    ) -> Result<Self, HealthError> {
        let listen = options.listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| HealthError { listen, source })?;
        Ok(Self { listener, health, telemetry, program: *program })
    }

    /// The address with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers until the shutdown begins.
    pub async fn serve(self, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (health, telemetry, program) = (self.health, self.telemetry, self.program);
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.begun() => return,
            };
            let Ok((stream, _)) = accepted else {
                // No descriptor is left. Wait for connections to end instead of spinning.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (health, telemetry) = (health.clone(), telemetry.clone());
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                let _permit = permit;
                let answer = move |request: Request<Incoming>| {
                    let response = respond(&request, &health, &telemetry, &program);
                    async move { Ok::<_, Infallible>(response) }
                };
                tokio::select! {
                    () = serve_connection(stream, answer) => {}
                    () = shutdown.begun() => {}
                }
            });
        }
    }
}

async fn serve_connection<F, R>(stream: TcpStream, answer: F)
where
    F: Fn(Request<Incoming>) -> R,
    R: Future<Output = Result<Response<Full<Bytes>>, Infallible>>,
{
    // Errors of a client (it hangs up, it sends no HTTP) concern nobody else.
    let _ = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), hyper::service::service_fn(answer))
        .await;
}

fn respond(
    request: &Request<Incoming>,
    health: &Health,
    telemetry: &Telemetry,
    program: &Program,
) -> Response<Full<Bytes>> {
    const PLAIN: &str = "text/plain; charset=utf-8";
    const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return answer(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET is answered here\n".to_owned());
    }
    match request.uri().path() {
        "/healthz/live" | "/health/liveness" => answer(StatusCode::OK, PLAIN, "ok\n".to_owned()),
        "/healthz/ready" | "/health/readiness" if health.is_ready() => {
            answer(StatusCode::OK, PLAIN, health.report())
        }
        "/healthz/ready" | "/health/readiness" => {
            answer(StatusCode::SERVICE_UNAVAILABLE, PLAIN, health.report())
        }
        "/status" => {
            answer(StatusCode::OK, "application/json", format!("{:#}\n", health.status_json(program)))
        }
        "/metrics" => answer(StatusCode::OK, OPEN_METRICS, telemetry.render()),
        _ => answer(
            StatusCode::NOT_FOUND,
            PLAIN,
            "here are /healthz/live, /healthz/ready, /status and /metrics\n".to_owned(),
        ),
    }
}

fn answer(status: StatusCode, content_type: &'static str, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
    response
}
