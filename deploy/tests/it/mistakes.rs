//! Typical mistakes in values. The chart refuses each, and the message names the key.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::{Value, json};
use zastava_core::telemetry::METRICS;

use crate::chart::{Chart, least, sandbox};

/// `value` at a path such as `observer.image.tag`.
pub(crate) fn at(path: &str, value: Value) -> Value {
    path.rsplit('.').fold(value, |value, key| json!({key: value}))
}

/// A key, a wrong value, and how Helm calls the place.
static MISTAKES: LazyLock<Vec<(&str, Value, &str)>> = LazyLock::new(|| {
    vec![
        // Misspelt keys.
        ("zastava.runtime.tennant", json!("acme"), "'/zastava/runtime': additional properties 'tennant'"),
        (
            "zastava.runtime.authority.isuer",
            json!("x"),
            "'/zastava/runtime/authority': additional properties 'isuer'",
        ),
        (
            "zastava.observer.nodeName",
            json!("node-1"),
            "'/zastava/observer': additional properties 'nodeName'",
        ),
        ("zastava.webhook.admision", json!({}), "'/zastava/webhook': additional properties 'admision'"),
        ("observer.image.sha", json!("x"), "'/observer/image': additional properties 'sha'"),
        (
            "observer.tolerations",
            json!([{"efect": "NoSchedule"}]),
            "'/observer/tolerations/0': additional properties 'efect'",
        ),
        ("webhook.replicaCount", json!(3), "'/webhook': additional properties 'replicaCount'"),
        ("webhook.resources.limit", json!({}), "'/webhook/resources': additional properties 'limit'"),
        ("hostpaths", json!({}), "additional properties 'hostpaths'"),
        // The programs' configuration.
        ("zastava.runtime.tenant", json!(""), "'/zastava/runtime/tenant'"),
        ("zastava.runtime.tenant", json!("two\nlines"), "'/zastava/runtime/tenant'"),
        ("zastava.runtime.authority.issuer", json!(""), "'/zastava/runtime/authority/issuer'"),
        (
            "zastava.runtime.authority.issuer",
            json!("authority.internal"),
            "'/zastava/runtime/authority/issuer'",
        ),
        (
            "zastava.runtime.authority.issuer",
            json!("http://authority.internal"),
            "'/zastava/runtime/authority/issuer'",
        ),
        ("zastava.runtime.authority.scopes", json!("aud:scanner"), "'/zastava/runtime/authority/scopes'"),
        (
            "zastava.runtime.authority.scopes",
            json!(["aud:scanner api:write"]),
            "'/zastava/runtime/authority/scopes/0'",
        ),
        ("zastava.runtime.authority.requireDpop", json!("yes"), "'/zastava/runtime/authority/requireDpop'"),
        ("zastava.runtime.authority.clientKeyPath", json!("/tls.key"), "'/zastava/runtime/authority'"),
        (
            "zastava.runtime.authority.dpopKeyPath",
            json!("dpop.key"),
            "'/zastava/runtime/authority/dpopKeyPath'",
        ),
        (
            "zastava.runtime.authority.staticTokenMaxAge",
            json!("1 day"),
            "'/zastava/runtime/authority/staticTokenMaxAge'",
        ),
        (
            "zastava.runtime.authority.allowStaticTokenFallback",
            json!(true),
            "'/secrets/authorityStaticToken'",
        ),
        ("zastava.runtime.metrics.commonTags", json!({"a-b": "c"}), "'/zastava/runtime/metrics/commonTags'"),
        (
            "zastava.runtime.metrics.commonTags",
            json!({"cluster": ["eu"]}),
            "'/zastava/runtime/metrics/commonTags/cluster'",
        ),
        (
            "zastava.runtime.metrics.commonTags",
            json!({"cluster": ""}),
            "'/zastava/runtime/metrics/commonTags/cluster'",
        ),
        ("zastava.runtime.environment", json!(" "), "'/zastava/runtime/environment'"),
        ("zastava.observer.engine", json!("podman"), "'/zastava/observer/engine'"),
        (
            "zastava.observer.runtimes",
            json!([{"engine": "containerd", "endpoint": "/run/c.sock"}]),
            "'/zastava/observer/runtimes/0/endpoint'",
        ),
        ("zastava.observer.backend.baseAddress", json!(""), "'/zastava/observer/backend/baseAddress'"),
        (
            "zastava.observer.backend.baseAddress",
            json!("http://scanner"),
            "'/zastava/observer/backend/baseAddress'",
        ),
        ("zastava.observer.backend.eventsPath", json!("events"), "'/zastava/observer/backend/eventsPath'"),
        ("zastava.observer.pollInterval", json!("2sec"), "'/zastava/observer/pollInterval'"),
        ("zastava.observer.maxDiskBufferBytes", json!("64M"), "'/zastava/observer/maxDiskBufferBytes'"),
        ("zastava.observer.publishBatchSize", json!(257), "'/zastava/observer/publishBatchSize'"),
        ("zastava.observer.publishBatchSize", json!("32"), "'/zastava/observer/publishBatchSize'"),
        ("zastava.observer.kindStyle", json!("Pascal"), "'/zastava/observer/kindStyle'"),
        ("zastava.observer.posture.enabled", json!("often"), "'/zastava/observer/posture/enabled'"),
        ("zastava.observer.health.listen", json!(":9101"), "'/zastava/observer/health/listen'"),
        ("zastava.observer.health.listen", json!("127.0.0.1:9101"), "'/zastava/observer/health/listen'"),
        // `null` takes a default away.
        ("zastava.webhook.listen", json!(null), "'/zastava/webhook': missing property 'listen'"),
        ("zastava.observer.health", json!(null), "'/zastava/observer': missing property 'health'"),
        ("zastava.webhook.listen", json!("8443"), "'/zastava/webhook/listen'"),
        ("zastava.webhook.listen", json!("127.0.0.1:8443"), "'/zastava/webhook/listen'"),
        ("zastava.webhook.listen", json!("[::1]:8443"), "'/zastava/webhook/listen'"),
        ("zastava.webhook.listen", json!("0.0.0.0:0"), "'/zastava/webhook/listen'"),
        ("zastava.webhook.listen", json!("0.0.0.0:443"), "'/zastava/webhook/listen': port 443 is below 1024"),
        (
            "zastava.observer.health.listen",
            json!("[::]:80"),
            "'/zastava/observer/health/listen': port 80 is below 1024",
        ),
        (
            "zastava.webhook.backend.baseAddress",
            json!("https://%zz"),
            "'/zastava/webhook/backend/baseAddress'",
        ),
        (
            "zastava.webhook.backend.baseAddress",
            json!("https://scanner:99999"),
            "'/zastava/webhook/backend/baseAddress'",
        ),
        ("zastava.runtime.authority.issuer", json!("https://:443"), "'/zastava/runtime/authority/issuer'"),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!([{"name": "batch", "until": "2026-13-41T25:00:00Z"}]),
            "'/zastava/webhook/admission/failOpenNamespaces/0/until': there is no such time",
        ),
        ("secrets", json!({"authorityDpop": null, "authorityMtls": null}), "'/secrets': missing property"),
        (
            "webhook.extraEnv",
            json!([{"name": "ZASTAVA__WEBHOOK__LISTEN", "value": "0.0.0.0:9443"}]),
            "'/webhook/extraEnv/0': ZASTAVA__WEBHOOK__LISTEN is a setting",
        ),
        (
            "observer.resources.limits.memory",
            json!("256m"),
            "'/observer/resources/limits/memory': 256m is in thousandths of a byte: say 256Mi",
        ),
        (
            "webhook.resources.limits.ephemeral-storage",
            json!("1m"),
            "'/webhook/resources/limits/ephemeral-storage': 1m is in thousandths of a byte: say 1Mi",
        ),
        (
            "observer.resources.requests.ephemeral-storage",
            json!("64m"),
            "'/observer/resources/requests/ephemeral-storage': 64m is in thousandths of a byte: say 64Mi",
        ),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!([{"name": "shop", "until": "2099-01-01T00:00:00Z"}, "batch", "shop"]),
            "'/zastava/webhook/admission/failOpenNamespaces/2': shop is in the list already",
        ),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!(["shop", {"name": "shop", "until": "2099-01-01T00:00:00Z"}]),
            "'/zastava/webhook/admission/failOpenNamespaces/1': shop is in the list already",
        ),
        (
            "zastava.webhook.admission.failClosedNamespaces",
            json!(["shop", "shop"]),
            "'/zastava/webhook/admission/failClosedNamespaces/1': shop is in the list already",
        ),
        (
            "zastava.webhook.admission.namespaces",
            json!({"Bad_Name": {"enforce": true}}),
            "'/zastava/webhook/admission/namespaces': additional properties 'Bad_Name'",
        ),
        (
            "zastava.webhook.admission.namespaces",
            json!({"a".repeat(64): {"enforce": true}}),
            "'/zastava/webhook/admission/namespaces': additional properties 'aaaa",
        ),
        ("webhook.resources.requests.cpu", json!(-1), "'/webhook/resources/requests/cpu'"),
        (
            "zastava.webhook.health.listen",
            json!("[::ffff:127.0.0.1]:9102"),
            "'/zastava/webhook/health/listen'",
        ),
        ("zastava.webhook.tls.mode", json!("CsrBundle"), "'/zastava/webhook/tls/mode'"),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!("shop"),
            "'/zastava/webhook/admission/failOpenNamespaces'",
        ),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!([{"name": "shop", "until": "tomorrow"}]),
            "'/zastava/webhook/admission/failOpenNamespaces/0/until'",
        ),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!([{"until": "2026-12-01T00:00:00Z"}]),
            "'/zastava/webhook/admission/failOpenNamespaces/0': missing property 'name'",
        ),
        (
            "zastava.webhook.backend.baseAddress",
            json!("https://user@scanner"),
            "'/zastava/webhook/backend/baseAddress'",
        ),
        ("zastava.webhook.drainSeconds", json!(-1), "'/zastava/webhook/drainSeconds'"),
        // Kubernetes.
        ("secrets.authorityMtls", json!(""), "'/secrets/authorityMtls'"),
        ("secrets.authorityDpop", json!("Zastava_DPoP"), "'/secrets/authorityDpop'"),
        ("secrets.authorityDpop", json!("a..b"), "'/secrets/authorityDpop'"),
        ("secrets.authorityDpop", json!("a.-b"), "'/secrets/authorityDpop'"),
        ("secrets.authorityDpop", json!(123), "'/secrets/authorityDpop': got number, want string"),
        ("secrets.authorityStaticToken", json!("token/1"), "'/secrets/authorityStaticToken'"),
        ("image.registry", json!("https://registry.internal"), "'/image/registry'"),
        ("image.pullPolicy", json!("always"), "'/image/pullPolicy'"),
        ("imagePullSecrets", json!([{"name": "pull"}]), "'/imagePullSecrets/0'"),
        ("observer.image.digest", json!("1234"), "'/observer/image/digest'"),
        ("observer.image.tag", json!(1.2), "'/observer/image/tag'"),
        (
            "observer.hostPaths.containerdSocketDirectory",
            json!("unix:///run/containerd/containerd.sock"),
            "'/observer/hostPaths/containerdSocketDirectory'",
        ),
        ("observer.hostPaths.scratch", json!("var/run/zastava"), "'/observer/hostPaths/scratch'"),
        ("observer.hostPID", json!("false"), "'/observer/hostPID'"),
        ("observer.maxUnavailable", json!("150%"), "'/observer/maxUnavailable'"),
        ("observer.resources.limits.memory", json!("256MiB"), "'/observer/resources/limits/memory'"),
        ("observer.nodeSelector", json!({"gpu": true}), "'/observer/nodeSelector/gpu'"),
        ("observer.extraEnv", json!([{"name": "A", "value": 1}]), "'/observer/extraEnv/0/value'"),
        ("observer.extraVolumes", json!([{"name": "more"}]), "'/observer/extraVolumes/0'"),
        ("commonLabels", json!({"a b": "c"}), "'/commonLabels': additional properties 'a b'"),
        ("commonLabels", json!({"team": "run time"}), "'/commonLabels/team'"),
        ("observer.podLabels", json!({"team": "-a"}), "'/observer/podLabels/team'"),
        ("webhook.replicas", json!(0), "'/webhook/replicas'"),
        ("webhook.registration.failurePolicy", json!("Open"), "'/webhook/registration/failurePolicy'"),
        ("webhook.registration.timeoutSeconds", json!(30), "'/webhook/registration/timeoutSeconds'"),
        (
            "webhook.registration.excludedNamespaces",
            json!(["kube-*"]),
            "'/webhook/registration/excludedNamespaces/0'",
        ),
        (
            "webhook.service.clusterIP",
            json!("10.0.0.300"),
            "'/webhook/service/clusterIP': '10.0.0.300' is not valid ipv4",
        ),
        ("webhook.service.clusterIP", json!("10.0.0"), "'/webhook/service/clusterIP'"),
        ("webhook.service.clusterIP", json!("010.0.0.1"), "'/webhook/service/clusterIP'"),
        ("webhook.service.clusterIP", json!("zastava"), "'/webhook/service/clusterIP'"),
        (
            "webhook.service.clusterIP",
            json!("fd00::1::2"),
            "'/webhook/service/clusterIP': 'fd00::1::2' is not valid ipv6",
        ),
        ("sandbox.service.clusterIP", json!("fd00::12345"), "'/sandbox/service/clusterIP'"),
        ("sandbox.service.clusterIP", json!("fe80::1%eth0"), "'/sandbox/service/clusterIP'"),
        ("hostAliases", json!([{"ip": "10.0.0.256", "hostnames": ["a"]}]), "'/hostAliases/0/ip'"),
        ("hostAliases", json!([{"ip": "", "hostnames": ["a"]}]), "'/hostAliases/0/ip'"),
        (
            "networkPolicy.reviewsFrom",
            json!([{"ipBlock": {"cidr": "10.0.0.0/33"}}]),
            "'/networkPolicy/reviewsFrom/0/ipBlock/cidr'",
        ),
        ("webhook.certificate.source", json!("certmanager"), "'/webhook/certificate/source'"),
        (
            "webhook.certificate.source",
            json!("cert-manager"),
            "'/webhook/certificate/certManager/issuerRef/name'",
        ),
        ("webhook.certificate.caBundle", json!("LS0tLS1CRUdJTg=="), "'/webhook/certificate/caBundle'"),
        ("sandbox.tokenLifetimeSeconds", json!(0), "'/sandbox/tokenLifetimeSeconds'"),
        (
            "sandbox.policy.images",
            json!([{"repository": "a", "verdict": "allow"}]),
            "'/sandbox/policy/images/0/verdict'",
        ),
        ("sandbox.policy.images", json!([{"verdict": "pass"}]), "'/sandbox/policy/images/0'"),
        ("networkPolicy.metricsFrom", json!([{"namespace": "monitoring"}]), "'/networkPolicy/metricsFrom/0'"),
        ("priorityClass.value", json!(2_000_000_000), "'/priorityClass/value'"),
        ("serviceMonitor.interval", json!(30), "'/serviceMonitor/interval'"),
        ("dashboard.labels", json!({"grafana_dashboard": 1}), "'/dashboard/labels/grafana_dashboard'"),
    ]
});

#[test]
fn each_mistake_is_refused_by_the_path_of_its_key() {
    let Some(chart) = Chart::open() else { return };
    assert!(MISTAKES.len() >= 40);
    for (path, value, place) in MISTAKES.iter() {
        let values = [least(), at(path, value.clone())];
        match chart.template(&values) {
            Ok(_) => panic!("{path}: {value} was taken"),
            Err(told) => assert!(told.contains(place), "{path}: {value}: expected {place} in\n{told}"),
        }
    }
}

#[test]
fn a_common_tag_is_no_label_that_a_metric_has_itself() {
    let Some(chart) = Chart::open() else { return };
    let own: BTreeSet<_> = METRICS.iter().flat_map(|metric| metric.labels).copied().chain(["le"]).collect();
    let tags: Value = own.iter().map(|label| ((*label).to_owned(), json!("x"))).collect();
    let told =
        chart.template(&[least(), at("zastava.runtime.metrics.commonTags", tags)]).expect_err("is refused");
    for label in own {
        let place =
            format!("\n- at '/zastava/runtime/metrics/commonTags/{label}': is a label that metrics have");
        assert!(told.contains(&place), "{place} not in\n{told}");
    }
}

#[test]
fn every_mistake_of_one_set_is_told_at_once() {
    let Some(chart) = Chart::open() else { return };
    let wrong = json!({
        "observer": {"hostPID": "no"},
        "zastava": {"webhook": {"listen": "x"}, "runtime": {"tenat": "a"}},
    });
    let told = chart.template(&[sandbox(), wrong]).expect_err("is refused");
    for place in ["/observer/hostPID", "/zastava/webhook/listen", "tenat"] {
        assert!(told.contains(place), "{place} not in\n{told}");
    }
}

#[test]
fn nothing_said_at_all_names_what_must_be_said() {
    let Some(chart) = Chart::open() else { return };
    let told = chart.template(&[]).expect_err("is refused");
    for key in [
        "runtime/tenant",
        "runtime/authority/issuer",
        "observer/backend/baseAddress",
        "webhook/backend/baseAddress",
    ] {
        assert!(told.contains(&format!("'/zastava/{key}'")), "{key} not in\n{told}");
    }
}

#[test]
fn what_the_programs_take_is_not_refused() {
    let Some(chart) = Chart::open() else { return };
    for (path, value) in [
        (
            "zastava.runtime.authority",
            json!({"issuer": "http://authority:8080/realm", "allowInsecureHttp": true}),
        ),
        ("zastava.observer.backend", json!({"baseAddress": "http://[::1]:8441", "allowInsecureHttp": true})),
        ("zastava.webhook.listen", json!("[::]:10250")),
        ("zastava.webhook.drainSeconds", json!("1m")),
        (
            "zastava.webhook.admission.failOpenNamespaces",
            json!(["shop", {"name": "batch", "until": "2026-12-01T00:00:00+01:00"}]),
        ),
        ("zastava.observer.maxDiskBufferBytes", json!(67_108_864)),
        ("observer.maxUnavailable", json!("10%")),
        ("observer.hostPaths", json!({"containerdState": "", "containerdSocketDirectory": "", "proc": ""})),
        ("webhook.podDisruptionBudget.maxUnavailable", json!(2)),
        ("webhook.resources.requests.cpu", json!(1)),
        ("webhook.resources.limits", json!({"cpu": "1.5", "memory": "1Gi"})),
        (
            "webhook.certificate.caBundle",
            json!("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"),
        ),
        ("webhook.service.clusterIP", json!("fd00:10:96::a")),
        (
            "hostAliases",
            json!([{"ip": "::1", "hostnames": ["a"]}, {"ip": "10.0.0.255", "hostnames": ["b.c"]}]),
        ),
        (
            "networkPolicy.egress",
            json!([{"to": [{"ipBlock": {"cidr": "fd00::/8", "except": ["fd00:1::/32"]}}]}]),
        ),
        ("secrets.authorityDpop", json!("123")),
        ("secrets.authorityDpop", json!("a.b-c.1")),
        ("observer.hostPaths", json!({"proc": null, "scratch": null})),
        ("secrets", json!({"authorityDpop": null, "authorityStaticToken": null})),
        ("observer.hostPaths.scratch", json!("/var/run/zastava/")),
        ("observer.hostPaths.scratch", json!("/var/lib/containerd-events/..zastava")),
        ("webhook.autoscaling", json!({"minReplicas": 4, "maxReplicas": 4})),
        ("global", json!({"anything": true})),
    ] {
        if let Err(told) = chart.template(&[least(), at(path, value.clone())]) {
            panic!("{path}: {value} was refused\n{told}");
        }
    }
}
