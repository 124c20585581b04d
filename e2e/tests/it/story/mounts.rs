//! The observer's permissions, and its behaviour without each mount.

use serde_json::{Value, json};

use super::admission::{busybox_build_id, first};
use crate::lab::{Lab, NAMESPACE, both, eventually, text};
use crate::support::say;

/// `CAP_DAC_READ_SEARCH` is 2 and `CAP_SYS_PTRACE` 19 (linux/capability.h).
const CAPABILITIES: u64 = 1 << 2 | 1 << 19;

pub(super) fn capabilities_are_two(lab: &Lab) {
    lab.step("the observer's capabilities");
    for node in lab.cluster.nodes() {
        let status = both(&lab.shell_on(node, "cat /proc/$(pgrep -x zastava-observe | head -n 1)/status"));
        for set in ["CapPrm", "CapEff", "CapBnd"] {
            let found = status.lines().find_map(|line| line.strip_prefix(&format!("{set}:")));
            let found = u64::from_str_radix(found.unwrap_or_default().trim(), 16);
            assert_eq!(found, Ok(CAPABILITIES), "{set} on {node}: {status}");
        }
        let line =
            |name: &str| status.lines().find(|line| line.starts_with(name)).unwrap_or_default().to_owned();
        assert_eq!(line("NoNewPrivs:").split_whitespace().last(), Some("1"));
        assert_eq!(line("Seccomp:").split_whitespace().last(), Some("2"), "filtered");
    }
    for part in ["observer", "webhook"] {
        let node = lab.cluster.nodes()[0].clone();
        let script = format!(
            "for p in $(pgrep zastava-{}); do grep -E 'Name|VmHWM|VmRSS' /proc/$p/status; done",
            &part[..7]
        );
        let memory = both(&lab.shell_on(&node, &script));
        say(&format!("   memory on {node}: {}", memory.split_whitespace().collect::<Vec<_>>().join(" ")));
    }
}

/// What needs permissions: a program that ends at once, a program that is not the image's, each part of the self-test.
pub(super) fn every_fact_is_read_with_them(lab: &Lab) {
    lab.step("what the observer reads with them");
    for pod in lab.pods("observer") {
        let status: Value =
            serde_json::from_str(&lab.health(&pod, "/status").expect("answers")).expect("is JSON");
        let parts = status["selfTest"].as_object().expect("is tested");
        assert!(!parts.is_empty() && parts.values().all(|state| state == "ok"), "{pod}: {parts:?}");
    }
    let run = |pod: &str, command: &str| {
        let image = lab.signed.pinned();
        let told =
            lab.shell(&format!("kubectl run {pod} --image={image} --restart=Never --command -- {command}"));
        assert!(told.status.success(), "{}", both(&told));
    };
    run("ends", "/bin/busybox true");
    let start = eventually("the start", 60, || first(lab, "ContainerStart", "ends"));
    assert_eq!(text(&start["process"]["buildId"]), busybox_build_id(), "{start}");
    run(
        "drops",
        "/bin/busybox sh -c '/bin/busybox cp /bin/busybox /busybox-dropped && exec /busybox-dropped sleep 100000'",
    );
    let drift = eventually("the drift", 60, || first(lab, "Drift", "drops"));
    let new = &drift["delta"]["newBinaries"][0];
    assert_eq!(text(&new["path"]), "/busybox-dropped", "{drift}");
    assert_eq!(text(&drift["workload"]["imageRef"]), lab.signed.pinned(), "{drift}");
    say(&format!("   {drift}"));
    lab.kubectl("delete pod ends drops --grace-period=1");
}

/// Pods like the DaemonSet's, each without one of the mounts.
pub(super) fn each_missing_mount_is_named(lab: &Lab) {
    lab.step("the observer without each mount");
    let set = lab.object(&format!("-n {NAMESPACE} daemonset/zastava-observer"));
    let rows = [
        ("host-proc", "proc", "/host/proc"),
        ("containerd-socket", "socket", "containerd.sock"),
        ("scratch", "scratch", "/var/run/zastava"),
    ];
    for (volume, mount, _) in rows {
        lab.apply(&without(&set, volume, mount));
    }
    for (_, mount, path) in rows {
        let pod = format!("observer-without-{mount}");
        let log = eventually("its log", 60, || {
            let log = lab.try_kubectl(&format!("-n {NAMESPACE} logs {pod}"))?;
            if log.contains("a mount is missing") { Ok(log) } else { Err(log) }
        });
        let lines: Vec<&str> = log.lines().filter(|line| line.contains("a mount is missing")).collect();
        assert_eq!(lines.len(), 1, "one is missing: {lines:?}");
        assert!(
            lines[0].contains(&format!(r#""mount":"{mount}""#)) && lines[0].contains(path),
            "{}",
            lines[0]
        );
        let status = eventually("its status", 30, || lab.health(&pod, "/status"));
        let status: Value = serde_json::from_str(&status).expect("is JSON");
        assert!(status["mounts"][mount]["missing"].is_string(), "{status}");
        let up = lab.metric(&pod, "zastava_observer_mount_up", &format!("mount=\"{mount}\""));
        assert_eq!(up, Ok(0.0));
        assert_eq!(lab.health(&pod, "/healthz/live").as_deref(), Ok("ok\n"), "{pod} lives");
        let restarts = lab.object(&format!("-n {NAMESPACE} pod/{pod}"));
        assert_eq!(restarts["status"]["containerStatuses"][0]["restartCount"], 0, "{pod}");
    }
    for (_, mount, _) in rows {
        lab.kubectl(&format!("-n {NAMESPACE} delete pod observer-without-{mount} --grace-period=1"));
    }
}

fn without(set: &Value, volume: &str, mount: &str) -> Value {
    let mut spec = set["spec"]["template"]["spec"].clone();
    let named = |entry: &Value| entry["name"] == volume;
    spec["volumes"].as_array_mut().expect("has volumes").retain(|entry| !named(entry));
    let container = &mut spec["containers"][0];
    container["volumeMounts"].as_array_mut().expect("has mounts").retain(|entry| !named(entry));
    // The pod has a buffer of its own, since the observer of the node uses the node's.
    for entry in spec["volumes"].as_array_mut().expect("has volumes") {
        if entry["name"] == "scratch" {
            *entry = json!({"name": "scratch", "emptyDir": {}});
        }
    }
    spec["restartPolicy"] = json!("Never");
    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec,
        "metadata": {"name": format!("observer-without-{mount}"), "namespace": NAMESPACE}})
}
