//! The keys that the chart makes, in the hands of the programs that get them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use zastava_admission::WebhookOptions;
use zastava_authority::{DpopKey, RuntimeCore};
use zastava_core::config::{Configuration, Origin};
use zastava_core::contract::{PolicyRequest, PolicyVerdict};
use zastava_core::telemetry::Telemetry;
use zastava_sandbox::{Sandbox, SandboxOptions, ServerIdentity};

use crate::chart::{Chart, Rendered, sandbox};

/// The Secret as a pod sees it.
pub(crate) fn mount(rendered: &Rendered, name: &str, folder: &Path) -> PathBuf {
    let path = folder.join(name);
    std::fs::create_dir(&path).expect("is made");
    let data = rendered.object("Secret", name)["data"].as_object().expect("has data").clone();
    for key in data.keys() {
        std::fs::write(path.join(key), rendered.secret(name, key)).expect("writes");
    }
    path
}

/// The configuration as rendered, with this machine's paths and ports.
fn configured(
    rendered: &Rendered,
    mounts: &[PathBuf; 2],
    scratch: &Path,
    sandbox: &Sandbox,
) -> WebhookOptions {
    let text = rendered.configuration("zastava-webhook");
    let mut config = Configuration::from_yaml(&text, Path::new("zastava.yaml"));
    let file = |mount: &Path, name: &str| mount.join(name).display().to_string();
    let [mtls, dpop] = mounts;
    for (key, value) in [
        ("runtime.authority.issuer", sandbox.issuer().to_string().trim_end_matches('/').to_owned()),
        ("runtime.authority.clientCertificatePath", file(mtls, "tls.crt")),
        ("runtime.authority.clientKeyPath", file(mtls, "tls.key")),
        ("runtime.authority.caBundlePath", file(mtls, "ca.crt")),
        ("runtime.authority.dpopKeyPath", file(dpop, "dpop.key")),
        ("runtime.authority.cacheDir", scratch.display().to_string()),
        ("webhook.backend.baseAddress", sandbox.scanner_url().to_string()),
        ("webhook.backend.caBundlePath", file(mtls, "ca.crt")),
    ] {
        config.set(&format!("zastava.{key}"), &value, &Origin::Flag("test".to_owned()));
    }
    config.read(WebhookOptions::read).unwrap_or_else(|faults| panic!("{faults}")).0
}

#[tokio::test]
async fn keys_that_helm_makes_get_a_token_and_a_verdict_from_the_sandbox() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[sandbox()]);
    let folder = tempfile::tempdir().expect("has a place for files");
    let server = mount(&rendered, "zastava-sandbox-tls", folder.path());
    let mounts = ["zastava-authority-mtls", "zastava-authority-dpop"]
        .map(|name| mount(&rendered, name, folder.path()));
    DpopKey::from_file(&mounts[1].join("dpop.key")).expect("is a P-256 key");

    let mut options = SandboxOptions::new(folder.path().join("sandbox"));
    options.host = Some("localhost".to_owned());
    options.server_identity = Some(ServerIdentity {
        certificate: server.join("tls.crt"),
        key: server.join("tls.key"),
        ca_bundle: server.join("ca.crt"),
    });
    let sandbox = Sandbox::start(options).await.expect("serves with what Helm made");
    let options = configured(&rendered, &mounts, &folder.path().join("optok"), &sandbox);
    let core =
        RuntimeCore::connect(&options.runtime, &options.backend, &Telemetry::detached()).expect("connects");
    let image = format!("registry.sandbox.local/demo/signed@sha256:{}", "1".repeat(64));
    let question = PolicyRequest { images: vec![image.clone()], ..PolicyRequest::default() };
    let answer = core.scanner().policy(&question).await.expect("gets through");
    let verdict = answer.result(&image, None).and_then(|result| result.policy_verdict);
    assert_eq!(verdict, Some(PolicyVerdict::Pass));
    assert_eq!(sandbox.counts().tokens_issued, 1);
}

#[test]
fn the_generated_certificate_is_the_service_s_and_api_servers_are_told_of_its_authority() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[sandbox()]);
    let secret = |key| rendered.secret("zastava-webhook-tls", key);
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let chain: Vec<_> = certificates(&secret("tls.crt"));
    let key = PrivateKeyDer::from_pem_slice(secret("tls.key").as_bytes()).expect("is a key");
    CertifiedKey::from_der(chain.clone(), key, &provider).expect("the key is the certificate's");

    let mut roots = RootCertStore::empty();
    for root in certificates(&secret("ca.crt")) {
        roots.add(root).expect("is a root");
    }
    let verifier =
        WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().expect("is built");
    for name in ["zastava-webhook.stellaops.svc", "zastava-webhook.stellaops.svc.cluster.local"] {
        let name = ServerName::try_from(name).expect("is a name");
        verifier.verify_server_cert(&chain[0], &[], &name, &[], UnixTime::now()).expect("holds");
    }
    let other = ServerName::try_from("zastava-webhook.other.svc").expect("is a name");
    verifier.verify_server_cert(&chain[0], &[], &other, &[], UnixTime::now()).expect_err("another namespace");

    let registered = &rendered.object("ValidatingWebhookConfiguration", "zastava-webhook")["webhooks"][0];
    let data = &rendered.object("Secret", "zastava-webhook-tls")["data"];
    assert_eq!(registered["clientConfig"]["caBundle"], data["ca.crt"]);
}

fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map(|found| found.expect("is a certificate")).collect()
}
