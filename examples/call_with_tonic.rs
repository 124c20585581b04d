//! Calls a gRPC service through a tonic channel. Its bodies cannot be cloned, so the layer for streams records what it sends, and
//! sends it again when the server asks for a nonce.
//!
//! ```sh
//! cargo run --example call_with_tonic
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::convert::Infallible;
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::transport::Channel;
use tonic_prost::ProstCodec;
use tower::ServiceBuilder;
use zastava_authority::verify::{Confirmation, Denial, ReceivedRequest, Verifier, VerifierOptions};
use zastava_authority::{
    AuthorizeStreamsLayer, Authorizer, DpopKey, OpTok, ReplayBody, TokenFuture, TokenSource, Tokens,
};
use zastava_core::clock::Timestamp;
use zastava_core::secret::Secret;

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

const TOKEN: &str = "a-token";
/// Longer requests are sent once, and their answer is final.
const RECORDED_BYTES_MAX: usize = 1024 * 1024;

/// A token from somewhere; a real service takes an `Authority`.
#[derive(Debug)]
struct Fixed(Arc<DpopKey>);

impl TokenSource for Fixed {
    fn token<'a>(&'a self, audience: &'a str) -> TokenFuture<'a> {
        let expires_at = Timestamp::now().saturating_add(Duration::from_secs(60));
        let token = OpTok::new(Secret::new(TOKEN.into()), audience, expires_at, 1, Some(Arc::clone(&self.0)));
        Box::pin(async { token.map(Arc::new) })
    }
    fn reject(&self, _: &OpTok) {}
    fn invalidate(&self, _: &str) -> usize {
        0
    }
}

/// A gRPC server that returns each message to clients with a good proof.
struct Echo {
    verifier: Verifier,
    key_thumbprint: String,
    origin: String,
    refused: AtomicU32,
}

impl Echo {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<http_body_util::combinators::BoxBody<Bytes, Infallible>>, Infallible> {
        let (parts, body) = request.into_parts();
        let uri: Uri = format!("{}{}", self.origin, parts.uri.path()).parse().unwrap_or_default();
        let received = ReceivedRequest {
            method: &parts.method,
            uri: &uri,
            headers: &parts.headers,
            client_certificate: None,
        };
        let now = Timestamp::now();
        let checked = self.verifier.authorize(&received, now, |token| {
            let key = Some(self.key_thumbprint.clone());
            if token == TOKEN {
                Ok((Confirmation { key, certificate: None }, ()))
            } else {
                Err(Denial::Token)
            }
        });
        let mut answer = match checked {
            Ok(()) => {
                let message = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                let trailers =
                    HeaderMap::from_iter([(header::HeaderName::from_static("grpc-status"), 0.into())]);
                let answer = Full::new(message).with_trailers(async { Some(Ok(trailers)) });
                Response::builder().header(header::CONTENT_TYPE, "application/grpc").body(answer.boxed())
            }
            Err(denial) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let challenge = denial.challenge_for(&parts.headers);
                let answer =
                    Response::builder().status(denial.status()).header(header::WWW_AUTHENTICATE, challenge);
                answer.body(Full::default().boxed())
            }
        }
        .unwrap_or_default();
        self.verifier.set_nonce(answer.headers_mut(), now);
        Ok(answer)
    }
}

async fn serve(listener: TcpListener, echo: Arc<Echo>) {
    while let Ok((stream, _)) = listener.accept().await {
        let echo = Arc::clone(&echo);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| Arc::clone(&echo).answer(request));
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let _ = server.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let key = Arc::new(DpopKey::generate());
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let origin = format!("http://{}", listener.local_addr()?);
    let echo = Arc::new(Echo {
        verifier: Verifier::new(VerifierOptions::default()),
        key_thumbprint: key.thumbprint().to_owned(),
        origin: origin.clone(),
        refused: AtomicU32::new(0),
    });
    tokio::spawn(serve(listener, Arc::clone(&echo)));

    let origin: Uri = origin.parse()?;
    let authorizer = Authorizer::new(Tokens::new(Fixed(key)), "echo", &origin);
    let channel = Channel::builder(origin.clone()).connect().await?;
    let channel = ServiceBuilder::new()
        .layer(AuthorizeStreamsLayer::new(authorizer, RECORDED_BYTES_MAX))
        .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::new))
        .service(channel);
    // Generated clients have `with_origin` as well: a token is attached to requests with an absolute URI only.
    let mut client = Grpc::with_origin(channel, origin);
    for word in ["first", "second"] {
        client.ready().await.map_err(|error| format!("not ready: {error}"))?;
        let codec = ProstCodec::<String, String>::default();
        let request = tonic::Request::new(word.to_owned());
        let answer = client.unary(request, "/echo.Echo/Say".parse()?, codec).await?;
        println!("{} ({} attempts refused so far)", answer.get_ref(), echo.refused.load(Ordering::Relaxed));
        assert_eq!(answer.get_ref(), word);
    }
    // Only the first attempt of all had no nonce.
    assert_eq!(echo.refused.load(Ordering::Relaxed), 1);
    Ok(())
}
