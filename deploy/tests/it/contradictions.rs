//! Values that contradict each other, and mistakes that need an explanation. The chart refuses each; the message names the key, says what
//! is wrong and what would be right.

use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::chart::{Chart, least, sandbox};
use crate::mistakes::at;

/// Values, and how the chart answers.
static CONTRADICTIONS: LazyLock<Vec<(Value, &str)>> = LazyLock::new(|| {
    let listen = |review: &str, health: &str| json!({"listen": review, "health": {"listen": health}});
    let scratch = |path: &str| json!({"observer": {"hostPaths": {"scratch": path}}});
    vec![
        (
            json!({"zastava": {"webhook": listen("0.0.0.0:8443", "[::]:8443")}}),
            "'/zastava/webhook/health/listen': port 8443 is that of '/zastava/webhook/listen'",
        ),
        (
            json!({"zastava": {"webhook": listen("0.0.0.0:10250", "0.0.0.0:9102")}, "webhook": {"hostNetwork": true}}),
            "'/zastava/webhook/listen': on the node's network (webhook.hostNetwork) port 10250 is the kubelet's",
        ),
        (
            json!({"zastava": {"webhook": listen("0.0.0.0:8443", "0.0.0.0:10256")}, "webhook": {"hostNetwork": true}}),
            "'/zastava/webhook/health/listen': on the node's network (webhook.hostNetwork) port 10256 is the kube-proxy's",
        ),
        (
            json!({"zastava": {"webhook": listen("0.0.0.0:6443", "0.0.0.0:10259")}, "webhook": {"hostNetwork": true}}),
            "'/zastava/webhook/listen': on the node's network (webhook.hostNetwork) port 6443 is the API server's",
        ),
        (
            json!({"zastava": {"webhook": listen("0.0.0.0:2379", "0.0.0.0:10257")}, "webhook": {"hostNetwork": true}}),
            "'/zastava/webhook/health/listen': on the node's network (webhook.hostNetwork) port 10257 is the controller manager's",
        ),
        (
            json!({"webhook": {"autoscaling": {"minReplicas": 8}}}),
            "'/webhook/autoscaling/minReplicas': 8 is more than '/webhook/autoscaling/maxReplicas', which is 6",
        ),
        (
            json!({"caBundle": {"configMapName": "a", "secretName": "b"}}),
            "'/caBundle': configMapName (a) and secretName (b) are both set",
        ),
        (
            json!({"webhook": {"certificate": {"caBundle":
                "-----BEGIN CERTIFICATE-----\n-----BEGIN PRIVATE KEY-----\n-----END CERTIFICATE-----\n"}}}),
            "'/webhook/certificate/caBundle': holds a private key",
        ),
        (
            json!({"zastava": {"runtime": {"authority": {"staticTokenValue": "s3cret"}}}}),
            "'/zastava/runtime/authority/staticTokenValue': would stand in clear text in two ConfigMaps",
        ),
        (
            json!({"zastava": {"runtime": {"authority": {
                "allowStaticTokenFallback": true, "staticTokenValue": "s3cret", "staticTokenPath": "/token",
            }}}}),
            "'/zastava/runtime/authority/staticTokenPath': does not go with '/zastava/runtime/authority/staticTokenValue'",
        ),
        (
            json!({"webhook": {"certificate": {"caBundle":
                "-----BEGIN CERTIFICATE-----\nMIIB\n???\n-----END CERTIFICATE-----\n"}}}),
            "'/webhook/certificate/caBundle': between its lines BEGIN CERTIFICATE and END CERTIFICATE",
        ),
        (json!({"commonLabels": {"app": "x"}}), "'/commonLabels': app is a label that the chart sets itself"),
        (
            json!({"webhook": {"podLabels": {"app.kubernetes.io/name": "x"}}}),
            "'/webhook/podLabels': app.kubernetes.io/name is a label that the chart sets itself",
        ),
        (
            json!({"commonLabels": {"team": "a"}, "observer": {"podLabels": {"team": "b"}}}),
            "'/observer/podLabels': team stands in '/commonLabels' already",
        ),
        (
            json!({"observer": {"extraVolumes": [{"name": "more", "emptyDir": {}}, {"name": "scratch", "emptyDir": {}}]}}),
            "'/observer/extraVolumes/1': the chart has a volume scratch itself",
        ),
        (
            json!({"observer": {"extraEnv": [{"name": "NODE_NAME", "value": "x"}]}}),
            "'/observer/extraEnv/0': NODE_NAME is set already",
        ),
        (
            json!({"priorityClass": {"create": true}}),
            "'/priorityClass/create': no pod would have the class zastava-runtime",
        ),
        (
            json!({"zastava": {"runtime": {"authority": {"clientAssertionKeyPath": "/key"}}},
                "secrets": {"authorityClientSecret": "client"}}),
            "'/secrets/authorityClientSecret': '/zastava/runtime/authority/clientAssertionKeyPath' is set too",
        ),
        (
            json!({"zastava": {"webhook": {"admission": {
                "failOpenNamespaces": ["a", {"name": "b"}], "failClosedNamespaces": ["c", "b"],
            }}}}),
            "'/zastava/webhook/admission/failClosedNamespaces/1': b is in",
        ),
        (
            json!({"zastava": {"observer": {"backoff": {"initial": "31s"}}}}),
            "'/zastava/observer/backoff/max': 30s is less than '/zastava/observer/backoff/initial', which is 31s",
        ),
        (scratch("/"), "'/observer/hostPaths/scratch': / is the root"),
        (scratch("//"), "'/observer/hostPaths/scratch': // is the root"),
        (
            scratch("/var/../etc"),
            "'/observer/hostPaths/scratch': /var/../etc is written in a roundabout way: say /etc",
        ),
        (scratch("/etc"), "'/observer/hostPaths/scratch': /etc belongs to the node's system"),
        (scratch("/proc/"), "'/observer/hostPaths/scratch': /proc belongs to the node's system"),
        (scratch("/usr/share/zastava"), "'/observer/hostPaths/scratch': /usr/share/zastava belongs"),
        (scratch("/var/lib/kubelet/pods"), "'/observer/hostPaths/scratch': /var/lib/kubelet/pods belongs"),
        (scratch("/var/lib"), "'/observer/hostPaths/scratch': /var/lib is shared by all of the node"),
        (
            json!({"observer": {"hostPaths": {"containerdState": "/data/containerd", "scratch": "/data"}}}),
            "'/observer/hostPaths/scratch': /data and '/observer/hostPaths/containerdState' (/data/containerd) are one in the other",
        ),
        (
            json!({"observer": {"hostPaths": {"containerdState": "/"}}}),
            "'/observer/hostPaths/containerdState': / is the root",
        ),
        (
            json!({"zastava": {"observer": {"procRootPath": "/."}}}),
            "'/zastava/observer/procRootPath': /. is the root",
        ),
        (
            json!({"sandbox": {"enabled": true}, "secrets": {"authorityDpop": "zastava-authority-mtls"}}),
            "'/secrets/authorityDpop': the chart makes a Secret zastava-authority-mtls for '/secrets/authorityMtls' already",
        ),
        (
            json!({"sandbox": {"enabled": true}, "webhook": {"certificate": {"secretName": "zastava-sandbox-tls"}}}),
            "'/webhook/certificate/secretName': the chart makes a Secret zastava-sandbox-tls for '/sandbox/createSecrets' already",
        ),
    ]
});

#[test]
fn each_is_refused_by_the_path_of_its_key_with_a_way_out() {
    let Some(chart) = Chart::open() else { return };
    for (values, place) in CONTRADICTIONS.iter() {
        match chart.template(&[least(), values.clone()]) {
            Ok(_) => panic!("{values} was taken"),
            Err(said) => {
                assert!(said.contains(&format!("\n- at {place}")), "{values}: expected {place} in\n{said}")
            }
        }
    }
}

#[test]
fn all_of_them_are_told_at_once() {
    let Some(chart) = Chart::open() else { return };
    let wrong = json!({
        "caBundle": {"configMapName": "a", "secretName": "b"},
        "observer": {"hostPaths": {"scratch": "/dev/shm"}},
        "webhook": {"autoscaling": {"minReplicas": 3, "maxReplicas": 1}},
    });
    let told = chart.template(&[sandbox(), wrong]).expect_err("is refused");
    for place in ["/caBundle", "/observer/hostPaths/scratch", "/webhook/autoscaling/minReplicas"] {
        assert!(told.contains(&format!("\n- at '{place}'")), "{place} not in\n{told}");
    }
}

#[test]
fn what_is_turned_off_contradicts_nothing() {
    let Some(chart) = Chart::open() else { return };
    for values in [
        json!({"observer": {"enabled": false, "hostPaths": {"scratch": "/etc"}}}),
        json!({"webhook": {"autoscaling": {"enabled": false, "minReplicas": 8}}}),
        json!({"webhook": {"enabled": false}, "zastava": {"webhook": {"listen": "0.0.0.0:9102"}}}),
        json!({"zastava": {"webhook": {"listen": "0.0.0.0:10250"}}}),
    ] {
        if let Err(told) = chart.template(&[least(), values.clone()]) {
            panic!("{values} was refused\n{told}");
        }
    }
}

#[test]
fn a_key_in_the_wrong_place_is_refused_and_not_shown() {
    let Some(chart) = Chart::open() else { return };
    let key = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMG\n-----END PRIVATE KEY-----\n";
    let certificate = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (path, value) in [
        ("webhook.certificate.caBundle", format!("{certificate}{key}")),
        ("webhook.certificate.caBundle", key.to_owned()),
        ("secrets.authorityDpop", key.to_owned()),
        ("secrets.authorityMtls", format!("{certificate}{key}")),
    ] {
        let told = chart.template(&[least(), at(path, json!(value))]).expect_err("a key");
        let place = format!("'/{}'", path.replace('.', "/"));
        assert!(told.contains(&place) && !told.contains("MIGHAgEA"), "{path}: {told}");
    }
}
