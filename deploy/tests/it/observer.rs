//! The permissions and the mounts of the observer's pod.

use serde_json::{Value, json};

use crate::chart::{Chart, Rendered, everything, least};

fn pod(rendered: &Rendered) -> &Value {
    &rendered.object("DaemonSet", "zastava-observer")["spec"]["template"]["spec"]
}

/// Where, whether read-only, and what of the node.
type Mount = (String, bool, String);

fn mounts(pod: &Value) -> Vec<Mount> {
    let volumes = pod["volumes"].as_array().expect("is a list");
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mount = |mount: &Value| {
        let volume =
            volumes.iter().find(|volume| volume["name"] == mount["name"]).expect("the volume is there");
        (text(&mount["mountPath"]), mount["readOnly"] == true, text(&volume["hostPath"]["path"]))
    };
    pod["containers"][0]["volumeMounts"].as_array().expect("is a list").iter().map(mount).collect()
}

fn mount(path: &str, read_only: bool, of_node: &str) -> Mount {
    (path.to_owned(), read_only, of_node.to_owned())
}

#[test]
fn the_container_is_root_with_two_capabilities_and_nothing_else() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let spec = pod(&rendered);
    let container = &spec["containers"][0];
    assert_eq!(
        container["securityContext"],
        json!({
            "runAsNonRoot": false,
            "privileged": false,
            "allowPrivilegeEscalation": false,
            "readOnlyRootFilesystem": true,
            "capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE", "DAC_READ_SEARCH"]},
        })
    );
    let profile = json!({"runAsUser": 0, "runAsGroup": 0, "seccompProfile": {"type": "RuntimeDefault"}});
    assert_eq!(spec["securityContext"], profile);
    for absent in ["hostPID", "hostIPC"] {
        assert!(spec.get(absent).is_none(), "{absent}");
    }
    assert_eq!(spec["hostNetwork"], false);
    assert_eq!(pod(&chart.render(&[everything()]))["hostPID"], true, "only when a value asks");
}

#[test]
fn the_node_is_mounted_read_only_but_for_the_scratch() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let of_node: Vec<_> =
        mounts(pod(&rendered)).into_iter().filter(|(_, _, path)| !path.is_empty()).collect();
    let expected = [
        mount("/host/proc", true, "/proc"),
        mount("/var/lib/containerd", true, "/var/lib/containerd"),
        mount("/var/run/containerd", true, "/run/containerd"),
        mount("/var/run/zastava", false, "/var/run/zastava"),
    ];
    assert_eq!(of_node, expected);
    let socket = |rendered: &Rendered| {
        let mounts = pod(rendered)["containers"][0]["volumeMounts"].as_array().expect("is a list");
        mounts.iter().find(|mount| mount["name"] == "containerd-socket").expect("is there").clone()
    };
    assert_eq!(socket(&rendered)["mountPropagation"], "HostToContainer");
    assert!(socket(&rendered).get("recursiveReadOnly").is_none());
    let alone = chart.render(&[least(), json!({"observer": {"socketMountPropagation": "None"}})]);
    assert_eq!(socket(&alone)["mountPropagation"], "None");
    assert_eq!(socket(&alone)["recursiveReadOnly"], "IfPossible");
}

#[test]
fn paths_of_the_node_are_values_and_an_empty_one_is_not_mounted() {
    let Some(chart) = Chart::open() else { return };
    for (key, mount_path) in [
        ("proc", "/host/proc"),
        ("containerdState", "/var/lib/containerd"),
        ("containerdSocketDirectory", "/var/run/containerd"),
    ] {
        let other = chart.render(&[least(), json!({"observer": {"hostPaths": {key: "/other/place"}}})]);
        let found = mounts(pod(&other));
        assert!(found.contains(&mount(mount_path, true, "/other/place")), "{key}: {found:?}");
        let without = chart.render(&[least(), json!({"observer": {"hostPaths": {key: ""}}})]);
        assert!(mounts(pod(&without)).iter().all(|(path, ..)| *path != mount_path), "{key}");
    }
    let without = chart.render(&[least(), json!({"observer": {"hostPaths": {"scratch": ""}}})]);
    let volumes = pod(&without)["volumes"].as_array().expect("is a list");
    assert!(volumes.iter().any(|volume| volume["name"] == "scratch" && volume["emptyDir"].is_object()));
    let moved = chart.render(&[least(), json!({"zastava": {"observer": {"procRootPath": "/node/proc"}}})]);
    assert!(mounts(pod(&moved)).contains(&mount("/node/proc", true, "/proc")));
}

#[test]
fn every_node_gets_one_which_knows_its_name_and_is_replaced_before_it_is_joined() {
    let Some(chart) = Chart::open() else { return };
    let rendered = chart.render(&[least()]);
    let pod = pod(&rendered);
    assert_eq!(pod["tolerations"], json!([{"operator": "Exists"}]));
    assert_eq!(pod["priorityClassName"], "system-node-critical");
    let name = json!([{"name": "NODE_NAME", "valueFrom": {"fieldRef": {"fieldPath": "spec.nodeName"}}}]);
    assert_eq!(pod["containers"][0]["env"], name);
    let strategy = &rendered.object("DaemonSet", "zastava-observer")["spec"]["updateStrategy"];
    assert_eq!(
        strategy,
        &json!({"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}})
    );
}

#[test]
fn probes_and_ports_follow_the_configuration() {
    let Some(chart) = Chart::open() else { return };
    let values = json!({"zastava": {"observer": {"health": {"listen": "[::]:9901"}}}, "serviceMonitor": {"enabled": true}});
    let rendered = chart.render(&[least(), values]);
    let container = &pod(&rendered)["containers"][0];
    assert_eq!(container["ports"], json!([{"name": "health", "containerPort": 9901}]));
    for (probe, path) in [
        ("livenessProbe", "/healthz/live"),
        ("startupProbe", "/healthz/live"),
        ("readinessProbe", "/healthz/ready"),
    ] {
        assert_eq!(container[probe]["httpGet"], json!({"path": path, "port": "health"}), "{probe}");
    }
    let service = rendered.object("Service", "zastava-observer-metrics");
    assert_eq!(service["spec"]["ports"], json!([{"name": "metrics", "port": 9901, "targetPort": "health"}]));
}
