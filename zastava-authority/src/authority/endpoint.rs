//! Requests one token from Authority: discovery, client authentication, proof, nonce. Has no cache,
//! and does not wait between attempts.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, Uri, header};
use tower::{Service as _, ServiceExt as _};
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::http_service::HttpService;
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Counter, TOKEN_REQUESTS, Telemetry, scope};

use super::answer::{self, result_name};
use super::claims::{Expected, Reading};
use super::client::Authentication;
use super::discovery::{self, Metadata};
use super::form::Form;
use super::keys::{Bound, Keys};
use crate::clock_reading::ClockReading;
use crate::conversation::{Attempt, Conversation, Learned, Step};
use crate::dpop::Claims;
use crate::encoding::header_value;
use crate::error::{Asked, Error};
use crate::target_uri;
use crate::transport::Certificate;

/// Metadata is read again after this time.
const DISCOVERY_LIFETIME: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Endpoint {
    http: HttpService,
    clock: Arc<dyn Clock>,
    options: AuthorityOptions,
    authentication: Authentication,
    metadata: Mutex<Option<(Metadata, ClockReading)>>,
    learned: Arc<Learned>,
    requests: Counter,
    /// What was doubted about the last token of each audience, so that each doubt is logged once.
    doubts: Mutex<HashMap<String, Vec<String>>>,
}

/// A token that Authority issued.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    /// The key that it is bound to (if DPoP is required), and the certificate that it was requested
    /// with.
    pub(super) bound: Bound,
    /// Whether it names that certificate itself.
    pub(super) is_certificate_bound: bool,
    pub(super) requested_at: ClockReading,
    pub(super) expires_at: Timestamp,
}

impl Endpoint {
    pub(super) fn new(
        options: &AuthorityOptions,
        http: HttpService,
        clock: Arc<dyn Clock>,
        telemetry: &Telemetry,
    ) -> Self {
        Self {
            http,
            clock,
            options: options.clone(),
            authentication: Authentication::new(options),
            metadata: Mutex::default(),
            learned: Arc::default(),
            requests: telemetry.counter(TOKEN_REQUESTS),
            doubts: Mutex::default(),
        }
    }

    /// The issuer, for errors.
    pub(super) fn issuer(&self) -> String {
        target_uri::shown(&self.options.issuer)
    }

    /// Requests one token, bound to the keys that are current at the start.
    pub(super) async fn issue(&self, audience: &str, keys: &Keys) -> Result<Issued, Error> {
        let bound = keys.current();
        let metadata = match self.metadata(&bound).await {
            Ok(metadata) => metadata,
            Err(error) => {
                self.requests.add(&[audience, result_name(&error)], 1);
                return Err(error);
            }
        };
        let outcome = self.issue_at(&metadata, audience, bound).await;
        if outcome.is_err() {
            // The endpoint may have moved: the next request reads the metadata again.
            *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }

    async fn issue_at(&self, metadata: &Metadata, audience: &str, bound: Bound) -> Result<Issued, Error> {
        let mut conversation = Conversation::new(&self.learned);
        loop {
            let requested_at = ClockReading::now(&*self.clock);
            let attempt = conversation.attempt(&metadata.origin, requested_at.wall);
            let request = self.token_request(metadata, audience, &bound, &attempt)?;
            let (outcome, step) = match self.send(&bound, request).await {
                Ok(answer) => {
                    let outcome = self.read(&answer, metadata, audience, &bound);
                    let reply = answer::reply(&outcome);
                    let step = conversation.observe(&attempt, reply, answer.headers(), self.clock.now());
                    (outcome, step)
                }
                Err(error) => (Err(error), Step::Done),
            };
            self.requests.add(&[audience, outcome.as_ref().map_or_else(result_name, |_| "issued")], 1);
            match outcome {
                Ok((token, reading)) => {
                    // Counted from the start of the request: Authority's clock started somewhere within it.
                    let expires_at = requested_at.wall.saturating_add(reading.lifetime);
                    let is_certificate_bound = reading.is_certificate_bound;
                    return Ok(Issued { token, bound, is_certificate_bound, requested_at, expires_at });
                }
                Err(error) if step == Step::Done => return Err(error),
                Err(_) => {}
            }
        }
    }

    /// Every attempt has a new proof and a new assertion: the server takes each of them once.
    fn token_request(
        &self,
        metadata: &Metadata,
        audience: &str,
        bound: &Bound,
        attempt: &Attempt,
    ) -> Result<Request<Bytes>, Error> {
        let now = attempt.issued_at();
        let (mut form, mut request) = (Form::new(), Request::new(()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = metadata.token_endpoint.clone();
        form.push("grant_type", "client_credentials");
        let headers = request.headers_mut();
        self.authentication.apply(&self.options.client_id, &metadata.issuer, now, &mut form, headers)?;
        form.push("audience", audience);
        let scopes = self.options.scopes_for(audience);
        if !scopes.is_empty() {
            form.push("scope", &scopes.join(" "));
        }
        if target_uri::normalise(audience).is_some() {
            // RFC 8707 section 2 allows absolute URIs only.
            form.push("resource", audience);
        }
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form_type);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if self.options.require_dpop {
            let proof = bound.dpop.sign_claims(&Claims {
                method: &Method::POST,
                uri: &metadata.token_endpoint,
                issued_at: now.unix_seconds(),
                access_token_hash: None,
                nonce: attempt.nonce.as_deref(),
            })?;
            headers.insert("dpop", header_value(Bytes::from(proof))?);
        }
        Ok(request.map(|()| form.into_body()))
    }

    /// Sends within the time allowed, whatever the service below allows.
    async fn send(&self, bound: &Bound, mut request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let uri = request.uri().clone();
        if let Some(thumbprint) = &bound.certificate {
            request.extensions_mut().insert(Certificate(Arc::clone(thumbprint)));
        }
        let mut http = self.http.clone();
        let exchange = async { http.ready().await?.call(request).await };
        match tokio::time::timeout(self.options.request_timeout, exchange).await {
            Ok(answer) => answer
                .map_err(|error| Error::from_service(target_uri::origin(&uri).unwrap_or_default(), error)),
            Err(_) => {
                Err(Error::Timeout { url: target_uri::shown(&uri), after: self.options.request_timeout })
            }
        }
    }

    async fn metadata(&self, bound: &Bound) -> Result<Metadata, Error> {
        let now = ClockReading::now(&*self.clock);
        if let Some((metadata, at)) = &*self.metadata.lock().unwrap_or_else(PoisonError::into_inner)
            && now.since(*at) < DISCOVERY_LIFETIME
        {
            return Ok(metadata.clone());
        }
        let metadata = self.discover(bound).await?;
        if metadata.token_endpoint.scheme_str() != Some("https") && !self.options.allow_insecure_http {
            return Err(Error::Insecure { origin: metadata.origin.to_string() });
        }
        *self.metadata.lock().unwrap_or_else(PoisonError::into_inner) = Some((metadata.clone(), now));
        Ok(metadata)
    }

    async fn discover(&self, bound: &Bound) -> Result<Metadata, Error> {
        let issuer = &self.options.issuer;
        for document in discovery::documents(issuer) {
            let mut request = Request::new(Bytes::new());
            let Ok(uri) = document.parse::<Uri>() else {
                return Err(Error::Malformed { url: document, reason: "the issuer makes no URL of it" });
            };
            *request.uri_mut() = uri;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            let sent_at = self.clock.now();
            let answer = self.send(bound, request).await?;
            self.learned.learn_clock(answer.headers(), sent_at, self.clock.now());
            if answer.status().is_success() && !discovery::is_page(&answer) {
                let certificate = self.options.client_certificate_path.is_some();
                let dpop = self.options.require_dpop;
                return discovery::read(answer.body(), &document, issuer, certificate, dpop);
            }
            if !answer.status().is_success() && !discovery::is_absent(answer.status()) {
                let asked = Asked { url: document, client_id: None };
                return Err(answer::refusal(&answer, asked.into(), None, self.clock.now()));
            }
        }
        discovery::fallback(issuer, &self.options.token_path)
    }

    /// Reads the token from an answer, and what is believed of it.
    fn read(
        &self,
        answer: &Response<Bytes>,
        metadata: &Metadata,
        audience: &str,
        bound: &Bound,
    ) -> Result<(Secret, Reading), Error> {
        let url = target_uri::shown(&metadata.token_endpoint);
        if !answer.status().is_success() {
            let client_id = Some(self.options.client_id.clone());
            let secret = self.authentication.secret();
            let secret = secret.as_ref().map(|secret| secret.trim());
            return Err(answer::refusal(answer, Asked { url, client_id }.into(), secret, self.clock.now()));
        }
        let expected = if self.options.require_dpop { "DPoP" } else { "Bearer" };
        let (token, lifetime) = answer::read(answer, expected, &url)?;
        let reading = self.believed(audience, bound, lifetime, token.expose())?;
        self.note_doubts(audience, &reading);
        Ok((token, reading))
    }

    /// What is believed of a token for this audience, issued now or by an earlier request.
    pub(super) fn believed(
        &self,
        audience: &str,
        bound: &Bound,
        lifetime: Duration,
        token: &str,
    ) -> Result<Reading, Error> {
        let expected = Expected {
            issuer: &self.options.issuer.to_string(),
            audience,
            scopes: self.options.scopes_for(audience),
            jkt: self.options.require_dpop.then(|| bound.dpop.thumbprint()),
            x5t: bound.certificate.as_deref(),
            certificate_required: self.options.require_mutual_tls,
            lifetime,
        };
        expected.check(token)
    }

    /// Logs doubts that the last token of the audience did not raise.
    fn note_doubts(&self, audience: &str, reading: &Reading) {
        let doubts: Vec<_> = reading.doubts.iter().map(ToString::to_string).collect();
        let mut known = self.doubts.lock().unwrap_or_else(PoisonError::into_inner);
        let former = known.insert(audience.to_owned(), doubts.clone()).unwrap_or_default();
        for (doubt, _) in reading.doubts.iter().zip(&doubts).filter(|(_, text)| !former.contains(text)) {
            let error = doubt as &dyn std::error::Error;
            tracing::warn!(
                scope = scope::TOKEN_ISSUE,
                audience,
                error,
                "OpTok differs from what was asked for"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::clock::SystemClock;
    use zastava_core::config::{Configuration, Origin};
    use zastava_core::http_service::BoxError;

    use super::*;
    use crate::dpop::DpopKey;
    use crate::transport::identity::Identity;

    /// A certificate may be renewed between two requests. Both are sent with the certificate that the
    /// token will be bound to.
    #[tokio::test]
    async fn every_request_names_the_certificate_that_it_is_made_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        let certified = rcgen::generate_simple_self_signed(["client.test".to_owned()]).unwrap();
        std::fs::write(path("chain"), certified.cert.pem()).unwrap();
        std::fs::write(path("key"), certified.signing_key.serialize_pem()).unwrap();
        let identity = Arc::new(Identity::load(path("chain"), path("key")).unwrap());
        let thumbprint = Arc::clone(&identity.current().thumbprint);

        let seen = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&seen);
        let http = HttpService::new(tower::service_fn(move |request: Request<Bytes>| {
            let named = request.extensions().get().map(|Certificate(name)| Arc::clone(name));
            log.lock().unwrap().push((request.uri().path().to_owned(), named));
            let mut answer = Response::new(Bytes::new());
            *answer.status_mut() = http::StatusCode::NOT_FOUND;
            async { Ok::<_, BoxError>(answer) }
        }));
        let mut config = Configuration::empty();
        for (name, value) in [("issuer", "https://authority.test"), ("requireMutualTls", "false")] {
            config.set(&format!("zastava.{name}"), value, &Origin::Flag("test".into()));
        }
        let options = config.read(AuthorityOptions::read).unwrap().0;
        let keys = Keys::new(Arc::new(DpopKey::generate()), None, Some(identity));
        let endpoint = Endpoint::new(&options, http, Arc::new(SystemClock), &Telemetry::detached());
        endpoint.issue("scanner", &keys).await.unwrap_err();

        let seen = seen.lock().unwrap();
        let paths: Vec<_> = seen.iter().map(|(path, _)| path.as_str()).collect();
        let documents = ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"];
        assert_eq!(paths, [documents[0], documents[1], "/token"]);
        assert!(seen.iter().all(|(_, named)| named.as_ref() == Some(&thumbprint)), "{seen:?}");
    }
}
