//! A scripted server as a tower service, a clock that follows tokio's, and options of a lab.

use std::path::Path;
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{Request, Response};
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinSet;
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{Authority, DpopKey, Error, OpTok, Tokens};
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::config::{Configuration, Origin, Section};
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::Telemetry;

pub(crate) type Answer = Response<Bytes>;
type Handler = Box<dyn FnMut(&Request<Bytes>) -> Answer + Send>;

/// Answers every request but those for metadata after `latency`, and remembers it.
#[derive(Clone)]
pub(crate) struct Server {
    handler: Arc<Mutex<Handler>>,
    requests: watch::Sender<Vec<Request<Bytes>>>,
    metadata: Arc<Mutex<Vec<(String, Answer)>>>,
    latency: Duration,
}

impl Server {
    pub(crate) fn new(handler: impl FnMut(&Request<Bytes>) -> Answer + Send + 'static) -> Self {
        let handler: Handler = Box::new(handler);
        Self {
            handler: Arc::new(Mutex::new(handler)),
            requests: watch::Sender::default(),
            metadata: Arc::default(),
            latency: Duration::from_millis(50),
        }
    }

    /// Issues `token-1`, `token-2`, … of type DPoP with this life.
    pub(crate) fn issuing(life: u64) -> Self {
        let mut number = 0;
        Self::new(move |_| {
            number += 1;
            token(&format!("token-{number}"), life)
        })
    }

    pub(crate) fn with_latency(self, latency: Duration) -> Self {
        Self { latency, ..self }
    }

    /// Answers requests for this path of metadata; all others are 404.
    pub(crate) fn with_metadata(self, path: &str, answer: Answer) -> Self {
        self.publish(path, answer);
        self
    }

    /// The same from now on.
    pub(crate) fn publish(&self, path: &str, answer: Answer) {
        let mut metadata = self.metadata.lock().unwrap();
        metadata.retain(|(known, _)| known != path);
        metadata.push((path.to_owned(), answer));
    }

    pub(crate) fn handle(&self, handler: impl FnMut(&Request<Bytes>) -> Answer + Send + 'static) {
        *self.handler.lock().unwrap() = Box::new(handler);
    }

    pub(crate) fn service(&self) -> HttpService {
        let server = self.clone();
        HttpService::new(tower::service_fn(move |request| {
            let server = server.clone();
            async move { Ok::<_, BoxError>(server.answer(request).await) }
        }))
    }

    async fn answer(&self, request: Request<Bytes>) -> Answer {
        if request.uri().path().contains("/.well-known/") {
            let metadata = self.metadata.lock().unwrap();
            let found = metadata.iter().find(|(path, _)| path == request.uri().path());
            return found.map_or_else(|| status(404), |(_, answer)| answer.clone());
        }
        tokio::time::sleep(self.latency).await;
        let answer = (self.handler.lock().unwrap())(&request);
        self.requests.send_modify(|requests| requests.push(request));
        answer
    }

    pub(crate) fn requests(&self) -> Vec<Request<Bytes>> {
        self.requests.borrow().clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.requests.borrow().len()
    }

    /// Returns when that many requests were answered.
    pub(crate) async fn wait_for(&self, count: usize) {
        self.requests.subscribe().wait_for(|requests| requests.len() >= count).await.unwrap();
    }
}

pub(crate) fn status(status: u16) -> Answer {
    Response::builder().status(status).body(Bytes::new()).unwrap()
}

pub(crate) fn json(status: u16, body: impl Into<Bytes>) -> Answer {
    Response::builder().status(status).header("content-type", "application/json").body(body.into()).unwrap()
}

pub(crate) fn token(token: &str, life: u64) -> Answer {
    json(200, format!(r#"{{"access_token":"{token}","token_type":"DPoP","expires_in":{life}}}"#))
}

pub(crate) fn refusal(status: u16, code: &str) -> Answer {
    json(status, format!(r#"{{"error":"{code}","error_description":"the server's own words"}}"#))
}

pub(crate) fn with_header(mut answer: Answer, name: &'static str, value: &str) -> Answer {
    answer.headers_mut().insert(name, value.parse().unwrap());
    answer
}

/// Moves with tokio's clock, which tests pause.
#[derive(Debug)]
pub(crate) struct TokioClock(tokio::time::Instant);

impl TokioClock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(tokio::time::Instant::now()))
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_unix_seconds(1_800_000_000).saturating_add(self.0.elapsed())
    }
}

/// `tracing` decides once whether a line is of interest, on the thread that reaches it first. With
/// fewer than two dispatchers it asks that thread's own, and lines that another test captures
/// would be lost.
static INTERESTED: LazyLock<[tracing::Dispatch; 2]> = LazyLock::new(|| {
    let everything = || tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    [(); 2].map(|()| everything().with_writer(std::io::sink).finish().into())
});

pub(crate) fn read<T>(settings: &[(&str, &str)], read: impl FnOnce(&Section<'_>) -> Option<T>) -> T {
    LazyLock::force(&INTERESTED);
    let mut config = Configuration::empty();
    for (key, value) in settings {
        config.set(&format!("zastava.{key}"), value, &Origin::Flag("test".into()));
    }
    config.read(read).unwrap_or_else(|faults| panic!("{faults}")).0
}

/// Options of a lab without mutual TLS, with these settings on top.
pub(crate) fn options(settings: &[(&str, &str)]) -> AuthorityOptions {
    let lab =
        [("issuer", "https://authority.test"), ("requireMutualTls", "false"), ("refreshSkewSeconds", "60")];
    read(&[&lab, settings].concat(), AuthorityOptions::read)
}

/// An authority over the server, on tokio's clock.
pub(crate) fn authority(server: &Server, settings: &[(&str, &str)]) -> Authority {
    let key = Arc::new(DpopKey::generate());
    authority_with_key(server, settings, key, &Telemetry::detached())
}

pub(crate) fn authority_with_key(
    server: &Server,
    settings: &[(&str, &str)],
    key: Arc<DpopKey>,
    telemetry: &Telemetry,
) -> Authority {
    Authority::with_clock(&options(settings), server.service(), key, telemetry, TokioClock::new())
}

pub(crate) fn tokens(server: &Server, settings: &[(&str, &str)]) -> Tokens {
    Tokens::new(authority(server, settings))
}

/// The request's proof as a server without tokens looks at it.
pub(crate) fn received(request: &Request<Bytes>) -> ReceivedProof<'_> {
    ReceivedProof {
        method: request.method(),
        uri: request.uri(),
        headers: request.headers(),
        access_token: None,
        thumbprint: None,
    }
}

/// A claim of the request's proof.
pub(crate) fn claim(request: &Request<Bytes>, name: &str) -> Value {
    let proof = request.headers()["dpop"].to_str().unwrap();
    let claims = URL_SAFE_NO_PAD.decode(proof.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()[name].take()
}

/// Both forms of `Debug`.
pub(crate) fn debug_of(value: &impl std::fmt::Debug) -> String {
    format!("{value:?} {value:#?}")
}

pub(crate) fn mode_of(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::symlink_metadata(path).unwrap().permissions().mode() & 0o777
}

/// RFC 9110 section 5.6.7.
pub(crate) fn http_date(time: Timestamp) -> String {
    let time = jiff::Timestamp::from_second(time.unix_seconds()).unwrap();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap()
}

/// What `count` callers get who ask at the same time.
pub(crate) async fn ask_together(tokens: &Tokens, count: usize) -> Vec<Result<Arc<OpTok>, Error>> {
    let mut callers = JoinSet::new();
    for _ in 0..count {
        let tokens = tokens.clone();
        callers.spawn(async move { tokens.token("scanner").await });
    }
    callers.join_all().await
}

/// Checks each proof as the standard says, and challenges those without a nonce.
pub(crate) fn challenging() -> Server {
    let verifier = Verifier::new(VerifierOptions::default());
    let clock = TokioClock::new();
    Server::new(move |request| {
        let answer = match verifier.verify(&received(request), clock.now()) {
            Ok(_) => token("abc", 120),
            Err(error) => refusal(400, error.oauth_code()),
        };
        with_header(answer, "dpop-nonce", &verifier.nonce(clock.now()))
    })
}

pub(crate) fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Measures paused time, which passes only when a test lets it.
pub(crate) struct PausedTime(tokio::time::Instant);

impl PausedTime {
    pub(crate) fn start() -> Self {
        Self(tokio::time::Instant::now())
    }

    pub(crate) fn passed(&self) -> Duration {
        tokio::time::Instant::now() - self.0
    }
}
