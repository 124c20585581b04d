//! No certificate, key or configuration file is quoted, however it is broken: at the start, at a swap, and as
//! the configuration itself.

use std::path::Path;
use std::process::Command;

use zastava_admission::{App, WebhookOptions};
use zastava_core::config::Configuration;
use zastava_core::pem;
use zastava_core::program::Health;
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions};

use super::acceptance::{NAME, authority, check, issued, write};
use super::installation::Process;
use super::scanner::FakeScanner;
use super::web::{SecretVolume, self_signed};

/// Parts of a secret this long must not be printed.
const WINDOW: usize = 12;

/// Files in which a private key was put wrong.
fn broken(chain: &str, key: &str) -> Vec<(&'static str, Vec<u8>)> {
    let one_line = |text: &str| text.replace('\n', "");
    let body =
        one_line(key).replace("-----BEGIN PRIVATE KEY-----", "").replace("-----END PRIVATE KEY-----", "");
    let texts = [
        ("key", key.to_owned()),
        ("key in one line", one_line(key)),
        ("key and chain in one line", one_line(&format!("{key}{chain}"))),
        ("escaped line ends", key.replace('\n', "\\n")),
        ("no armour", body.clone()),
        ("a word in the key", key.replace("\nM", "\nM no base64 ")),
        ("half of a key", key[..key.len() / 2].to_owned()),
        ("encrypted", key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY")),
        ("manifest", format!("apiVersion: v1\nkind: Secret\ndata:\n  tls.key: {body}\n")),
        ("JWK", format!(r#"{{"kty":"EC","crv":"P-256","d":"{body}"}}"#)),
        ("list", format!("[{body}]")),
        ("keys of YAML", format!("{body}: {body}\n{body}: {body}\n")),
        ("half of YAML", format!("zastava:\n  runtime: {{tenant: \"{body}\n")),
    ];
    let mut files: Vec<_> = texts.map(|(name, text)| (name, text.into_bytes())).into();
    files.push(("DER", pem::private_key(key.as_bytes()).unwrap().der().to_vec()));
    files
}

/// Whether a part of the key is in the text: its base64, or its bytes as numbers.
fn shows(text: &str, key: &str) -> bool {
    let lines = key.lines().filter(|line| !line.starts_with('-'));
    let is_shown =
        |line: &str| line.as_bytes().windows(WINDOW).any(|part| text.contains(str::from_utf8(part).unwrap()));
    let numbers = |bytes: &[u8]| bytes.iter().map(u8::to_string).collect::<Vec<_>>().join(", ");
    let der = pem::private_key(key.as_bytes()).unwrap();
    lines.clone().any(is_shown)
        || lines.flat_map(|line| line.as_bytes().chunks_exact(6)).any(|part| text.contains(&numbers(part)))
        || der.der().chunks_exact(6).any(|part| text.contains(&numbers(part)))
}

fn chain_of(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(|error| format!("{error} {error:?} {error:#?}\n")).collect()
}

fn options(directory: &Path) -> WebhookOptions {
    let yaml = format!(
        "zastava:
  runtime: {{tenant: acme, authority: {{issuer: 'https://authority.example', requireMutualTls: false}}}}
  webhook:
    listen: 127.0.0.1:0
    tls: {{certificatePath: {0}/tls.crt, privateKeyPath: {0}/tls.key, caBundlePath: {0}/ca.crt}}
    backend: {{baseAddress: 'https://scanner.example'}}
",
        directory.display()
    );
    let config = Configuration::from_yaml(&yaml, Path::new("test.yaml"));
    config.read(WebhookOptions::read).unwrap_or_else(|faults| panic!("{faults}")).0
}

#[tokio::test]
async fn no_file_is_quoted_at_the_start_and_the_wrong_one_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = self_signed();
    for (name, wrong) in [("tls.crt", "it holds a private key and no certificate"), ("tls.key", "")] {
        for (kind, bytes) in broken(&chain, &key) {
            std::fs::write(directory.path().join("tls.crt"), &chain).unwrap();
            std::fs::write(directory.path().join("tls.key"), &key).unwrap();
            std::fs::write(directory.path().join(name), &bytes).unwrap();
            let (telemetry, health) = (Telemetry::detached(), Health::new());
            let app =
                App::with_source(options(directory.path()), FakeScanner::demo(), &telemetry, &health, |_| {});
            let Err(error) = app.await else { continue };
            let printed = chain_of(&error);
            assert!(!shows(&printed, &key), "{name}, {kind}: {printed}");
            assert!(printed.contains(name), "{name}, {kind}: {printed}");
            assert!(kind != "key" || printed.contains(wrong), "{printed}");
        }
    }
}

#[tokio::test]
async fn no_file_is_quoted_when_it_is_swapped() {
    let directory = tempfile::tempdir().unwrap();
    let sandbox = Sandbox::start(SandboxOptions::new(directory.path().join("sandbox"))).await.unwrap();
    let (chain, secret) = sandbox.issue_server_certificate(&["localhost"]);
    let key = secret.expose().to_owned();
    let mut volume = SecretVolume::new(directory.path(), &chain, &key);
    let bundle = directory.path().join("ca.crt");
    std::fs::copy(&sandbox.files().ca_bundle, &bundle).unwrap();
    let path = |name: &str| format!("{}/{name}", volume.directory.display());
    let settings = [
        "--set=zastava.webhook.listen=127.0.0.1:0".to_owned(),
        "--set=zastava.webhook.health.listen=127.0.0.1:0".to_owned(),
        "--set=zastava.webhook.tls.pollInterval=50ms".to_owned(),
        format!("--set=zastava.webhook.tls.caBundlePath={}", bundle.display()),
        format!("--set=zastava.webhook.tls.certificatePath={}", path("tls.crt")),
        format!("--set=zastava.webhook.tls.privateKeyPath={}", path("tls.key")),
    ];
    let settings: Vec<_> = settings.iter().map(String::as_str).collect();
    let mut webhook = Process::start(&sandbox.write_configuration("acme").unwrap(), &settings);
    webhook.said("serving certificate taken").await;
    for (kind, bytes) in broken(&chain, &key) {
        let Ok(text) = String::from_utf8(bytes) else { continue };
        // The chain in one line behind the key is a chain.
        if pem::certificates(text.as_bytes()).is_ok() {
            continue;
        }
        // Each state of the source is logged once, so a good one comes between.
        let (chain, key_of_it) = sandbox.issue_server_certificate(&["localhost"]);
        volume.swap(&chain, key_of_it.expose());
        webhook.said("serving certificate taken").await;
        volume.swap(&text, &key);
        let refused = webhook.said("serving certificate not taken; the old one stays").await.to_string();
        assert!(!shows(&refused, &key) && refused.contains("tls.crt"), "{kind}: {refused}");
    }
    let good = std::fs::read(&bundle).unwrap();
    for (kind, bytes) in broken(&chain, &key) {
        std::fs::write(&bundle, &bytes).unwrap();
        let message =
            "API servers refuse the serving certificate; the webhook is not ready until it is replaced";
        let refused = webhook.said(message).await.to_string();
        assert!(!shows(&refused, &key), "{kind}: {refused}");
        std::fs::write(&bundle, &good).unwrap();
        webhook.said("API servers accept the serving certificate again").await;
    }
}

#[test]
fn a_key_that_is_given_as_the_configuration_is_not_quoted() {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = self_signed();
    let path = directory.path().join("zastava.yaml");
    for (kind, bytes) in broken(&chain, &key) {
        std::fs::write(&path, &bytes).unwrap();
        let ran = Command::new(env!("CARGO_BIN_EXE_zastava-webhook"))
            .args(["config", "check", "--config"])
            .arg(&path)
            .output()
            .unwrap();
        let printed =
            format!("{}{}", String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
        assert_eq!(ran.status.code(), Some(78), "{kind}: {printed}");
        assert!(printed.contains("zastava.yaml") && !shows(&printed, &key), "{kind}: {printed}");
    }
}

/// A CA file from which no certificate comes, and what is said of it.
#[test]
fn a_ca_file_without_a_certificate_is_named_with_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let ca = authority();
    let good = issued(&ca, &[NAME], |_| ());
    let on_one_line = ca.pem.replace('\n', "");
    let cut = ca.pem.replace("-----END CERTIFICATE-----", "");
    let no_certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (bundle, words) in [
        ("", "it is empty"),
        ("not yet", "PEM is required"),
        (&good.key(), "it holds a private key and no certificate"),
        (&on_one_line, ""),
        (&cut, "has no END line"),
        (no_certificate, "what it holds is none of X.509"),
    ] {
        write(folder.path(), &good.pem, &good.key(), bundle);
        let (accepted, said) = check(folder.path());
        let place = format!("the CA bundle {}/ca.crt holds no certificate: ", folder.path().display());
        assert!(!accepted && said.contains(&place) && said.contains(words), "{bundle}: {said}");
        assert!(!said.contains("no certificate of the CA bundle signed it"), "{said}");
    }
    // As API servers do, it leaves out what cannot be read beside what can.
    write(folder.path(), &good.pem, &good.key(), &format!("{no_certificate}{}", ca.pem));
    let (accepted, said) = check(folder.path());
    assert!(accepted, "{said}");
}
