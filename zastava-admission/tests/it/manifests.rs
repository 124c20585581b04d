//! `zastava-webhook review FILE…`: manifests, decided by the running webhook and by the command itself.

use std::path::PathBuf;

use serde_json::Value;

use super::installation::Installation;
use super::scanner::{SIGNED, UNSIGNED, WARNED, pod_review};

/// As Helm writes them: a template that renders to nothing, a Service, and three workloads.
fn helm_output() -> String {
    format!(
        "---
# Source: shop/templates/service.yaml
apiVersion: v1
kind: Service
metadata: {{name: web}}
---
# Source: shop/templates/nothing.yaml
---
# Source: shop/templates/web.yaml
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      containers:
        - name: web
          image: {SIGNED}
---
# Source: shop/templates/report.yaml
apiVersion: batch/v1
kind: CronJob
metadata: {{name: report}}
spec: {{jobTemplate: {{spec: {{template: {{spec: {{containers: [{{name: a, image: {UNSIGNED}}}]}}}}}}}}}}
---
# Source: shop/templates/once.yaml
apiVersion: v1
kind: Pod
metadata: {{generateName: once-}}
spec: {{containers: [{{name: a, image: {WARNED}}}]}}
"
    )
}

impl Installation {
    /// Decides the input both ways, which must come to the same.
    async fn review_both_ways(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let url = format!("https://localhost:{}/validate", self.address.port());
        let ca = self.ca_bundle().display().to_string();
        let review = ["review", "--webhook", &url, "--ca", &ca];
        let by_webhook = self.run(&[&review, arguments].concat(), input).await;
        let review = ["review", "--scanner"];
        let own = self.run(&[&review, arguments].concat(), input).await;
        assert_eq!(without_ids(&by_webhook.1), without_ids(&own.1));
        assert_eq!((by_webhook.0, &by_webhook.2), (own.0, &own.2));
        own
    }
}

/// A denial ends with the id of its review, which the command makes up.
fn without_ids(text: &str) -> String {
    let is_id = |word: &&str| !word.contains("zastava-review-");
    text.lines().map(|line| line.split(' ').filter(is_id).collect::<Vec<_>>().join(" ") + "\n").collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn helm_output_is_decided_object_by_object() {
    let installation = Installation::start(&[]).await;
    let (status, out, err) = installation.review_both_ways(&["-"], &helm_output()).await;
    assert_eq!((status, err.as_str()), (Some(5), ""), "{out}");
    let rows: Vec<Vec<&str>> = out
        .lines()
        .take(5)
        .map(|line| line.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).collect())
        .collect();
    let from = |document, line, template| {
        format!("standard input, document {document}, line {line} (shop/templates/{template}.yaml)")
    };
    assert_eq!(rows[0], ["DECISION", "OBJECT", "FROM"]);
    assert_eq!(rows[1], ["Skip", "Service web", &from(1, 3, "service")]);
    assert_eq!(rows[2], ["Allow", "Deployment shop/web", &from(3, 10, "web")]);
    assert_eq!(rows[3], ["Deny", "CronJob default/report", &from(4, 23, "report")]);
    assert_eq!(rows[4], ["Allow", "Pod default/once-*", &from(5, 29, "once")]);
    assert!(out.contains("\nDeny CronJob default/report\n  zastava: image "), "{out}");
    assert!(out.contains("\nAllow Pod default/once-*\n  Warning: "), "{out}");
    assert!(out.ends_with("2 allowed, 1 denied, 1 skipped: of a kind that holds no pod\n"), "{out}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_follows_from_verdicts_and_expectations() {
    let installation = Installation::start(&[]).await;
    let pod = |image: &str| {
        format!(
            "{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{image: '{image}'}}]}}}}"
        )
    };
    let service = "{apiVersion: v1, kind: Service, metadata: {name: a}}";
    for (arguments, input, status) in [
        (&["-"][..], pod(SIGNED), 0),
        (&["-"], pod(WARNED), 0),
        (&["-"], pod(UNSIGNED), 5),
        (&["-"], pod("not an image"), 5),
        (&["-"], service.to_owned(), 0),
        (&["-", "--expect", "allow"], service.to_owned(), 0),
        (&["-", "--expect", "deny"], service.to_owned(), 3),
        (&["-"], "---\n# nothing\n".to_owned(), 3),
        (&["-"], String::new(), 3),
        (&["-", "--expect", "deny"], pod(UNSIGNED), 0),
        (&["-", "--expect", "allow"], pod(UNSIGNED), 1),
        (&["-", "--expect", "deny"], pod(SIGNED), 1),
        (&["--image", UNSIGNED], String::new(), 0),
        (&["--image", UNSIGNED, "-"], pod(SIGNED), 0),
    ] {
        let (found, out, err) = installation.review_both_ways(arguments, &input).await;
        assert_eq!(found, Some(status), "{arguments:?} {input}: {out}{err}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn files_lists_and_whole_reviews_are_read() {
    let installation = Installation::start(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| -> PathBuf {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let mut review = pod_review(&[UNSIGNED]);
    review["request"]["namespace"] = "shop".into();
    let review = file("review.json", &review.to_string());
    let list = format!(
        "apiVersion: v1\nkind: List\nitems:\n- {{apiVersion: v1, kind: Pod, metadata: {{name: b}}, spec: {{containers: [{{image: '{SIGNED}'}}]}}}}\n"
    );
    let list = file("list.yaml", &list);
    let (review, list) = (review.to_str().unwrap(), list.to_str().unwrap());
    let arguments = ["--json", "--namespace", "team", review, list];
    let url = format!("https://localhost:{}/validate", installation.address.port());
    let ca = installation.ca_bundle().display().to_string();
    for how in [&["--webhook", &url, "--ca", &ca][..], &["--scanner"]] {
        let (status, out, err) = installation.run(&[&["review"], how, &arguments].concat(), "").await;
        assert_eq!((status, err.as_str()), (Some(5), ""), "{out}");
        let report: Value = serde_json::from_str(&out).unwrap();
        assert_eq!(
            (&report["allowed"], &report["denied"], &report["skipped"]),
            (&1.into(), &1.into(), &0.into())
        );
        let [denied, allowed] = [&report["objects"][0], &report["objects"][1]];
        assert_eq!(
            (&denied["decision"], &denied["namespace"], &denied["file"]),
            (&"Deny".into(), &"shop".into(), &review.into())
        );
        assert_eq!(denied["annotations"]["rule"], "policy");
        assert!(denied["message"].as_str().unwrap().contains("not signed"), "{denied}");
        assert_eq!(
            (&allowed["decision"], &allowed["namespace"], &allowed["name"]),
            (&"Allow".into(), &"team".into(), &"b".into())
        );
        assert_eq!((&allowed["line"], &allowed["item"]), (&4.into(), &1.into()));
        // Only who decides knows the images' verdicts.
        let verdict = &denied["images"][0]["policyVerdict"];
        assert_eq!(verdict, &if how.len() == 1 { Value::from("fail") } else { Value::Null });
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pipelines_get_junit_and_sarif() {
    let installation = Installation::start(&[]).await;
    let (status, junit, _) = installation.review_both_ways(&["--output", "junit", "-"], &helm_output()).await;
    assert_eq!(status, Some(5));
    let counts = "tests=\"4\" failures=\"1\" errors=\"0\" skipped=\"1\"";
    assert_eq!(junit.matches(counts).count(), 2, "{junit}");
    assert_eq!(junit.matches("<testcase ").count(), 4);
    assert!(junit.contains("<testcase classname=\"shop/templates/report.yaml\" name=\"CronJob default/report (document 4)\">\n      <failure type=\"policy\" message=\"zastava: image "), "{junit}");
    assert!(junit.contains("<skipped "), "{junit}");
    assert!(junit.contains("<system-out>zastava: image "), "{junit}");

    let (status, sarif, _) = installation.review_both_ways(&["--output", "sarif", "-"], &helm_output()).await;
    assert_eq!(status, Some(5));
    let log: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(log["version"], "2.1.0");
    let run = &log["runs"][0];
    assert_eq!(run["tool"]["driver"]["name"], "zastava-webhook");
    let levels: Vec<_> = run["results"].as_array().unwrap().iter().map(|result| &result["level"]).collect();
    assert_eq!(levels, ["error", "warning"]);
    let rules: Vec<_> =
        run["tool"]["driver"]["rules"].as_array().unwrap().iter().map(|rule| &rule["id"]).collect();
    for result in run["results"].as_array().unwrap() {
        assert!(rules.contains(&&result["ruleId"]), "{result}");
    }
    let location = &run["results"][0]["locations"][0]["physicalLocation"];
    assert_eq!(location["artifactLocation"]["uri"], "shop/templates/report.yaml");
    let plain = helm_output().replace("# Source: ", "# ");
    let (_, sarif, _) = installation.review_both_ways(&["--output", "sarif", "-"], &plain).await;
    let log: Value = serde_json::from_str(&sarif).unwrap();
    assert_eq!(log["runs"][0]["results"][0]["locations"][0]["physicalLocation"]["region"]["startLine"], 23);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_read_is_named_with_its_place_and_nothing_is_decided() {
    let installation = Installation::start(&[]).await;
    let directory = tempfile::tempdir().unwrap();
    let bad = directory.path().join("bad.yaml");
    std::fs::write(&bad, "apiVersion: v1\nkind: Pod\n---\nkind: Pod\n").unwrap();
    let (bad, none) = (bad.to_str().unwrap(), directory.path().join("none.yaml"));
    let arguments = [bad, none.to_str().unwrap(), "-"];
    let (status, out, err) = installation.review_both_ways(&arguments, "a: [").await;
    assert_eq!((status, out.as_str()), (Some(1), ""), "{err}");
    let lines: Vec<_> = err.lines().collect();
    assert_eq!(lines[0], format!("{bad}, document 2, line 4: the object has no kind or no apiVersion"));
    assert!(lines[1].starts_with(&format!("{}: No such file", none.display())), "{err}");
    assert!(lines[2].starts_with("standard input, document 1, line "), "{err}");
    assert_eq!(lines.len(), 3);
    let review = "{apiVersion: admission.k8s.io/v1, kind: AdmissionReview, request: {}}";
    let (status, _, err) = installation.review_both_ways(&["-"], review).await;
    assert_eq!(status, Some(1));
    assert!(err.contains("document 1, line 1: the review holds no request with a uid"), "{err}");
    assert_eq!(installation.sandbox.counts().policy_requests, 0);
}

/// The command decides as the webhook would with this configuration, failure mode included.
#[tokio::test(flavor = "multi_thread")]
async fn without_scanner_the_namespaces_failure_mode_decides() {
    let installation = Installation::start(&[]).await;
    installation.sandbox.scanner_offline().await;
    let (status, out, _) = installation.run(&["review", "--scanner", "-"], &helm_output()).await;
    assert_eq!(status, Some(5));
    assert!(out.contains("scanner cannot be reached") && out.contains("fails closed"), "{out}");
    let open = "--set=zastava.webhook.admission.failOpenByDefault=true";
    let (status, out, _) = installation.run(&["review", "--scanner", open, "-"], &helm_output()).await;
    assert_eq!(status, Some(0), "{out}");
    assert!(out.contains("fails open"), "{out}");
}
