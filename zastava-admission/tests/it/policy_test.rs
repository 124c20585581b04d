//! `zastava-webhook policy test`: Scanner's verdict, its evidence and the newest build-ids of an image.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use zastava_admission::WebhookOptions;
use zastava_authority::RuntimeCore;
use zastava_core::config::Configuration;
use zastava_core::contract::encode_batch;
use zastava_core::image::Digest;
use zastava_core::telemetry::Telemetry;

use super::asking::parts;
use super::installation::Installation;
use super::registry::{Protection, Registry, Store};
use super::scanner::{SIGNED, UNSIGNED};

/// Tells Scanner of containers of the image, as an observer would: each started a program with another build-id.
async fn started(installation: &Installation, image: &str, build_ids: &[&str]) {
    let path = installation.sandbox.write_configuration("acme").unwrap();
    let text = std::fs::read_to_string(path).unwrap();
    let configuration = Configuration::from_yaml(&text, Path::new("zastava.yaml"));
    let options = configuration.read(WebhookOptions::read).unwrap_or_else(|faults| panic!("{faults}")).0;
    let core = RuntimeCore::connect(&options.runtime, &options.backend, &Telemetry::detached()).unwrap();
    for build_id in build_ids {
        let event = json!({"schemaVersion": "zastava.runtime.event@v1.0", "event": {
            "eventId": build_id, "when": "2026-11-23T12:34:56Z", "kind": "ContainerStart", "tenant": "acme", "node": "n",
            "runtime": {"engine": "containerd"}, "process": {"pid": 1, "buildId": build_id},
            "workload": {"platform": "kubernetes", "imageRef": image}}});
        let batch = encode_batch(build_id, [event.to_string().as_bytes()]);
        assert_eq!(core.scanner().send_events(batch.into()).await.unwrap().accepted, 1);
    }
}

const OLD: &str = "5f0c7c3cb4d9f8a4f1c1d5c6b7e8f90123456789";
const NEW: &str = "6f0c7c3cb4d9f8a4f1c1d5c6b7e8f90123456789";

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_reads_verdict_evidence_and_the_newest_build_id_first() {
    let installation = Installation::start(&[]).await;
    started(&installation, SIGNED, &[OLD, NEW]).await;
    let digest = SIGNED.split_once('@').unwrap().1;
    for image in [SIGNED, digest] {
        let test = ["policy", "test", "--image", image, "--namespace", "shop", "--label", "app=web"];
        let (status, out, err) = installation.run(&test, "").await;
        assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
        for line in [
            &format!("Image            {image}")[..],
            "Namespace        shop",
            "Decision         Allow",
            "Verdict          pass",
            "Signed           yes",
        ] {
            assert!(out.lines().any(|found| found == line), "{line} is missing in\n{out}");
        }
        let ids: Vec<_> =
            out.lines().filter_map(|line| line.strip_prefix("Build IDs")).map(str::trim).collect();
        assert_eq!(ids, [NEW, OLD], "{out}");
        assert!(!out.contains("digest.invalid"), "{out}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_reads_all_that_scanner_said_and_a_denial_is_status_5() {
    let installation = Installation::start(&[]).await;
    started(&installation, UNSIGNED, &[OLD]).await;
    let test = ["policy", "test", "--json", "--image", UNSIGNED, "--namespace", "shop"];
    let (status, out, err) = installation.run(&test, "").await;
    assert_eq!((status, err.as_str()), (Some(5), ""), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((&report["decision"], &report["policyVerdict"]), (&"Deny".into(), &"fail".into()));
    assert_eq!(report["buildIds"], json!([OLD]));
    assert_eq!(report["reasons"], report["scanner"]["reasons"]);
    assert_eq!(report["scanner"]["signed"], false);
    assert_eq!(report["annotations"]["rule"], "policy");
    // The older spelling prints the same.
    let old = ["runtime", "policy", "test", "--json", "--image", UNSIGNED, "--namespace", "shop"];
    assert_eq!(installation.run(&old, "").await, (Some(5), out, String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_of_scanner_it_fails_even_where_the_namespace_fails_open() {
    let installation = Installation::start(&[]).await;
    installation.sandbox.scanner_offline().await;
    let open = "--set=zastava.webhook.admission.failOpenByDefault=true";
    let test = ["policy", "test", open, "--image", SIGNED, "--namespace", "shop"];
    let (status, out, err) = installation.run(&test, "").await;
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("scanner cannot be reached"), "{err}");
    // Nor is there one where nobody asks Scanner.
    let untagged = "--set=zastava.webhook.admission.resolveTags=false";
    let test = ["policy", "test", open, untagged, "--image", "nginx:1", "--namespace", "shop"];
    let (status, out, err) = installation.run(&test, "").await;
    assert_eq!((status, out.as_str()), (Some(1), ""));
    assert!(err.contains("scanner was not asked: the tag 1 can move"), "{err}");
}

/// Scanner knows the images in an index alone. What is printed belongs to the one that decides.
#[tokio::test(flavor = "multi_thread")]
async fn the_evidence_for_an_index_is_that_of_the_image_that_decides() {
    let store = Store::new();
    let Some(registry) = Registry::start(&store, Protection::None).await else { return };
    let pushed = registry.push("team/app", "1", "app", &["linux/amd64", "linux/arm64"]).await;
    let named = |digest: &Digest| format!("{}/team/app@{digest}", registry.host);
    let mut images = pushed.images.clone();
    images.sort_unstable();
    for bad in 0..2 {
        let rule = |index: usize| match index == bad {
            true => "verdict: fail, signed: false, reasons: [no signature]",
            false => "verdict: pass, signed: true",
        };
        let policy = format!(
            "{{reference: '{}', verdict: error}}, {{reference: '{}', {}}}, {{reference: '{}', {}}}",
            named(&pushed.digest),
            named(&images[0]),
            rule(0),
            named(&images[1]),
            rule(1),
        );
        let installation = Installation::start_judging(&policy, &[]).await;
        let host = format!("--set=zastava.webhook.registries.hosts.{}.allowInsecureHttp=true", registry.host);
        let image = named(&pushed.digest);
        let test = ["policy", "test", "--json", &host, "--image", &image, "--namespace", "shop"];
        let (status, out, err) = installation.run(&test, "").await;
        assert_eq!(status, Some(5), "{out}{err}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&report["policyVerdict"], &report["scanner"]["signed"]),
            (&"fail".into(), &false.into()),
            "{out}"
        );
        assert_eq!(report["reasons"], report["scanner"]["reasons"]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_text_decides_needs_no_scanner() {
    let installation = Installation::start(&[]).await;
    let test = ["policy", "test", "--json", "--image", "not an image", "--namespace", "shop"];
    let (status, out, _) = installation.run(&test, "").await;
    assert_eq!(status, Some(5), "{out}");
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["annotations"]["rule"], "malformed-reference");
    assert_eq!((report["buildIds"].clone(), report.get("scanner")), (json!([]), None));
    assert_eq!(installation.sandbox.counts().policy_requests, 0);
}

#[test]
fn the_command_line_is_checked_before_the_configuration() {
    for (arguments, status, word) in [
        (&["policy", "test", "--help"][..], 0, "--label <KEY=VALUE>"),
        (&["policy", "test", "--image", SIGNED], 2, "--namespace"),
        (
            &["policy", "test", "--image", SIGNED, "--namespace", "a", "--label", "b"],
            2,
            "a label is KEY=VALUE",
        ),
        (&["policy"], 2, "test"),
        (&["runtime", "policy"], 2, "test"),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_zastava-webhook")).args(arguments).output().unwrap();
        let (found, out, err) = parts(&output);
        assert_eq!(found, Some(status), "{arguments:?}: {out}{err}");
        assert!((out + &err).contains(word), "{arguments:?}");
    }
}
