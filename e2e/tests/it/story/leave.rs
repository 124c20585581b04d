//! Out of the way, out of the cluster, and back as a lab.

use crate::lab::{Lab, NAMESPACE, eventually};

/// Everything that the chart can make, in every namespace.
const KINDS: &str = "all,configmaps,secrets,serviceaccounts,poddisruptionbudgets,networkpolicies,priorityclasses,\
    validatingwebhookconfigurations,roles,rolebindings,clusterroles,clusterrolebindings";

pub(super) fn way_out_and_uninstall(lab: &Lab) {
    lab.step("section 8: the way out, and uninstall");
    lab.runbook("8");
    nothing_left(lab);
    lab.kubectl(&format!("delete namespace {NAMESPACE} --timeout=120s"));
}

pub(super) fn lab_in_one_command(lab: &Lab) {
    lab.step("section 9: a lab in one command");
    let written = lab.runbook("9");
    assert!(written[0].contains("Succeeded"), "{}", written[0]);
    assert!(written[1].contains("eventsAccepted"), "{}", written[1]);
    lab.cluster.helm(["uninstall", "zastava-runtime", "-n", NAMESPACE, "--wait"]).expect("is uninstalled");
    nothing_left(lab);
}

/// Webhooks drain before they go.
#[track_caller]
fn nothing_left(lab: &Lab) {
    let line = format!("get {KINDS} -A -l app.kubernetes.io/instance=zastava-runtime -o name");
    eventually("the end of the release's last object", 90, || match lab.kubectl(&line) {
        none if none.is_empty() => Ok(()),
        left => Err(left),
    });
}
