//! The webhook's pods: what they may do, how they come and go.

use serde_json::{Value, json};

use crate::chart::{Chart, Rendered, everything, least, sandbox, variants};

fn deployment(rendered: &Rendered) -> &Value {
    &rendered.object("Deployment", "zastava-webhook")["spec"]
}

/// What the Pod Security level `restricted` asks (Kubernetes, Pod Security Standards).
fn assert_restricted(name: &str, pod: &Value) {
    let spec = &pod["spec"];
    let context = &spec["securityContext"];
    assert_eq!(
        (&context["runAsNonRoot"], &context["seccompProfile"]["type"]),
        (&json!(true), &json!("RuntimeDefault")),
        "{name}"
    );
    assert!(context["runAsUser"].as_u64().is_some_and(|user| user > 0), "{name}");
    for forbidden in ["hostPID", "hostIPC", "hostNetwork"] {
        assert!(spec.get(forbidden).is_none(), "{name}: {forbidden}");
    }
    let allowed = [
        "configMap",
        "secret",
        "emptyDir",
        "projected",
        "downwardAPI",
        "csi",
        "persistentVolumeClaim",
        "ephemeral",
    ];
    for volume in spec["volumes"].as_array().into_iter().flatten() {
        let kinds: Vec<_> =
            volume.as_object().expect("is a map").keys().filter(|key| *key != "name").collect();
        assert!(kinds.iter().all(|kind| allowed.contains(&kind.as_str())), "{name}: {kinds:?}");
    }
    for container in spec["containers"].as_array().expect("is a list") {
        let context = &container["securityContext"];
        assert_eq!(context["allowPrivilegeEscalation"], false, "{name}");
        assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}), "{name}");
        assert_eq!(context["readOnlyRootFilesystem"], true, "{name}");
        assert!(
            container["ports"].as_array().into_iter().flatten().all(|port| port.get("hostPort").is_none()),
            "{name}"
        );
    }
}

#[test]
fn everything_but_the_observer_keeps_to_the_level_restricted() {
    let Some(chart) = Chart::open() else { return };
    let mut seen = 0;
    for (variant, values) in variants() {
        // One of them asks for the host's network.
        if variant == "everything" {
            continue;
        }
        for (name, pod) in chart.render(&values).pods() {
            if name != "zastava-observer" {
                assert_restricted(&name, pod);
                seen += 1;
            }
        }
    }
    assert!(seen >= 7, "{seen}");
    assert_eq!(deployment(&chart.render(&[everything()]))["template"]["spec"]["hostNetwork"], true);
}

#[test]
fn the_grace_period_covers_pause_drain_and_reviews_in_flight() {
    let Some(chart) = Chart::open() else { return };
    for (drain, pause, seconds) in [
        (json!(5), 3, 41),
        (json!("30s"), 0, 63),
        (json!("2m"), 10, 163),
        (json!("1500ms"), 1, 36),
        (json!("5m"), 1, 334),
        (json!("7 s"), 1, 41),
    ] {
        let values =
            json!({"zastava": {"webhook": {"drainSeconds": drain}}, "webhook": {"preStopSeconds": pause}});
        let rendered = chart.render(&[least(), values]);
        let pod = &deployment(&rendered)["template"]["spec"];
        assert_eq!(pod["terminationGracePeriodSeconds"], seconds, "{drain}");
        let sleep = &pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"];
        assert_eq!(sleep.as_i64().unwrap_or_default(), pause, "{drain}");
    }
}

#[test]
fn a_roll_out_always_has_somebody_who_answers() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let spec = deployment(&rendered);
    // Helm would own the number, and meet a conflict after `kubectl scale`.
    assert!(spec.get("replicas").is_none());
    let scaler = &rendered.object("HorizontalPodAutoscaler", "zastava-webhook")["spec"];
    assert_eq!(
        (&scaler["minReplicas"], &scaler["scaleTargetRef"]["name"]),
        (&json!(2), &json!("zastava-webhook"))
    );
    let fixed = json!({"webhook": {"autoscaling": {"enabled": false}, "replicas": 4}});
    let fixed = chart.render(&[least(), fixed]);
    assert_eq!(deployment(&fixed)["replicas"], 4);
    assert_eq!(fixed.of_kind("HorizontalPodAutoscaler").count(), 0);
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxSurge": 1, "maxUnavailable": 0}));
    // With a replica on every node, no further one would find its ports free.
    let on_nodes = chart.render(&[least(), json!({"webhook": {"hostNetwork": true}})]);
    let strategy = &deployment(&on_nodes)["strategy"]["rollingUpdate"];
    assert_eq!(strategy, &json!({"maxSurge": 0, "maxUnavailable": 1}));
    let budget = rendered.object("PodDisruptionBudget", "zastava-webhook");
    assert_eq!(
        (&budget["spec"]["maxUnavailable"], &budget["spec"]["selector"]),
        (&json!(1), &spec["selector"])
    );
    let spread = spec["template"]["spec"]["topologySpreadConstraints"].as_array().expect("is a list");
    let keys: Vec<_> = spread.iter().map(|one| one["topologyKey"].as_str().expect("is text")).collect();
    // Nodes without a zone would be left out of all spreading: zones are a preference beside it.
    assert_eq!(keys, ["kubernetes.io/hostname"]);
    let preferred = &spec["template"]["spec"]["affinity"]["podAntiAffinity"];
    let preferred = &preferred["preferredDuringSchedulingIgnoredDuringExecution"][0]["podAffinityTerm"];
    assert_eq!(preferred["topologyKey"], "topology.kubernetes.io/zone");
    let own = json!({"webhook": {"affinity": {"nodeAffinity": {}}}});
    let own = chart.render(&[least(), own]);
    assert_eq!(deployment(&own)["template"]["spec"]["affinity"], json!({"nodeAffinity": {}}));
}

#[test]
fn a_change_rolls_the_program_that_it_concerns() {
    let Some(chart) = Chart::open() else { return };
    let checksums = |values: Value| {
        let rendered = chart.render(&[least(), values]);
        [("DaemonSet", "zastava-observer"), ("Deployment", "zastava-webhook")].map(|(kind, name)| {
            let annotations = &rendered.object(kind, name)["spec"]["template"]["metadata"]["annotations"];
            annotations["checksum/configuration"].as_str().expect("is there").to_owned()
        })
    };
    let before = checksums(json!({}));
    for (values, observer, webhook) in [
        (json!({"webhook": {"replicas": 3}}), false, false),
        (json!({"zastava": {"observer": {"pollInterval": "3s"}}}), true, false),
        (json!({"zastava": {"webhook": {"admission": {"enforce": false}}}}), false, true),
        (json!({"zastava": {"runtime": {"environment": "lab"}}}), true, true),
    ] {
        let after = checksums(values.clone());
        assert_eq!([before[0] != after[0], before[1] != after[1]], [observer, webhook], "{values}");
    }
}

#[test]
fn the_tests_of_the_release_ask_about_a_signed_and_an_unsigned_image_by_the_service_s_name() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[sandbox()]);
    let pod = rendered.object("Pod", "zastava-review-test");
    assert_eq!(pod["metadata"]["annotations"]["helm.sh/hook"], "test");
    // Helm shows the log of a pod that has failed; of one that is ended from outside there is none.
    assert_eq!(
        (&pod["spec"]["restartPolicy"], &pod["spec"]["activeDeadlineSeconds"]),
        (&json!("Never"), &json!(120))
    );
    let containers = pod["spec"]["containers"].as_array().expect("is a list");
    for (container, image, decision) in
        [(&containers[0], "signed", "allow"), (&containers[1], "unsigned", "deny")]
    {
        let arguments: Vec<_> =
            container["args"].as_array().expect("is a list").iter().filter_map(Value::as_str).collect();
        assert_eq!(arguments[0], "review");
        assert!(arguments.contains(&"--url=https://zastava-webhook.stellaops.svc/validate"));
        assert!(arguments.contains(&format!("--expect={decision}").as_str()));
        assert!(arguments.contains(&"--patience=60"), "the first token may come after the test has begun");
        let wanted = format!("--image=registry.sandbox.local/demo/{image}@sha256:");
        assert!(arguments.iter().any(|argument| argument.starts_with(&wanted)), "{arguments:?}");
    }
    assert!(
        chart.render(&[least()]).find("Pod", "zastava-review-test").is_none(),
        "nobody knows an image to ask about"
    );
    let one = chart.render(&[least(), json!({"tests": {"unsignedImage": "registry.example/a:1"}})]);
    assert_eq!(
        one.object("Pod", "zastava-review-test")["spec"]["containers"].as_array().map(Vec::len),
        Some(1)
    );
}

#[test]
fn fixed_service_addresses_are_known_without_dns() {
    let Some(chart) = Chart::open() else { return };
    let values = json!({
        "sandbox": {"service": {"clusterIP": "10.96.0.21"}},
        "webhook": {"service": {"clusterIP": "10.96.0.20"}},
    });
    let rendered = chart.render(&[sandbox(), values]);
    let expected = json!([
        {"ip": "10.96.0.21", "hostnames": ["zastava-sandbox.stellaops.svc"]},
        {"ip": "10.96.0.20", "hostnames": ["zastava-webhook.stellaops.svc"]},
    ]);
    for (name, pod) in rendered.pods() {
        assert_eq!(pod["spec"]["hostAliases"], expected, "{name}");
    }
    for (service, address) in [("zastava-sandbox", "10.96.0.21"), ("zastava-webhook", "10.96.0.20")] {
        assert_eq!(rendered.object("Service", service)["spec"]["clusterIP"], address);
    }
}
