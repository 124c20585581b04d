//! What would block a cluster, or blind a node, is refused or kept from happening.

use serde_json::{Value, json};

use crate::chart::{Chart, certified, everything, least, sandbox};
use crate::cluster::Cluster;
use crate::yaml;

fn owned(kind: &str, name: &str, release: &str, namespace: &str) -> Value {
    let is_workload = matches!(kind, "DaemonSet" | "Deployment");
    let group = if is_workload { "apps/v1" } else { "admissionregistration.k8s.io/v1" };
    json!({"apiVersion": group, "kind": kind, "metadata": {"name": name, "namespace": namespace,
        "labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": release, "meta.helm.sh/release-namespace": namespace},
    }})
}

fn registration(release: &str, namespace: &str) -> Value {
    owned("ValidatingWebhookConfiguration", "zastava-webhook", release, namespace)
}

#[test]
fn a_second_installation_is_refused_by_the_name_of_the_first() {
    let Some(chart) = Chart::open() else { return };
    let daemons = |release, namespace| owned("DaemonSet", "zastava-observer", release, namespace);
    for (found, values, words) in [
        (
            registration("other", "security"),
            sandbox(),
            Some("release other in namespace security has validatingwebhookconfiguration/zastava-webhook"),
        ),
        (registration("other", "stellaops"), sandbox(), Some("release other in namespace stellaops")),
        (
            registration("zastava-runtime", "security"),
            sandbox(),
            Some("release zastava-runtime in namespace security"),
        ),
        (
            daemons("other", "security"),
            sandbox(),
            Some("release other in namespace security has daemonset/zastava-observer"),
        ),
        // Whose webhook is not registered.
        (
            owned("Deployment", "zastava-webhook", "other", "security"),
            sandbox(),
            Some("release other in namespace security has deployment/zastava-webhook"),
        ),
        (owned("Deployment", "zastava-webhook", "zastava-runtime", "stellaops"), sandbox(), None),
        // Before anything else that is wrong: nothing is prepared in the namespace yet.
        (registration("other", "security"), least(), Some("one installation per cluster")),
        (registration("zastava-runtime", "stellaops"), sandbox(), None),
        (daemons("zastava-runtime", "stellaops"), sandbox(), None),
        (owned("DaemonSet", "cilium", "cilium", "kube-system"), sandbox(), None),
        // A sandbox for somebody else's installation.
        (
            registration("other", "security"),
            json!({"sandbox": {"enabled": true}, "webhook": {"enabled": false}, "observer": {"enabled": false}}),
            None,
        ),
    ] {
        let told = chart.template_in(&Cluster::with(vec![found.clone()]), std::slice::from_ref(&values));
        match words {
            Some(words) => {
                let told = told.expect_err(words);
                assert!(told.contains(words) && told.contains("one installation per cluster"), "{told}");
            }
            None => assert!(told.is_ok(), "{found} {values}: {told:?}"),
        }
    }
}

#[test]
fn a_webhook_without_replicas_is_not_registered_as_if_it_ran() {
    let Some(chart) = Chart::open() else { return };
    let scaled = |replicas: u64| {
        let mut deployment = owned("Deployment", "zastava-webhook", "zastava-runtime", "stellaops");
        deployment["spec"] = json!({"replicas": replicas});
        deployment
    };
    for (replicas, values, refused) in [
        (0, json!({}), true),
        (1, json!({}), false),
        (0, json!({"webhook": {"autoscaling": {"enabled": false}}}), false),
        (0, json!({"webhook": {"registration": {"failurePolicy": "Ignore"}}}), true),
        (0, json!({"webhook": {"registration": {"enabled": false}}}), false),
        (0, json!({"webhook": {"enabled": false}}), false),
    ] {
        let told = chart.template_in(&Cluster::with(vec![scaled(replicas)]), &[sandbox(), values.clone()]);
        assert_eq!(told.is_err(), refused, "{replicas} {values}: {told:?}");
        if let Err(told) = told {
            let consequence = match values["webhook"]["registration"]["failurePolicy"] == "Ignore" {
                true => "with failurePolicy Ignore the API server would let every image through unjudged",
                false => "with failurePolicy Fail the API server would refuse every Pod",
            };
            let command = "kubectl -n stellaops scale deploy/zastava-webhook --replicas=2";
            assert!(told.contains(consequence) && told.contains(command), "{told}");
        }
    }
}

#[test]
fn the_certificate_is_checked_before_an_installation_an_upgrade_and_a_rollback() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let pod = rendered.object("Pod", "zastava-certificate-check");
    let annotations = &pod["metadata"]["annotations"];
    assert_eq!(annotations["helm.sh/hook"], "pre-install,pre-upgrade,pre-rollback");
    assert_eq!(annotations["helm.sh/hook-output-log-policy"], "hook-failed", "Helm prints the reason");
    let spec = &pod["spec"];
    assert_eq!(spec["restartPolicy"], "Never", "a log can be shown when the pod has failed");
    let container = &spec["containers"][0];
    let image = &rendered.object("Deployment", "zastava-webhook")["spec"]["template"]["spec"]["containers"]
        [0]["image"];
    assert_eq!(&container["image"], image, "an image that cannot be had is noticed before anything changes");
    assert_eq!(
        container["args"],
        json!([
            "check-certificate",
            "--name=zastava-webhook.stellaops.svc",
            "--ca=/var/run/secrets/zastava-webhook/ca.crt",
            "--advice=replace the certificate in the Secret stellaops/zastava-webhook-tls, or its ca.crt: runbook, section 3.1",
        ])
    );
    let bundle = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----";
    let given = chart.render(&[least(), json!({"webhook": {"certificate": {"caBundle": bundle}}})]);
    let container = &given.object("Pod", "zastava-certificate-check")["spec"]["containers"][0];
    assert_eq!(container["args"][2], "--ca=/var/run/secrets/zastava-registered/ca.crt");
    for values in [
        vec![sandbox()],
        vec![least(), certified()],
        vec![least(), json!({"webhook": {"certificate": {"check": false}}})],
        vec![least(), json!({"webhook": {"enabled": false}})],
    ] {
        assert!(chart.render(&values).find("Pod", "zastava-certificate-check").is_none(), "{values:?}");
    }
}

#[test]
fn the_namespace_cannot_be_deleted_before_the_registration() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let policy = &rendered.object("ValidatingAdmissionPolicy", "zastava-namespace")["spec"];
    let rule = &policy["matchConstraints"]["resourceRules"][0];
    assert_eq!(
        (&rule["operations"], &rule["resources"], &rule["resourceNames"]),
        (&json!(["DELETE"]), &json!(["namespaces"]), &json!(["stellaops"]))
    );
    let message = policy["validations"][0]["message"].as_str().expect("is text");
    assert!(message.contains("first helm uninstall zastava-runtime --namespace stellaops"), "{message}");
    let binding = &rendered.object("ValidatingAdmissionPolicyBinding", "zastava-namespace")["spec"];
    assert_eq!(binding, &json!({"policyName": "zastava-namespace", "validationActions": ["Deny"]}));
    for off in [json!({"protectNamespace": false}), json!({"enabled": false})] {
        let rendered = chart.render(&[least(), json!({"webhook": {"registration": off}})]);
        assert!(rendered.find("ValidatingAdmissionPolicy", "zastava-namespace").is_none());
    }
}

#[test]
fn every_container_says_how_much_of_the_node_s_disk_it_takes() {
    let Some(chart) = Chart::open() else { return };
    for values in
        [vec![sandbox()], vec![least(), json!({"tests": {"signedImage": "a:1"}})], vec![everything()]]
    {
        for (name, pod) in chart.render(&values).pods() {
            for container in pod["spec"]["containers"].as_array().expect("is a list") {
                for kind in ["requests", "limits"] {
                    assert!(container["resources"][kind]["ephemeral-storage"].is_string(), "{name}: {kind}");
                }
            }
        }
    }
}

#[test]
fn exceptions_arrive_as_they_are_set_and_notes_warn_of_them() {
    let Some(chart) = Chart::open() else { return };
    let exceptions = json!({
        "shop": {"enforce": false, "until": "2099-12-01T00:00:00Z", "ticket": "OPS-17"},
        "past": {"enforce": false, "until": "2020-01-01T00:00:00Z"},
        "both": {"enforce": false, "until": "2020-01-03T00:00:00Z"},
    });
    let values = json!({"zastava": {"webhook": {"admission": {
        "namespaces": exceptions, "failOpenNamespaces": [
            "open", {"name": "ended", "until": "2020-01-02T00:00:00Z"}, {"name": "both", "until": "2099-01-03T00:00:00Z"},
        ],
    }}}});
    let rendered = chart.render(&[least(), values.clone()]);
    let found = yaml::document(&rendered.configuration("zastava-webhook"));
    assert_eq!(found["zastava"]["webhook"]["admission"]["namespaces"], exceptions);
    let notes = chart.notes(&[least(), values.clone()]);
    for words in [
        "WARNING: denials are only reported as warnings in namespace shop, until 2099-12-01T00:00:00Z.",
        "WARNING: the exception of namespace past ended at 2020-01-01T00:00:00Z",
        "WARNING: the exception of namespace ended ended at 2020-01-02T00:00:00Z",
        "WARNING: the exception of namespace both ended at 2020-01-03T00:00:00Z",
    ] {
        assert!(notes.contains(words), "{words}\n{notes}");
    }
    assert_eq!(
        notes.matches("only reported as warnings").count(),
        1,
        "what has ended has no effect: {notes}"
    );
    assert!(!notes.contains("does not exist"), "no cluster was looked at: {notes}");
    assert!(!notes.contains("never reviewed"), "{notes}");
    let there = ["shop", "open", "ended", "both"]
        .map(|name| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
    let notes = chart.notes_in(&Cluster::with(there.into()), &[sandbox(), values]);
    assert_eq!(notes.matches("does not exist").count(), 1, "{notes}");
    assert!(notes.contains("WARNING: the values name the namespace past, which does not exist."), "{notes}");
}

#[test]
fn notes_warn_of_entries_for_namespaces_that_are_never_reviewed() {
    let Some(chart) = Chart::open() else { return };
    let until = json!({"enforce": false, "until": "2099-12-01T00:00:00Z"});
    let values = json!({
        "webhook": {"registration": {"excludedNamespaces": ["platform", "quiet"]}},
        "zastava": {"webhook": {"admission": {
            "namespaces": {"platform": until, "shop": until},
            "failOpenNamespaces": ["stellaops", {"name": "batch"}], "failClosedNamespaces": ["kube-system", "bank"],
        }}},
    });
    let notes = chart.notes(&[least(), values]);
    for (name, why) in [
        ("platform", "webhook.registration.excludedNamespaces"),
        ("stellaops", "the chart excludes it"),
        ("kube-system", "the chart excludes it"),
    ] {
        let warning = format!(
            "WARNING: zastava.webhook.admission has an entry for the namespace {name}, which has no effect: Pods there are never reviewed ({why})."
        );
        assert!(notes.contains(&warning), "{name}\n{notes}");
    }
    assert_eq!(notes.matches("never reviewed").count(), 3, "{notes}");
}
