//! Tokens that a resource server refuses or an operator drops. On paused time.

use std::time::Duration;

use tokio::time::advance;
use zastava_authority::TokenSource as _;

use super::support::{PausedTime, Server, ask_together, authority, seconds, tokens};

#[tokio::test(start_paused = true)]
async fn a_late_rejection_of_a_replaced_token_does_nothing() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let first = tokens.token("scanner").await.unwrap();
    tokens.reject(&first);
    let second = tokens.token("scanner").await.unwrap();
    assert!(second.generation() > first.generation());
    for _ in 0..1000 {
        tokens.reject(&first);
        assert_eq!(tokens.token("scanner").await.unwrap().generation(), second.generation());
    }
    println!("1000 late refusals of a replaced token: {} requests", server.count() - 2);
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_thousand_rejections_of_one_token_cost_one_request() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let first = tokens.token("scanner").await.unwrap();
    (0..1000).for_each(|_| tokens.reject(&first));
    ask_together(&tokens, 1000).await.into_iter().for_each(|answer| assert!(answer.is_ok()));
    assert_eq!(server.count(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_resource_server_that_refuses_everything_does_not_drive_requests() {
    let server = Server::issuing(120);
    let tokens = tokens(&server, &[]);
    let started = PausedTime::start();
    while started.passed() < seconds(60) {
        if let Ok(token) = tokens.token("scanner").await {
            tokens.reject(&token);
        }
        advance(Duration::from_millis(100)).await;
    }
    assert!(server.count() <= 20, "{}", server.count());
}

#[tokio::test(start_paused = true)]
async fn a_token_on_its_way_when_invalidated_does_not_count() {
    let server = Server::issuing(120);
    let authority = authority(&server, &[]);
    authority.start("scanner").unwrap();
    tokio::time::sleep(Duration::from_millis(10)).await;
    assert_eq!(authority.invalidate("scanner"), 0);
    assert_eq!(authority.token("scanner").await.unwrap().expose(), "token-2");
}
