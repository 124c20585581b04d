//! `zastava-webhook status`, beside the running program.

use serde_json::Value;

use super::installation::Installation;

#[tokio::test(flavor = "multi_thread")]
async fn it_says_whether_the_running_webhook_is_well_and_what_holds_where() {
    let installation =
        Installation::start(&["--set=zastava.webhook.admission.failOpenNamespaces=shop"]).await;
    installation.until_ready().await;
    let address = installation.probes.to_string();
    let (status, out, err) = installation.run(&["status", "--address", &address], "").await;
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    for wanted in [
        "): well\n",
        "denials deny",
        "CHECKS",
        "certificate  ok",
        "EXCEPTIONS",
        "shop       fails open",
        "TOKENS",
    ] {
        assert!(out.contains(wanted), "{wanted} is missing in\n{out}");
    }
    assert!(!out.contains("eyJ"), "no token is shown");
    let (status, out, _) = installation.run(&["status", "--json", "--address", &address], "").await;
    assert_eq!(status, Some(0));
    let found: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (&found["program"], &found["ready"], &found["well"]),
        (&"zastava-webhook".into(), &true.into(), &true.into())
    );
    assert_eq!(found["admission"]["failOpenNamespaces"][0]["name"], "shop");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_drains_is_not_well_and_one_that_is_gone_does_not_answer() {
    let mut installation = Installation::start(&["--set=zastava.webhook.drainSeconds=30"]).await;
    installation.until_ready().await;
    let address = installation.probes.to_string();
    // It waits for the end of this connection.
    let mut connection = installation.connect().await;
    installation.webhook.terminate();
    installation.webhook.said("shutting down").await;
    while installation.is_ready().await {
        tokio::task::yield_now().await;
    }
    let (status, out, _) = installation.run(&["status", "--address", &address], "").await;
    assert_eq!(status, Some(4), "{out}");
    assert!(out.contains("reviews      FAILS  shutting down"), "{out}");
    let review = super::scanner::pod_review(&[super::scanner::SIGNED]);
    assert!(connection.review("/validate", &review).await.unwrap().closes());
    drop(installation.webhook);
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let configuration = installation.sandbox.write_configuration("acme").unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_zastava-webhook"))
        .args(["status", "--address", &nobody, "--config"])
        .arg(configuration)
        .output()
        .unwrap();
    let (status, out, err) = super::asking::parts(&output);
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("does the webhook run on this node"), "{err}");
}
