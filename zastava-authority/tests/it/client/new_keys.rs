//! A key file that changes while tokens are in use.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tower::{Layer as _, ServiceExt as _};
use zastava_authority::verify::{ReceivedProof, TokenKey, Verifier, VerifierOptions};
use zastava_authority::{Authority, AuthorizeLayer, DpopKey, TokenSource as _, Tokens};
use zastava_core::clock::Timestamp;
use zastava_core::http_service::HttpService;
use zastava_core::telemetry::Telemetry;

use super::support::{
    PausedTime, Server, authority_with_key, options, received, refusal, seconds, status, token,
};

/// Issues tokens and serves an API that believes a token only with a proof of the key that it was
/// issued for.
fn authority_and_api() -> Server {
    let verifier = Verifier::new(VerifierOptions { require_nonce: false, ..VerifierOptions::default() });
    let issuer = TokenKey::generate();
    let server = Server::new(move |request| {
        let token_sent =
            request.headers().get("authorization").map(|value| value.to_str().unwrap()[5..].to_owned());
        let claims = token_sent.as_deref().map(|token| issuer.verify(token).unwrap());
        let received = ReceivedProof {
            access_token: token_sent.as_deref(),
            thumbprint: claims.as_ref().map(|claims| claims["cnf"]["jkt"].as_str().unwrap()),
            ..received(request)
        };
        match (verifier.verify(&received, Timestamp::now()), &token_sent) {
            (Ok(proof), None) => {
                let claims = serde_json::json!({"cnf": {"jkt": proof.thumbprint}});
                token(&issuer.sign(claims.as_object().unwrap()), 120)
            }
            (Ok(_), Some(_)) => status(200),
            (Err(error), _) => refusal(401, error.oauth_code()),
        }
    });
    server.with_latency(Duration::from_millis(1))
}

/// Sends requests from eight tasks until `done`. Each task returns how many it sent, and how many of
/// them failed.
fn load(api: &HttpService, done: &watch::Sender<bool>) -> JoinSet<(u32, u32)> {
    let mut callers = JoinSet::new();
    for _ in 0..8 {
        let (api, done) = (api.clone(), done.subscribe());
        callers.spawn(async move {
            let (mut sent, mut failed) = (0, 0);
            while !*done.borrow() {
                let request = Request::get("https://api.test/").body(Bytes::new()).unwrap();
                failed += u32::from(api.clone().oneshot(request).await.unwrap().status() != 200);
                sent += 1;
            }
            (sent, failed)
        });
    }
    callers
}

#[tokio::test]
async fn a_hundred_new_keys_under_load_lose_no_request() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("key.pem");
    let write = || {
        let draft = dir.path().join("draft");
        std::fs::write(&draft, DpopKey::generate_pem().expose()).unwrap();
        std::fs::rename(&draft, &path).unwrap();
    };
    write();
    let server = authority_and_api();
    let cache = dir.path().join("cache");
    let settings = [("dpopKeyPath", path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let key = Arc::new(DpopKey::from_file(&path).unwrap());
    let options = options(&settings);
    let authority = Authority::new(&options, server.service(), key, &Telemetry::detached());
    let layer =
        AuthorizeLayer::new(Tokens::new(authority.clone()), "scanner", &"https://api.test".parse().unwrap());
    let api = HttpService::new(layer.layer(server.service()));
    let done = watch::Sender::new(false);
    let callers = load(&api, &done);
    let tokens = Tokens::new(authority.clone());
    for number in 0..100 {
        if number % 10 == 0 {
            // Half of a key changes nothing.
            std::fs::write(&path, "-----BEGIN PRIVATE KEY-----\nMIG").unwrap();
            assert!(!authority.reload());
        }
        write();
        assert!(authority.reload());
        let thumbprint = authority.dpop_key().thumbprint().to_owned();
        while tokens.token("scanner").await.unwrap().thumbprint() != Some(&thumbprint) {
            tokio::task::yield_now().await;
        }
    }
    done.send_replace(true);
    let (sent, failed) =
        callers.join_all().await.into_iter().fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
    println!("100 new keys, {sent} requests, {failed} failed");
    assert!(sent > 100 && failed == 0, "{failed} of {sent}");
}

#[tokio::test(start_paused = true)]
async fn a_key_file_that_changes_is_seen_within_two_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str| {
        let version = dir.path().join(name);
        std::fs::create_dir(&version).unwrap();
        std::fs::write(version.join("key"), DpopKey::generate_pem().expose()).unwrap();
        // As Kubernetes does it: a link that is replaced, below a link that stays.
        std::os::unix::fs::symlink(name, dir.path().join("..tmp")).unwrap();
        std::fs::rename(dir.path().join("..tmp"), dir.path().join("..data")).unwrap();
    };
    write("..1");
    let path = dir.path().join("key");
    std::os::unix::fs::symlink("..data/key", &path).unwrap();
    let cache = dir.path().join("cache");
    let settings = [("dpopKeyPath", path.to_str().unwrap()), ("cacheDir", cache.to_str().unwrap())];
    let server = Server::issuing(120);
    let key = Arc::new(DpopKey::from_file(&path).unwrap());
    let authority = authority_with_key(&server, &settings, key, &Telemetry::detached());
    let first = authority.token("scanner").await.unwrap();
    write("..2");
    let changed = PausedTime::start();
    server.wait_for(2).await;
    tokio::task::yield_now().await;
    assert!(changed.passed() <= seconds(2), "{:?}", changed.passed());
    let second = authority.token("scanner").await.unwrap();
    assert_eq!(second.thumbprint(), Some(authority.dpop_key().thumbprint()));
    assert_ne!(first.thumbprint(), second.thumbprint());
}
