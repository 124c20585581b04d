//! An API server as far as Helm asks one while it renders: what is there, for `lookup`.
//!
//! It replaces a real API server, against which `e2e` tests an installation.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::chart::{NAMESPACE, RELEASE, Rendered};

/// Group version, plural, kind: what the chart renders without other's kinds, and looks up.
const KINDS: [(&str, &str, &str); 13] = [
    ("v1", "configmaps", "ConfigMap"),
    ("v1", "namespaces", "Namespace"),
    ("v1", "pods", "Pod"),
    ("v1", "secrets", "Secret"),
    ("v1", "serviceaccounts", "ServiceAccount"),
    ("v1", "services", "Service"),
    ("admissionregistration.k8s.io/v1", "validatingwebhookconfigurations", "ValidatingWebhookConfiguration"),
    ("admissionregistration.k8s.io/v1", "validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
    (
        "admissionregistration.k8s.io/v1",
        "validatingadmissionpolicybindings",
        "ValidatingAdmissionPolicyBinding",
    ),
    ("apps/v1", "daemonsets", "DaemonSet"),
    ("apps/v1", "deployments", "Deployment"),
    ("autoscaling/v2", "horizontalpodautoscalers", "HorizontalPodAutoscaler"),
    ("policy/v1", "poddisruptionbudgets", "PodDisruptionBudget"),
];
const CLUSTER_WIDE: [&str; 4] = [
    "Namespace",
    "ValidatingWebhookConfiguration",
    "ValidatingAdmissionPolicy",
    "ValidatingAdmissionPolicyBinding",
];

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    address: SocketAddr,
    ended: Arc<AtomicBool>,
    server: Option<JoinHandle<()>>,
}

impl Cluster {
    /// Holds these objects, and the namespaces that every cluster has.
    pub(crate) fn with(mut objects: Vec<Value>) -> Self {
        for name in ["kube-system", NAMESPACE] {
            objects.push(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}));
        }
        let listener = TcpListener::bind("127.0.0.1:0").expect("has a port");
        let address = listener.local_addr().expect("has an address");
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let server = std::thread::spawn(move || {
            for stream in listener.incoming().take_while(|_| !end.load(Ordering::SeqCst)) {
                // The server ignores clients that disconnect.
                let _ = stream.and_then(|stream| answer(&stream, &objects));
            }
        });
        Self { address, ended, server: Some(server) }
    }

    /// Holds what a release made of these renders.
    pub(crate) fn after(rendered: &Rendered) -> Self {
        let mut objects = rendered.objects.clone();
        for object in &mut objects {
            // Without them Helm takes the object for somebody else's.
            let annotations = &mut object["metadata"]["annotations"];
            annotations["meta.helm.sh/release-name"] = RELEASE.into();
            annotations["meta.helm.sh/release-namespace"] = NAMESPACE.into();
        }
        Self::with(objects)
    }

    pub(crate) fn kubeconfig(&self) -> Value {
        json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "a",
            "clusters": [{"name": "a", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "a", "context": {"cluster": "a", "user": "a"}}],
            "users": [{"name": "a", "user": {}}],
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
        // Wakes the server; when it is gone already there is nothing to wake.
        let _ = TcpStream::connect(self.address);
        let _ = self.server.take().map(JoinHandle::join);
    }
}

/// One request a connection.
fn answer(mut stream: &TcpStream, objects: &[Value]) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().transpose()?.unwrap_or_default();
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let path = request.split_whitespace().nth(1).unwrap_or_default();
    let path = path.split('?').next().unwrap_or_default();
    let (status, body) = match found(path, objects) {
        Some(body) => ("200 OK", body),
        None => (
            "404 Not Found",
            json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}),
        ),
    };
    let body = body.to_string();
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

/// Discovery, and objects by their paths.
fn found(path: &str, objects: &[Value]) -> Option<Value> {
    match path {
        "/version" => return Some(json!({"major": "1", "minor": "37", "gitVersion": "v1.37.0"})),
        "/api" => return Some(json!({"kind": "APIVersions", "versions": ["v1"]})),
        "/apis" => return Some(groups()),
        _ => {}
    }
    let rest = path.strip_prefix("/api/").or_else(|| path.strip_prefix("/apis/"))?;
    if KINDS.iter().any(|(version, ..)| *version == rest) {
        return Some(resources(rest));
    }
    let of_kind = KINDS.iter().find(|(version, plural, _)| rest == format!("{version}/{plural}"));
    if let Some((version, _, kind)) = of_kind {
        let items: Vec<_> = objects.iter().filter(|object| object["kind"] == *kind).collect();
        return Some(json!({"kind": format!("{kind}List"), "apiVersion": version, "items": items}));
    }
    objects.iter().find(|object| place(object).as_deref() == Some(path)).cloned()
}

/// Where an object lies. None for a kind that the cluster does not know.
fn place(object: &Value) -> Option<String> {
    let (version, plural, kind) = KINDS.iter().find(|(.., kind)| object["kind"] == *kind)?;
    let root = if *version == "v1" { "api" } else { "apis" };
    let name = object["metadata"]["name"].as_str()?;
    Some(match CLUSTER_WIDE.contains(kind) {
        true => format!("/{root}/{version}/{plural}/{name}"),
        false => format!("/{root}/{version}/namespaces/{NAMESPACE}/{plural}/{name}"),
    })
}

fn groups() -> Value {
    let versions: BTreeSet<_> = KINDS.iter().filter_map(|(version, ..)| version.split_once('/')).collect();
    let groups = versions.into_iter().map(|(group, version)| {
        let version = json!({"groupVersion": format!("{group}/{version}"), "version": version});
        json!({"name": group, "versions": [version], "preferredVersion": version})
    });
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups.collect::<Vec<_>>()})
}

fn resources(version: &str) -> Value {
    let kinds = KINDS.iter().filter(|(of, ..)| *of == version);
    let resources = kinds.map(|(_, plural, kind)| {
        json!({"name": plural, "kind": kind, "namespaced": !CLUSTER_WIDE.contains(kind), "verbs": ["get", "list"]})
    });
    json!({"kind": "APIResourceList", "groupVersion": version, "resources": resources.collect::<Vec<_>>()})
}
