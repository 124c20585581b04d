//! What operators see in the log.

use std::sync::Arc;
use std::time::Duration;

use zastava_authority::{DpopKey, TokenSource as _, Tokens};
use zastava_core::telemetry::Telemetry;

use super::log::Log;
use super::support::{Server, authority_with_key, status};

#[tokio::test(start_paused = true)]
async fn every_issuance_is_logged_once_with_its_cause() {
    let log = Log::default();
    let _guard = log.start();
    let server = Server::issuing(120);
    let key = Arc::new(DpopKey::generate());
    let authority = authority_with_key(&server, &[], Arc::clone(&key), &Telemetry::detached());
    authority.token("scanner").await.unwrap();
    tokio::time::sleep(Duration::from_secs(100)).await;
    authority.invalidate("scanner");
    let token = authority.token("scanner").await.unwrap();
    authority.reject(&token);
    authority.token("scanner").await.unwrap();

    let lines = log.lines("Issued runtime OpTok");
    let causes: Vec<_> = lines.iter().map(|line| line["cause"].as_str().unwrap()).collect();
    assert_eq!(causes, ["cold", "refresh", "invalidated", "rejected"]);
    for line in &lines {
        assert_eq!(line["scope"], "authority.token.issue");
        assert_eq!(line["token_type"], "DPoP");
        assert_eq!(line["audience"], "scanner");
        assert_eq!(line["jkt"], key.thumbprint());
    }
    assert_eq!(lines[0]["expires_at"], "2027-01-15T08:02:00Z");
    assert_eq!(log.lines("Mutual TLS requirement disabled").len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_static_token_is_audited_once_a_minute() {
    let log = Log::default();
    let _guard = log.start();
    let server = Server::new(|_| status(503));
    let settings = [("allowStaticTokenFallback", "true"), ("staticTokenValue", "static-token")];
    let key = Arc::new(DpopKey::generate());
    let tokens = Tokens::new(authority_with_key(&server, &settings, key, &Telemetry::detached()));
    for _ in 0..150 {
        assert!(tokens.token("scanner").await.unwrap().is_static());
        tokio::time::advance(Duration::from_secs(1)).await;
    }
    let lines = log.lines("static token serves until Authority answers");
    assert_eq!(lines.len(), 3);
    assert_eq!(lines[0]["scope"], "authority.token.fallback");
    assert!(!log.text().contains("static-token"));
}
