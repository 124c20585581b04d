//! gRPC over HTTP/2 on a Unix socket, as far as one request and its answers need it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::{BufMut as _, Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::UnixListener;
use tokio::task::JoinSet;
use tonic::Code;

use super::calls::{Answer, Calls};

/// Flag and length in front of each message.
const PREFIX_BYTES: usize = 5;

pub(crate) type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Serves until it is aborted, which also cuts all connections.
pub(super) async fn serve(listener: UnixListener, calls: Arc<Calls>) {
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await.expect("the socket accepts");
        let calls = Arc::clone(&calls);
        let service = service_fn(move |request| answer(Arc::clone(&calls), request));
        let http = http2::Builder::new(TokioExecutor::new());
        connections.spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

async fn answer(calls: Arc<Calls>, request: Request<Incoming>) -> Result<Response<Body>, hyper::Error> {
    let path = request.uri().path().to_owned();
    let message = request.into_body().collect().await?.to_bytes();
    let message = message.get(PREFIX_BYTES..).unwrap_or_default();
    Ok(respond(calls.answer(&path, message).await))
}

pub(crate) fn respond(answer: Answer) -> Response<Body> {
    let (messages, code) = match answer {
        Answer::Message(message) => (stream::iter([message]).boxed(), Code::Ok),
        Answer::Failed(code) => (stream::empty().boxed(), code),
        Answer::Stream(receiver) => {
            let next = |mut receiver: tokio::sync::mpsc::UnboundedReceiver<Bytes>| async {
                Some((receiver.recv().await?, receiver))
            };
            (stream::unfold(receiver, next).boxed(), Code::Ok)
        }
    };
    let status = stream::iter([Frame::trailers(status(code))]);
    let frames = messages.map(|message| Frame::data(framed(&message))).chain(status);
    let body = StreamBody::new(frames.map(Ok)).boxed_unsync();
    Response::builder().header("content-type", "application/grpc").body(body).expect("is a response")
}

fn framed(message: &[u8]) -> Bytes {
    let mut framed = BytesMut::with_capacity(PREFIX_BYTES + message.len());
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).expect("a short message"));
    framed.put_slice(message);
    framed.freeze()
}

fn status(code: Code) -> HeaderMap {
    HeaderMap::from_iter([("grpc-status".parse().expect("a name"), HeaderValue::from(i32::from(code)))])
}
