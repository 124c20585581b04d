//! Turns valid options into a token source, a Scanner client and telemetry, as both programs do at their start. The runbook calls this
//! `AddZastavaRuntimeCore(...)`.
//!
//! ```sh
//! cargo run --example embed_runtime
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::path::Path;

use zastava_authority::RuntimeCore;
use zastava_core::config::Configuration;
use zastava_core::contract::PolicyRequest;
use zastava_core::options::{BackendOptions, RuntimeOptions};
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    // Stands in for Authority and Scanner. A real service reads its own configuration.
    let directory = tempfile::tempdir()?;
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path())).await?;
    let config = Configuration::from_yaml(&sandbox.configuration("acme"), Path::new("zastava.yaml"));

    let ((options, backend), _) = config.read(|root| {
        root.skip("webhook");
        let runtime = RuntimeOptions::read(&root.section("runtime"));
        let observer = root.section("observer");
        Some((runtime?, BackendOptions::read(&observer.section("backend"))?))
    })?;
    let telemetry = Telemetry::new(&options, env!("CARGO_PKG_VERSION"), "unknown");
    let core = RuntimeCore::connect(&options, &backend, &telemetry)?;

    let image = format!("registry.sandbox.local/demo/signed@sha256:{}", "1".repeat(64));
    let request =
        PolicyRequest { namespace: Some("default".into()), images: vec![image], ..Default::default() };
    for (image, result) in core.scanner().policy(&request).await?.results {
        println!("{image}: {:?}, signed {:?}", result.policy_verdict, result.signed);
    }
    let token = core.tokens().token(&options.authority.audience).await?;
    println!("token for {}: DPoP {}, until {}", token.audience(), token.is_dpop(), token.expires_at());
    Ok(())
}
