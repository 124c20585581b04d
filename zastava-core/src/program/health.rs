//! The plain HTTP listener: probes, metrics, status.
//!
//! | path | answer |
//! | --- | --- |
//! | `/healthz/live`, `/health/liveness` | 200 while the process answers |
//! | `/healthz/ready`, `/health/readiness` | 200 when every check holds, else 503; one line a check |
//! | `/status` | JSON: version, commit, checks, and what the program adds |
//! | `/metrics` | OpenMetrics text |

use std::convert::Infallible;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::shutdown::Shutdown;
use crate::options::HealthOptions;
use crate::telemetry::Telemetry;

/// Connections answered at once; more wait in the kernel's queue.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to send a request's header.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// What a program knows of its own state. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<State>>);

type StatusSource = Box<dyn Fn() -> Value + Send>;

#[derive(Default)]
struct State {
    checks: Vec<(&'static str, Result<(), String>)>,
    sources: Vec<(&'static str, StatusSource)>,
}

impl Health {
    /// No checks: ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check that fails until it is told to hold.
    #[must_use]
    pub fn check(&self, name: &'static str) -> Check {
        let check = Check { name, health: self.clone() };
        check.fails("starting");
        check
    }

    /// Adds a member to `/status`; `source` is called for each answer and must not block.
    pub fn status(&self, name: &'static str, source: impl Fn() -> Value + Send + 'static) {
        self.lock().sources.push((name, Box::new(source)));
    }

    /// Whether every check holds.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().checks.iter().all(|(_, state)| state.is_ok())
    }

    /// The checks that do not hold, each with its reason.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let state = self.lock();
        let failing = state.checks.iter().filter_map(|(name, state)| Some((name, state.as_ref().err()?)));
        failing.map(|(name, reason)| format!("{name}: {reason}")).collect()
    }

    /// One line a check.
    fn report(&self) -> String {
        let line = |(name, state): &(&str, Result<(), String>)| match state {
            Ok(()) => format!("[+] {name} ok\n"),
            Err(reason) => format!("[-] {name} failed: {reason}\n"),
        };
        self.lock().checks.iter().map(line).collect()
    }

    fn status_json(&self, build: &Build) -> Value {
        let state = self.lock();
        let checks: serde_json::Map<_, _> = state
            .checks
            .iter()
            .map(|(name, state)| {
                ((*name).to_owned(), state.as_ref().err().map_or("ok", String::as_str).into())
            })
            .collect();
        let mut status = json!({"program": build.program, "version": build.version, "commit": build.commit, "checks": checks});
        for (name, source) in &state.sources {
            status[*name] = source();
        }
        status
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.lock().checks).finish()
    }
}

/// One condition of readiness.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    health: Health,
}

impl Check {
    /// The condition holds.
    pub fn holds(&self) {
        self.set(Ok(()));
    }

    /// The condition does not hold, and why.
    pub fn fails(&self, reason: impl Into<String>) {
        self.set(Err(reason.into()));
    }

    fn set(&self, state: Result<(), String>) {
        let mut health = self.health.lock();
        match health.checks.iter_mut().find(|(name, _)| *name == self.name) {
            Some((_, found)) => *found = state,
            None => health.checks.push((self.name, state)),
        }
    }
}

/// The program's own name, in `/status`.
#[derive(Clone, Debug)]
struct Build {
    program: &'static str,
    version: &'static str,
    commit: &'static str,
}

/// The listener, bound and not yet serving.
#[derive(Debug)]
pub struct HealthServer {
    listener: TcpListener,
    health: Health,
    telemetry: Telemetry,
    build: Build,
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
    /// When the address is taken or not ours.
    pub async fn bind(
        options: &HealthOptions,
        program: &super::Program,
        health: Health,
        telemetry: Telemetry,
    ) -> Result<Self, HealthError> {
        let listen = options.listen;
        let listener = TcpListener::bind(listen).await.map_err(|source| HealthError { listen, source })?;
        let build = Build { program: program.name, version: program.version, commit: program.commit };
        Ok(Self { listener, health, telemetry, build })
    }

    /// Where it listens, with the port that the system chose for port 0.
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        self.listener.local_addr().ok()
    }

    /// Answers until the shutdown begins.
    pub async fn serve(self, shutdown: Shutdown) {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (health, telemetry, build) = (self.health, self.telemetry, Arc::new(self.build));
        loop {
            let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
            let accepted = tokio::select! {
                accepted = self.listener.accept() => accepted,
                () = shutdown.begun() => return,
            };
            let Ok((stream, _)) = accepted else {
                // Out of descriptors: wait for connections to end rather than spin.
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let (health, telemetry, build) = (health.clone(), telemetry.clone(), Arc::clone(&build));
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                let _permit = permit;
                let answer = move |request: Request<Incoming>| {
                    let response = respond(&request, &health, &telemetry, &build);
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
    // A client that goes away or sends nonsense is its own affair.
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
    build: &Build,
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
        "/status" => answer(StatusCode::OK, "application/json", format!("{:#}\n", health.status_json(build))),
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
