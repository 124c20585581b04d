//! The configuration that a sandbox hands to the observer and the webhook.

use std::path::Path;

use crate::files::Files;
use crate::options::CLIENT_ID;
use crate::platform::Platform;

pub(crate) fn yaml(platform: &Platform, files: &Files, ca_bundle: &Path, tenant: &str) -> String {
    let path = |path: &Path| quoted(&path.to_string_lossy());
    let below = |name: &str| path(&platform.options.directory.join(name));
    let (tenant, issuer, scanner) = (quoted(tenant), quoted(&platform.issuer), quoted(&platform.scanner_url));
    let client_id = quoted(CLIENT_ID);
    let ca_bundle = path(ca_bundle);
    // The webhook's certificate stays one of the sandbox's own authority.
    let webhook_ca_bundle = path(&files.ca_bundle);
    format!(
        r#"# Written by zastava-sandbox: both programs work with it as it stands.
zastava:
  runtime:
    tenant: {tenant}
    environment: "sandbox"
    deployment: "sandbox"
    authority:
      issuer: {issuer}
      clientId: {client_id}
      audience: "scanner"
      caBundlePath: {ca_bundle}
      clientCertificatePath: {client_certificate}
      clientKeyPath: {client_key}
      dpopKeyPath: {dpop_key}
      cacheDir: {cache}
  observer:
    eventBufferPath: {events}
    deadLetter:
      path: {dead_letter}
    backend:
      baseAddress: {scanner}
      caBundlePath: {ca_bundle}
    health:
      listen: "127.0.0.1:9101"
  webhook:
    listen: "127.0.0.1:8443"
    tls:
      certificatePath: {webhook_certificate}
      privateKeyPath: {webhook_key}
      caBundlePath: {webhook_ca_bundle}
    backend:
      baseAddress: {scanner}
      caBundlePath: {ca_bundle}
    health:
      listen: "127.0.0.1:9102"
"#,
        client_certificate = path(&files.client_certificate),
        client_key = path(&files.client_key),
        dpop_key = path(&files.dpop_key),
        cache = below("optok"),
        events = below("runtime-events"),
        dead_letter = below("dead-letter.jsonl"),
        webhook_certificate = path(&files.webhook_certificate),
        webhook_key = path(&files.webhook_key),
    )
}

/// A double-quoted YAML scalar. JSON's strings are among them (YAML 1.2 section 1.3).
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
