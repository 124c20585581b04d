//! One token from Authority: discovery, client authentication, proof, nonce. No cache, no waiting.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header};
use tower::{Service as _, ServiceExt as _};
use zastava_core::clock::{Clock, Timestamp};
use zastava_core::http_service::HttpService;
use zastava_core::options::AuthorityOptions;
use zastava_core::secret::Secret;
use zastava_core::telemetry::{Counter, TOKEN_REQUESTS, Telemetry};

use super::answer::{self, is_nonce_challenge, is_time_trouble, result_name};
use super::client::Authentication;
use super::discovery::{self, Found};
use super::form::Form;
use super::keys::{Bound, Keys};
use crate::dpop::Claims;
use crate::encoding::header_value;
use crate::error::Error;
use crate::moment::Moment;
use crate::nonce::NewestNonce;
use crate::skew::{self, Skew};
use crate::target_uri;
use crate::transport::Certificate;

/// A challenge is answered this often, and only with a nonce that was not sent yet, or once by
/// another clock than before.
const RETRIES_MAX: usize = 2;
/// A document that named the token endpoint is believed this long.
const DISCOVERY_LIFETIME: Duration = Duration::from_secs(600);

#[derive(Debug)]
pub(super) struct Endpoint {
    http: HttpService,
    clock: Arc<dyn Clock>,
    options: AuthorityOptions,
    authentication: Authentication,
    found: Mutex<Option<(Found, Moment)>>,
    nonce: NewestNonce,
    skew: Skew,
    requests: Counter,
}

/// What Authority gave.
#[derive(Debug)]
pub(super) struct Issued {
    pub(super) token: Secret,
    /// The key that it is bound to (if DPoP is required), the certificate that it was had with.
    pub(super) bound: Bound,
    pub(super) requested_at: Moment,
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
            found: Mutex::default(),
            nonce: NewestNonce::default(),
            skew: Skew::default(),
            requests: telemetry.counter(TOKEN_REQUESTS),
        }
    }

    /// Requests one token, bound to what `keys` holds at the start.
    pub(super) async fn issue(&self, audience: &str, keys: &Keys) -> Result<Issued, Error> {
        let bound = keys.current();
        let found = match self.find(&bound).await {
            Ok(found) => found,
            Err(error) => {
                self.requests.add(&[audience, result_name(&error)], 1);
                return Err(error);
            }
        };
        let outcome = self.issue_at(&found, audience, bound).await;
        if outcome.is_err() {
            // It may have moved: the next request looks it up again.
            *self.found.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        outcome
    }

    async fn issue_at(&self, found: &Found, audience: &str, bound: Bound) -> Result<Issued, Error> {
        let origin = target_uri::origin(&found.token_endpoint).unwrap_or_default();
        let (mut retries, mut other_clock) = (0, None);
        loop {
            let nonce = self.nonce.next(&origin);
            let requested_at = Moment::now(&*self.clock);
            let skew = other_clock.unwrap_or_else(|| self.skew.seconds());
            let now = skew::corrected(requested_at.wall, skew);
            let request = self.token_request(found, audience, &bound, nonce.nonce.as_deref(), now)?;
            let answer = self.send(&origin, &bound, request).await;
            let new_nonce =
                answer.as_ref().is_ok_and(|answer| self.nonce.learn(&origin, answer.headers(), &nonce));
            let outcome = answer.and_then(|answer| self.read(&answer, requested_at));
            self.requests.add(&[audience, outcome.as_ref().map_or_else(result_name, |_| "issued")], 1);
            let error = match outcome {
                Ok((token, expires_at)) => {
                    other_clock.inspect(|seconds| self.skew.adopt(*seconds));
                    return Ok(Issued { token, bound, requested_at, expires_at });
                }
                Err(error) => error,
            };
            let mut is_worth_it = is_nonce_challenge(&error) && new_nonce;
            if is_time_trouble(&error) && other_clock.is_none() {
                other_clock = self.skew.alternative(skew);
                is_worth_it = other_clock.is_some();
            }
            if !is_worth_it || retries == RETRIES_MAX {
                return Err(error);
            }
            retries += 1;
        }
    }

    /// Everything in it is made anew for each attempt: a proof is good once, and so is an
    /// assertion.
    fn token_request(
        &self,
        found: &Found,
        audience: &str,
        bound: &Bound,
        nonce: Option<&str>,
        now: Timestamp,
    ) -> Result<Request<Bytes>, Error> {
        let (mut form, mut request) = (Form::new(), Request::new(()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = found.token_endpoint.clone();
        form.push("grant_type", "client_credentials");
        let headers = request.headers_mut();
        self.authentication.apply(&self.options.client_id, &found.issuer, now, &mut form, headers)?;
        form.push("audience", audience);
        if !self.options.scopes.is_empty() {
            form.push("scope", &self.options.scopes.join(" "));
        }
        if target_uri::normalise(audience).is_some() {
            // RFC 8707 section 2 takes absolute URIs only.
            form.push("resource", audience);
        }
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        headers.insert(header::CONTENT_TYPE, form_type);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if self.options.require_dpop {
            let proof = bound.dpop.sign_claims(&Claims {
                method: &Method::POST,
                uri: &found.token_endpoint,
                issued_at: now.unix_seconds(),
                access_token_hash: None,
                nonce,
            })?;
            headers.insert("dpop", header_value(Bytes::from(proof))?);
        }
        Ok(request.map(|()| form.into_body()))
    }

    /// Sends within the time allowed, whatever the service below allows.
    async fn send(
        &self,
        origin: &str,
        bound: &Bound,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, Error> {
        if let Some(thumbprint) = &bound.certificate {
            request.extensions_mut().insert(Certificate(Arc::clone(thumbprint)));
        }
        let mut http = self.http.clone();
        let exchange = async { http.ready().await?.call(request).await };
        let sent_at = self.clock.now();
        match tokio::time::timeout(self.options.request_timeout, exchange).await {
            Ok(answer) => {
                let answer = answer.map_err(|error| Error::from_service(origin.to_owned(), error))?;
                self.skew.learn(answer.headers(), sent_at, self.clock.now());
                Ok(answer)
            }
            Err(_) => Err(Error::Timeout { after: self.options.request_timeout }),
        }
    }

    async fn find(&self, bound: &Bound) -> Result<Found, Error> {
        let now = Moment::now(&*self.clock);
        if let Some((found, at)) = &*self.found.lock().unwrap_or_else(PoisonError::into_inner)
            && now.since(*at) < DISCOVERY_LIFETIME
        {
            return Ok(found.clone());
        }
        let found = self.discover(bound).await?;
        if found.token_endpoint.scheme_str() != Some("https") && !self.options.allow_insecure_http {
            let origin = target_uri::origin(&found.token_endpoint).unwrap_or_default();
            return Err(Error::Insecure { origin });
        }
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = Some((found.clone(), now));
        Ok(found)
    }

    async fn discover(&self, bound: &Bound) -> Result<Found, Error> {
        let issuer = &self.options.issuer;
        let origin = target_uri::origin(issuer).unwrap_or_default();
        for document in discovery::documents(issuer) {
            let mut request = Request::new(Bytes::new());
            *request.uri_mut() =
                document.parse().map_err(|_| Error::Malformed { reason: "the issuer makes no URL" })?;
            request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            let answer = self.send(&origin, bound, request).await?;
            if answer.status().is_success() && !discovery::is_page(&answer) {
                let certificate = self.options.client_certificate_path.is_some();
                return discovery::read(answer.body(), issuer, certificate, self.options.require_dpop);
            }
            if !answer.status().is_success() && !discovery::is_absent(answer.status()) {
                return Err(answer::refusal(&answer, self.clock.now()));
            }
        }
        discovery::fallback(issuer, &self.options.token_path)
    }

    /// The token, and when it ends.
    fn read(&self, answer: &Response<Bytes>, requested_at: Moment) -> Result<(Secret, Timestamp), Error> {
        let expected = if self.options.require_dpop { "DPoP" } else { "Bearer" };
        let (token, life) = answer::read(answer, expected, self.clock.now())?;
        // Counted from the start of the request: Authority's clock started somewhere within it.
        Ok((token, requested_at.wall.saturating_add(life)))
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

    /// A certificate may be renewed between two requests: both go out under the one that the token
    /// will be said to be bound to.
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
