//! Calls an API that demands DPoP-bound tokens: a layer over any tower HTTP client does the rest.
//!
//! ```sh
//! cargo run --example call_api
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, header};
use tower::{Layer as _, Service as _};
use zastava_authority::{Authority, AuthorizeLayer, DpopKey, Tokens, TransportOptions, https};
use zastava_core::config::Config;
use zastava_core::options::{AuthorityOptions, RuntimeOptions};
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    // An OAuth server and an API to talk to; a real service has its own, and its own file.
    let directory = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
    let options = authority_options(&sandbox)?;

    // The key that tokens are bound to, and the certificate that names the client.
    let key = Arc::new(DpopKey::from_file(&sandbox.files().dpop_key)?);
    let http = https(&TransportOptions {
        ca_bundle_path: options.ca_bundle_path.clone(),
        client_identity: options.client_certificate_path.clone().zip(options.client_key_path.clone()),
        ..TransportOptions::default()
    })?;
    // Tokens on demand: requested once, kept fresh, bound to the key.
    let tokens = Tokens::new(Authority::new(&options, http.clone(), key.clone(), &Telemetry::detached()));
    // A client that attaches a token and a new proof to every attempt.
    let mut api = AuthorizeLayer::new(tokens, key, "scanner", &sandbox.scanner_url()).layer(http);

    let url = format!("{}api/v1/scanner/policy/runtime", sandbox.scanner_url());
    for _ in 0..2 {
        let body = Bytes::from_static(br#"{"images":["registry.sandbox.local/demo/signed:1"]}"#);
        let request = Request::post(&url).header(header::CONTENT_TYPE, "application/json").body(body)?;
        let answer = api.call(request).await?;
        println!("{} {}", answer.status(), String::from_utf8_lossy(answer.body()));
    }
    println!("tokens issued: {}", sandbox.counts().tokens_issued);
    Ok(())
}

/// Where tokens come from, out of the sandbox's own configuration.
fn authority_options(sandbox: &Sandbox) -> Result<AuthorityOptions, Box<dyn Error + Send + Sync>> {
    let config = Config::from_yaml(&sandbox.configuration("acme"), Path::new("zastava.yaml"));
    let (options, _) = config.read(|root| {
        root.skip("observer");
        root.skip("webhook");
        RuntimeOptions::read(&root.section("runtime"))
    })?;
    Ok(options.authority)
}
