//! A change of the webhook's certificate and of its CA: section 3.1.

use std::fs;
use std::process::Command;

use super::client::Client;
use super::install::issue_webhook_certificate;
use crate::lab::{Lab, run, text};

pub(super) fn certificate_and_ca_change_without_a_gap(lab: &Lab) {
    lab.step("section 3.1: a new certificate, a new CA");
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
