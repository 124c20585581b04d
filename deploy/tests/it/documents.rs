//! Helm's lint, the chart's metadata, and the notes that operators read.

use serde_json::json;

use crate::chart::{Chart, RELEASE, certified, everything, least, numbers, sandbox, variants};
use crate::tools::read;

#[test]
fn lint_is_strict_and_has_nothing_to_warn_of() {
    let Some(chart) = Chart::open() else { return };
    for (name, values) in variants() {
        let (clean, told) = chart.lint(&values);
        assert!(clean, "{name}: {told}");
        for word in ["[WARNING]", "[ERROR]"] {
            assert!(!told.contains(word), "{name}: {told}");
        }
    }
}

#[test]
fn the_chart_has_the_workspace_s_version_and_says_which_kubernetes_it_takes() {
    let Some(chart) = Chart::open() else { return };
    let shown = chart.show();
    for key in ["version", "appVersion"] {
        assert_eq!(shown[key], env!("CARGO_PKG_VERSION"), "{key}");
    }
    assert_eq!((&shown["apiVersion"], &shown["kubeVersion"]), (&json!("v2"), &json!(">=1.33.0-0")));
}

#[test]
fn every_object_has_the_labels_that_tools_expect_and_only_names_select() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[everything()]);
    for object in &rendered.objects {
        let labels = &object["metadata"]["labels"];
        for label in ["name", "instance", "version", "component", "part-of", "managed-by"] {
            assert!(labels[format!("app.kubernetes.io/{label}")].is_string(), "{label} of {object}");
        }
        assert_eq!(labels["app.kubernetes.io/instance"], RELEASE);
        assert_eq!(labels["helm.sh/chart"], format!("zastava-{}", env!("CARGO_PKG_VERSION")));
        assert_eq!(labels["team"], "runtime");
    }
    for kind in ["DaemonSet", "Deployment"] {
        for owner in rendered.of_kind(kind) {
            let selector = owner["spec"]["selector"]["matchLabels"].as_object().expect("is a map");
            let keys: Vec<_> = selector.keys().map(String::as_str).collect();
            assert_eq!(keys, ["app.kubernetes.io/instance", "app.kubernetes.io/name"]);
            let name = &owner["metadata"]["name"];
            assert_eq!(
                &owner["spec"]["template"]["metadata"]["labels"]["app"], name,
                "as the runbook selects"
            );
        }
    }
}

#[test]
fn nothing_asks_the_api_server_so_nothing_may() {
    let Some(chart) = Chart::open() else { return };
    for (name, values) in variants() {
        let rendered = chart.render(&values);
        for kind in ["Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"] {
            assert_eq!(rendered.of_kind(kind).count(), 0, "{name}: {kind}");
        }
        let accounts = rendered.of_kind("ServiceAccount");
        assert!(accounts.into_iter().all(|account| account["automountServiceAccountToken"] == false));
        for (owner, pod) in rendered.pods() {
            assert_eq!(pod["spec"]["automountServiceAccountToken"], false, "{name}: {owner}");
        }
    }
}

#[test]
fn switches_are_off_until_they_are_turned_on() {
    let Some(chart) = Chart::open() else { return };
    let (least, everything) = (chart.render(&[least()]), chart.render(&[everything()]));
    for (kind, count) in
        [("NetworkPolicy", 3), ("PriorityClass", 1), ("ServiceMonitor", 2), ("PrometheusRule", 1)]
    {
        assert_eq!((least.of_kind(kind).count(), everything.of_kind(kind).count()), (0, count), "{kind}");
    }
    assert!(least.find("ConfigMap", "zastava-runtime-dashboard").is_none());
    let dashboard = everything.object("ConfigMap", "zastava-runtime-dashboard");
    assert_eq!(dashboard["metadata"]["labels"]["grafana_dashboard"], "1");
}

#[test]
fn network_policies_let_through_what_works_with_them() {
    let Some(chart) = Chart::open() else { return };
    let policy = |values: &[serde_json::Value], name: &str| {
        chart.render(values).object("NetworkPolicy", name)["spec"].clone()
    };
    let open = [sandbox(), json!({"networkPolicy": {"enabled": true}})];
    assert_eq!(policy(&open, "zastava-webhook")["policyTypes"], json!(["Ingress"]));
    assert_eq!(policy(&open, "zastava-webhook")["ingress"][0], json!({"ports": [{"port": "reviews"}]}));
    assert_eq!(policy(&open, "zastava-sandbox")["egress"], json!([]), "it only answers");

    let peer = json!({"ipBlock": {"cidr": "10.0.0.0/8"}});
    let closed = json!({"networkPolicy": {
        "enabled": true, "reviewsFrom": [peer], "metricsFrom": [peer], "egress": [{"to": [peer]}],
    }});
    let webhook = policy(&[sandbox(), closed.clone()], "zastava-webhook");
    let test_pod = json!({"podSelector": {"matchLabels": {"app": "zastava-review-test"}}});
    assert_eq!(webhook["ingress"][0]["from"], json!([peer, test_pod]), "helm test goes on working");
    assert_eq!(webhook["ingress"][1], json!({"ports": [{"port": "health"}], "from": [peer]}));
    let sandbox_pod = json!({"to": [{"podSelector": {"matchLabels": {"app": "zastava-sandbox"}}}]});
    assert_eq!(webhook["egress"][1], sandbox_pod);
    let without = policy(&[least(), closed], "zastava-observer");
    assert_eq!(without["egress"].as_array().map(Vec::len), Some(2), "DNS and what was said");
}

#[test]
fn images_are_the_release_s_unless_a_tag_or_a_digest_is_said() {
    let Some(chart) = Chart::open() else { return };
    let image = |values: &[serde_json::Value]| {
        let rendered = chart.render(values);
        let pod = &rendered.object("DaemonSet", "zastava-observer")["spec"]["template"]["spec"];
        pod["containers"][0]["image"].as_str().expect("is text").to_owned()
    };
    let released = format!("registry.internal/zastava/zastava-observer:{}", env!("CARGO_PKG_VERSION"));
    assert_eq!(image(&[least()]), released);
    let digest = format!("sha256:{}", "ab".repeat(32));
    let said =
        json!({"image": {"registry": "mirror:5000/x", "tag": "all"}, "observer": {"image": {"tag": "mine"}}});
    assert_eq!(image(&[least(), said.clone()]), "mirror:5000/x/zastava/zastava-observer:mine");
    let pinned = json!({"observer": {"image": {"digest": digest, "repository": "o"}}});
    assert_eq!(image(&[least(), said, pinned]), format!("mirror:5000/x/o@{digest}"));
}

#[test]
fn rendering_twice_gives_the_same() {
    let Some(chart) = Chart::open() else { return };
    let values = [least(), certified()];
    assert_eq!(chart.template(&values), chart.template(&values));
}

#[test]
fn names_of_digits_stay_text_wherever_they_stand() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render_as("70021", "70022", &[sandbox(), numbers()]);
    let text = serde_json::Value::from(rendered.objects).to_string();
    for name in 70_001..=70_022 {
        assert!(text.contains(&name.to_string()), "{name} is not rendered");
        for before in [":", "[", ","] {
            assert!(!text.contains(&format!("{before}{name}")), "{name} is a number");
        }
    }
}

#[test]
fn arguments_are_text_whatever_they_hold() {
    let Some(chart) = Chart::open() else { return };
    let odd = json!({"sandbox": {"log": "info: x #y"}, "tests": {"signedImage": "a:"}});
    let rendered = chart.render(&[sandbox(), odd]);
    let mut arguments = Vec::new();
    for (name, pod) in rendered.pods() {
        let containers = pod["spec"]["containers"].as_array().expect("is a list");
        for argument in containers.iter().filter_map(|container| container["args"].as_array()).flatten() {
            arguments.push(argument.as_str().unwrap_or_else(|| panic!("{name}: {argument}")).to_owned());
        }
    }
    for wanted in ["--log=info: x #y", "--image=a:"] {
        assert!(arguments.iter().any(|argument| argument == wanted), "{wanted}: {arguments:?}");
    }
}

#[test]
fn the_readme_names_every_value_and_no_other() {
    let readme = read("deploy/helm/zastava/README.md");
    let schema: serde_json::Value =
        serde_json::from_str(&read("deploy/helm/zastava/values.schema.json")).expect("is JSON");
    let properties = schema["properties"].as_object().expect("is a map");
    for (key, value) in properties.iter().filter(|(key, _)| *key != "global") {
        let below: Vec<String> = match value["properties"].as_object() {
            Some(below) if key != "zastava" => below.keys().map(|name| format!("`{key}.{name}")).collect(),
            _ => vec![format!("`{key}")],
        };
        for name in below {
            assert!(readme.contains(&name), "{name} is not in the README");
        }
    }
    for row in readme.lines().filter_map(|line| line.strip_prefix("| `")) {
        let name = row.split(['`', '.']).next().unwrap_or_default();
        assert!(properties.contains_key(name), "{name} is in the README and not in the schema");
    }
}

#[test]
fn the_notes_name_what_can_be_typed_next_and_warn_of_what_is_for_a_lab() {
    let Some(chart) = Chart::open() else { return };
    let commands = [
        "kubectl -n stellaops rollout status ds/zastava-observer",
        "kubectl -n stellaops rollout status deploy/zastava-webhook",
        "kubectl get validatingwebhookconfiguration zastava-webhook",
        "kubectl delete validatingwebhookconfiguration zastava-webhook",
    ];
    let test = "   helm test zastava-runtime --namespace stellaops\n";
    let (real, lab) = (chart.notes(&[least()]), chart.notes(&[sandbox()]));
    for command in commands {
        assert!(real.contains(command) && lab.contains(command), "{command}");
    }
    assert!(!real.contains(test), "nothing is known to test with:\n{real}");
    assert!(lab.contains(test) && lab.contains("deploy/zastava-sandbox 8441"), "{lab}");
    assert!(!real.contains("WARNING") && !real.contains("sandbox"), "{real}");

    let loose = json!({
        "secrets": {"authorityMtls": "", "authorityStaticToken": "boot"},
        "zastava": {
            "runtime": {"authority": {"requireMutualTls": false, "allowStaticTokenFallback": true}},
            "webhook": {"admission": {"enforce": false}},
        },
        "tests": {"unsignedImage": "registry.example/a:1"},
    });
    let told = chart.notes(&[least(), loose]);
    assert_eq!(told.matches("WARNING").count(), 3, "{told}");
    assert!(told.contains(test), "{told}");
    let alone = chart.notes(&[least(), json!({"webhook": {"enabled": false}})]);
    assert!(alone.contains(commands[0]) && !alone.contains("webhook"), "{alone}");
}

/// Exceptions and digests are set at the release. An upgrade that takes a file alone would end them without a word.
#[test]
fn no_upgrade_of_the_runbook_drops_what_the_release_has() {
    let runbook = read("docs/ops/runbook.md").replace("\\\n", " ");
    let upgrades: Vec<_> =
        runbook.lines().map(str::trim).filter(|line| line.starts_with("helm upgrade ")).collect();
    assert!(upgrades.len() > 8, "{upgrades:?}");
    for line in upgrades {
        let keeps = line.contains("--install") || line.contains("--reset-then-reuse-values");
        assert!(keeps, "{line}");
    }
}
