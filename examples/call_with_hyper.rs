//! Calls an API through the layer over a hyper client of one's own, which presents the certificate that each token needs.
//!
//! ```sh
//! cargo run --example call_with_hyper
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::{Authority, AuthorizeLayer, ClientIdentity, Tokens, certificate_of};
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;
type HyperClient = Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// One hyper client for each certificate, since a connection keeps the one that it began with.
struct Clients {
    authority: Authority,
    roots: Arc<RootCertStore>,
    by_thumbprint: Mutex<HashMap<String, HyperClient>>,
}

impl Clients {
    async fn send(&self, request: Request<Full<Bytes>>) -> Outcome<Response<Incoming>> {
        let client = self.with_certificate(certificate_of(request.extensions()))?;
        Ok(client.request(request).await?)
    }

    fn with_certificate(&self, thumbprint: Option<&str>) -> Outcome<HyperClient> {
        let identity =
            self.authority.client_identity(thumbprint).ok_or("the certificate is no longer known")?;
        let mut known = self.by_thumbprint.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = known.get(identity.thumbprint()) {
            return Ok(client.clone());
        }
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(self.tls(&identity)?).https_only().enable_http1();
        // A request is not sent again below the layer: that would replay its proof.
        let client =
            Client::builder(TokioExecutor::new()).retry_canceled_requests(false).build(connector.build());
        known.insert(identity.thumbprint().to_owned(), client.clone());
        Ok(client)
    }

    fn tls(&self, identity: &ClientIdentity) -> Outcome<ClientConfig> {
        let chain = identity.chain_pem();
        let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(identity.key_pem().expose().as_bytes())?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(tls.with_root_certificates(Arc::clone(&self.roots)).with_client_auth_cert(chain, key)?)
    }
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // Stands in for the OAuth server and the API.
    let directory = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
    let files = sandbox.files();
    let options = AuthorityOptions::builder(sandbox.issuer())
        .client_certificate(&files.client_certificate, &files.client_key)
        .dpop_key(&files.dpop_key)
        .ca_bundle(sandbox.ca_bundle())
        .cache_dir(directory.path().join("optok"))
        .build()?;
    let authority = Authority::connect(&options, &Telemetry::detached())?;
    let mut roots = RootCertStore::empty();
    for root in CertificateDer::pem_file_iter(sandbox.ca_bundle())? {
        roots.add(root?)?;
    }
    let clients = Arc::new(Clients {
        authority: authority.clone(),
        roots: roots.into(),
        by_thumbprint: Mutex::default(),
    });
    let hyper = tower::service_fn(move |request| {
        let clients = Arc::clone(&clients);
        async move { clients.send(request).await }
    });
    let origin: Uri = sandbox.scanner_url();
    let api = AuthorizeLayer::new(Tokens::new(authority), "scanner", &origin).layer(hyper);

    let image = format!("registry.sandbox.local/demo/signed@sha256:{}", "1".repeat(64));
    let request = Request::post(format!("{origin}api/v1/scanner/policy/runtime"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(format!(r#"{{"images":["{image}"]}}"#)))?;
    let answer = api.oneshot(request).await?;
    let status = answer.status();
    println!("{status} {}", String::from_utf8_lossy(&answer.into_body().collect().await?.to_bytes()));
    assert!(status.is_success());
    Ok(())
}
