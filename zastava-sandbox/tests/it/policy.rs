use std::path::Path;

use serde_json::{Value, json};
use zastava_core::contract::{PolicyResponse, PolicyVerdict};
use zastava_sandbox::Policy;

use crate::client::{Bench, EVENTS, POLICY, batch, event};

fn demo(name: &str, digit: char) -> String {
    format!("registry.sandbox.local/demo/{name}@sha256:{}", digit.to_string().repeat(64))
}

async fn ask(bench: &Bench, path: &str, images: &[&str]) -> PolicyResponse {
    let question = json!({"namespace": "payments", "labels": {"app": "api"}, "images": images});
    let answer = bench.post(path, question.to_string()).await.expect("answers");
    assert_eq!(answer.status.as_u16(), 200, "{answer:?}");
    serde_json::from_slice(&answer.body).expect("reads")
}

#[tokio::test]
async fn the_embedded_policy_knows_three_images_and_fails_the_rest() {
    let bench = Bench::new().await;
    let (signed, unsigned, warned) = (demo("signed", '1'), demo("unsigned", '2'), demo("warned", '3'));
    let moved = demo("signed", '4');
    let rows = [
        (signed.as_str(), PolicyVerdict::Pass, true, true),
        (unsigned.as_str(), PolicyVerdict::Fail, false, false),
        (warned.as_str(), PolicyVerdict::Warn, true, false),
        ("nginx", PolicyVerdict::Fail, false, false),
        (moved.as_str(), PolicyVerdict::Fail, false, false),
    ];
    let images: Vec<&str> = rows.iter().map(|row| row.0).collect();
    for path in [POLICY, "/policy/runtime", "/api/v1/policy/runtime"] {
        let answer = ask(&bench, path, &images).await;
        assert_eq!(answer.ttl_seconds, Some(300));
        assert_eq!(answer.policy_revision.as_deref(), Some("sandbox-1"));
        assert!(answer.expires_at_utc.is_some());
        assert_eq!(answer.results.len(), rows.len());
        for (image, verdict, signed, sbom) in rows {
            let result = answer.result(image, None).expect("has a result");
            assert_eq!(result.policy_verdict, Some(verdict), "{image}");
            assert_eq!((result.signed, result.has_sbom_referrers), (Some(signed), Some(sbom)), "{image}");
            assert_eq!(result.reasons.is_empty(), verdict == PolicyVerdict::Pass, "{image}");
        }
    }
    assert_eq!(bench.sandbox.counts().policy_requests, 3);
}

#[tokio::test]
async fn questions_by_bare_digest_and_questions_that_are_none() {
    let bench = Bench::new().await;
    let digest = format!("sha256:{}", "1".repeat(64));
    let answer = ask(&bench, POLICY, &[&digest]).await;
    assert_eq!(answer.results[&digest].policy_verdict, Some(PolicyVerdict::Pass));

    let many = vec!["nginx"; 257];
    for question in
        [json!({"images": []}), json!({"images": many}), json!({}), json!({"images": ["nginx", "A B"]})]
    {
        let answer = bench.post(POLICY, question.to_string()).await.expect("answers");
        assert_eq!(answer.status.as_u16(), 400, "{answer:?}");
        if let Some("A B") = question["images"][1].as_str() {
            assert!(answer.json()["detail"].as_str().is_some_and(|detail| detail.starts_with("images[1]: ")));
        }
    }
}

#[tokio::test]
async fn build_ids_come_back_most_recent_first() {
    let bench = Bench::new().await;
    let image = demo("signed", '1');
    for (id, build_id) in [("1", "aa01"), ("2", "bb02"), ("2", "cc03")] {
        let mut event: Value = event(id);
        event["event"]["workload"]["imageRef"] = json!(image);
        event["event"]["process"] = json!({"pid": 7, "buildId": build_id});
        bench.post(EVENTS, batch(&[event])).await.expect("answers");
    }
    let answer = ask(&bench, POLICY, &[&image, &demo("warned", '3')]).await;
    assert_eq!(answer.results[&image].build_ids, ["bb02", "aa01"], "a duplicate's is not taken");
    assert!(answer.results[&demo("warned", '3')].build_ids.is_empty());
}

#[tokio::test]
async fn a_policy_file_is_followed() {
    let text = r#"
zastava:
  policy:
    revision: "r7"
    ttlSeconds: 60
    default: {verdict: error, reasons: ["unknown here"]}
    images:
      - repository: registry.example/team/api
        verdict: warn
        signed: true
      - reference: "registry.example/team/api:1.0"
        verdict: pass
"#;
    let policy = Policy::from_yaml(text, Path::new("policy.yaml")).expect("reads");
    let bench = Bench::with(|options| options.policy = policy).await;
    let rows = [
        ("registry.example/team/api:2.0", PolicyVerdict::Warn),
        ("registry.example/team/api:1.0", PolicyVerdict::Pass),
        ("registry.example/team/web:1.0", PolicyVerdict::Error),
    ];
    let answer = ask(&bench, POLICY, &rows.map(|row| row.0)).await;
    assert_eq!((answer.ttl_seconds, answer.policy_revision.as_deref()), (Some(60), Some("r7")));
    for (image, verdict) in rows {
        assert_eq!(answer.results[image].policy_verdict, Some(verdict), "{image}");
    }
    assert_eq!(answer.results["registry.example/team/web:1.0"].reasons, ["unknown here"]);
}

#[test]
fn every_fault_of_a_policy_is_reported_with_its_line() {
    let text = "\
zastava:
  policy:
    revison: r7
    images:
      - reference: registry.example/api@sha256:12
        verdict: pass
      - repository: registry.example/api
        verdict: perhaps
      - verdict: pass
      - registry.example/web
      - repository: registry.example/web
        reference: registry.example/web:1
        verdict: pass
      - {repository: registry.example/job, verdict: pass}
      - {repository: registry.example/job, verdict: fail}
";
    let faults = Policy::from_yaml(text, Path::new("policy.yaml")).expect_err("has faults");
    let told = faults.to_string();
    for expected in [
        "policy.yaml:3: zastava.policy.revison: unknown key; did you mean revision?",
        "policy.yaml:5: zastava.policy.images[0].reference: expected an image reference",
        "policy.yaml:8: zastava.policy.images[1].verdict: expected pass, warn, fail or error",
        "policy.yaml:9: zastava.policy.images[2].reference: reference or repository must be set",
        "found \"registry.example/web\"",
        "zastava.policy.images[4].repository: reference is set too",
        "registry.example/job is listed twice",
    ] {
        assert!(told.contains(expected), "{expected}\nnot in\n{told}");
    }
    assert_eq!(faults.iter().count(), 7, "{told}");
}
