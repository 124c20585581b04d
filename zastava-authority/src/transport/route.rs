//! The way to a server: straight, or through a proxy.

use std::pin::Pin;
use std::task::{Context, Poll};

use http::Uri;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tower::Service;
use zastava_core::http_service::BoxError;

/// A proxy on the way to servers.
///
/// Every connection is a tunnel (RFC 9110 section 9.3.6, `CONNECT`): the proxy learns host and port, and sees nothing of what is
/// sent to an `https` URL. The variables `HTTPS_PROXY` and `NO_PROXY` are not read.
#[derive(Clone, Debug)]
#[expect(clippy::exhaustive_structs, reason = "the two things that a proxy's user says")]
pub struct ProxyOptions {
    /// `http://host:port`
    pub address: Uri,
    /// What is reached without it: hosts, domains with all their hosts (`.example`), addresses and networks
    /// (`10.0.0.0/8`), or `*`.
    pub except: Vec<String>,
}

/// Connects to a server or to the proxy before it.
#[derive(Clone)]
pub(super) struct Route {
    direct: HttpConnector,
    proxy: Option<(Uri, std::sync::Arc<Matcher>)>,
}

impl Route {
    pub(super) fn new(direct: HttpConnector, options: Option<&ProxyOptions>) -> Self {
        let proxy = options.map(|ProxyOptions { address, except }| {
            let matcher = Matcher::builder().all(address.to_string()).no(except.join(",")).build();
            (address.clone(), std::sync::Arc::new(matcher))
        });
        Self { direct, proxy }
    }
}

impl Service<Uri> for Route {
    type Response = TokioIo<TcpStream>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.direct.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        match &self.proxy {
            Some((address, matcher)) if matcher.intercept(&target).is_some() => {
                let tunnel = Tunnel::new(address.clone(), self.direct.clone()).call(with_port(target));
                Box::pin(async { Ok(tunnel.await?) })
            }
            _ => {
                let connected = self.direct.call(target);
                Box::pin(async { Ok(connected.await?) })
            }
        }
    }
}

/// The tunnel takes every target without a port for one of `https`.
fn with_port(target: Uri) -> Uri {
    let Some(authority) = target.authority().filter(|authority| authority.port().is_none()) else {
        return target;
    };
    let port = if target.scheme_str() == Some("http") { 80 } else { 443 };
    let named = format!("{authority}:{port}").parse();
    let mut parts = target.clone().into_parts();
    parts.authority = named.ok();
    Uri::from_parts(parts).unwrap_or(target)
}
