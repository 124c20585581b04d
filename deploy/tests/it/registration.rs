//! How the webhook is registered with the API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use zastava_admission::{Review, ReviewObject};

use crate::chart::{Chart, certified, least, sandbox};

fn registered(chart: &Chart, values: &[Value]) -> Value {
    let rendered = chart.render(values);
    let webhooks = &rendered.object("ValidatingWebhookConfiguration", "zastava-webhook")["webhooks"];
    assert_eq!(webhooks.as_array().map(Vec::len), Some(1));
    webhooks[0].clone()
}

#[test]
fn it_fails_closed_soon_and_without_side_effects() {
    let Some(chart) = Chart::open() else { return };
    let webhook = registered(&chart, &[least()]);
    for (key, value) in [
        ("failurePolicy", json!("Fail")),
        ("timeoutSeconds", json!(5)),
        ("sideEffects", json!("None")),
        ("matchPolicy", json!("Equivalent")),
        ("admissionReviewVersions", json!(["v1"])),
    ] {
        assert_eq!(webhook[key], value, "{key}");
    }
    let service =
        json!({"namespace": "stellaops", "name": "zastava-webhook", "path": "/validate", "port": 443});
    assert_eq!(webhook["clientConfig"]["service"], service);
    assert!(webhook.get("objectSelector").is_none(), "authors of objects could opt out by a label");
}

#[test]
fn its_own_namespace_and_kube_system_are_always_out_and_names_cannot_be_changed() {
    let Some(chart) = Chart::open() else { return };
    for (excluded, expected) in [
        (None, json!(["kube-system", "stellaops"])),
        (Some(json!([])), json!(["kube-system", "stellaops"])),
        (Some(json!(["stellaops", "a"])), json!(["a", "kube-system", "stellaops"])),
    ] {
        let values =
            excluded.map(|names| json!({"webhook": {"registration": {"excludedNamespaces": names}}}));
        let webhook = registered(&chart, &[least(), values.unwrap_or_else(|| json!({}))]);
        let selector = json!({"matchExpressions": [
            {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": expected},
        ]});
        assert_eq!(webhook["namespaceSelector"], selector);
    }
}

/// Plural, group, kind.
const KINDS: [(&str, &str, &str); 9] = [
    ("pods", "", "Pod"),
    ("podtemplates", "", "PodTemplate"),
    ("replicationcontrollers", "", "ReplicationController"),
    ("daemonsets", "apps", "DaemonSet"),
    ("deployments", "apps", "Deployment"),
    ("replicasets", "apps", "ReplicaSet"),
    ("statefulsets", "apps", "StatefulSet"),
    ("cronjobs", "batch", "CronJob"),
    ("jobs", "batch", "Job"),
];

/// Whether the webhook knows where the kind's images are: it refuses the others in every namespace.
fn knows(group: &str, kind: &str) -> bool {
    let review = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {
        "uid": "u", "kind": {"group": group, "version": "v1", "kind": kind}, "operation": "CREATE", "object": {},
    }});
    let text = review.to_string();
    let review = Review::parse(text.as_bytes()).expect("is a review");
    match review.object() {
        ReviewObject::Refused { reason, .. } => !reason.contains("is no kind whose images are known"),
        _ => true,
    }
}

#[test]
fn every_kind_that_it_is_sent_is_one_that_it_can_judge_and_the_other_way_round() {
    let Some(chart) = Chart::open() else { return };
    let webhook = registered(&chart, &[least()]);
    let mut sent = BTreeSet::new();
    for rule in webhook["rules"].as_array().expect("is a list") {
        assert_eq!(
            (&rule["operations"], &rule["scope"]),
            (&json!(["CREATE", "UPDATE"]), &json!("Namespaced"))
        );
        for resource in rule["resources"].as_array().expect("is a list") {
            sent.insert((
                resource.as_str().expect("is text").to_owned(),
                rule["apiGroups"][0].as_str().expect("is text").to_owned(),
            ));
        }
    }
    assert!(
        sent.remove(&("pods/ephemeralcontainers".to_owned(), String::new())),
        "containers that are added later"
    );
    let expected: BTreeSet<_> =
        KINDS.iter().map(|(plural, group, _)| ((*plural).to_owned(), (*group).to_owned())).collect();
    assert_eq!(sent, expected);
    for (_, group, kind) in KINDS {
        assert!(knows(group, kind), "{kind}");
    }
    assert!(
        !knows("", "Service") && !knows("example.org", "Deployment"),
        "the question can be answered with no"
    );
}

#[test]
fn without_workloads_pods_are_reviewed_still() {
    let Some(chart) = Chart::open() else { return };
    let webhook = registered(&chart, &[least(), json!({"webhook": {"registration": {"workloads": false}}})]);
    assert_eq!(webhook["rules"].as_array().map(Vec::len), Some(1));
    assert_eq!(webhook["rules"][0]["resources"], json!(["pods", "pods/ephemeralcontainers"]));
}

#[test]
fn the_certificate_comes_from_where_the_values_say() {
    let Some(chart) = Chart::open() else { return };
    let secret_of = |values: &[Value]| chart.render(values).find("Secret", "zastava-webhook-tls").cloned();
    let bundle = |values: &[Value]| registered(&chart, values)["clientConfig"].get("caBundle").cloned();
    // Given: the Secret is not the chart's, and what stands in it cannot be seen without a cluster.
    assert_eq!((secret_of(&[least()]), bundle(&[least()])), (None, None));
    let pem = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    let given =
        [least(), json!({"webhook": {"certificate": {"caBundle": pem}}, "tests": {"signedImage": "a:1"}})];
    let encoded = "LS0tLS1CRUdJTiBDRVJUSUZJQ0FURS0tLS0tCk1JSUIKLS0tLS1FTkQgQ0VSVElGSUNBVEUtLS0tLQo=";
    assert_eq!(bundle(&given), Some(json!(encoded)));
    let rendered = chart.render(&given);
    assert_eq!(rendered.object("ConfigMap", "zastava-review-test")["data"]["ca.crt"], pem.to_owned() + "\n");

    let values = [least(), certified()];
    assert_eq!((secret_of(&values), bundle(&values)), (None, None));
    let rendered = chart.render(&values);
    let annotations =
        &rendered.object("ValidatingWebhookConfiguration", "zastava-webhook")["metadata"]["annotations"];
    assert_eq!(annotations["cert-manager.io/inject-ca-from"], "stellaops/zastava-webhook");
    let certificate = &rendered.object("Certificate", "zastava-webhook")["spec"];
    assert_eq!(certificate["secretName"], "zastava-webhook-tls");
    assert_eq!(certificate["dnsNames"][0], "zastava-webhook.stellaops.svc");

    assert!(secret_of(&[sandbox()]).is_some() && bundle(&[sandbox()]).is_some(), "generated for a lab");
    let lab = [least(), json!({"webhook": {"certificate": {"source": "generated"}}})];
    assert!(secret_of(&lab).is_some() && bundle(&lab).is_some());
}
