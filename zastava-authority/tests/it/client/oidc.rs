//! Against a certified server; see [`Provider`].

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderName, Method};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use zastava_authority::verify::{ReceivedProof, Verifier, VerifierOptions};
use zastava_authority::{Error, Tokens};
use zastava_core::clock::Timestamp;

use super::provider::Provider;

#[tokio::test(flavor = "multi_thread")]
async fn every_way_of_authentication_gets_a_token_that_the_api_takes() {
    let Some(provider) = Provider::start(json!({})) else { return };
    // The client, what its token is bound to, and the requests that it takes: Authority demands a
    // nonce of every first proof, and takes an assertion once.
    let rows = [
        ("secret", Some("jkt"), 2),
        ("assertion", Some("jkt"), 2),
        ("pki-dpop", Some("jkt"), 2),
        ("pki", Some("x5t#S256"), 1),
        ("self-signed", Some("x5t#S256"), 1),
        ("bearer", None, 1),
    ];
    for (client, binding, requests) in rows {
        let before = provider.count("token");
        let authority = provider.authority(client, &[]);
        let answer = provider.call(&provider.api(&authority)).await;
        assert_eq!(answer.status(), 200, "{client}: {:?}", answer.body());
        let body: Value = serde_json::from_slice(answer.body()).unwrap();
        assert_eq!((&body["client"], &body["scope"]), (&json!(client), &json!("events.write")));
        let token = Tokens::new(authority).token(&provider.resource).await.unwrap();
        let expected = match binding {
            Some("jkt") => json!({"jkt": token.thumbprint().unwrap()}),
            Some(x5t) => json!({x5t: token.certificate_thumbprint().unwrap()}),
            None => Value::Null,
        };
        assert_eq!(body["cnf"], expected, "{client}");
        assert_eq!(provider.count("token") - before, requests, "{client}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_carry_the_oauth_code_of_authority() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let wrong = provider.pki.dir.path().join("wrong");
    std::fs::write(&wrong, "wrong").unwrap();
    let wrong = wrong.to_str().unwrap();
    let key = provider.pki.dir.path().join("other-key.pem");
    std::fs::write(&key, zastava_authority::DpopKey::generate_pem().expose()).unwrap();
    let key = key.to_str().unwrap();
    let own = |name: &str| provider.pki.dir.path().join(name).to_str().unwrap().to_owned();
    let (own_chain, own_key) = (own("self-signed.pem"), own("self-signed-key.pem"));
    let rows = [
        ("secret", vec![("clientSecretPath", wrong)], "invalid_client"),
        ("nobody", vec![], "invalid_client"),
        ("assertion", vec![("clientAssertionKeyPath", key)], "invalid_client"),
        // A certificate of nobody, where one of the authority's is registered.
        (
            "pki",
            vec![("clientCertificatePath", own_chain.as_str()), ("clientKeyPath", &own_key)],
            "invalid_client",
        ),
        // No proof where one is required.
        ("secret", vec![("requireDpop", "false")], "invalid_grant"),
        // Bound to a key and a certificate at the same time.
        ("pki", vec![("requireDpop", "true")], "invalid_request"),
    ];
    for (client, settings, expected) in rows {
        let error = provider.failure(&provider.authority(client, &settings)).await;
        assert_eq!(error.oauth_code(), Some(expected), "{client} {settings:?}: {error:?}");
    }
    let tokens = Tokens::new(provider.authority("secret", &[]));
    let error = tokens.token("https://elsewhere.test/").await.unwrap_err();
    assert_eq!(error.oauth_code(), Some("invalid_target"));
    let issuer = format!("{}/", provider.issuer.replace("localhost", "LOCALHOST"));
    let error = provider.failure(&provider.authority("secret", &[("issuer", &issuer)])).await;
    assert!(matches!(error, Error::Issuer { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn faults_of_authority_are_distinguished_and_recovered_from() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let authority = provider.authority("bearer", &[("requestTimeoutSeconds", "1")]);
    let tokens = Tokens::new(authority.clone());
    let rows = [
        (json!({"status": 503}), "authority answered 503 Service Unavailable at TOKEN for client \"bearer\""),
        (
            json!({"status": 200, "body": "<html>", "headers": {"content-type": "text/html"}}),
            "the answer of TOKEN is malformed: it holds no token",
        ),
        (json!({"delayMs": 3000}), "TOKEN did not answer within 1s"),
        (
            json!({"replace": {"token_type": "DPoP"}}),
            "authority issued a token of type \"DPoP\" where Bearer is required",
        ),
    ];
    for (fault, expected) in rows {
        provider.faults(json!([fault]));
        // Asks at once, whatever failed before.
        tokens.invalidate(&provider.resource);
        let shown = provider.failure(&authority).await.to_string();
        assert_eq!(shown.replace(&format!("{}/token", provider.issuer), "TOKEN"), expected);
    }
    provider.faults(json!([{"status": 429, "headers": {"retry-after": "40"}}]));
    tokens.invalidate(&provider.resource);
    let error = provider.failure(&authority).await;
    assert_eq!(error.retry_after(), Some(Duration::from_secs(40)));

    provider.faults(json!([{"remove": "expires_in"}]));
    tokens.invalidate(&provider.resource);
    let token = tokens.token(&provider.resource).await.unwrap();
    let life = token.expires_at().saturating_since(Timestamp::now());
    assert!(life > Duration::from_secs(110) && life <= Duration::from_secs(120), "{life:?}");

    // The answer to the second request, which has the nonce, is what is changed.
    provider.faults(json!([{}, {"replace": {"token_type": "Bearer"}}]));
    let error = provider.failure(&provider.authority("secret", &[])).await;
    assert!(matches!(&error, Error::TokenType { expected: "DPoP", found } if found == "Bearer"), "{error:?}");
}

/// A nonce is good for a tenth to a fifth of a second, so the machine must have nothing else to do.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the machine for itself: `cargo test -p stellaops-zastava-authority --all-features -- --ignored`"]
async fn nonces_that_rotate_each_100_ms_lose_no_request_of_500() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let authority = provider.authority("secret", &[]);
    let api = provider.api(&authority);
    provider.say(&json!({"do": "rotate", "everyMs": 100}));
    let mut callers = JoinSet::new();
    let provider = Arc::new(provider);
    for _ in 0..50 {
        let (provider, api) = (Arc::clone(&provider), api.clone());
        callers.spawn(async move {
            let mut failed = 0;
            for _ in 0..10 {
                failed += u32::from(provider.call(&api).await.status() != 200);
            }
            failed
        });
    }
    let failed: u32 = callers.join_all().await.into_iter().sum();
    println!("500 requests, {} of them challenged, {failed} failed", provider.count("challenged"));
    assert_eq!(failed, 0);
    assert_eq!(provider.count("token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_cold_callers_learn_the_nonce_from_one_request() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let api = provider.api(&provider.authority("secret", &[]));
    let provider = Arc::new(provider);
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let (provider, api) = (Arc::clone(&provider), api.clone());
        callers.spawn(async move { provider.call(&api).await.status() });
    }
    assert!(callers.join_all().await.iter().all(|status| *status == 200));
    assert_eq!((provider.count("api"), provider.count("token")), (101, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_that_authority_forgot_cost_one_request() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let tokens = Tokens::new(provider.authority("assertion", &[]));
    tokens.token(&provider.resource).await.unwrap();
    provider.say(&json!({"do": "newNonceSecret"}));
    let before = provider.count("token");
    tokens.invalidate(&provider.resource);
    tokens.token(&provider.resource).await.unwrap();
    assert_eq!(provider.count("token") - before, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn proofs_of_another_library_are_taken() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let verifier = Verifier::new(VerifierOptions::default());
    let now = Timestamp::now();
    let (htu, token) = ("https://api.test/v1/events", "a-token");
    let made = provider.say(&json!({
        "do": "proof", "htu": htu, "htm": "POST", "nonce": verifier.nonce(now), "accessToken": token,
    }));
    let proof = made["proof"].as_str().unwrap().parse().unwrap();
    let headers = HeaderMap::from_iter([(HeaderName::from_static("dpop"), proof)]);
    let received = ReceivedProof {
        method: &Method::POST,
        uri: &htu.parse().unwrap(),
        headers: &headers,
        access_token: Some(token),
        thumbprint: made["jkt"].as_str(),
    };
    verifier.verify(&received, Timestamp::now()).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_renewed_certificate_takes_over_under_load_without_a_failure() {
    let Some(provider) = Provider::start(json!({})) else { return };
    let authority = provider.authority("pki", &[]);
    let api = provider.api(&authority);
    let tokens = Tokens::new(authority.clone());
    let first = tokens.token(&provider.resource).await.unwrap();
    let provider = Arc::new(provider);

    let mut calls = JoinSet::new();
    let (mut sent, mut sent_after) = (0, 0);
    // About 200 a second. Half of them are sent after the new token was issued.
    while sent_after < 300 {
        let (called, api) = (Arc::clone(&provider), api.clone());
        calls.spawn(async move { called.call(&api).await.status() });
        sent += 1;
        if sent == 100 {
            provider.pki.client("client.test");
        }
        let token = tokens.token(&provider.resource).await.unwrap();
        if token.certificate_thumbprint() != first.certificate_thumbprint() {
            sent_after += 1;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let statuses = calls.join_all().await;
    let failed = statuses.iter().filter(|status| **status != 200).count();
    println!("{sent} requests, {sent_after} of them with the new certificate, {failed} failed");
    assert_eq!(failed, 0);
    assert_eq!(provider.count("token"), 2);
}
