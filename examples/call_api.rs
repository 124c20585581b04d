//! Calls an API that demands DPoP-bound tokens. A layer over a tower HTTP client attaches token and proof.
//!
//! ```sh
//! cargo run --example call_api
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::path::Path;

use bytes::Bytes;
use http::{Request, Response, Uri, header};
use tower::{Layer as _, Service as _};
use zastava_authority::{Authority, AuthorizeLayer, Tokens, TransportOptions};
use zastava_core::config::Configuration;
use zastava_core::options::{AuthorityOptions, RuntimeOptions};
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

type Outcome<T> = Result<T, Box<dyn Error + Send + Sync>>;

/// All that a service needs: a token source, an HTTP client that shares its certificate, and the layer.
async fn call_twice(options: &AuthorityOptions, api: &Uri) -> Outcome<Vec<Response<Bytes>>> {
    let authority = Authority::connect(options, &Telemetry::detached())?;
    let ca_bundle_path = options.ca_bundle_path.clone();
    let http = authority.https(&TransportOptions { ca_bundle_path, ..TransportOptions::default() })?;
    let mut client = AuthorizeLayer::new(Tokens::new(authority), "scanner", api).layer(http);

    let mut answers = Vec::new();
    for name in ["signed", "unsigned"] {
        let body = format!(r#"{{"images":["registry.sandbox.local/demo/{name}@{DIGEST}"]}}"#);
        let request = Request::post(format!("{api}api/v1/scanner/policy/runtime"));
        let request = request.header(header::CONTENT_TYPE, "application/json").body(body.into())?;
        answers.push(client.call(request).await?);
    }
    Ok(answers)
}

#[tokio::main]
async fn main() -> Outcome<()> {
    // Stands in for the OAuth server and the API. A real service reads its own configuration.
    let directory = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
    for answer in call_twice(&authority_options(&sandbox)?, &sandbox.scanner_url()).await? {
        println!("{} {}", answer.status(), String::from_utf8_lossy(answer.body()));
    }
    println!("tokens issued: {}", sandbox.counts().tokens_issued);
    Ok(())
}

/// Authority's settings, from the configuration that the sandbox offers.
fn authority_options(sandbox: &Sandbox) -> Outcome<AuthorityOptions> {
    let config = Configuration::from_yaml(&sandbox.configuration("acme"), Path::new("zastava.yaml"));
    let (options, _) = config.read(|root| {
        root.skip("observer");
        root.skip("webhook");
        RuntimeOptions::read(&root.section("runtime"))
    })?;
    Ok(options.authority)
}
