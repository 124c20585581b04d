//! The program itself, against the sandbox's Authority and Scanner.

use std::time::Duration;

use zastava_sandbox::{Fault, FaultKind, Route, Sandbox};

use super::installation::{Installation, Process};
use super::scanner::{SIGNED, UNSIGNED, WARNED, pod_review};

fn no_tokens(times: u32) -> impl FnOnce(&Sandbox) {
    let kind = FaultKind::Status { status: 503, retry_after: None };
    move |sandbox| sandbox.misbehave(Fault { route: Route::Token, kind, times })
}

/// Installed together, Authority may be there a second later.
#[tokio::test]
async fn it_is_ready_when_it_has_a_token() {
    let mut installation = Installation::start_beside(&[], no_tokens(3)).await;
    installation.webhook.said("OpTok could not be issued").await;
    assert!(!installation.is_ready().await);
    installation.webhook.said("Issued runtime OpTok").await;
    installation.until_ready().await;
    assert_eq!(installation.review(SIGNED).await["allowed"], true);
}

/// There may be verdicts in the cache, and namespaces that are open.
#[tokio::test]
async fn without_authority_it_is_ready_in_the_end() {
    let installation = Installation::start_beside(&[], no_tokens(1_000)).await;
    assert!(!installation.is_ready().await);
    tokio::time::timeout(Duration::from_secs(60), installation.until_ready())
        .await
        .expect("after ten seconds");
}

#[tokio::test]
async fn signed_is_allowed_unsigned_is_denied_and_each_review_is_one_line() {
    let mut installation = Installation::start(&[]).await;
    for (image, allowed) in [(SIGNED, true), (UNSIGNED, false), (WARNED, true), (SIGNED, true)] {
        let response = installation.review(image).await;
        assert_eq!(response["allowed"], allowed, "{response}");
        assert_eq!(response.get("warnings").is_some(), image == WARNED);
        if !allowed {
            let message = response["status"]["message"].as_str().unwrap();
            assert!(message.contains(UNSIGNED) && message.contains("not signed"), "{message}");
        }
        let line = installation.webhook.decision().await.decision;
        assert_eq!(line.decision.to_string(), if allowed { "Allow" } else { "Deny" });
        assert_eq!(line.images[0].name, image);
        assert_eq!(line.images[0].signed, image != UNSIGNED);
    }
    let counts = installation.sandbox.counts();
    assert_eq!(counts.policy_requests, 3, "the fourth answer is remembered");
    assert_eq!(counts.tokens_issued, 1);
}

#[tokio::test]
async fn scanner_offline_denies_unless_the_namespace_fails_open() {
    for (settings, allowed) in
        [(&[][..], false), (&["--set=zastava.webhook.admission.failOpenNamespaces=other,shop"], true)]
    {
        let mut installation = Installation::start(settings).await;
        installation.sandbox.scanner_offline().await;
        let response = installation.review(SIGNED).await;
        assert_eq!(response["allowed"], allowed, "{response}");
        assert!(response.to_string().contains("scanner cannot be reached"), "{response}");
        assert_eq!(response["auditAnnotations"].get("failOpen").is_some(), allowed);
        let decision = installation.webhook.decision().await.decision;
        assert_eq!(decision.annotations["source"], if allowed { "fail-open" } else { "fail-closed" });
        installation.sandbox.scanner_online().await.unwrap();
        let response = installation.review(UNSIGNED).await;
        assert_eq!(response["allowed"], false);
    }
}

#[tokio::test]
async fn authority_that_gives_no_token_is_not_called_a_silent_scanner() {
    for hangs in [false, true] {
        let mut installation = Installation::start(&[]).await;
        assert_eq!(installation.review(SIGNED).await["allowed"], true);
        match hangs {
            true => {
                let kind = FaultKind::Delay(Duration::from_secs(600));
                installation.sandbox.misbehave(Fault { route: Route::Token, kind, times: 100 });
            }
            false => installation.sandbox.authority_offline().await,
        }
        let configuration = installation.sandbox.write_configuration("acme").unwrap();
        let process = Process::start(&configuration, &["invalidate-op-token", "--audience", "scanner"]);
        assert_eq!(process.exit_code().await, Some(0));
        let response = installation.review(WARNED).await;
        assert_eq!(response["allowed"], false, "{response}");
        let message = response["status"]["message"].as_str().unwrap();
        assert!(message.contains("no token from authority, so scanner was not asked"), "{message}");
        assert!(message.contains("(rule no-verdict)"), "{message}");
        let decision = installation.webhook.decision().await.decision;
        assert_eq!(decision.images[0].name, SIGNED);
        let decision = installation.webhook.decision().await.decision;
        assert_eq!(decision.annotations["source"], "fail-closed");
    }
}

#[tokio::test]
async fn restarted_scanner_costs_no_review() {
    let installation = Installation::start(&[]).await;
    assert_eq!(installation.review(SIGNED).await["allowed"], true);
    // The connection that is kept open ends behind the webhook's back.
    installation.sandbox.scanner_offline().await;
    installation.sandbox.scanner_online().await.unwrap();
    assert_eq!(installation.review(WARNED).await["allowed"], true);
    installation.sandbox.misbehave(Fault { route: Route::Policy, kind: FaultKind::Reset, times: 1 });
    let other = super::scanner::pinned("registry.sandbox.local/demo/other", '4');
    let message = installation.review(&other).await["status"]["message"].to_string();
    assert!(message.contains("not signed"), "{message}");
}

#[tokio::test]
async fn late_scanner_is_not_waited_for() {
    let mut installation = Installation::start(&[]).await;
    let kind = FaultKind::Delay(Duration::from_secs(600));
    installation.sandbox.misbehave(Fault { route: Route::Policy, kind, times: 1 });
    let mut connection = installation.connect().await;
    let answer = connection.review("/validate?timeout=1s", &pod_review(&[SIGNED])).await.unwrap();
    let message = answer.response()["status"]["message"].as_str().unwrap().to_owned();
    assert!(message.contains("no verdict within"), "{message}");
    assert_eq!(installation.webhook.decision().await.decision.annotations["source"], "fail-closed");
}

#[tokio::test]
async fn sigterm_finishes_what_is_in_flight() {
    let mut installation = Installation::start(&["--set=zastava.webhook.drainSeconds=0"]).await;
    let kind = FaultKind::Delay(Duration::from_secs(1));
    installation.sandbox.misbehave(Fault { route: Route::Policy, kind, times: 1 });
    let mut connection = installation.connect().await;
    let review = pod_review(&[SIGNED]);
    let in_flight = tokio::spawn(async move { connection.review("/validate?timeout=10s", &review).await });
    installation.sandbox.wait_until(|counts, _| counts.faults_shown > 0).await;
    installation.webhook.terminate();
    installation.webhook.said("shutting down").await;
    let answer = in_flight.await.unwrap().unwrap();
    assert_eq!(answer.response()["allowed"], true);
    assert!(answer.closes());
    assert_eq!(installation.webhook.decision().await.decision.images[0].name, SIGNED);
    assert_eq!(installation.webhook.exit_code().await, Some(0));
}

#[tokio::test]
async fn invalidated_token_is_replaced_at_the_next_question() {
    let installation = Installation::start(&[]).await;
    let configuration = installation.sandbox.write_configuration("acme").unwrap();
    let invalidate = |audience: &'static str| {
        let configuration = configuration.clone();
        async move {
            let process = Process::start(&configuration, &["invalidate-op-token", "--audience", audience]);
            process.exit_code().await
        }
    };
    assert_eq!(installation.review(SIGNED).await["allowed"], true);
    assert_eq!(invalidate("scanner").await, Some(0));
    assert_eq!(invalidate("nobody").await, Some(3), "nothing to do");
    assert_eq!(installation.review(WARNED).await["allowed"], true);
    assert_eq!(installation.sandbox.counts().tokens_issued, 2);
}

#[tokio::test]
async fn faulty_configuration_ends_with_78_and_a_taken_port_with_1() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("zastava.yaml");
    std::fs::write(&path, "zastava: {webhook: {listne: x}}").unwrap();
    assert_eq!(Process::start(&path, &["config", "check"]).exit_code().await, Some(78));
    let installation = Installation::start(&[]).await;
    let configuration = installation.sandbox.write_configuration("acme").unwrap();
    let listen = format!("--set=zastava.webhook.listen={}", installation.address);
    let settings = [listen.as_str(), "--set=zastava.webhook.health.listen=127.0.0.1:0"];
    let mut second = Process::start(&configuration, &settings);
    let error = second.said("the webhook cannot go on").await;
    assert!(error["error"].as_str().unwrap().starts_with("cannot listen on 127.0.0.1"), "{error}");
    assert_eq!(second.exit_code().await, Some(1));
}
