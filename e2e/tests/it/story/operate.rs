//! Upgrades, rollback, and the commands of incidents.

use std::fs;
use std::process::{Child, Stdio};

use serde_json::json;

use super::install::issued;
use crate::lab::{Lab, NAMESPACE, NEXT_TAG, eventually};
use crate::support::say;

pub(super) fn upgrade_and_rollback_lose_no_review(lab: &Lab) {
    let client = Client::start(lab);
    lab.step("section 2.2: scale, drain, upgrade");
    let written = lab.runbook("2.2").join("\n");
    assert!(
        written.contains("denied the request")
            && written.contains("pod/zastava-smoke created (server dry run)")
    );
    assert_eq!(images(lab), [NEXT_TAG; 2], "the new release runs");

    lab.step("section 2.3: rollback, tokens");
    // The token that the new pods ask for themselves is not the one that is looked for.
    let before =
        |lab: &Lab| lab.pods("webhook").iter().map(|pod| issued(lab, pod).unwrap_or(0)).sum::<usize>();
    let written = lab.runbook("2.3");
    assert!(written.iter().any(|text| text.contains("zastava_runtime_events_total{")), "{written:?}");
    assert_eq!(images(lab), ["0.1.0"; 2], "the old release runs");
    client.stop(lab);

    let count = before(lab);
    let answer = lab.shell(&format!(
        "kubectl -n {NAMESPACE} exec deploy/zastava-webhook -- zastava-webhook invalidate-op-token --audience scanner"
    ));
    assert_eq!(answer.status.code(), Some(0), "{}", crate::lab::both(&answer));
    eventually("a new token", 10, || {
        let now = before(lab);
        if now > count { Ok(()) } else { Err(format!("{now} as before")) }
    });
    lab.kubectl(&format!("run after-rollback --image={}", lab.signed.pinned()));
    eventually("its event", 30, || {
        lab.events("ContainerStart", "after-rollback")?.pop().ok_or_else(|| "not yet".to_owned())
    });
    lab.kubectl("delete pod after-rollback --grace-period=1");
}

pub(super) fn guardrails_are_seen(lab: &Lab) {
    lab.step("section 3");
    let written = lab.runbook("3");
    assert!(written[0].contains("Issued runtime OpTok"));
    assert_eq!(written[1].trim(), "1", "the key's revision");
}

/// The sections whose commands look, and change nothing that is not changed back.
pub(super) fn incidents_and_symbols(lab: &Lab) {
    for section in ["4.2", "4.3", "5", "6", "7"] {
        lab.step(&format!("section {section}"));
        if section == "4.3" {
            lab.try_kubectl(&format!("run denied --image={}", lab.unsigned.pinned())).expect_err("is denied");
        }
        let written = lab.runbook(section).join("\n");
        match section {
            "4.3" => assert!(written.contains(r#""reasons":["not signed"]"#), "{written}"),
            "6" => assert!(written.contains("SUCCESS"), "{written}"),
            "7" => assert!(written.contains("Build ID"), "{written}"),
            _ => {}
        }
    }
}

/// The tags that the two parts run.
fn images(lab: &Lab) -> [String; 2] {
    ["ds/zastava-observer", "deploy/zastava-webhook"].map(|name| {
        let path = "{.spec.template.spec.containers[0].image}";
        let image = lab.kubectl(&format!("-n {NAMESPACE} get {name} -o jsonpath={path}"));
        image.rsplit_once(':').expect("has a tag").1.to_owned()
    })
}

/// Somebody who creates Pods all the time. The API server asks the webhook for each and keeps none.
struct Client(Child);

impl Client {
    fn start(lab: &Lab) -> Self {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "client-"},
            "spec": {"containers": [{"name": "c", "image": lab.signed.pinned()}]}});
        fs::write(lab.desk.join("pod.json"), pod.to_string()).expect("is written");
        let pki = lab.cluster.directory().join("pki");
        let pki = pki.display();
        let script = format!(
            "cd {}; until [ -e client.stop ]; do
               curl -s -m 20 -o client.answer -w '%{{http_code}}\\n' --cacert {pki}/ca.crt --cert {pki}/admin.crt --key {pki}/admin.key \
                 -H 'Content-Type: application/json' --data @pod.json \
                 'https://10.97.0.1:6443/api/v1/namespaces/default/pods?dryRun=All' >client.code || true
               cat client.code >>client.codes
               grep -q 201 client.code || cat client.answer >>client.failures
               sleep 0.1
             done",
            lab.desk.display()
        );
        let mut shell = lab.cluster.command("bash");
        shell.args(["-c", &script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(shell.spawn().expect("bash runs"))
    }

    fn stop(mut self, lab: &Lab) {
        fs::write(lab.desk.join("client.stop"), "").expect("is written");
        self.0.wait().expect("ends");
        let codes = fs::read_to_string(lab.desk.join("client.codes")).expect("has asked");
        let (asked, failed) = (codes.lines().count(), codes.lines().filter(|code| *code != "201").count());
        let failures = fs::read_to_string(lab.desk.join("client.failures")).unwrap_or_default();
        say(&format!("   {asked} Pods asked for during upgrade and rollback, {failed} failed"));
        assert_eq!(failed, 0, "{failures}");
        assert!(asked >= 100, "only {asked} asked");
        let metrics = lab.kubectl("get --raw /metrics");
        let errors = metrics.lines().filter(|line| {
            line.starts_with("apiserver_admission_webhook_rejection_count")
                && line.contains(r#"error_type="calling_webhook_error""#)
        });
        assert_eq!(errors.collect::<Vec<_>>(), [""; 0], "the API server's own count of failed calls");
    }
}
