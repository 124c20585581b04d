//! The tower layer.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use tower_layer::Layer;
use tower_service::Service;
use zastava_core::clock::Clock;

use super::{Authorizer, Verdict};
use crate::error::BoxError;
use crate::token::Tokens;

/// Attaches a token and a fresh proof to every attempt of every request for one origin, as
/// [`Authorizer`] says.
///
/// Put layers that send a request again (retry, redirect, balance) outside of this one: each
/// attempt needs a proof of its own (RFC 9449 section 7.3). A time-out belongs outside as well.
#[derive(Clone, Debug)]
pub struct AuthorizeLayer(Authorizer);

impl AuthorizeLayer {
    /// Tokens for `audience`, which is what answers at `origin` (scheme, host and port; the path
    /// does not count).
    #[must_use]
    pub fn new(tokens: Tokens, audience: &str, origin: &Uri) -> Self {
        Self(Authorizer::new(tokens, audience, origin))
    }

    /// As [`AuthorizeLayer::new`], with another clock.
    #[must_use]
    pub fn with_clock(tokens: Tokens, audience: &str, origin: &Uri, clock: Arc<dyn Clock>) -> Self {
        Self(Authorizer::with_clock(tokens, audience, origin, clock))
    }
}

impl<S> Layer<S> for AuthorizeLayer {
    type Service = Authorize<S>;

    fn layer(&self, inner: S) -> Authorize<S> {
        Authorize { inner, authorizer: self.0.clone() }
    }
}

/// See [`AuthorizeLayer`].
#[derive(Clone, Debug)]
pub struct Authorize<S> {
    inner: S,
    authorizer: Authorizer,
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
    /// [`Error`](crate::Error), or what the service below says.
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The one that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let inner = mem::replace(&mut self.inner, fresh);
        let authorizer = self.authorizer.clone();
        Box::pin(async move { send(&authorizer, inner, request).await })
    }
}

async fn send<S, B, R>(
    authorizer: &Authorizer,
    mut inner: S,
    request: Request<B>,
) -> Result<Response<R>, BoxError>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<BoxError>,
    B: Clone,
{
    let (mut parts, body) = request.into_parts();
    let mut exchange = authorizer.begin();
    let mut last = None;
    loop {
        if let Err(error) = exchange.attach(&mut parts).await {
            // The server's own answer says more than that there is no other token.
            return last.ok_or_else(|| error.into());
        }
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        let attempt = Request::from_parts(parts.clone(), body.clone());
        let answer = inner.call(attempt).await.map_err(Into::into)?;
        if exchange.observe(answer.status(), answer.headers()) == Verdict::Done {
            return Ok(answer);
        }
        last = Some(answer);
    }
}
