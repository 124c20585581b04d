//! The static token. On paused time.

use std::sync::Arc;

use tokio::time::advance;
use zastava_authority::{DpopKey, Tokens};
use zastava_core::clock::Timestamp;
use zastava_core::telemetry::{TOKEN_FALLBACK, Telemetry};

use super::support::{Server, authority_with_key, options, seconds, status, token, tokens};

#[tokio::test(start_paused = true)]
async fn the_static_token_serves_until_authority_first_answers() {
    let telemetry = Telemetry::detached();
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let server = Server::new(|_| status(503));
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&server, &settings, key, &telemetry));

    let fallback = tokens.token("scanner").await.unwrap();
    assert!(fallback.is_static() && !fallback.is_dpop());
    assert_eq!(fallback.expose(), "static-token");
    assert!(tokens.token("another").await.is_err(), "it is for one audience");
    assert_eq!(telemetry.counter(TOKEN_FALLBACK).get(&["scanner"]), 1);

    server.handle(|_| token("real", 120));
    server.wait_for(server.count() + 2).await;
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "real");
    server.handle(|_| status(503));
    tokio::time::sleep(seconds(150)).await;
    assert!(tokens.token("scanner").await.is_err(), "never again after a success");
}

#[tokio::test(start_paused = true)]
async fn a_static_token_that_is_too_old_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("static");
    std::fs::write(&path, "static-token\n").unwrap();
    // The test's clock starts years after the file was written.
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenPath", path.to_str().unwrap())];
    let server = Server::new(|_| status(503));
    let tokens = tokens(&server, &settings);
    assert!(tokens.token("scanner").await.is_err());
    let recent = std::time::SystemTime::UNIX_EPOCH + seconds(1_800_000_000);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(recent).unwrap();
    advance(seconds(2)).await;
    assert_eq!(tokens.token("scanner").await.unwrap().expose(), "static-token");
}

/// A file from the future is as old as the time since it was first seen.
#[tokio::test(start_paused = true)]
async fn a_static_token_ages_whatever_its_file_says() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("static");
    std::fs::write(&path, "static-token\n").unwrap();
    let future = std::time::SystemTime::UNIX_EPOCH + seconds(1_900_000_000);
    std::fs::File::options().append(true).open(&path).unwrap().set_modified(future).unwrap();
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenPath", path.to_str().unwrap())];
    let server = Server::new(|_| status(503));
    let age_max = options(&settings).static_token.unwrap().age_max;
    let tokens = tokens(&server, &settings);
    let latest = Timestamp::from_unix_seconds(1_800_000_010).saturating_add(age_max);
    assert!(tokens.token("scanner").await.unwrap().expires_at() < latest);
    advance(age_max - seconds(10)).await;
    tokens.token("scanner").await.unwrap();
    advance(seconds(20)).await;
    tokens.token("scanner").await.unwrap_err();
}

#[test]
fn no_static_token_serves_after_a_success_in_a_former_runtime() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let server = Server::issuing(120);
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let former = runtime().unwrap();
    let tokens = former.block_on(async {
        let tokens = tokens(&server, &settings);
        tokens.token("scanner").await.unwrap();
        tokens
    });
    drop(former);
    tokens.invalidate("scanner");
    server.handle(|_| status(503));
    runtime().unwrap().block_on(async { tokens.token("scanner").await.unwrap_err() });
}
