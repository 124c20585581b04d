//! The status page on loopback.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use zastava_core::program::Shutdown;

use crate::plane::Plane;

/// Serves until the shutdown begins. Returns the address.
pub(crate) async fn serve(
    listen: SocketAddr,
    plane: Plane,
    shutdown: Shutdown,
) -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        loop {
            let stream = tokio::select! {
                Ok((stream, _)) = listener.accept() => stream,
                () = shutdown.begun() => return,
            };
            let plane = plane.clone();
            tokio::spawn(async move {
                let answer = hyper::service::service_fn(|request: Request<Incoming>| {
                    let response = respond(request.uri().path(), &plane);
                    async { Ok::<_, Infallible>(response) }
                });
                // A browser may close the connection at any time.
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), answer)
                    .await;
            });
        }
    });
    Ok(address)
}

fn respond(path: &str, plane: &Plane) -> Response<Full<Bytes>> {
    let (status, kind, body) = match path {
        "/" => (StatusCode::OK, "text/html; charset=utf-8", plane.snapshot().html()),
        "/metrics" => (StatusCode::OK, "text/plain; charset=utf-8", plane.metrics()),
        _ => {
            (StatusCode::NOT_FOUND, "text/plain; charset=utf-8", "the pages are / and /metrics\n".to_owned())
        }
    };
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
    response
}
