//! Calls an API with reqwest, which is no tower service. `Authorizer` attaches token and proof to each attempt, and there is one
//! client for each client certificate, so that a renewed one is followed.
//!
//! ```sh
//! cargo run --example call_with_reqwest
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::collections::HashMap;
use std::error::Error;

use http::{Request, Uri, header};
use zastava_authority::{Authority, Authorizer, NextStep, TokenSource as _, Tokens, certificate_of};
use zastava_core::options::AuthorityOptions;
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// One reqwest client for each certificate. A token that is bound to a certificate goes over a connection with it.
struct Clients {
    authority: Authority,
    ca_bundle: Vec<u8>,
    by_thumbprint: HashMap<String, reqwest::Client>,
}

impl Clients {
    fn with_certificate(&mut self, thumbprint: Option<&str>) -> Outcome<reqwest::Client> {
        let identity =
            self.authority.client_identity(thumbprint).ok_or("the certificate is no longer known")?;
        if let Some(client) = self.by_thumbprint.get(identity.thumbprint()) {
            return Ok(client.clone());
        }
        let pem = identity.chain_pem() + identity.key_pem().expose();
        let client = reqwest::Client::builder()
            .tls_certs_only(reqwest::Certificate::from_pem_bundle(&self.ca_bundle)?)
            .identity(reqwest::Identity::from_pem(pem.as_bytes())?)
            // A retry or a redirect below the authorizer would send a proof a second time.
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .build()?;
        self.by_thumbprint.insert(identity.thumbprint().to_owned(), client.clone());
        Ok(client)
    }
}

async fn call(api: &Authorizer, clients: &mut Clients, url: &str, body: &str) -> Outcome<reqwest::Response> {
    let request = Request::post(url).header(header::CONTENT_TYPE, "application/json").body(())?;
    let (mut parts, ()) = request.into_parts();
    let mut attempts = api.begin();
    loop {
        attempts.attach(&mut parts).await?;
        let client = clients.with_certificate(certificate_of(&parts.extensions))?;
        let attempt = Request::from_parts(parts.clone(), body.to_owned());
        let answer = client.execute(attempt.try_into()?).await?;
        if attempts.observe(answer.status(), answer.headers()) == NextStep::Done {
            return Ok(answer);
        }
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
    let ca_bundle = std::fs::read(sandbox.ca_bundle())?;
    let mut clients = Clients { authority: authority.clone(), ca_bundle, by_thumbprint: HashMap::new() };
    let origin: Uri = sandbox.scanner_url();
    let api = Authorizer::new(Tokens::new(authority.clone()), "scanner", &origin);

    let url = format!("{origin}api/v1/scanner/policy/runtime");
    let body = format!(r#"{{"images":["registry.sandbox.local/demo/signed@sha256:{}"]}}"#, "1".repeat(64));
    let answer = call(&api, &mut clients, &url, &body).await?;
    println!("{} {}", answer.status(), answer.text().await?);

    // The certificate is renewed: the next token and the next client use the new one.
    let (chain, key) = sandbox.issue_client_certificate("zastava-runtime");
    std::fs::write(&files.client_key, key.expose())?;
    std::fs::write(&files.client_certificate, chain)?;
    authority.reload();
    authority.invalidate("scanner");
    let answer = call(&api, &mut clients, &url, &body).await?;
    println!("{} over {} certificates", answer.status(), clients.by_thumbprint.len());
    assert!(answer.status().is_success() && clients.by_thumbprint.len() == 2);
    Ok(())
}
