//! A client that needs the webhook all the time.

use std::fs;
use std::process::{Child, Stdio};

use serde_json::json;

use crate::lab::Lab;
use crate::support::say;

/// Creates Pods all the time, in dry-run mode: the API server asks the webhook about each and stores none.
pub(super) struct Client(Child);

impl Client {
    pub(super) fn start(lab: &Lab) -> Self {
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"generateName": "client-"},
            "spec": {"containers": [{"name": "c", "image": lab.signed.pinned()}]}});
        for left in ["client.stop", "client.codes", "client.failures"] {
            let _ = fs::remove_file(lab.desk.join(left));
        }
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

    pub(super) fn stop(mut self, lab: &Lab, during: &str) {
        fs::write(lab.desk.join("client.stop"), "").expect("is written");
        self.0.wait().expect("ends");
        let codes = fs::read_to_string(lab.desk.join("client.codes")).expect("has asked");
        let (asked, failed) = (codes.lines().count(), codes.lines().filter(|code| *code != "201").count());
        let failures = fs::read_to_string(lab.desk.join("client.failures")).unwrap_or_default();
        say(&format!("   {asked} Pods asked for during {during}, {failed} failed"));
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
