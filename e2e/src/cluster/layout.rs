//! The paths and contents of a cluster's files.

use std::path::{Path, PathBuf};

use super::network::{CONTROL_PLANE, pod_range};
use super::pki::Pki;
use crate::Error;
use crate::cgroups::node_group;
use crate::command::{make_directory, write};
use crate::tools::Tools;

/// The image that holds a pod's namespaces.
pub(crate) const PAUSE_IMAGE: &str = "registry.internal/pause:1";

/// The directory of a cluster.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) directory: PathBuf,
}

impl Layout {
    pub(crate) fn pki(&self, file: &str) -> PathBuf {
        self.directory.join("pki").join(file)
    }

    pub(crate) fn kubeconfig(&self, user: &str) -> PathBuf {
        self.directory.join(format!("{user}.kubeconfig"))
    }

    pub(crate) fn log(&self, service: &str) -> PathBuf {
        self.directory.join("logs").join(format!("{service}.log"))
    }

    /// The directory of a node, separate from the other nodes and from this machine.
    pub(crate) fn node(&self, node: &str) -> PathBuf {
        self.directory.join("nodes").join(node)
    }

    /// Holds the node's process id in the control plane's namespace.
    pub(crate) fn node_pid(&self, node: &str) -> PathBuf {
        self.node(node).join("pid")
    }

    /// The name of the cluster's control groups.
    pub(crate) fn name(&self) -> String {
        let path = self.directory.to_string_lossy();
        path.trim_matches('/').replace(|c: char| !c.is_ascii_alphanumeric(), "-")
    }

    /// Writes the files that the programs read.
    pub(crate) fn write_all(&self, nodes: &[String], tools: &Tools) -> Result<(), Error> {
        make_directory(&self.directory.join("logs"))?;
        Pki::create(&self.directory.join("pki"))?.issue_all(nodes)?;
        let users = ["admin", "kube-controller-manager", "kube-scheduler", "kube-proxy"];
        for user in users.into_iter().chain(nodes.iter().map(String::as_str)) {
            write(&self.kubeconfig(user), self.kubeconfig_yaml(user))?;
        }
        write(&self.directory.join("Corefile"), self.corefile())?;
        for (index, node) in nodes.iter().enumerate() {
            let home = self.node(node);
            for directory in ["var-lib", "var-log", "cni"] {
                make_directory(&home.join(directory))?;
            }
            write(&home.join("cni/10-bridge.conf"), bridge(index))?;
            write(&home.join("containerd.toml"), containerd_toml(&home, tools)?)?;
            write(&home.join("kubelet.yaml"), self.kubelet_yaml(node))?;
        }
        Ok(())
    }

    fn kubeconfig_yaml(&self, user: &str) -> String {
        let (ca, certificate, key) =
            (self.pki("ca.crt"), self.pki(&format!("{user}.crt")), self.pki(&format!("{user}.key")));
        format!(
            r#"apiVersion: v1
kind: Config
clusters:
  - name: e2e
    cluster: {{server: "https://{CONTROL_PLANE}:6443", certificate-authority: {ca:?}}}
users:
  - name: {user}
    user: {{client-certificate: {certificate:?}, client-key: {key:?}}}
contexts:
  - name: e2e
    context: {{cluster: e2e, user: {user}}}
current-context: e2e
"#
        )
    }

    /// Resolves names of the cluster only: there is no other name server to ask.
    fn corefile(&self) -> String {
        let kubeconfig = self.kubeconfig("admin");
        format!(
            ".:53 {{
    bind {CONTROL_PLANE}
    errors
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {}
        pods insecure
        ttl 5
    }}
    cache 5
}}
",
            kubeconfig.display()
        )
    }

    fn kubelet_yaml(&self, node: &str) -> String {
        let group = node_group(&self.name(), node);
        let (ca, certificate, key) =
            (self.pki("ca.crt"), self.pki(&format!("{node}.crt")), self.pki(&format!("{node}.key")));
        format!(
            r#"apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix:///run/containerd/containerd.sock
authentication:
  anonymous: {{enabled: false}}
  webhook: {{enabled: true}}
  x509: {{clientCAFile: {ca:?}}}
authorization: {{mode: Webhook}}
tlsCertFile: {certificate:?}
tlsPrivateKeyFile: {key:?}
clusterDNS: ["{CONTROL_PLANE}"]
clusterDomain: cluster.local
resolvConf: ""
cgroupDriver: cgroupfs
cgroupRoot: {group}
enforceNodeAllocatable: []
failCgroupV1: false
failSwapOn: false
volumePluginDir: /var/lib/kubelet/volume-plugins
# Disks of test machines are full as a rule.
evictionHard: {{memory.available: 50Mi, nodefs.available: 1%, imagefs.available: 1%, nodefs.inodesFree: 1%}}
imageGCHighThresholdPercent: 100
"#
        )
    }
}

fn bridge(index: usize) -> String {
    let pods = pod_range(index);
    format!(
        r#"{{"cniVersion": "0.4.0", "name": "pods", "type": "bridge", "bridge": "pods", "isGateway": true,
 "hairpinMode": true, "ipam": {{"type": "host-local", "dataDir": "/var/lib/cni/networks",
 "ranges": [[{{"subnet": "{pods}"}}]], "routes": [{{"dst": "0.0.0.0/0"}}]}}}}
"#
    )
}

/// Some machines lack `CAP_SYS_RESOURCE`: OOM scores then stay unchanged.
fn containerd_toml(home: &Path, tools: &Tools) -> Result<String, Error> {
    let (cni, runc) = (home.join("cni"), tools.program("runc")?);
    let runtime = format!(
        r#"restrict_oom_score_adj = true
cni = {{bin_dirs = ["/usr/lib/cni"], bin_dir = "/usr/lib/cni", conf_dir = {cni:?}}}
containerd = {{default_runtime_name = "runc", runtimes = {{runc = {{runtime_type = "io.containerd.runc.v2", options = {{BinaryName = {runc:?}}}}}}}}}
"#
    );
    let disabled = r#"disabled_plugins = ["io.containerd.internal.v1.opt"]"#;
    Ok(if tools.containerd_version().starts_with("1.") {
        let runtime = runtime.replace("bin_dirs = [\"/usr/lib/cni\"], ", "");
        format!(
            "version = 2\n{disabled}\n[plugins.'io.containerd.grpc.v1.cri']\nsandbox_image = \"{PAUSE_IMAGE}\"\n{runtime}"
        )
    } else {
        let runtime = runtime.replace(" bin_dir = \"/usr/lib/cni\",", "");
        format!(
            "version = 3\n{disabled}\n[plugins.'io.containerd.cri.v1.images'.pinned_images]\nsandbox = \"{PAUSE_IMAGE}\"\n\
             [plugins.'io.containerd.cri.v1.runtime']\n{runtime}"
        )
    })
}
