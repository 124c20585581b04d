//! An HTTPS client with a timeout, a bound on bodies, and a client certificate.

mod failure;
pub(crate) mod identity;
mod roots;
mod route;
pub(crate) mod watch;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, uri::Scheme};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ConfigBuilder, RootCertStore, WantsVerifier};
use zastava_core::http_service::{BoxError, HttpService};
use zastava_core::pem;

pub(crate) use self::failure::failure;
use self::identity::{Certified, Identity};
use self::roots::Roots;
pub use self::route::ProxyOptions;
use self::route::Route;
use crate::error::Error;
use crate::small_file;
use crate::target_uri;

/// Shorter than servers usually wait, so that a request seldom meets a connection that was closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(15);
const IDLE_CONNECTIONS_MAX: usize = 32;
/// All authorities that browsers trust take about 300 KiB.
const PEM_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// In a request's extensions: the thumbprint of the certificate to present. Without it the newest is
/// presented.
#[derive(Clone, Debug)]
pub(crate) struct Certificate(pub(crate) Arc<str>);

type HttpsClient = Client<HttpsConnector<Route>, Full<Bytes>>;

/// How [`https`] connects.
#[derive(Clone, Debug)]
pub struct TransportOptions {
    /// PEM file of the authorities that servers are checked against. It is read again when it changes.
    /// `None`: the system's authorities, which are read once.
    pub ca_bundle_path: Option<PathBuf>,
    /// PEM files of the client certificate chain and its key, for servers that ask for one. Read
    /// again when they change.
    pub client_identity: Option<(PathBuf, PathBuf)>,
    /// How long a request may take, from the connection to the last byte of the answer.
    pub request_timeout: Duration,
    /// How long an answer's body may be.
    pub body_bytes_max: usize,
    /// A lab switch: `http` URLs are taken.
    pub allow_http: bool,
    /// A proxy on the way to the servers.
    pub proxy: Option<ProxyOptions>,
}

impl Default for TransportOptions {
    /// The system's authorities, no client certificate, 10 s, 1 MiB, `https` only, no proxy.
    fn default() -> Self {
        Self {
            ca_bundle_path: None,
            client_identity: None,
            request_timeout: Duration::from_secs(10),
            body_bytes_max: 1024 * 1024,
            allow_http: false,
            proxy: None,
        }
    }
}

/// An HTTP/1.1 client over TLS (rustls with aws-lc-rs, TLS 1.2 and 1.3).
///
/// Redirects are not followed: that could send a token to another origin. No part of a request is sent
/// twice: that would replay its proof. Errors are [`Error`] in a box.
///
/// # Errors
/// [`Error::File`], [`Error::Certificate`], [`Error::NoRoots`] or [`Error::Tls`].
pub fn https(options: &TransportOptions) -> Result<HttpService, Error> {
    let identity = options.client_identity.clone();
    let identity = identity.map(|(chain, key)| Identity::load(chain, key).map(Arc::new)).transpose()?;
    https_with(options, identity)
}

/// As [`https`], with a certificate that several clients share: all change it at the same time.
pub(crate) fn https_with(
    options: &TransportOptions,
    identity: Option<Arc<Identity>>,
) -> Result<HttpService, Error> {
    let tls = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::Tls(Arc::new(error)))?;
    let transport = Arc::new(Transport {
        tls,
        roots: Roots::load(options.ca_bundle_path.clone())?,
        identity,
        clients: Mutex::default(),
        request_timeout: options.request_timeout,
        body_bytes_max: options.body_bytes_max,
        allow_http: options.allow_http,
        proxy: options.proxy.clone(),
    });
    Ok(HttpService::new(tower::service_fn(move |request| {
        let transport = Arc::clone(&transport);
        async move { transport.send(request).await.map_err(BoxError::from) }
    })))
}

fn client(tls: ClientConfig, connect_timeout: Duration, proxy: Option<&ProxyOptions>) -> HttpsClient {
    let mut connector = HttpConnector::new();
    connector.enforce_http(false);
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(connect_timeout));
    let connector = HttpsConnectorBuilder::new()
        .with_tls_config(tls)
        .https_or_http()
        .enable_http1()
        .wrap_connector(Route::new(connector, proxy));
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(IDLE_CONNECTIONS_MAX)
        .build(connector)
}

/// Passed explicitly wherever it is needed: a library must not set the process's default.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// At least one certificate.
fn read_certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    let file = small_file::read_bytes(path, PEM_BYTES_MAX)?;
    let found = pem::certificates(&file).map_err(|fault| Error::certificate(path, fault))?;
    Ok(found.into_iter().map(CertificateDer::from).collect())
}

struct Transport {
    tls: ConfigBuilder<ClientConfig, WantsVerifier>,
    roots: Roots,
    identity: Option<Arc<Identity>>,
    /// A pool for each certificate in use, the newest first.
    clients: Mutex<Vec<Pool>>,
    request_timeout: Duration,
    body_bytes_max: usize,
    allow_http: bool,
    proxy: Option<ProxyOptions>,
}

/// Connections that began with the same authorities and certificate, and keep them. rustls resumes no
/// TLS session under other credentials. See
/// docs/design/authority.md#why-is-tls-session-resumption-on-where-a-client-certificate-is-used.
struct Pool {
    roots: Arc<RootCertStore>,
    certified: Option<Arc<Certified>>,
    client: HttpsClient,
}

impl Pool {
    fn has(&self, certified: Option<&Arc<Certified>>) -> bool {
        match (&self.certified, certified) {
            (Some(own), Some(wanted)) => Arc::ptr_eq(own, wanted),
            (own, wanted) => own.is_none() && wanted.is_none(),
        }
    }
}

impl Transport {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<Bytes>, Error> {
        let uri = request.uri().clone();
        let origin = target_uri::origin(&uri).unwrap_or_default();
        if !self.allow_http && request.uri().scheme() != Some(&Scheme::HTTPS) {
            return Err(Error::Insecure { origin });
        }
        match tokio::time::timeout(self.request_timeout, self.exchange(request, origin)).await {
            Ok(answer) => answer,
            Err(_) => Err(Error::Timeout { url: target_uri::shown(&uri), after: self.request_timeout }),
        }
    }

    async fn exchange(&self, request: Request<Bytes>, origin: String) -> Result<Response<Bytes>, Error> {
        let client = self.client_for(request.extensions().get());
        let answer = match client.request(request.map(Full::new)).await {
            Ok(answer) => answer,
            Err(error) => return Err(failure(origin, Arc::new(error))),
        };
        let (parts, body) = answer.into_parts();
        match Limited::new(body, self.body_bytes_max).collect().await {
            Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
            Err(error) if error.is::<LengthLimitError>() => {
                Err(Error::TooLong { origin, bytes_max: self.body_bytes_max })
            }
            Err(error) => Err(failure(origin, error.into())),
        }
    }

    fn client_for(&self, wanted: Option<&Certificate>) -> HttpsClient {
        let certified = self.identity.as_ref().map(|identity| {
            let known = wanted.and_then(|Certificate(thumbprint)| identity.find(thumbprint));
            known.unwrap_or_else(|| identity.current())
        });
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that a late caller does not bring former authorities back.
        let roots = self.roots.current();
        // An authority that was withdrawn is not trusted on open connections either.
        clients.retain(|pool| Arc::ptr_eq(&pool.roots, &roots));
        if let Some(pool) = clients.iter().find(|pool| pool.has(certified.as_ref())) {
            return pool.client.clone();
        }
        let client =
            client(self.tls_with(&roots, certified.as_ref()), self.request_timeout, self.proxy.as_ref());
        clients.insert(0, Pool { roots, certified, client: client.clone() });
        clients.truncate(identity::CERTIFICATES_MAX);
        client
    }

    fn tls_with(&self, roots: &Arc<RootCertStore>, certified: Option<&Arc<Certified>>) -> ClientConfig {
        let tls = self.tls.clone().with_root_certificates(Arc::clone(roots));
        match certified {
            Some(certified) => tls.with_client_cert_resolver(Arc::clone(certified) as _),
            None => tls.with_no_client_auth(),
        }
    }
}
