//! What would block the cluster or blind a node: refused, kept from happening, or shown.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use super::install::{issue, issue_webhook_certificate};
use crate::lab::{Lab, NAMESPACE, both, eventually, run, text};
use crate::support::say;

/// An upgrade of the release; what Helm said, and whether it went well.
fn upgrade(lab: &Lab, more: &str) -> Result<String, String> {
    let told = lab.shell(&format!(
        "helm upgrade zastava-runtime deploy/helm/zastava -f values/zastava-runtime.yaml -n {NAMESPACE} {more}"
    ));
    if told.status.success() { Ok(both(&told)) } else { Err(both(&told)) }
}

/// A Secret of the files `NAME.crt`, `NAME.key` and `CA.crt`.
fn secret(lab: &Lab, secret: &str, name: &str, ca: &str) {
    let script = format!(
        "kubectl -n {NAMESPACE} create secret generic {secret} --dry-run=client -o yaml \
           --from-file=tls.crt={name}.crt --from-file=tls.key={name}.key --from-file=ca.crt={ca}.crt | kubectl apply -f -"
    );
    let made = lab.shell(&script);
    assert!(made.status.success(), "{}", both(&made));
}

fn signed_pod(lab: &Lab) -> Result<String, String> {
    lab.try_kubectl(&format!("run judged --image={} --dry-run=server", lab.signed.pinned()))
}

pub(super) fn a_certificate_that_api_servers_refuse_is_refused_first(lab: &Lab) {
    lab.step("certificates that would block the cluster");
    issue_webhook_certificate(lab, "good");
    let good = "DNS:zastava-webhook.stellaops.svc";
    issue(lab, "good", "elsewhere", "DNS:zastava-webhook.other.svc", "-days 30");
    issue(lab, "good", "ended", good, "-startdate 20200101000000Z -enddate 20200102000000Z");
    issue_webhook_certificate(lab, "other");
    for (name, ca, words) in [
        ("elsewhere", "good-ca", "it does not name zastava-webhook.stellaops.svc"),
        ("ended", "good-ca", "it ended at 2020-01-02T00:00:00Z"),
        ("good", "other-ca", "no certificate of the CA bundle signed it"),
    ] {
        secret(lab, "broken", name, ca);
        let told = upgrade(lab, "--set webhook.certificate.secretName=broken").expect_err(words);
        assert!(told.contains(words) && told.contains("API servers refuse"), "{name}: {told}");
        say(&format!("   {name}: {}", told.lines().find(|line| line.contains(words)).unwrap_or_default()));
        signed_pod(lab).expect("the old webhook judges on");
    }
    lab.kubectl(&format!("-n {NAMESPACE} delete secret broken"));
    a_secret_that_is_changed_without_helm(lab);
}

/// No check comes before it. The roll-out stops at the first replica, which says why.
fn a_secret_that_is_changed_without_helm(lab: &Lab) {
    let name = "secret/zastava-webhook-tls";
    let before = lab.object(&format!("-n {NAMESPACE} {name}"))["data"].clone();
    let after = |file: &str| run(Command::new("base64").args(["-w", "0"]).arg(lab.desk.join(file)));
    let patch = |data: &Value| {
        let path = lab.desk.join("patch.json");
        fs::write(&path, json!({"data": data}).to_string()).expect("is written");
        lab.kubectl(&format!("-n {NAMESPACE} patch {name} --patch-file {}", path.display()));
    };
    patch(&json!({"tls.crt": after("elsewhere.crt"), "tls.key": after("elsewhere.key")}));
    lab.kubectl(&format!("-n {NAMESPACE} rollout restart deploy/zastava-webhook"));
    let pod = eventually("a replica that is not ready and says why", 60, || {
        let unready = lab.pods("webhook").into_iter().find(|pod| {
            lab.health(pod, "/status")
                .is_ok_and(|status| status.contains("API servers refuse the serving certificate"))
        });
        unready.ok_or_else(|| "all replicas are ready".to_owned())
    });
    say(&format!("   {}", lab.health(&pod, "/status").unwrap_or_default().replace('\n', " ")));
    assert_eq!(lab.metric(&pod, "zastava_certificate_accepted", ""), Ok(0.0));
    lab.try_kubectl(&format!("-n {NAMESPACE} rollout status deploy/zastava-webhook --timeout=15s"))
        .expect_err("the roll-out waits");
    for _ in 0..5 {
        signed_pod(lab).expect("the old replicas judge on");
    }
    patch(&before);
    lab.kubectl(&format!("-n {NAMESPACE} rollout status deploy/zastava-webhook --timeout=240s"));
}

pub(super) fn what_cannot_be_here_is_refused(lab: &Lab) {
    lab.step("a second installation, a namespace that is in use");
    let told = lab.shell(
        "helm install other deploy/helm/zastava -n other --create-namespace --set sandbox.enabled=true",
    );
    let told = (told.status.success(), both(&told));
    assert!(
        !told.0
            && told
                .1
                .contains("one installation per cluster: release zastava-runtime in namespace stellaops"),
        "{}",
        told.1
    );
    let told =
        lab.try_kubectl(&format!("delete namespace {NAMESPACE} --wait=false")).expect_err("is refused");
    assert!(told.contains("first helm uninstall zastava-runtime --namespace stellaops"), "{told}");
    say(&format!("   {}", told.trim()));
    assert_eq!(lab.object(&format!("namespace {NAMESPACE}"))["status"]["phase"], "Active");
}

pub(super) fn the_release_s_test_says_what_is_wrong(lab: &Lab) {
    lab.step("helm test says what is wrong");
    let wrong = format!("--set tests.signedImage={}", lab.unsigned.pinned());
    upgrade(lab, &wrong).expect("goes well");
    let told = lab.shell(&format!("helm test zastava-runtime -n {NAMESPACE}"));
    let (success, told) = (told.status.success(), both(&told));
    assert!(!success && told.contains("not signed") && told.contains("Allow was expected"), "{told}");
    assert!(!told.contains("failed to stream pod logs"), "{told}");
    upgrade(lab, "").expect("goes well");
}

/// An observer whose image is not there takes the place of nobody. Then one that is there does, and what
/// starts and ends meanwhile is told.
pub(super) fn a_roll_out_blinds_no_node(lab: &Lab) {
    lab.step("a roll-out of observers: without an image, and with one");
    let ready =
        || lab.object(&format!("-n {NAMESPACE} daemonset/zastava-observer"))["status"]["numberReady"].clone();
    upgrade(lab, "--set observer.image.tag=missing").expect("goes well");
    eventually("a pod that waits for its image", 60, || {
        let pods = lab.object(&format!("-n {NAMESPACE} pods -l app=zastava-observer"));
        let mut pods = pods["items"].as_array().into_iter().flatten();
        let waits = |pod: &Value| text(&pod["spec"]["containers"][0]["image"]).ends_with(":missing");
        pods.find(|pod| waits(pod)).map(|_| ()).ok_or_else(|| "there is none".to_owned())
    });
    assert_eq!(ready(), lab.cluster.nodes().len(), "every node is observed");
    short_pods_are_told(lab, "without-image");
    assert_eq!(ready(), lab.cluster.nodes().len(), "every node is observed still");

    upgrade(lab, "").expect("goes well");
    lab.kubectl(&format!("-n {NAMESPACE} rollout restart ds/zastava-observer"));
    short_pods_are_told(lab, "meanwhile");
    lab.kubectl(&format!("-n {NAMESPACE} rollout status ds/zastava-observer --timeout=180s"));
    for pod in lab.pods("observer") {
        let drops = lab.metric(&pod, "zastava_buffer_drops_total", "").unwrap_or(0.0);
        assert_eq!(drops.to_bits(), 0.0_f64.to_bits(), "{pod} lost nothing");
    }
}

/// Pods that end at once, one after the other, each with its start at Scanner.
fn short_pods_are_told(lab: &Lab, name: &str) {
    let names: Vec<String> = (0..8).map(|number| format!("{name}-{number}")).collect();
    for name in &names {
        let image = lab.signed.pinned();
        lab.kubectl(&format!("run {name} --image={image} --restart=Never --command -- /bin/busybox true"));
        lab.kubectl(&format!("wait pod/{name} --for=jsonpath={{.status.phase}}=Succeeded --timeout=60s"));
    }
    for name in &names {
        let told = eventually("its start", 60, || {
            lab.events("ContainerStart", name)?.pop().ok_or_else(|| format!("{name} was not told"))
        });
        assert_eq!(text(&told["workload"]["namespace"]), "default");
        lab.kubectl(&format!("delete pod {name} --grace-period=1 --wait=false"));
    }
    say(&format!("   {} short Pods, each with its start at Scanner", names.len()));
}
