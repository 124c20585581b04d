//! A binding is read from the token and not believed.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use serde_json::{Value, json};
use zastava_authority::verify::certificate_thumbprint;
use zastava_authority::{Authority, DpopKey, Error, OpTok, TokenSource as _, Tokens};
use zastava_core::telemetry::{TOKEN_REQUESTS, Telemetry};

use super::log::Log;
use super::pki::Pki;
use super::support::{Server, authority_with_key, debug_of, json as answer, options};

/// A JWT with these claims. Nobody here checks its signature.
fn jwt(claims: &Value) -> String {
    format!("e30.{}.c2lnbmF0dXJl", URL_SAFE_NO_PAD.encode(claims.to_string()))
}

fn issuing(token_type: &'static str, token: String) -> Server {
    let body = json!({"access_token": token, "token_type": token_type, "expires_in": 120}).to_string();
    Server::new(move |_| answer(200, body.clone()))
}

/// The error behind [`Error::Unavailable`].
fn cause(error: Error) -> Error {
    match error {
        Error::Unavailable { last, .. } => Error::clone(&last),
        other => other,
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_that_contradicts_its_request_is_refused_by_the_name_of_the_claim() {
    let key = Arc::new(DpopKey::generate());
    let jkt = key.thumbprint();
    let good = json!({
        "iss": "https://authority.test", "aud": ["scanner"], "scope": "aud:scanner api:scanner.runtime.write",
        "iat": 1_800_000_000, "exp": 1_800_000_120, "jti": "canary-jti-canary", "cnf": {"jkt": jkt},
    });
    let with = |name: &str, value: Value| {
        let mut claims = good.clone();
        claims[name] = value;
        claims
    };
    let certificate = json!({"x5t#S256": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"});
    let rows = [
        // What Keycloak 26 answers when mutual TLS and DPoP are both on.
        (with("cnf", certificate.clone()), Err("cnf.jkt"), 0),
        (with("cnf", json!({"jkt": "another"})), Err("cnf.jkt"), 0),
        (with("cnf", Value::Null), Err("cnf.jkt"), 0),
        (with("aud", json!("account")), Err("aud"), 0),
        (with("exp", json!(1_800_000_000)), Err("exp"), 0),
        (with("scope", json!("profile")), Ok(()), 1),
        (with("iss", json!("https://elsewhere.test")), Ok(()), 1),
        (with("aud", Value::Null), Ok(()), 1),
        (good.clone(), Ok(()), 0),
    ];
    for (claims, expected, doubts) in rows {
        let log = Log::default();
        let _guard = log.start();
        let (server, telemetry) = (issuing("DPoP", jwt(&claims)), Telemetry::detached());
        let dir = tempfile::tempdir().unwrap();
        let (path, cache) = (dir.path().join("key"), dir.path().join("optok"));
        let settings = [("dpopKeyPath", path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
        let authority = authority_with_key(&server, &settings, Arc::clone(&key), &telemetry);
        let outcome = authority.token("scanner").await.map_err(cause);
        let shown = format!("{} {} {}", debug_of(&outcome), log.text(), authority.status());
        match (outcome, expected) {
            (Ok(token), Ok(())) => assert_eq!(token.thumbprint(), Some(jkt)),
            (Err(error @ Error::Claim { .. }), Err(claim)) => {
                let Error::Claim { claim: found, .. } = &error else { unreachable!() };
                assert!(*found == claim && error.is_configuration(), "{error}");
                assert_eq!(telemetry.counter(TOKEN_REQUESTS).get(&["scanner", "malformed"]), 1);
                assert_eq!(tokens_in(&cache), 0, "{claims}");
                assert_eq!(log.lines("Issued runtime OpTok").len(), 0);
            }
            (outcome, _) => panic!("{claims}: {outcome:?}"),
        }
        assert_eq!(log.lines("OpTok differs from what was asked for").len(), doubts, "{claims}");
        let body = jwt(&claims);
        assert!(!body.as_bytes().windows(12).any(|part| shown.contains(str::from_utf8(part).unwrap())));
        assert!(!shown.contains("canary-jti"));
    }
}

fn tokens_in(cache: &std::path::Path) -> usize {
    let Ok(entries) = std::fs::read_dir(cache) else { return 0 };
    entries
        .filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "json"))
        .count()
}

/// A doubt is logged when it comes up, and not with every refresh.
#[tokio::test(start_paused = true)]
async fn a_doubt_is_logged_once_for_each_audience() {
    let log = Log::default();
    let _guard = log.start();
    let key = Arc::new(DpopKey::generate());
    let claims = json!({"cnf": {"jkt": key.thumbprint()}, "iss": "https://elsewhere.test", "aud": ["scanner", "other"]});
    let authority = authority_with_key(&issuing("DPoP", jwt(&claims)), &[], key, &Telemetry::detached());
    for audience in ["scanner", "other"] {
        for _ in 0..3 {
            authority.token(audience).await.unwrap();
            authority.invalidate(audience);
        }
    }
    let lines = log.lines("OpTok differs from what was asked for");
    let audiences: Vec<_> = lines.iter().map(|line| line["audience"].as_str().unwrap()).collect();
    assert_eq!(audiences, ["scanner", "other"]);
}

/// What a client with a certificate and without DPoP makes of a bearer token.
async fn by_certificate(
    claims: Option<&dyn Fn(&str) -> Value>,
    mutual_tls: bool,
) -> (Result<Arc<OpTok>, Error>, usize) {
    let pki = Pki::new();
    let (chain, key) = pki.client("client.test");
    let pem = std::fs::read(&chain).unwrap();
    let own = certificate_thumbprint(&zastava_core::pem::certificates(&pem).unwrap()[0]);
    let token = claims.map_or_else(|| "opaque".to_owned(), |claims| jwt(&claims(&own)));
    let body = json!({"access_token": token, "token_type": "Bearer", "expires_in": 120}).to_string();
    let server = Server::new(move |_| answer(200, Bytes::from(body.clone())));
    let tls = pki.serve(server.service()).await;
    let cache = pki.dir.path().join("optok");
    let (url, bundle) = (tls.url(""), pki.bundle());
    let settings = [
        ("issuer", url.as_str()),
        ("requireDpop", "false"),
        ("requireMutualTls", if mutual_tls { "true" } else { "false" }),
        ("clientCertificatePath", chain.to_str().unwrap()),
        ("clientKeyPath", key.to_str().unwrap()),
        ("caBundlePath", bundle.to_str().unwrap()),
        ("cacheDir", cache.to_str().unwrap()),
    ];
    let authority = Authority::connect(&options(&settings), &Telemetry::detached()).unwrap();
    let outcome = Tokens::new(authority.clone()).token("scanner").await.map_err(cause);
    if let Ok(token) = &outcome {
        // It goes over a connection with that certificate all the same.
        assert_eq!(token.requested_with(), Some(own.as_str()));
    }
    (outcome, tokens_in(&cache))
}

#[tokio::test]
async fn a_bearer_token_is_taken_for_certificate_bound_only_if_it_says_so() {
    let bound = |own: &str| json!({"aud": "scanner", "cnf": {"x5t#S256": own}});
    let (token, on_disk) = by_certificate(Some(&bound), true).await;
    assert!(token.unwrap().certificate_thumbprint().is_some() && on_disk == 1);

    let unbound = |_: &str| json!({"aud": "scanner"});
    let (token, on_disk) = by_certificate(Some(&unbound), true).await;
    assert!(matches!(token, Err(Error::Claim { claim: "cnf.x5t#S256", .. })) && on_disk == 0, "{token:?}");
    let (token, on_disk) = by_certificate(Some(&unbound), false).await;
    assert!(!token.unwrap().is_bound() && on_disk == 0);

    let foreign = |_: &str| json!({"aud": "scanner", "cnf": {"x5t#S256": "another"}});
    let (token, on_disk) = by_certificate(Some(&foreign), true).await;
    assert!(matches!(token, Err(Error::Claim { claim: "cnf.x5t#S256", .. })) && on_disk == 0, "{token:?}");

    // An opaque token may be bound or not: it is used, and never written.
    let (token, on_disk) = by_certificate(None, true).await;
    let token = token.unwrap();
    assert!(!token.is_bound() && token.certificate_thumbprint().is_none() && on_disk == 0);
}

/// A file of an earlier release, or of other settings.
#[tokio::test(start_paused = true)]
async fn a_token_on_disk_is_read_again_before_it_is_used() {
    let dir = tempfile::tempdir().unwrap();
    let (path, cache) = (dir.path().join("key"), dir.path().join("optok"));
    std::fs::write(&path, DpopKey::generate_pem().expose()).unwrap();
    let key = Arc::new(DpopKey::from_file(&path).unwrap());
    let settings = [("dpopKeyPath", path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let good = jwt(&json!({"aud": "scanner", "cnf": {"jkt": key.thumbprint()}}));
    let bad = jwt(&json!({"aud": "account", "cnf": {"jkt": key.thumbprint()}}));
    // The file says 120 s.
    let short = |life: i64| {
        let until = 1_800_000_000 + life;
        jwt(&json!({"aud": "scanner", "iat": 1_800_000_000, "exp": until, "cnf": {"jkt": key.thumbprint()}}))
    };
    let (brief, ended) = (short(30), short(0));
    let server = issuing("DPoP", good.clone());
    let telemetry = Telemetry::detached();
    authority_with_key(&server, &settings, Arc::clone(&key), &telemetry).token("scanner").await.unwrap();
    let file = std::fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
    let file = file.into_iter().find(|path| path.extension().is_some_and(|end| end == "json")).unwrap();
    let text = std::fs::read_to_string(&file).unwrap();
    let rows =
        [(&good, &good, 120, 1), (&brief, &brief, 30, 1), (&bad, &good, 120, 2), (&ended, &good, 120, 3)];
    for (stored, served, life, requests) in rows {
        std::fs::write(&file, text.replace(&good, stored)).unwrap();
        let authority = authority_with_key(&server, &settings, Arc::clone(&key), &telemetry);
        let token = authority.token("scanner").await.unwrap();
        assert_eq!((token.expose(), server.count()), (served.as_str(), requests));
        let lives_until = token.expires_at().unix_seconds() - 1_800_000_000;
        assert!((life..life + 5).contains(&lives_until), "{lives_until}");
    }
}
