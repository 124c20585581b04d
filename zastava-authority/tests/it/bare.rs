//! Without any async runtime: futures are polled by hand.

use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, Request, Response, StatusCode, Uri, request};
use tower_layer::Layer as _;
use tower_service::Service;
use zastava_authority::{
    Attempts, AuthorizeLayer, Authorizer, DpopKey, Error, NextStep, OpTok, TokenFuture, TokenSource, Tokens,
};
use zastava_core::clock::Timestamp;
use zastava_core::secret::Secret;

/// A source that numbers its tokens.
#[derive(Debug)]
struct Numbered(Arc<DpopKey>, AtomicU64);

impl TokenSource for Numbered {
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        let generation = self.1.load(Ordering::Relaxed);
        let secret = Secret::new(format!("token-{generation}"));
        let token = OpTok::new(secret, audience, Timestamp::now(), generation, Some(Arc::clone(&self.0)));
        Box::pin(async { token.map(Arc::new) })
    }

    fn reject(&self, token: &OpTok) {
        self.1.fetch_max(token.generation() + 1, Ordering::Relaxed);
    }

    fn invalidate(&self, _: &str) -> usize {
        0
    }
}

fn tokens() -> Tokens {
    Tokens::new(Numbered(Arc::new(DpopKey::generate()), AtomicU64::new(1)))
}

fn api() -> Authorizer {
    Authorizer::new(tokens(), "scanner", &Uri::from_static("https://api.test"))
}

fn poll<T>(future: impl Future<Output = T>) -> Poll<T> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn done<T>(future: impl Future<Output = T>) -> T {
    match poll(future) {
        Poll::Ready(done) => done,
        Poll::Pending => panic!("it waits"),
    }
}

fn parts() -> request::Parts {
    Request::get("https://api.test/x").body(()).unwrap().into_parts().0
}

fn attach(attempts: &mut Attempts) -> request::Parts {
    let mut parts = parts();
    done(attempts.attach(&mut parts)).unwrap();
    parts
}

fn challenge(error: &str, nonce: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("www-authenticate", format!(r#"DPoP error="{error}""#).parse().unwrap());
    if let Some(nonce) = nonce {
        headers.insert("dpop-nonce", nonce.parse().unwrap());
    }
    headers
}

/// A request that has one attempt left.
fn challenged_twice(api: &Authorizer) -> Attempts {
    let mut attempts = api.begin();
    for nonce in ["1", "2"] {
        attach(&mut attempts);
        attempts.observe(StatusCode::UNAUTHORIZED, &challenge("use_dpop_nonce", Some(nonce)));
    }
    attempts
}

#[test]
fn attach_and_observe_make_the_attempts_of_a_request() {
    let mut attempts = api().begin();
    assert_eq!(attach(&mut attempts).headers["authorization"], "DPoP token-1");
    let step = attempts.observe(StatusCode::UNAUTHORIZED, &challenge("use_dpop_nonce", Some("n")));
    assert_eq!(step, NextStep::SendAgain);
    let (first, second) = (attach(&mut attempts), attach(&mut attempts));
    assert_ne!(first.headers["dpop"], second.headers["dpop"], "every attempt has its own");
    let step = attempts.observe(StatusCode::UNAUTHORIZED, &challenge("invalid_token", None));
    assert_eq!(step, NextStep::SendAgain);
    assert_eq!(attach(&mut attempts).headers["authorization"], "DPoP token-2");
    assert_eq!(attempts.observe(StatusCode::OK, &HeaderMap::new()), NextStep::Done);
}

#[test]
fn others_wait_until_the_first_has_its_answer() {
    let api = api();
    let (mut first, mut second, mut third) = (api.begin(), api.begin(), api.begin());
    attach(&mut first);
    assert!(poll(second.attach(&mut parts())).is_pending());
    // The first gave up, so the second is the first.
    drop(first);
    attach(&mut second);
    assert!(poll(third.attach(&mut parts())).is_pending());
    second.observe(StatusCode::OK, &HeaderMap::new());
    attach(&mut third);
    attach(&mut api.begin());
}

#[test]
fn a_waiting_request_takes_the_token_that_is_current_when_it_is_sent() {
    let tokens = tokens();
    let api = Authorizer::new(tokens.clone(), "scanner", &Uri::from_static("https://api.test"));
    let (mut first, mut second) = (api.begin(), api.begin());
    attach(&mut first);
    let mut parts = parts();
    {
        let mut waiting = pin!(second.attach(&mut parts));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(waiting.as_mut().poll(&mut cx).is_pending());
        tokens.reject(&done(tokens.token("scanner")).unwrap());
        first.observe(StatusCode::OK, &HeaderMap::new());
        assert!(waiting.as_mut().poll(&mut cx).is_ready());
    }
    assert_eq!(parts.headers["authorization"], "DPoP token-2");
}

#[test]
fn the_last_attempt_goes_alone() {
    let api = api();
    let mut other = api.begin();
    attach(&mut other);
    other.observe(StatusCode::OK, &HeaderMap::new());

    let mut attempts = challenged_twice(&api);
    attach(&mut other);
    {
        // It waits for the other, and whoever comes later waits for it.
        let mut parts = parts();
        let mut last = pin!(attempts.attach(&mut parts));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(last.as_mut().poll(&mut cx).is_pending());
        assert!(poll(api.begin().attach(&mut self::parts())).is_pending());
        other.observe(StatusCode::OK, &HeaderMap::new());
        assert!(last.as_mut().poll(&mut cx).is_ready());
        assert!(poll(api.begin().attach(&mut self::parts())).is_pending());
    }
    let step = attempts.observe(StatusCode::UNAUTHORIZED, &challenge("use_dpop_nonce", Some("3")));
    assert_eq!(step, NextStep::Done, "two retries are all");
    attach(&mut api.begin());
}

#[test]
fn a_cancelled_wait_does_not_block_later_requests() {
    let api = api();
    let mut other = api.begin();
    attach(&mut other);
    other.observe(StatusCode::OK, &HeaderMap::new());
    let mut attempts = challenged_twice(&api);
    attach(&mut other);
    assert!(poll(attempts.attach(&mut parts())).is_pending());
    attach(&mut api.begin());
}

#[test]
fn a_foreign_origin_is_refused_before_a_token_is_touched() {
    let mut parts = Request::get("https://evil.test/").body(()).unwrap().into_parts().0;
    let error = done(api().begin().attach(&mut parts)).unwrap_err();
    assert!(matches!(error, Error::ForeignOrigin { .. }));
    assert!(parts.headers.is_empty());
}

/// An API that asks for a nonce.
#[derive(Clone, Default)]
struct Api(Arc<Mutex<u32>>);

impl Service<Request<()>> for Api {
    type Response = Response<()>;
    type Error = Error;
    type Future = std::future::Ready<Result<Response<()>, Error>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let mut count = self.0.lock().unwrap();
        *count += 1;
        let mut answer = Response::new(());
        if *count == 1 {
            *answer.status_mut() = StatusCode::UNAUTHORIZED;
            *answer.headers_mut() = challenge("use_dpop_nonce", Some("n"));
        }
        std::future::ready(Ok(answer))
    }
}

#[test]
fn the_layer_needs_no_runtime() {
    let api = Api::default();
    let mut service =
        AuthorizeLayer::new(tokens(), "scanner", &Uri::from_static("https://api.test")).layer(api.clone());
    let answer = done(service.call(Request::get("https://api.test/").body(()).unwrap())).unwrap();
    assert_eq!((answer.status(), *api.0.lock().unwrap()), (StatusCode::OK, 2));
}
