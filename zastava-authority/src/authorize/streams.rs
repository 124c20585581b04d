//! The tower layer for bodies that cannot be cloned, such as those of tonic.

use std::future::poll_fn;
use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::{Request, Response};
use http_body::Body;
use tower_layer::Layer;
use tower_service::Service;

use super::replay_body::{Recorder, ReplayBody};
use super::{Authorizer, NextStep};
use crate::error::BoxError;

/// Attaches a token and a fresh proof to every attempt, as [`AuthorizeLayer`](super::AuthorizeLayer) does,
/// and takes any body.
///
/// What is sent of a body is recorded, up to a bound. A request that the server sends back is sent again
/// if its body was within the bound. Otherwise the server's answer is the caller's, and the next request
/// is right, since the nonce in the answer was learned.
///
/// The service below gets a [`ReplayBody`]. A client with a body type of its own, such as a tonic channel,
/// needs `tower::util::MapRequest` between: `request.map(tonic::body::Body::new)`.
#[derive(Clone, Debug)]
pub struct AuthorizeStreamsLayer {
    authorizer: Authorizer,
    bytes_max: usize,
}

impl AuthorizeStreamsLayer {
    /// Records up to `bytes_max` bytes of each request.
    #[must_use]
    pub fn new(authorizer: Authorizer, bytes_max: usize) -> Self {
        Self { authorizer, bytes_max }
    }
}

impl<S> Layer<S> for AuthorizeStreamsLayer {
    type Service = AuthorizeStreams<S>;

    fn layer(&self, inner: S) -> AuthorizeStreams<S> {
        AuthorizeStreams { inner, layer: self.clone() }
    }
}

/// The service of [`AuthorizeStreamsLayer`].
#[derive(Clone, Debug)]
pub struct AuthorizeStreams<S> {
    inner: S,
    layer: AuthorizeStreamsLayer,
}

impl<S, B, R> Service<Request<B>> for AuthorizeStreams<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
    R: Send,
{
    type Response = Response<R>;
    /// As for [`Authorize`](super::Authorize).
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Response<R>, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        // The service that was polled ready must be the one that is called.
        let fresh = self.inner.clone();
        let inner = mem::replace(&mut self.inner, fresh);
        let layer = self.layer.clone();
        Box::pin(async move { send(&layer, inner, request).await })
    }
}

async fn send<S, B, R>(
    layer: &AuthorizeStreamsLayer,
    mut inner: S,
    request: Request<B>,
) -> Result<Response<R>, BoxError>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>>,
    S::Error: Into<BoxError>,
{
    let (mut parts, body) = request.into_parts();
    let recorder = Recorder::new(body, layer.bytes_max);
    let mut attempts = layer.authorizer.begin();
    let mut last = None;
    // The server's own answer says more than that there is no other token.
    while let Some(body) = recorder.replay() {
        match (attempts.try_attach(&mut parts).await, last) {
            (Ok(()), _) => {}
            (Err(_), Some(answer)) => return Ok(answer),
            (Err(error), None) => return Err(error.into()),
        }
        poll_fn(|cx| inner.poll_ready(cx)).await.map_err(Into::into)?;
        let attempt = Request::from_parts(parts.clone(), body);
        let answer = inner.call(attempt).await.map_err(Into::into)?;
        if attempts.observe(answer.status(), answer.headers()) == NextStep::Done {
            return Ok(answer);
        }
        last = Some(answer);
    }
    last.ok_or_else(|| "the body was read before it was sent".into())
}
