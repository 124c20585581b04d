use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, Uri, header};
use serde_json::{Value, json};
use std::time::Duration;
use zastava_authority::DpopKey;
use zastava_core::secret::Secret;

use crate::client::{Answer, Bench, SCOPES, connector, form, send};

#[track_caller]
fn check_refused(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.json()["error"].as_str()), (status, Some(code)), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store");
}

fn claims(token: &str) -> Value {
    use base64::Engine as _;
    let part = token.split('.').nth(1).expect("has claims");
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(part).expect("is base64url");
    serde_json::from_slice(&bytes).expect("is JSON")
}

#[tokio::test]
async fn a_token_is_issued_after_the_nonce_was_demanded() {
    let bench = Bench::new().await;
    let proof = bench.proof(&bench.token_uri(), None, None);
    let first = bench.send(bench.token_request(&form(SCOPES), Some(&proof))).await.expect("answers");
    check_refused(&first, 400, "use_dpop_nonce");

    let proof = bench.proof(&bench.token_uri(), None, Some(&first.nonce()));
    let second = bench.send(bench.token_request(&form(SCOPES), Some(&proof))).await.expect("answers");
    assert_eq!(second.status, StatusCode::OK, "{second:?}");
    assert_eq!(second.header("cache-control"), "no-store");
    let answer = second.json();
    assert_eq!((&answer["token_type"], &answer["expires_in"]), (&json!("DPoP"), &json!(120)));
    assert_eq!(answer["scope"], "api:scanner.runtime.write aud:scanner");

    let claims = claims(answer["access_token"].as_str().expect("has a token"));
    assert_eq!(claims["iss"], bench.sandbox.issuer().to_string().trim_end_matches('/'));
    assert_eq!((&claims["aud"], &claims["sub"]), (&json!("scanner"), &json!("zastava-runtime")));
    assert_eq!(claims["cnf"]["jkt"], bench.key.thumbprint());
    assert_eq!(claims["exp"].as_i64().expect("ends") - claims["iat"].as_i64().expect("begins"), 120);
    assert!(claims["jti"].as_str().is_some_and(|jti| jti.len() >= 22));

    let counts = bench.sandbox.counts();
    assert_eq!((counts.token_requests, counts.tokens_issued), (2, 1));
    assert_eq!((counts.nonce_challenges, counts.proofs_refused), (1, 0));
}

#[tokio::test]
async fn metadata_names_the_issuer_and_where_tokens_and_keys_are() {
    let bench = Bench::new().await;
    let issuer = bench.sandbox.issuer().to_string();
    for path in [".well-known/openid-configuration", ".well-known/oauth-authorization-server"] {
        let metadata = bench.get(&format!("{issuer}{path}")).await.json();
        assert_eq!(metadata["issuer"], issuer.trim_end_matches('/'));
        assert_eq!(metadata["token_endpoint"], format!("{issuer}token"));
        assert_eq!(metadata["token_endpoint_auth_methods_supported"], json!(["tls_client_auth"]));
        let keys = bench.get(metadata["jwks_uri"].as_str().expect("is text")).await.json();
        assert_eq!((&keys["keys"][0]["kty"], &keys["keys"][0]["alg"]), (&json!("EC"), &json!("ES256")));
        assert!(keys["keys"][0].get("d").is_none(), "the private key stays here");
    }
    assert_eq!(bench.get(&format!("{issuer}token")).await.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(bench.get(&format!("{issuer}else")).await.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_client_without_its_certificate_is_refused() {
    let bench = Bench::new().await;
    let proof = bench.proof(&bench.token_uri(), None, None);
    let request = || bench.token_request(&form(SCOPES), Some(&proof));
    check_refused(&bench.send_without_certificate(request()).await, 401, "invalid_client");

    let ca_bundle = &bench.sandbox.files().ca_bundle;
    let (chain, key) = bench.sandbox.issue_client_certificate("somebody-else");
    let other = connector(ca_bundle, Some((&chain, key.expose())));
    check_refused(&send(&other, request()).await.expect("answers"), 401, "invalid_client");

    // A new certificate for the same client is as good as the first.
    let (chain, key) = bench.sandbox.issue_client_certificate("zastava-runtime");
    let renewed = connector(ca_bundle, Some((&chain, key.expose())));
    check_refused(&send(&renewed, request()).await.expect("answers"), 400, "use_dpop_nonce");

    // A serving certificate does not open the connection at all.
    let (chain, key) = bench.sandbox.issue_server_certificate(&["zastava-runtime"]);
    let serving = connector(ca_bundle, Some((&chain, key.expose())));
    send(&serving, request()).await.expect_err("the handshake fails");
    assert_eq!(bench.sandbox.counts().tokens_issued, 0);
}

#[tokio::test]
async fn requests_that_are_not_to_the_letter_are_refused() {
    let bench = Bench::new().await;
    let right = form(SCOPES);
    let rows = [
        (right.replace("client_id=zastava-runtime", "client_id=other"), 401, "invalid_client"),
        (right.replace("&client_id=zastava-runtime", ""), 401, "invalid_client"),
        (right.replace("client_credentials", "password"), 400, "unsupported_grant_type"),
        (right.replace("grant_type=client_credentials&", ""), 400, "invalid_request"),
        (format!("{right}&grant_type=client_credentials"), 400, "invalid_request"),
        (format!("{right}&broken=%zz"), 400, "invalid_request"),
        (form("aud:scanner admin"), 400, "invalid_scope"),
        (form(""), 400, "invalid_scope"),
        (form("api:scanner.runtime.write"), 400, "invalid_target"),
        (form("aud:scanner aud:attestor"), 400, "invalid_target"),
        (format!("{right}&audience=attestor"), 400, "invalid_target"),
        (format!("{}&audience=unknown", form("api:scanner.runtime.write")), 400, "invalid_target"),
        (format!("{right}&resource=https://elsewhere.example"), 400, "invalid_target"),
        (format!("{right}&padding={}", "x".repeat(20_000)), 413, "invalid_request"),
    ];
    for (form, status, code) in rows {
        check_refused(&bench.ask_token(&form).await, status, code);
    }
    let answer = bench.ask_token(&format!("{right}&audience=scanner")).await;
    assert_eq!(answer.status, StatusCode::OK, "the audience may be named twice over");
    assert_eq!(bench.sandbox.counts().tokens_issued, 1);

    let mut request = bench.token_request(&right, None);
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    check_refused(&bench.send(request).await.expect("answers"), 400, "invalid_request");
}

#[tokio::test]
async fn proofs_that_are_not_for_this_request_are_refused() {
    let bench = Bench::new().await;
    let (uri, key) = (bench.token_uri(), &bench.key);
    let nonce = bench.authority_nonce().await;
    let elsewhere: Uri = bench.scanner_uri("/token");
    let good = bench.proof(&uri, None, Some(&nonce));
    let rows = [
        (None, "invalid_dpop_proof"),
        (Some("not.a.proof".to_owned()), "invalid_dpop_proof"),
        (Some(tampered(&good)), "invalid_dpop_proof"),
        (Some(bench.proof_by(key, &Method::GET, &uri, None, Some(&nonce))), "invalid_dpop_proof"),
        (Some(bench.proof_by(key, &Method::POST, &elsewhere, None, Some(&nonce))), "invalid_dpop_proof"),
        (Some(bench.proof(&uri, None, Some("made-up"))), "use_dpop_nonce"),
    ];
    for (proof, code) in &rows {
        let request = bench.token_request(&form(SCOPES), proof.as_deref());
        check_refused(&bench.send(request).await.expect("answers"), 400, code);
    }

    let mut twice = bench.token_request(&form(SCOPES), Some(&good));
    twice.headers_mut().append("dpop", HeaderValue::from_str(&good).expect("is a value"));
    check_refused(&bench.send(twice).await.expect("answers"), 400, "invalid_dpop_proof");

    let request = || bench.token_request(&form(SCOPES), Some(&good));
    assert_eq!(bench.send(request()).await.expect("answers").status, StatusCode::OK, "was not spent yet");
    check_refused(&bench.send(request()).await.expect("answers"), 400, "invalid_dpop_proof");
}

#[tokio::test]
async fn stale_nonces_are_refused_by_age_and_by_rotation() {
    let bench = Bench::new().await;
    let uri = bench.token_uri();
    let nonce = bench.authority_nonce().await;
    bench.clock.advance(Duration::from_secs(400));
    let aged = bench.proof(&uri, None, Some(&nonce));
    let answer = bench.send(bench.token_request(&form(SCOPES), Some(&aged))).await.expect("answers");
    check_refused(&answer, 400, "use_dpop_nonce");

    let nonce = answer.nonce();
    bench.sandbox.rotate_nonces();
    let rotated = bench.proof(&uri, None, Some(&nonce));
    let answer = bench.send(bench.token_request(&form(SCOPES), Some(&rotated))).await.expect("answers");
    check_refused(&answer, 400, "use_dpop_nonce");
    assert_ne!(answer.nonce(), nonce);
    bench.token(SCOPES).await;
}

#[tokio::test]
async fn a_secret_serves_only_where_one_is_set() {
    let basic = |bench: &Bench, credentials: &str, nonce: Option<&str>| {
        use base64::Engine as _;
        let proof = bench.proof(&bench.token_uri(), None, nonce);
        let mut request: Request<Bytes> = bench.token_request(&form(SCOPES), Some(&proof));
        let value = base64::engine::general_purpose::STANDARD.encode(credentials);
        let value = HeaderValue::from_str(&format!("Basic {value}")).expect("is a value");
        request.headers_mut().insert(header::AUTHORIZATION, value);
        request
    };
    let bench = Bench::new().await;
    let answer = bench.send(basic(&bench, "zastava-runtime:s", None)).await.expect("answers");
    check_refused(&answer, 401, "invalid_client");
    assert!(answer.header("www-authenticate").starts_with("Basic "));

    let bench = Bench::with(|options| options.client_secret = Some(Secret::new("s p:%".to_owned()))).await;
    for wrong in ["zastava-runtime:other", "other:s+p:%25", "zastava-runtime", "zastava-runtime:s+p:%"] {
        let answer = bench.send_without_certificate(basic(&bench, wrong, None)).await;
        check_refused(&answer, 401, "invalid_client");
    }
    let right = "zastava-runtime:s+p%3A%25";
    let challenge = bench.send_without_certificate(basic(&bench, right, None)).await;
    check_refused(&challenge, 400, "use_dpop_nonce");
    let nonce = challenge.nonce();
    let answer = bench.send_without_certificate(basic(&bench, right, Some(&nonce))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn tokens_are_bound_to_the_key_of_their_proof() {
    let bench = Bench::new().await;
    let (other, nonce) = (DpopKey::generate(), bench.authority_nonce().await);
    let proof = bench.proof_by(&other, &Method::POST, &bench.token_uri(), None, Some(&nonce));
    let answer = bench.send(bench.token_request(&form(SCOPES), Some(&proof))).await.expect("answers");
    let token = answer.json()["access_token"].as_str().expect("has a token").to_owned();
    assert_eq!(claims(&token)["cnf"]["jkt"], other.thumbprint());
}

/// The same proof with another signature.
fn tampered(proof: &str) -> String {
    let (signed, signature) = proof.rsplit_once('.').expect("has a signature");
    let first = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{signed}.{first}{}", &signature[1..])
}
