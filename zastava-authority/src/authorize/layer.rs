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
use zastava_core::no_token::NoToken;

use super::attempts::NotSent;
use super::{Authorizer, NextStep};
use crate::error::BoxError;
use crate::token::Tokens;

/// Attaches a token and a fresh proof to every attempt of every request for one origin, by the rules
/// of [`Authorizer`].
///
/// Put layers that send a request again (retry, redirect, balance) outside of this one: each
/// attempt needs a proof of its own (RFC 9449 section 7.3). A timeout belongs outside as well.
#[derive(Clone, Debug)]
pub struct AuthorizeLayer(Authorizer);

impl AuthorizeLayer {
    /// Attaches tokens for `audience` to requests for `origin`: its scheme, host and port. The path
    /// does not count.
    #[must_use]
    pub fn new(tokens: Tokens, audience: &str, origin: &Uri) -> Self {
        Self(Authorizer::new(tokens, audience, origin))
    }

    /// Like [`AuthorizeLayer::new`], with another clock.
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

/// The service of [`AuthorizeLayer`].
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
    /// [`NoToken`] with an [`Error`](crate::Error) as its source, if there is no token to send.
    /// Another [`Error`](crate::Error), if the request must not be sent. Otherwise the error of the
    /// service below.
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let inner = mem::replace(&mut self.inner, fresh);
        let authorizer = self.authorizer.clone();
        Box::pin(async move { send(&authorizer, inner, request).await })
    }
}

impl From<NotSent> for BoxError {
    fn from(error: NotSent) -> Self {
        match error {
            NotSent::NoToken(error) => NoToken(error.into()).into(),
            NotSent::Refused(error) => error.into(),
        }
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
    let mut attempts = authorizer.begin();
    let mut last = None;
    loop {
        if let Err(error) = attempts.try_attach(&mut parts).await {
            // The server's own answer says more than that there is no other token.
            return last.ok_or_else(|| error.into());
        }
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        let attempt = Request::from_parts(parts.clone(), body.clone());
        let answer = inner.call(attempt).await.map_err(Into::into)?;
        if attempts.observe(answer.status(), answer.headers()) == NextStep::Done {
            return Ok(answer);
        }
        last = Some(answer);
    }
}
