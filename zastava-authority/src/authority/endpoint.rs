//! One token from Authority: discovery, client authentication, proof, nonce. No cache, no waiting.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use serde::Deserialize;
use tower::{Service as _, ServiceExt as _};
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::http_service::HttpService;
use zastava_core::options::AuthorityOptions;
use zastava_core::scanner::retry_after;
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Counter, TOKEN_REQUESTS, Telemetry};
use zeroize::Zeroizing;

use super::discovery;
use crate::dpop::{DpopKey, ProofRequest};
use crate::encoding::{base64_basic, form_encode, is_token68, sensitive};
use crate::error::Error;
use crate::nonce::NewestNonce;
use crate::target_uri;

/// A challenge is answered this often, and only with a nonce that was not sent yet.
const NONCE_RETRIES_MAX: usize = 2;
/// A document that named the token endpoint is believed this long.
const DISCOVERY_LIFETIME: Duration = Duration::from_secs(600);
/// The life of a token whose answer does not tell (`expires_in` is optional, RFC 6749 section 5.1).
const LIFE_DEFAULT: Duration = Duration::from_secs(120);
/// Longer lives are cut: nobody needs an OpTok of yesterday.
const LIFE_MAX: Duration = Duration::from_secs(24 * 3600);
/// Longer words of a server are not repeated in errors.
const CODE_CHARS_MAX: usize = 64;
const WORD_CHARS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Endpoint {
    http: HttpService,
    key: Arc<DpopKey>,
    clock: Arc<dyn Clock>,
    options: AuthorityOptions,
    authentication: Authentication,
    found: Mutex<Option<(Uri, Timestamp)>>,
    nonce: NewestNonce,
    requests: Counter,
}

/// How the client proves who it is.
#[derive(Debug)]
enum Authentication {
    /// The transport shows a certificate; the form names the client (RFC 8705 section 2).
    MutualTls,
    /// `client_secret_basic` with the secret in this file, read for every request.
    Secret(PathBuf),
    /// The form names the client and that is all, for labs.
    Public,
}

/// What Authority gave.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    /// The key that the token is bound to; `None` for a bearer token.
    pub(super) thumbprint: Option<String>,
    pub(super) requested_at: Timestamp,
    pub(super) expires_at: Timestamp,
}

impl Endpoint {
    pub(super) fn new(
        options: &AuthorityOptions,
        http: HttpService,
        key: Arc<DpopKey>,
        clock: Arc<dyn Clock>,
        telemetry: &Telemetry,
    ) -> Self {
        let authentication = match &options.client_secret_path {
            _ if options.require_mutual_tls => Authentication::MutualTls,
            Some(path) => Authentication::Secret(path.clone()),
            None if options.client_certificate_path.is_some() => Authentication::MutualTls,
            None => Authentication::Public,
        };
        Self {
            http,
            key,
            clock,
            options: options.clone(),
            authentication,
            found: Mutex::default(),
            nonce: NewestNonce::default(),
            requests: telemetry.counter(TOKEN_REQUESTS),
        }
    }

    /// Requests one token.
    pub(super) async fn issue(&self, audience: &str) -> Result<Issued, Error> {
        let url = match self.token_endpoint().await {
            Ok(url) => url,
            Err(error) => {
                self.requests.add(&[audience, result_name(&error)], 1);
                return Err(error);
            }
        };
        let outcome = self.issue_at(&url, audience).await;
        if outcome.is_err() {
            // It may have moved: the next request looks it up again.
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }

    async fn issue_at(&self, url: &Uri, audience: &str) -> Result<Issued, Error> {
        let origin = target_uri::origin(url).unwrap_or_default();
        let mut nonce = self.nonce.of(&origin);
        let mut retries = 0;
        loop {
            let requested_at = self.clock.now();
            let request = self.token_request(url, audience, nonce.as_deref(), requested_at)?;
            let answer = self.send(&origin, request).await;
            if let Ok(answer) = &answer {
                self.nonce.learn(&origin, answer.headers());
            }
            let outcome = answer.and_then(|answer| self.read_answer(&answer, requested_at));
            self.requests.add(&[audience, outcome.as_ref().map_or_else(result_name, |_| "issued")], 1);
            let newest = self.nonce.of(&origin);
            match outcome {
                Err(error)
                    if is_nonce_challenge(&error) && retries < NONCE_RETRIES_MAX && newest != nonce =>
                {
                    nonce = newest;
                    retries += 1;
                }
                outcome => return outcome,
            }
        }
    }

    /// Everything in it is made anew for each attempt: a proof is good once.
    fn token_request(
        &self,
        url: &Uri,
        audience: &str,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Request<Bytes>, Error> {
        let mut request = Request::new(Bytes::from(self.form(audience)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = url.clone();
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(header::CONTENT_TYPE, form);
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Authentication::Secret(path) = &self.authentication {
            request.headers_mut().insert(header::AUTHORIZATION, self.basic_credentials(path)?);
        }
        if self.options.require_dpop {
            let about =
                ProofRequest { method: &Method::POST, uri: url, access_token: None, nonce, issued_at: now };
            request.headers_mut().insert("dpop", sensitive(&self.key.proof(&about))?);
        }
        Ok(request)
    }

    fn form(&self, audience: &str) -> String {
        let scope = self.options.scopes.join(" ");
        let mut fields = vec![
            ("grant_type", "client_credentials"),
            ("client_id", &self.options.client_id),
            ("audience", audience),
        ];
        if !scope.is_empty() {
            fields.push(("scope", &scope));
        }
        if target_uri::normalise(audience).is_some() {
            // RFC 8707 section 2 takes absolute URIs only.
            fields.push(("resource", audience));
        }
        let encoded = fields.iter().map(|(name, value)| format!("{name}={}", form_encode(value)));
        encoded.collect::<Vec<_>>().join("&")
    }

    /// RFC 6749 section 2.3.1: both parts are form-encoded first.
    fn basic_credentials(&self, path: &PathBuf) -> Result<HeaderValue, Error> {
        // The file is small and local; reading it here lets a new secret count at once.
        let secret =
            std::fs::read_to_string(path).map(Zeroizing::new).map_err(|error| Error::file(path, error))?;
        let id = form_encode(&self.options.client_id);
        let pair = Zeroizing::new(format!("{id}:{}", *Zeroizing::new(form_encode(secret.trim()))));
        sensitive(&Zeroizing::new(format!("Basic {}", base64_basic(&pair))))
    }

    /// Sends within the time allowed, whatever the service below allows.
    async fn send(&self, origin: &str, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let mut http = self.http.clone();
        let exchange = async { http.ready().await?.call(request).await };
        match tokio::time::timeout(self.options.request_timeout, exchange).await {
            Ok(answer) => answer.map_err(|error| Error::from_service(origin.to_owned(), error)),
            Err(_) => Err(Error::Timeout { after: self.options.request_timeout }),
        }
    }

    async fn token_endpoint(&self) -> Result<Uri, Error> {
        let now = self.clock.now();
        if let Some((url, until)) = &*self.found.lock().unwrap_or_else(PoisonError::into_inner)
            && now < *until
        {
            return Ok(url.clone());
        }
        let url = self.discover().await?;
        if url.scheme_str() != Some("https") && !self.options.allow_insecure_http {
            return Err(Error::Insecure { origin: target_uri::origin(&url).unwrap_or_default() });
        }
        let until = now.saturating_add(DISCOVERY_LIFETIME);
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((url.clone(), until));
        Ok(url)
    }

    async fn discover(&self) -> Result<Uri, Error> {
        let issuer = &self.options.issuer;
        let origin = target_uri::origin(issuer).unwrap_or_default();
        for document in discovery::documents(issuer) {
            let mut request = Request::new(Bytes::new());
            *request.uri_mut() =
                document.parse().map_err(|_| Error::Malformed { reason: "the issuer makes no URL" })?;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            let answer = self.send(&origin, request).await?;
            if answer.status().is_success() {
                let certificate = self.options.client_certificate_path.is_some();
                return discovery::token_endpoint(
                    answer.body(),
                    issuer,
                    certificate,
                    self.options.require_dpop,
                );
            }
            if !discovery::is_absent(answer.status()) {
                return Err(self.refusal(&answer));
            }
        }
        discovery::fallback(issuer, &self.options.token_path)
    }

    fn read_answer(&self, answer: &Response<Bytes>, requested_at: Timestamp) -> Result<Issued, Error> {
        if !answer.status().is_success() {
            return Err(self.refusal(answer));
        }
        let raw: RawToken = serde_json::from_slice(answer.body())
            .map_err(|_| Error::Malformed { reason: "no token in its answer" })?;
        let token = Secret::new(raw.access_token);
        let expected = if self.options.require_dpop { "DPoP" } else { "Bearer" };
        if !raw.token_type.eq_ignore_ascii_case(expected) {
            return Err(Error::TokenType { expected, found: shown_word(&raw.token_type) });
        }
        if !is_token68(token.expose()) {
            return Err(Error::Malformed { reason: "its token cannot stand in a header" });
        }
        let life = raw.expires_in.map_or(Ok(LIFE_DEFAULT), RawLife::duration)?.min(LIFE_MAX);
        let thumbprint = self.options.require_dpop.then(|| self.key.thumbprint().to_owned());
        // Counted from the start of the request: Authority's clock started somewhere within it.
        Ok(Issued { token, thumbprint, requested_at, expires_at: requested_at.saturating_add(life) })
    }

    /// The code is kept, the description is not: a server may repeat what it was sent.
    fn refusal(&self, answer: &Response<Bytes>) -> Error {
        let raw: RawRefusal = serde_json::from_slice(answer.body()).unwrap_or_default();
        let is_code = |code: &String| {
            (1..=CODE_CHARS_MAX).contains(&code.len())
                && code.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
        };
        let retry_after = retry_after(answer.headers(), self.clock.now());
        Error::Refused { status: answer.status(), code: raw.error.filter(is_code), retry_after }
    }
}

#[derive(Deserialize)]
struct RawToken {
    access_token: String,
    #[serde(default)]
    token_type: String,
    #[serde(default)]
    expires_in: Option<RawLife>,
}

/// Some servers write the number as a string.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawLife {
    Number(u64),
    Text(String),
}

impl RawLife {
    fn duration(self) -> Result<Duration, Error> {
        let seconds = match self {
            Self::Number(seconds) => Some(seconds),
            Self::Text(text) => text.parse().ok(),
        };
        match seconds {
            None => Err(Error::Malformed { reason: "its expires_in is no number of seconds" }),
            Some(0) => Err(Error::Malformed { reason: "its token has no life" }),
            Some(seconds) => Ok(Duration::from_secs(seconds)),
        }
    }
}

#[derive(Default, Deserialize)]
struct RawRefusal {
    #[serde(default)]
    error: Option<String>,
}

/// RFC 9449 section 8: 400 at a token endpoint; 401 is seen too.
fn is_nonce_challenge(error: &Error) -> bool {
    error.oauth_code() == Some("use_dpop_nonce")
}

fn result_name(error: &Error) -> &'static str {
    match error {
        error if is_nonce_challenge(error) => "nonce",
        Error::Refused { status: StatusCode::TOO_MANY_REQUESTS, .. } => "limited",
        Error::Refused { status, .. } if status.is_server_error() => "failed",
        Error::Refused { .. } => "refused",
        Error::TokenType { .. } | Error::Issuer { .. } | Error::Malformed { .. } => "malformed",
        _ => "unreachable",
    }
}

/// A word that could be a type. Anything else may be what the server was sent.
fn shown_word(text: &str) -> String {
    let is_word = text.len() <= WORD_CHARS_MAX && text.bytes().all(|byte| byte.is_ascii_alphabetic());
    if is_word { text.to_owned() } else { "…".to_owned() }
}
