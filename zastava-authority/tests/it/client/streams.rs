//! Bodies that cannot be cloned, between a scripted API and a source of tokens.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Uri};
use http_body_util::BodyExt as _;
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::{AuthorizeStreamsLayer, Authorizer, ReplayBody};
use zastava_core::http_service::BoxError;

use super::support::{Server, status, tokens, with_header};

/// A body that can be read once, in two frames, like those of tonic.
struct Once(Vec<Bytes>);

impl http_body::Body for Once {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<http_body::Frame<Bytes>, Self::Error>>> {
        std::task::Poll::Ready(self.0.pop().map(|data| Ok(http_body::Frame::data(data))))
    }
}

/// How often an API sees a request whose body it reads up to `frames` frames before it demands a nonce, and
/// what it sees at last.
async fn stream(frames: usize, bytes_max: usize) -> (u16, Vec<String>) {
    let authority = Server::issuing(120);
    let origin = Uri::from_static("https://api.test");
    let authorizer = Authorizer::new(tokens(&authority, &[]), "scanner", &origin);
    let seen = Arc::new(Mutex::new(Vec::new()));
    let log = Arc::clone(&seen);
    let api = tower::service_fn(move |request: Request<ReplayBody<Once>>| {
        let log = Arc::clone(&log);
        async move {
            let (parts, mut body) = request.into_parts();
            let is_first = log.lock().unwrap().is_empty();
            let mut text = String::new();
            for _ in 0..if is_first { frames } else { usize::MAX } {
                let Some(frame) = body.frame().await else { break };
                text += str::from_utf8(&frame.unwrap().into_data().unwrap()).unwrap();
            }
            log.lock().unwrap().push(text);
            assert!(parts.headers.contains_key("dpop"));
            let mut answer = if is_first {
                with_header(status(401), "www-authenticate", r#"DPoP error="use_dpop_nonce""#)
            } else {
                status(200)
            };
            answer.headers_mut().insert("dpop-nonce", "n".parse().unwrap());
            Ok::<_, BoxError>(answer)
        }
    });
    let layer = AuthorizeStreamsLayer::new(authorizer, bytes_max);
    let body = Once(["three", "two", "one"].map(|text| Bytes::from_static(text.as_bytes())).into());
    let request = Request::post("https://api.test/echo").body(body).unwrap();
    let answer = layer.layer(api).oneshot(request).await.unwrap();
    let seen = seen.lock().unwrap().clone();
    (answer.status().as_u16(), seen)
}

#[tokio::test(start_paused = true)]
async fn a_body_that_cannot_be_cloned_is_sent_again_whole() {
    let whole = "onetwothree".to_owned();
    for (frames, first) in [(0, ""), (1, "one"), (2, "onetwo"), (9, "onetwothree")] {
        assert_eq!(stream(frames, 1024).await, (200, vec![first.to_owned(), whole.clone()]));
    }
    // The bound is on what was sent before the refusal.
    assert_eq!(stream(1, 3).await, (200, vec!["one".to_owned(), whole]));
    assert_eq!(stream(2, 5).await, (401, vec!["onetwo".to_owned()]));
}
