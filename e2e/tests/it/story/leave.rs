//! Disables the webhook, uninstalls the release, and installs a lab.

use crate::lab::{Lab, NAMESPACE, both, eventually};
use crate::support::say;

/// Every kind of object that the chart creates, in every namespace.
const KINDS: &str = "all,configmaps,secrets,serviceaccounts,poddisruptionbudgets,networkpolicies,priorityclasses,\
    validatingwebhookconfigurations,validatingadmissionpolicies,validatingadmissionpolicybindings,roles,rolebindings,clusterroles,clusterrolebindings";

pub(super) fn way_out_and_uninstall(lab: &Lab) {
    lab.step("section 8: the way out, and uninstall");
    let pod = |name: &str, image: &str, more: &str| {
        let answer = lab.shell(&format!("kubectl run {name} --image={image} --dry-run=server {more}"));
        if answer.status.success() { Ok(both(&answer)) } else { Err(both(&answer)) }
    };
    let (signed, unsigned) = (lab.signed.pinned(), lab.unsigned.pinned());
    let refused = || {
        eventually("the API server's refusal", 60, || match pod("refused", &signed, "") {
            Err(refused) if refused.contains("failed calling webhook") => Ok(refused),
            other => Err(format!("{other:?}")),
        })
    };
    lab.runbook_step_by_step("8", |number, written| match number {
        0 => {
            scale(lab, 0);
            say(&format!("   {}", refused().trim()));
            pod("excluded", &signed, "-n kube-system").expect("what is excluded starts");
        }
        1 => drop(eventually("a Pod that was judged", 30, || pod("judged", &signed, ""))),
        2 => {
            let warned = eventually("a denial that only warns", 30, || pod("warned", &unsigned, ""));
            assert!(warned.contains("Warning:") && warned.contains("not signed"), "{warned}");
            // From here on the webhook does not run at all.
            scale(lab, 0);
            refused();
        }
        3 => {
            eventually("a Pod without the webhook", 30, || pod("let-in", &signed, ""));
            // The next step of the runbook would block the cluster again.
            let told = lab.shell(&format!(
                "helm upgrade zastava-runtime deploy/helm/zastava --reset-then-reuse-values --force-conflicts -n {NAMESPACE}"
            ));
            let (success, told) = (told.status.success(), both(&told));
            assert!(!success && told.contains("scale deploy/zastava-webhook --replicas=2"), "{told}");
            pod("let-in", &signed, "").expect("nothing has changed");
            scale(lab, 2);
            lab.kubectl(&format!("-n {NAMESPACE} rollout status deploy/zastava-webhook --timeout=180s"));
        }
        4 => {
            assert!(written.trim_end().ends_with("Fail"), "{written}");
            eventually("a Pod that was judged", 30, || pod("judged", &signed, ""));
        }
        _ => {}
    });
    the_registration_can_be_removed_alone(lab);
    let scratch =
        || both(&lab.shell_on(&lab.cluster.nodes()[0], "find /var/run/zastava -mindepth 1 || true"));
    assert!(scratch().contains("/var/run/zastava/optok"), "tokens are left: {}", scratch());
    lab.runbook("8.2");
    assert!(scratch().contains("No such file"), "{}", scratch());
    nothing_left(lab);
    delete_namespace(lab, "--timeout=120s");
}

/// Section 8.1, for a registration whose namespace is gone.
fn the_registration_can_be_removed_alone(lab: &Lab) {
    let written = lab.runbook("8.1").join("\n");
    for name in ["zastava-webhook", "zastava-namespace"] {
        assert!(written.contains(&format!("\"{name}\" deleted")), "{written}");
    }
    delete_namespace(lab, "--dry-run=server");
}

/// An API server applies a policy for some seconds after its end.
#[track_caller]
fn delete_namespace(lab: &Lab, how: &str) {
    let line = format!("delete namespace {NAMESPACE} {how}");
    eventually("the end of the namespace's protection", 60, || lab.try_kubectl(&line));
}

fn scale(lab: &Lab, replicas: u8) {
    lab.kubectl(&format!("-n {NAMESPACE} scale deploy/zastava-webhook --replicas={replicas}"));
}

pub(super) fn lab_in_one_command(lab: &Lab) {
    lab.step("section 9: a lab in one command");
    let written = lab.runbook("9");
    assert!(written[0].contains("Succeeded"), "{}", written[0]);
    assert!(written[1].contains("eventsAccepted"), "{}", written[1]);
    lab.cluster.helm(["uninstall", "zastava-runtime", "-n", NAMESPACE, "--wait"]).expect("is uninstalled");
    nothing_left(lab);
}

/// Waits, since webhooks drain before they end.
#[track_caller]
fn nothing_left(lab: &Lab) {
    let line = format!("get {KINDS} -A -l app.kubernetes.io/instance=zastava-runtime -o name");
    eventually("the end of the release's last object", 90, || match lab.kubectl(&line) {
        none if none.is_empty() => Ok(()),
        left => Err(left),
    });
}
