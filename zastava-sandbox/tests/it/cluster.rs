//! What a sandbox needs in a cluster: another name, certificates of others, controls over the
//! network.

use std::path::Path;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_RSA_SHA256,
};
use tokio::net::TcpStream;
use zastava_sandbox::{Error, Sandbox, SandboxOptions, ServerIdentity};

use crate::client::{Bench, EVENTS, SCOPES, batch, connector, event, form, send, shows};

#[tokio::test]
async fn the_host_stands_in_urls_proofs_and_certificates() {
    let bench = Bench::with(|options| options.host = Some("localhost".to_owned())).await;
    for url in [bench.sandbox.issuer(), bench.sandbox.scanner_url()] {
        assert_eq!(url.host(), Some("localhost"));
    }
    bench.post(EVENTS, batch(&[event("a")])).await.expect("answers");
    assert_eq!(bench.sandbox.accepted().len(), 1);

    let bench = Bench::with(|options| options.host = Some("sandbox.stellaops.svc".to_owned())).await;
    let port = bench.sandbox.issuer().port_u16().expect("has a port");
    let tls = connector(&bench.sandbox.files().ca_bundle, None);
    shows(&tls, "sandbox.stellaops.svc", port).await.expect("the name is in the certificate");
    shows(&tls, "localhost", port).await.expect("as before");
    shows(&tls, "another.stellaops.svc", port).await.expect_err("another name");

    for host in ["a b", "https://a", "a/b", "", "a:1", "u@a"] {
        let mut options = SandboxOptions::new(bench.sandbox.files().ca_bundle.with_file_name("other"));
        options.host = Some(host.to_owned());
        let refused = Sandbox::start(options).await.expect_err("is no host");
        assert!(matches!(refused, Error::Host { .. }), "{host:?}: {refused:?}");
    }
}

/// An authority that signs a server and a client, and whose key is then forgotten.
struct Elsewhere {
    identity: ServerIdentity,
    client: (String, String),
}

impl Elsewhere {
    /// With the RSA keys that most tools make.
    fn write(directory: &Path) -> Self {
        let rsa = || KeyPair::generate_for(&PKCS_RSA_SHA256).expect("is made");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = rsa();
        let ca = params.self_signed(&key).expect("is signed");
        let issuer = Issuer::new(params, key);
        let issue = |name: &str| {
            let mut params = CertificateParams::new([name.to_owned()]).expect("is a name");
            params.extended_key_usages =
                vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
            let key = rsa();
            (params.signed_by(&key, &issuer).expect("is signed").pem(), key.serialize_pem())
        };
        let write = |name: &str, text: &str| {
            std::fs::write(directory.join(name), text).expect("writes");
            directory.join(name)
        };
        let (certificate, key) = issue("localhost");
        let identity = ServerIdentity {
            certificate: write("given.pem", &certificate),
            key: write("given.key.pem", &key),
            ca_bundle: write("given-ca.pem", &ca.pem()),
        };
        Self { identity, client: issue("zastava-runtime") }
    }
}

#[tokio::test]
async fn given_certificates_serve_and_their_authority_is_trusted_for_clients() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let elsewhere = Elsewhere::write(directory.path());
    let mut options = SandboxOptions::new(directory.path().join("sandbox"));
    options.host = Some("localhost".to_owned());
    options.server_identity = Some(elsewhere.identity.clone());
    let sandbox = Sandbox::start(options).await.expect("starts");
    assert_eq!(sandbox.ca_bundle(), elsewhere.identity.ca_bundle);
    let named = format!("caBundlePath: \"{}\"", elsewhere.identity.ca_bundle.display());
    assert_eq!(sandbox.configuration("acme").matches(&named).count(), 3, "Authority and Scanner twice");

    let uri: http::Uri = format!("{}token", sandbox.issuer()).parse().expect("is a URI");
    let ask = async |identity: Option<(&str, &str)>| {
        let request = Request::post(uri.clone())
            .header("content-type", "application/x-www-form-urlencoded")
            .body(Bytes::from(form(SCOPES)))
            .expect("is a request");
        let tls = connector(&elsewhere.identity.ca_bundle, identity);
        send(&tls, request).await.expect("answers").json()["error"].clone()
    };
    let known = "invalid_dpop_proof";
    let theirs = ask(Some((&elsewhere.client.0, &elsewhere.client.1))).await;
    assert_eq!(theirs, known, "the client is known; what is missing is a proof");
    let (own, key) = sandbox.issue_client_certificate("zastava-runtime");
    assert_eq!(ask(Some((&own, key.expose()))).await, known, "the sandbox's own are good still");
    assert_eq!(ask(None).await, "invalid_client");
    shows(&connector(&sandbox.files().ca_bundle, None), "localhost", uri.port_u16().expect("has a port"))
        .await
        .expect_err("the sandbox's own authority has not signed what is shown");
}

#[tokio::test]
async fn given_files_that_cannot_serve_are_named() {
    let directory = tempfile::tempdir().expect("has a place for files");
    let good = Elsewhere::write(directory.path()).identity;
    let missing = directory.path().join("missing.pem");
    let (empty, other) = (directory.path().join("empty.pem"), directory.path().join("other"));
    std::fs::write(&empty, "").expect("writes");
    std::fs::create_dir(&other).expect("is made");
    let stranger = Elsewhere::write(&other).identity;
    let cases = [
        ("file", ServerIdentity { certificate: missing.clone(), ..good.clone() }),
        ("file", ServerIdentity { ca_bundle: missing, ..good.clone() }),
        ("tls", ServerIdentity { ca_bundle: empty.clone(), ..good.clone() }),
        ("tls", ServerIdentity { certificate: empty, ..good.clone() }),
        ("tls", ServerIdentity { key: stranger.key, ..good }),
    ];
    for (expected, identity) in cases {
        let mut options = SandboxOptions::new(directory.path().join("sandbox"));
        options.server_identity = Some(identity.clone());
        let found = match Sandbox::start(options).await.expect_err("cannot serve") {
            Error::File { .. } => "file",
            Error::Tls { .. } => "tls",
            other => panic!("{other:?}"),
        };
        assert_eq!(found, expected, "{identity:?}");
    }
}

async fn control(bench: &Bench, path: &str) -> StatusCode {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::POST;
    *request.uri_mut() = bench.scanner_uri(path);
    bench.send(request).await.expect("answers").status
}

async fn accepts(url: &http::Uri) -> bool {
    let (host, port) = (url.host().expect("has a host"), url.port_u16().expect("has a port"));
    TcpStream::connect((host, port)).await.is_ok()
}

/// Nothing tells when a listener closes or opens, but a connection.
async fn until(url: &http::Uri, accepted: bool) {
    while accepts(url).await != accepted {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn an_outage_asked_for_over_the_network_ends_by_itself() {
    let bench = Bench::new().await;
    bench.post(EVENTS, batch(&[event("a")])).await.expect("answers");
    let (issuer, scanner) = (bench.sandbox.issuer(), bench.sandbox.scanner_url());
    assert_eq!(control(&bench, "/sandbox/authority/offline?seconds=1").await, StatusCode::ACCEPTED);
    until(&issuer, false).await;
    assert!(accepts(&scanner).await, "the other goes on");
    until(&issuer, true).await;
    bench.token(SCOPES).await;

    assert_eq!(control(&bench, "/sandbox/scanner/offline?seconds=1").await, StatusCode::ACCEPTED);
    until(&scanner, false).await;
    until(&scanner, true).await;
    let answer = bench.post(EVENTS, batch(&[event("a")])).await.expect("answers");
    assert_eq!(answer.json()["duplicates"], 1, "nothing is forgotten");
}

#[tokio::test]
async fn outages_without_a_good_length_are_refused() {
    let bench = Bench::new().await;
    for query in ["", "?seconds=0", "?seconds=3601", "?seconds=", "?seconds=1s", "?minutes=1"] {
        let path = format!("/sandbox/authority/offline{query}");
        assert_eq!(control(&bench, &path).await, StatusCode::BAD_REQUEST, "{query}");
    }
    let answer = bench.get(&bench.scanner_uri("/sandbox/scanner/offline?seconds=1").to_string()).await;
    assert_eq!((answer.status, answer.header("allow")), (StatusCode::METHOD_NOT_ALLOWED, "POST"));
    bench.token(SCOPES).await;
}
