//! What the program prints when it is ready: where everything is, and which commands to type next.

use std::path::Path;

use zastava_sandbox::Sandbox;

pub(crate) fn text(sandbox: &Sandbox, configuration: &Path) -> String {
    let files = sandbox.files();
    let (issuer, scanner) = (sandbox.issuer().to_string(), sandbox.scanner_url().to_string());
    let (issuer, scanner) = (issuer.trim_end_matches('/'), scanner.trim_end_matches('/'));
    let directory = files.ca_bundle.parent().unwrap_or_else(|| Path::new("/")).display();
    let (configuration, ca_bundle) = (shell(configuration), shell(sandbox.ca_bundle()));
    format!(
        r#"Authority      {issuer}
Scanner        {scanner}
Certificates   {directory}
Configuration  {configuration}

Start either program, or both:
  zastava-observer --config {configuration}
  zastava-webhook --config {configuration}

Watch what arrives:
  curl --cacert {ca_bundle} {scanner}/sandbox/status
  curl --cacert {ca_bundle} {scanner}/sandbox/events

Let Scanner fail three times, forget faults, void every nonce:
  curl --cacert {ca_bundle} -X PUT --data '[{{"route":"events","kind":"status","status":503,"times":3}}]' {scanner}/sandbox/faults
  curl --cacert {ca_bundle} -X DELETE {scanner}/sandbox/faults
  curl --cacert {ca_bundle} -X POST {scanner}/sandbox/rotate-nonces

Close Authority, or Scanner, for a minute:
  curl --cacert {ca_bundle} -X POST '{scanner}/sandbox/authority/offline?seconds=60'
  curl --cacert {ca_bundle} -X POST '{scanner}/sandbox/scanner/offline?seconds=60'

Ready. SIGINT (Ctrl-C) or SIGTERM ends it.
"#
    )
}

/// A path for a shell, quoted only if necessary.
fn shell(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}
