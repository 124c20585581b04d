//! The webhook's certificate and who signed it: section 3.1.

use std::fs;
use std::process::Command;

use super::client::Client;
use super::install::issue_webhook_certificate;
use crate::lab::{Lab, NAMESPACE, both, run, text};

pub(super) fn certificate_and_ca_change_without_a_gap(lab: &Lab) {
    lab.step("section 3.1: a new certificate, a new CA");
    what_cannot_be_a_bundle_is_refused(lab);
    issue_webhook_certificate(lab, "new-webhook");
    let client = Client::start(lab);
    let written = lab.runbook("3.1");
    client.stop(lab, "a change of certificate and CA");
    let last = |text: &str| text.lines().last().unwrap_or_default().to_owned();
    assert_eq!(last(&written[1]), "2", "both at first: {written:?}");
    assert!(written[3].contains("Succeeded"), "helm test: {written:?}");

    let registered = lab.object("validatingwebhookconfiguration/zastava-webhook");
    let bundle = text(&registered["webhooks"][0]["clientConfig"]["caBundle"]).to_owned();
    let new = run(Command::new("base64").args(["-w", "0"]).arg(lab.desk.join("new-webhook-ca.crt")));
    assert_eq!(bundle, new, "the old CA is believed no longer");
    let old = fs::read(lab.desk.join("webhook-ca.crt")).expect("is there");
    assert_eq!(fs::read(lab.desk.join("old-webhook-ca.crt")).expect("is there"), old);
}

/// Only a real API server shows what `lookup` finds in an upgrade.
fn what_cannot_be_a_bundle_is_refused(lab: &Lab) {
    lab.kubectl(&format!(
        "-n {NAMESPACE} create secret generic broken --from-literal=tls.crt=a --from-literal=tls.key=b --from-literal=ca.crt=c"
    ));
    let told = lab.shell(&format!(
        "helm upgrade zastava-runtime deploy/helm/zastava -f values/zastava-runtime.yaml -n {NAMESPACE} \
           --set webhook.certificate.secretName=broken"
    ));
    let (success, told) = (told.status.success(), both(&told));
    assert!(!success && told.contains("holds no certificate in PEM in its ca.crt"), "{told}");
    lab.kubectl(&format!("-n {NAMESPACE} delete secret broken"));
}
