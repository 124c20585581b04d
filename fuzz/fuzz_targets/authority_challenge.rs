//! Answers of a resource server from foreign bytes: no panic, no more than the allowed attempts, and
//! what was learned goes out again as one well-formed proof.
#![no_main]

use std::pin::pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use libfuzzer_sys::fuzz_target;
use zastava_authority::{Authorizer, DpopKey, Error, NextStep, OpTok, TokenFuture, TokenSource, Tokens};
use zastava_core::clock::Timestamp;
use zastava_core::secret::Secret;

/// One token for ever.
#[derive(Debug)]
struct One(Arc<OpTok>);

impl TokenSource for One {
    fn token<'a>(&'a self, _: &'a str) -> TokenFuture<'a> {
        let token = Arc::clone(&self.0);
        Box::pin(async { Ok(token) })
    }

    fn reject(&self, _: &OpTok) {}

    fn invalidate(&self, _: &str) -> usize {
        0
    }
}

static KEY: LazyLock<Arc<DpopKey>> = LazyLock::new(|| Arc::new(DpopKey::generate()));

fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("nobody else is on the way"),
    }
}

fuzz_target!(|data: &[u8]| {
    let secret = Secret::new("abc".to_owned());
    let token = OpTok::new(secret, "a", Timestamp::UNIX_EPOCH, 1, Some(Arc::clone(&KEY))).expect("a token");
    let api = Authorizer::new(Tokens::new(One(Arc::new(token))), "a", &Uri::from_static("https://api.test"));
    let mut request = api.begin();
    let mut parts = Request::get("https://api.test/x").body(()).expect("a request").into_parts().0;
    // Each answer is a line for each header, and ends with an empty line.
    let mut attempts = 0;
    for answer in data.split(|byte| *byte == 0) {
        match ready(request.attach(&mut parts)) {
            Ok(()) => attempts += 1,
            // The only token was refused.
            Err(Error::Rejected { .. }) => break,
            Err(error) => panic!("{error}"),
        }
        assert_eq!(parts.headers.get_all("dpop").iter().count(), 1);
        let (status, lines) = answer.split_first().map_or((1, answer), |(first, rest)| (*first, rest));
        let status = if status % 2 == 0 { StatusCode::BAD_REQUEST } else { StatusCode::UNAUTHORIZED };
        let mut headers = HeaderMap::new();
        for (line, name) in lines.split(|byte| *byte == b'\n').zip([
            "www-authenticate",
            "dpop-nonce",
            "date",
            "www-authenticate",
        ]) {
            if let Ok(value) = HeaderValue::from_bytes(line) {
                headers.append(HeaderName::from_static(name), value);
            }
        }
        if request.observe(status, &headers) == NextStep::Done {
            break;
        }
    }
    // One, two nonces, a token, a clock.
    assert!(attempts <= 5, "{attempts}");
});
