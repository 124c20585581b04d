//! The chart, rendered by Helm.

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::tools::{both, find_or_skip, root};
use crate::yaml;

/// As the runbook installs it.
pub(crate) const RELEASE: &str = "zastava-runtime";
pub(crate) const NAMESPACE: &str = "stellaops";

/// Helm and its arguments.
#[derive(Debug)]
pub(crate) struct Chart {
    helm: PathBuf,
}

/// Everything that a set of values renders.
#[derive(Debug)]
pub(crate) struct Rendered {
    pub(crate) objects: Vec<Value>,
}

impl Chart {
    /// `None` if Helm is missing, after a line that says so.
    pub(crate) fn open() -> Option<Self> {
        static HELM: OnceLock<Option<PathBuf>> = OnceLock::new();
        let helm = HELM.get_or_init(|| find_or_skip("ZASTAVA_HELM", "helm")).clone()?;
        Some(Self { helm })
    }

    fn run(&self, arguments: &[&str], values: &[Value]) -> Output {
        self.run_in(None, arguments, values)
    }

    fn run_in(&self, cluster: Option<&Cluster>, arguments: &[&str], values: &[Value]) -> Output {
        let folder = tempfile::tempdir().expect("has a place for files");
        let mut command = Command::new(&self.helm);
        // Nothing of the user who runs the test: no cluster, no cache, no plugins.
        let kubeconfig = folder.path().join("kubeconfig");
        if let Some(cluster) = cluster {
            std::fs::write(&kubeconfig, cluster.kubeconfig().to_string()).expect("writes");
        }
        command.env("HOME", folder.path()).env("KUBECONFIG", kubeconfig);
        command.args(arguments);
        for (index, values) in values.iter().enumerate() {
            let path = folder.path().join(format!("{index}.yaml"));
            std::fs::write(&path, values.to_string()).expect("writes");
            command.arg("--values").arg(path);
        }
        command.output().expect("helm runs")
    }

    fn path() -> String {
        root().join("deploy/helm/zastava").display().to_string()
    }

    pub(crate) fn template(&self, values: &[Value]) -> Result<String, String> {
        told(&self.run(&["template", RELEASE, &Self::path(), "--namespace", NAMESPACE], values))
    }

    /// As an installation or an upgrade renders, which sees what is there.
    pub(crate) fn template_in(&self, cluster: &Cluster, values: &[Value]) -> Result<String, String> {
        let words = ["--namespace", NAMESPACE, "--dry-run=server", "--disable-openapi-validation"];
        let path = Self::path();
        let arguments: Vec<&str> = ["template", RELEASE, &path].into_iter().chain(words).collect();
        told(&self.run_in(Some(cluster), &arguments, values))
    }

    pub(crate) fn render_in(&self, cluster: &Cluster, values: &[Value]) -> Rendered {
        let text = self.template_in(cluster, values).unwrap_or_else(|told| panic!("{values:?}\n{told}"));
        Rendered { objects: yaml::documents(&text) }
    }

    /// With another name, in another namespace.
    pub(crate) fn render_as(&self, release: &str, namespace: &str, values: &[Value]) -> Rendered {
        let output = self.run(&["template", release, &Self::path(), "--namespace", namespace], values);
        let text = told(&output).unwrap_or_else(|told| panic!("{values:?}\n{told}"));
        Rendered { objects: yaml::documents(&text) }
    }

    pub(crate) fn render(&self, values: &[Value]) -> Rendered {
        let text = self.template(values).unwrap_or_else(|told| panic!("{values:?}\n{told}"));
        Rendered { objects: yaml::documents(&text) }
    }

    /// Whether it is clean, and what `helm lint --strict` said.
    pub(crate) fn lint(&self, values: &[Value]) -> (bool, String) {
        let output = self.run(&["lint", "--strict", &Self::path()], values);
        (output.status.success(), both(&output))
    }

    /// What an operator reads after an installation.
    pub(crate) fn notes(&self, values: &[Value]) -> String {
        let arguments = ["install", RELEASE, &Self::path(), "--namespace", NAMESPACE, "--dry-run=client"];
        let output = self.run(&arguments, values);
        assert!(output.status.success(), "{}", both(&output));
        let told = String::from_utf8(output.stdout).expect("is text");
        told.split_once("\nNOTES:\n").expect("has notes").1.to_owned()
    }

    /// The same of an installation that looks at a cluster.
    pub(crate) fn notes_in(&self, cluster: &Cluster, values: &[Value]) -> String {
        let arguments = ["install", RELEASE, &Self::path(), "--namespace", NAMESPACE, "--dry-run=server"];
        let arguments = arguments.into_iter().chain(["--disable-openapi-validation"]).collect::<Vec<_>>();
        let told =
            told(&self.run_in(Some(cluster), &arguments, values)).unwrap_or_else(|told| panic!("{told}"));
        told.split_once("\nNOTES:\n").expect("has notes").1.to_owned()
    }

    /// What `Chart.yaml` says.
    pub(crate) fn show(&self) -> Value {
        let output = self.run(&["show", "chart", &Self::path()], &[]);
        assert!(output.status.success(), "{}", both(&output));
        yaml::document(&String::from_utf8(output.stdout).expect("is text"))
    }
}

/// Manifests, or why there are none.
fn told(output: &Output) -> Result<String, String> {
    match output.status.success() {
        true => Ok(String::from_utf8(output.stdout.clone()).expect("is text")),
        false => Err(both(output)),
    }
}

impl Rendered {
    pub(crate) fn find(&self, kind: &str, name: &str) -> Option<&Value> {
        let mut found = self.of_kind(kind).filter(|object| object["metadata"]["name"] == name);
        let first = found.next();
        assert!(found.next().is_none(), "{kind} {name} is rendered twice");
        first
    }

    pub(crate) fn object(&self, kind: &str, name: &str) -> &Value {
        self.find(kind, name).unwrap_or_else(|| panic!("there is no {kind} {name}"))
    }

    pub(crate) fn of_kind(&self, kind: &str) -> impl Iterator<Item = &Value> {
        self.objects.iter().filter(move |object| object["kind"] == kind)
    }

    /// `zastava.yaml` of a program.
    pub(crate) fn configuration(&self, name: &str) -> String {
        let text = &self.object("ConfigMap", name)["data"]["zastava.yaml"];
        text.as_str().unwrap_or_else(|| panic!("{name} has no zastava.yaml")).to_owned()
    }

    /// A file of a Secret.
    pub(crate) fn secret(&self, name: &str, key: &str) -> String {
        let encoded = &self.object("Secret", name)["data"][key];
        let encoded = encoded.as_str().unwrap_or_else(|| panic!("{name} has no {key}"));
        String::from_utf8(STANDARD.decode(encoded).expect("is base64")).expect("is text")
    }

    /// Each pod template, with its owner's name; a bare pod too.
    pub(crate) fn pods(&self) -> Vec<(String, &Value)> {
        let named = |object: &Value| object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let templates = self.objects.iter().filter(|object| object["spec"]["template"].is_object());
        let bare = self.of_kind("Pod").map(|pod| (named(pod), pod));
        templates.map(|owner| (named(owner), &owner["spec"]["template"])).chain(bare).collect()
    }
}

/// The least values of a real installation.
pub(crate) fn least() -> Value {
    let backend = json!({"backend": {"baseAddress": "https://scanner.internal"}});
    json!({"zastava": {
        "runtime": {"tenant": "acme", "authority": {"issuer": "https://authority.internal"}},
        "observer": backend,
        "webhook": backend,
    }})
}

/// The values of a complete lab.
pub(crate) fn sandbox() -> Value {
    json!({"sandbox": {"enabled": true}})
}

/// Every switch turned on.
pub(crate) fn everything() -> Value {
    json!({
        "sandbox": {"enabled": true, "policy": {"images": [{"repository": "registry.example/a", "verdict": "pass"}]}},
        "networkPolicy": {"enabled": true, "egress": [{"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}]},
        "priorityClass": {"create": true},
        "serviceMonitor": {"enabled": true},
        "prometheusRule": {"enabled": true},
        "dashboard": {"enabled": true},
        "imagePullSecrets": ["pull"],
        "commonLabels": {"team": "runtime"},
        "hostAliases": [{"ip": "10.1.2.3", "hostnames": ["scanner.internal"]}],
        "tests": {"signedImage": "a@sha256:1", "unsignedImage": "b:1"},
        "observer": {
            "hostPID": true,
            "appArmorProfile": {"type": "Unconfined"},
            "seLinuxOptions": {"type": "spc_t"},
            "podAnnotations": {"a": "b"},
            "podLabels": {"c": "d"},
            "affinity": {"nodeAffinity": {}},
            "extraEnv": [{"name": "TZ", "value": "UTC"}],
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        },
        "webhook": {
            "hostNetwork": true,
            "service": {"clusterIP": "10.96.0.20"},
            "registration": {"matchConditions": [{"name": "not-leases", "expression": "true"}]},
            "tolerations": [{"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}],
            "extraEnv": [{"name": "A", "value": "b"}],
            "extraVolumes": [{"name": "more", "emptyDir": {}}],
            "extraVolumeMounts": [{"name": "more", "mountPath": "/more"}],
        },
    })
}

/// cert-manager signs, and secrets of other names hold the rest.
pub(crate) fn certified() -> Value {
    json!({
        "secrets": {"authorityMtls": "mtls", "authorityDpop": "", "authorityStaticToken": "bootstrap"},
        "caBundle": {"configMapName": "platform-ca", "key": "bundle.pem"},
        "zastava": {"runtime": {"authority": {"allowStaticTokenFallback": true}}},
        "webhook": {"certificate": {"source": "cert-manager", "certManager": {"issuerRef": {"name": "platform"}}}},
    })
}

/// Names of digits alone, which Kubernetes takes and YAML takes for numbers.
pub(crate) fn numbers() -> Value {
    json!({
        "secrets": {"authorityMtls": "70001", "authorityDpop": "70002", "authorityStaticToken": "70003",
            "authorityClientSecret": "70004"},
        "caBundle": {"configMapName": "70005", "key": "70006"},
        "imagePullSecrets": ["70007"],
        "observer": {"priorityClassName": "70008", "serviceAccount": {"name": "70009"}},
        "webhook": {
            "registration": {"excludedNamespaces": ["70010"]}, "certificate": {"secretName": "70011"},
            "priorityClassName": "70012", "serviceAccount": {"name": "70013"},
        },
        "sandbox": {"priorityClassName": "70017", "nodeSelector": {"zone": "70014"}, "serviceAccount": {"name": "70015"}},
        "tests": {"namespace": "70016"},
        "priorityClass": {"create": true, "name": "70017"},
        "prometheusRule": {"enabled": true, "namespace": "70018"},
        "dashboard": {"enabled": true, "namespace": "70019"},
        "serviceMonitor": {"enabled": true, "namespace": "70020"},
        "networkPolicy": {"enabled": true},
    })
}

/// Every set of values that the chart is tried with.
pub(crate) fn variants() -> Vec<(&'static str, Vec<Value>)> {
    vec![
        ("least", vec![least()]),
        ("sandbox", vec![sandbox()]),
        ("everything", vec![everything()]),
        ("certified", vec![least(), certified()]),
        ("observer alone", vec![least(), json!({"webhook": {"enabled": false}})]),
        ("webhook alone", vec![least(), json!({"observer": {"enabled": false}})]),
        ("numbers", vec![sandbox(), numbers()]),
        ("sample", vec![yaml::document(&crate::tools::read("values/zastava-runtime.yaml"))]),
    ]
}
