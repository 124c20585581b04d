//! The tower layer that attaches tokens and proofs.

mod challenge;

use std::fmt;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, Uri, header};
use tower::{Layer, Service, ServiceExt as _};
use zastava_core::clock::{Clock, SystemClock};
use zastava_core::http_service::BoxError;
use zeroize::Zeroizing;

use self::challenge::Challenge;
use crate::dpop::{DpopKey, ProofRequest};
use crate::encoding::sensitive;
use crate::error::Error;
use crate::nonce::NewestNonce;
use crate::target_uri;
use crate::token::{OpTok, Tokens};

/// A challenge is answered this often for one request, and only with a nonce that it was not sent
/// with.
const NONCE_RETRIES_MAX: usize = 2;

/// Attaches a token and a fresh proof to every attempt of every request for one origin.
///
/// Put layers that send a request again (retry, redirect, balance) outside of this one: each
/// attempt needs a proof of its own (RFC 9449 section 7.3). A time-out belongs outside as well.
///
/// The layer keeps the newest nonce of the origin. It answers a nonce challenge up to two times and
/// an `invalid_token` once, with a new token; every other answer is the caller's. Requests for
/// another origin are refused before a token is touched. A token that is not bound to a key goes
/// out as `Bearer`, without a proof.
#[derive(Clone)]
pub struct AuthorizeLayer(Arc<Terms>);

/// What all clones of a layer and its services share.
struct Terms {
    tokens: Tokens,
    key: Arc<DpopKey>,
    audience: String,
    origin: String,
    nonce: NewestNonce,
    clock: Arc<dyn Clock>,
}

impl AuthorizeLayer {
    /// Tokens for `audience`, which is what answers at `origin` (scheme, host and port; the path
    /// does not count). `key` is the one that the tokens are bound to.
    #[must_use]
    pub fn new(tokens: Tokens, key: Arc<DpopKey>, audience: &str, origin: &Uri) -> Self {
        Self(Arc::new(Terms {
            tokens,
            key,
            audience: audience.to_owned(),
            // An origin that is none matches no request.
            origin: target_uri::origin(origin).unwrap_or_else(|| origin.to_string()),
            nonce: NewestNonce::default(),
            clock: Arc::new(SystemClock),
        }))
    }
}

impl fmt::Debug for AuthorizeLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.debug("AuthorizeLayer", f)
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner, terms: Arc::clone(&self.0) }
    }
}

/// See [`AuthorizeLayer`].
#[derive(Clone)]
pub struct Authorize<S> {
    inner: S,
    terms: Arc<Terms>,
}

impl<S> fmt::Debug for Authorize<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.terms.debug("Authorize", f)
    }
}

impl<S, B, R> Service<Request<B>> for Authorize<S>
where
    S: Service<Request<B>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Clone + Send + 'static,
    R: Send,
{
    type Response = Response<R>;
    /// [`Error`], or what the service below says.
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let inner = mem::replace(&mut self.inner, fresh);
        let terms = Arc::clone(&self.terms);
        Box::pin(async move { terms.send(inner, request).await })
    }
}

impl Terms {
    async fn send<S, B, R>(&self, mut inner: S, request: Request<B>) -> Result<Response<R>, BoxError>
    where
        S: Service<Request<B>, Response = Response<R>>,
        S::Error: Into<BoxError>,
        B: Clone,
    {
        self.check_origin(request.uri())?;
        let mut token = self.tokens.token(&self.audience).await?;
        let (mut nonce_retries, mut token_retried) = (0, false);
        loop {
            let nonce = self.nonce.of(&self.origin);
            let attempt = self.sign(request.clone(), &token, nonce.as_deref())?;
            let answer = inner.ready().await.map_err(Into::into)?.call(attempt).await.map_err(Into::into)?;
            self.nonce.learn(&self.origin, answer.headers());
            match challenge::read(&answer) {
                Some(Challenge::Nonce)
                    if nonce_retries < NONCE_RETRIES_MAX && self.nonce.of(&self.origin) != nonce =>
                {
                    nonce_retries += 1;
                }
                Some(Challenge::InvalidToken) if !token_retried => {
                    token_retried = true;
                    self.tokens.reject(&token);
                    match self.tokens.token(&self.audience).await {
                        Ok(fresh) if fresh.generation() != token.generation() => token = fresh,
                        // The server's own answer says more than that there is no other token.
                        _ => return Ok(answer),
                    }
                }
                Some(Challenge::InvalidToken) => {
                    self.tokens.reject(&token);
                    return Ok(answer);
                }
                _ => return Ok(answer),
            }
        }
    }

    /// RFC 9700 section 4.9: a token goes to its audience and nowhere else.
    fn check_origin(&self, uri: &Uri) -> Result<(), Error> {
        let found = target_uri::origin(uri).unwrap_or_default();
        if found == self.origin {
            return Ok(());
        }
        Err(Error::ForeignOrigin { expected: self.origin.clone(), found })
    }

    fn sign<B>(
        &self,
        mut request: Request<B>,
        token: &OpTok,
        nonce: Option<&str>,
    ) -> Result<Request<B>, Error> {
        let scheme = if token.is_dpop() { "DPoP" } else { "Bearer" };
        let authorization = sensitive(&Zeroizing::new(format!("{scheme} {}", token.expose())))?;
        if token.is_dpop() {
            let proof = self.key.proof(&ProofRequest {
                method: request.method(),
                uri: request.uri(),
                access_token: Some(token.expose()),
                nonce,
                issued_at: self.clock.now(),
            });
            request.headers_mut().insert("dpop", sensitive(&proof)?);
        }
        request.headers_mut().insert(header::AUTHORIZATION, authorization);
        Ok(request)
    }

    fn debug(&self, name: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(name)
            .field("audience", &self.audience)
            .field("origin", &self.origin)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
