//! What a token request says, where it is sent, and which answers are believed. On paused time.

use std::collections::HashSet;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http::{HeaderMap, Request};
use zastava_authority::Error;
use zastava_core::clock::Timestamp;

use super::support::{Server, json, refusal, seconds, status, token, tokens, with_header};

#[tokio::test(start_paused = true)]
async fn a_bearer_token_is_refused_where_dpop_is_required() {
    for kind in [r#","token_type":"Bearer""#, r#","token_type":"""#, ""] {
        let body = format!(r#"{{"access_token":"abc","expires_in":120{kind}}}"#);
        let server = Server::new(move |_| json(200, body.clone()));
        let error = tokens(&server, &[]).token("scanner").await.unwrap_err();
        let Error::Unavailable { last, .. } = &error else { panic!("{error:?}") };
        assert!(matches!(**last, Error::TokenType { expected: "DPoP", .. }), "{last:?}");
        assert!(error.is_configuration());
    }
}

#[tokio::test(start_paused = true)]
async fn without_dpop_no_proof_is_sent_and_bearer_is_taken() {
    let server =
        Server::new(|_| json(200, r#"{"access_token":"abc","token_type":"bearer","expires_in":"60"}"#));
    let token = tokens(&server, &[("requireDpop", "false")]).token("scanner").await.unwrap();
    assert!(!token.is_dpop() && token.thumbprint().is_none());
    assert!(!server.requests()[0].headers().contains_key("dpop"));
}

#[tokio::test(start_paused = true)]
async fn malformed_token_answers_are_refused() {
    let rows = [
        "",
        "<html>",
        "{}",
        r#"{"access_token":"","token_type":"DPoP","expires_in":120}"#,
        r#"{"access_token":"a b","token_type":"DPoP","expires_in":120}"#,
        r#"{"access_token":"a\r\nb","token_type":"DPoP","expires_in":120}"#,
        r#"{"access_token":"abc","token_type":"DPoP","expires_in":0}"#,
        r#"{"access_token":"abc","token_type":"DPoP","expires_in":-1}"#,
        r#"{"access_token":"abc","token_type":"DPoP","expires_in":"soon"}"#,
        r#"{"access_token":["abc"],"token_type":"DPoP","expires_in":120}"#,
    ];
    for body in rows {
        let server = Server::new(move |_| json(200, body));
        let error = tokens(&server, &[]).token("scanner").await.unwrap_err();
        let Error::Unavailable { last, .. } = error else { panic!("{error:?}") };
        assert!(matches!(*last, Error::Malformed { .. }), "{body}: {last:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn lifetimes_count_from_the_start_of_the_request() {
    let start = Timestamp::from_unix_seconds(1_800_000_000);
    let rows = [
        (r#","expires_in":300"#, 300),
        ("", 120),
        (r#","expires_in":null"#, 120),
        (r#","expires_in":999999999999"#, 24 * 3600),
    ];
    for (life, expected) in rows {
        let body = format!(r#"{{"access_token":"abc","token_type":"DPoP"{life}}}"#);
        let server = Server::new(move |_| json(200, body.clone())).with_latency(seconds(3));
        let token = tokens(&server, &[]).token("scanner").await.unwrap();
        assert_eq!(token.expires_at(), start.saturating_add(seconds(expected)), "{life}");
    }
}

fn form_of(request: &Request<Bytes>) -> String {
    String::from_utf8(request.body().to_vec()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_token_request_names_client_audience_and_scopes() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "p:s w\n").unwrap();
    let server = Server::issuing(120);
    let settings = [("clientSecretPath", secret.to_str().unwrap()), ("clientId", "zastava runtime")];
    let tokens = tokens(&server, &settings);
    tokens.token("scanner").await.unwrap();
    tokens.token("https://api.test/x").await.unwrap();

    let [first, second] = <[_; 2]>::try_from(server.requests()).unwrap();
    assert_eq!(first.uri(), "https://authority.test/token");
    assert_eq!(
        form_of(&first),
        "grant_type=client_credentials&client_id=zastava+runtime&audience=scanner\
         &scope=aud%3Ascanner+api%3Ascanner.runtime.write"
    );
    assert!(form_of(&second).ends_with("&resource=https%3A%2F%2Fapi.test%2Fx"));
    let expected = HeaderMap::from_iter([
        ("content-type".parse().unwrap(), "application/x-www-form-urlencoded".parse().unwrap()),
        ("accept".parse().unwrap(), "application/json".parse().unwrap()),
        // zastava+runtime:p%3As+w
        ("authorization".parse().unwrap(), "Basic emFzdGF2YStydW50aW1lOnAlM0FzK3c=".parse().unwrap()),
        ("dpop".parse().unwrap(), first.headers()["dpop"].clone()),
    ]);
    assert_eq!(first.headers(), &expected);
    assert!(first.headers()["authorization"].is_sensitive() && first.headers()["dpop"].is_sensitive());
}

#[tokio::test(start_paused = true)]
async fn an_assertion_names_client_and_issuer_and_is_new_for_each_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("assertion.jwk");
    std::fs::write(&path, crate::key::JWK).unwrap();
    let mut number = 0;
    let server = Server::new(move |_| {
        number += 1;
        match number {
            1 => with_header(refusal(400, "use_dpop_nonce"), "dpop-nonce", "n"),
            _ => token("abc", 120),
        }
    });
    let tokens = tokens(&server, &[("clientAssertionKeyPath", path.to_str().unwrap())]);
    tokens.token("scanner").await.unwrap();
    let mut identifiers = HashSet::new();
    for request in server.requests() {
        assert!(!request.headers().contains_key("authorization"));
        let form = form_of(&request);
        let expected =
            "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
        assert!(form.contains(expected), "{form}");
        let assertion = form.split("client_assertion=").nth(1).unwrap().split('&').next().unwrap();
        let parts: Vec<serde_json::Value> = assertion
            .split('.')
            .take(2)
            .map(|part| serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(
            parts[0],
            serde_json::json!({"alg": "ES256", "typ": "client-authentication+jwt", "kid": "1"})
        );
        let claims = &parts[1];
        assert_eq!((&claims["iss"], &claims["sub"]), (&"zastava-runtime".into(), &"zastava-runtime".into()));
        assert_eq!(claims["aud"], "https://authority.test");
        assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 60);
        identifiers.insert(claims["jti"].to_string());
    }
    assert_eq!(identifiers.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_audience_may_have_scopes_of_its_own() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[("audienceScopes.attestor", "aud:attestor  api:attestor.write")]);
    for (audience, expected) in [
        ("scanner", "aud%3Ascanner+api%3Ascanner.runtime.write"),
        ("attestor", "aud%3Aattestor+api%3Aattestor.write"),
    ] {
        tokens.token(audience).await.unwrap();
        let form = form_of(server.requests().last().unwrap());
        assert!(form.ends_with(&format!("&audience={audience}&scope={expected}")), "{form}");
    }
}

/// While a key is replaced, Authority knows two and chooses by `kid`.
#[tokio::test(start_paused = true)]
async fn an_assertion_names_the_key_that_the_settings_name() {
    let dir = tempfile::tempdir().unwrap();
    let (pem, jwk) = (dir.path().join("pem"), dir.path().join("jwk"));
    std::fs::write(&pem, zastava_authority::DpopKey::generate_pem().expose()).unwrap();
    std::fs::write(&jwk, crate::key::JWK).unwrap();
    let rows = [
        (&pem, None, serde_json::Value::Null),
        (&pem, Some("key-2"), "key-2".into()),
        (&jwk, None, "1".into()),
        (&jwk, Some("key-2"), "key-2".into()),
    ];
    for (path, key_id, expected) in rows {
        let server = Server::issuing(120);
        let mut settings = vec![("clientAssertionKeyPath", path.to_str().unwrap())];
        settings.extend(key_id.map(|id| ("clientAssertionKeyId", id)));
        tokens(&server, &settings).token("scanner").await.unwrap();
        let form = form_of(&server.requests()[0]);
        let assertion = form.split("client_assertion=").nth(1).unwrap();
        let header = URL_SAFE_NO_PAD.decode(assertion.split('.').next().unwrap()).unwrap();
        let header: serde_json::Value = serde_json::from_slice(&header).unwrap();
        assert_eq!(header["kid"], expected, "{key_id:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn metadata_names_the_endpoint() {
    let document = r#"{"issuer":"https://authority.test","token_endpoint":"https://elsewhere.test/t"}"#;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        let server = Server::issuing(120).with_metadata(path, json(200, document));
        tokens(&server, &[]).token("scanner").await.unwrap();
        assert_eq!(server.requests()[0].uri(), "https://elsewhere.test/t", "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_endpoint_that_moved_is_found_again() {
    let path = "/.well-known/openid-configuration";
    let document =
        |url| json(200, format!(r#"{{"issuer":"https://authority.test","token_endpoint":"{url}"}}"#));
    let mut issued = false;
    let server = Server::new(move |request| match request.uri().path() {
        "/old" if std::mem::replace(&mut issued, true) => status(404),
        path => token(path, 120),
    });
    server.publish(path, document("https://authority.test/old"));
    let tokens = tokens(&server, &[]);
    tokens.token("scanner").await.unwrap();
    server.publish(path, document("https://authority.test/new"));
    // The failure sends it back to the document, long before that would be read again.
    tokio::time::sleep(seconds(110)).await;
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "/new");
    let asked: Vec<_> = server.requests().iter().map(|request| request.uri().path().to_owned()).collect();
    assert_eq!(asked, ["/old", "/old", "/new"]);
}

#[tokio::test(start_paused = true)]
async fn an_html_page_is_not_metadata() {
    let page = with_header(json(200, "<!doctype html>"), "content-type", "text/html; charset=utf-8");
    let server = Server::issuing(120).with_metadata("/.well-known/openid-configuration", page.clone());
    tokens(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(server.requests()[0].uri(), "https://authority.test/token");
    let document = r#"{"issuer":"https://authority.test","token_endpoint":"https://elsewhere.test/t"}"#;
    server.publish("/.well-known/oauth-authorization-server", json(200, document));
    tokens(&server, &[]).token("scanner").await.unwrap();
    assert_eq!(server.requests()[1].uri(), "https://elsewhere.test/t");
}

#[tokio::test(start_paused = true)]
async fn metadata_that_cannot_be_trusted_sends_nothing() {
    let rows = [
        json(200, r#"{"issuer":"https://evil.test","token_endpoint":"https://evil.test/t"}"#),
        json(200, r#"{"issuer":"https://authority.test","token_endpoint":"http://authority.test/t"}"#),
        json(200, r#"{"issuer":"https://authority.test","token_endpoint":"/t"}"#),
        json(200, "{}"),
        status(500),
        status(429),
    ];
    for answer in rows {
        let server = Server::issuing(120).with_metadata("/.well-known/openid-configuration", answer);
        tokens(&server, &[]).token("scanner").await.unwrap_err();
        assert_eq!(server.count(), 0);
    }
}

/// Which URL was asked, by whom, and why it was refused, without what was sent.
#[tokio::test(start_paused = true)]
async fn a_refusal_names_the_url_the_client_and_the_servers_reason() {
    let dir = tempfile::tempdir().unwrap();
    let secret = dir.path().join("secret");
    std::fs::write(&secret, "correct horse battery").unwrap();
    let at = "at https://authority.test/token for client \"zastava-runtime\"";
    let rows = [
        (
            401,
            "Client certificate missing",
            format!("401 Unauthorized invalid_client {at}: Client certificate missing"),
        ),
        (401, "wrong secret: correct horse", format!("401 Unauthorized invalid_client {at}")),
        (401, "a\\nb eyJhbGciOiJFUzI1NiJ9.e30.x", format!("401 Unauthorized invalid_client {at}: a b …")),
        (404, "", format!("404 Not Found invalid_client {at}; check issuer and tokenPath")),
        (302, "", format!("302 Found invalid_client {at}")),
    ];
    for (status, description, expected) in rows {
        let body = format!(r#"{{"error":"invalid_client","error_description":"{description}"}}"#);
        let server = Server::new(move |_| json(status, body.clone()));
        let tokens = tokens(&server, &[("clientSecretPath", secret.to_str().unwrap())]);
        let error = tokens.token("scanner").await.unwrap_err();
        let Error::Unavailable { last, retry_after, .. } = &error else { panic!("{error:?}") };
        assert_eq!(last.to_string(), format!("authority answered {expected}"));
        // What does not pass by itself is not retried fast.
        assert!(error.is_configuration() && *retry_after >= seconds(4), "{retry_after:?}");
    }
}
