//! The control plane: the bridge between nodes, and everything that is not on a node.

use std::path::Path;
use std::time::Duration;

use super::services::Services;
use crate::Error;
use crate::cgroups;
use crate::cluster::network::{BRIDGE, CONTROL_PLANE, POD_RANGE, SERVICE_RANGE, node_address, pod_range};
use crate::cluster::{Layout, OWN_NAMESPACES};
use crate::command::{line, wait_for, write};
use crate::tools::{Tools, Versions};

/// Time for `unshare` to create a node's namespaces.
const NAMESPACES_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn start(
    layout: &Layout,
    tools: &Tools,
    versions: &Versions,
    nodes: &[String],
) -> Result<Services, Error> {
    lay_network()?;
    let mut services = Services::new(layout, tools.search_path());
    start_programs(&mut services, layout, tools, nodes)?;
    for (index, node) in nodes.iter().enumerate() {
        cgroups::make(&layout.name(), node)?;
        start_node(&mut services, layout, versions, index, nodes)?;
    }
    Ok(services)
}

fn lay_network() -> Result<(), Error> {
    line("hostname control-plane")?;
    write(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
    line("ip link set lo up")?;
    line(&format!("ip link add {BRIDGE} type bridge"))?;
    line(&format!("ip address add {CONTROL_PLANE}/24 dev {BRIDGE}"))?;
    line(&format!("ip link set {BRIDGE} up"))?;
    // kube-proxy rewrites the destination; without a route there is nothing to rewrite.
    line(&format!("ip route add {SERVICE_RANGE} dev {BRIDGE}"))?;
    Ok(())
}

/// The order does not matter: a service that ends because another is missing is started again.
fn start_programs(
    services: &mut Services,
    layout: &Layout,
    tools: &Tools,
    nodes: &[String],
) -> Result<(), Error> {
    let pki = layout.directory.join("pki");
    let pki = pki.display().to_string();
    let kubeconfig = |user: &str| layout.kubeconfig(user).display().to_string();
    services.start(
        "etcd",
        "/usr/bin/etcd",
        &format!(
            "--data-dir={}\n--unsafe-no-fsync\n--log-level=warn",
            layout.directory.join("etcd").display()
        ),
    )?;
    services.start("kube-apiserver", tools.program("kube-apiserver")?, &api_server(&pki))?;
    services.start(
        "kube-controller-manager",
        tools.program("kube-controller-manager")?,
        &controller_manager(&pki, &kubeconfig("kube-controller-manager")),
    )?;
    services.start(
        "kube-scheduler",
        tools.program("kube-scheduler")?,
        &format!("--kubeconfig={}\n--leader-elect=false", kubeconfig("kube-scheduler")),
    )?;
    // The API server reaches the Services of webhooks through it. The node that it names must exist.
    let node = nodes.first().map_or("none", String::as_str);
    services.start("kube-proxy", tools.program("kube-proxy")?, &kube_proxy(layout, node))?;
    let corefile = layout.directory.join("Corefile");
    services.start("coredns", tools.program("coredns")?, &format!("-conf\n{}", corefile.display()))?;
    Ok(())
}

fn api_server(pki: &str) -> String {
    format!(
        "--advertise-address={CONTROL_PLANE}
        --bind-address={CONTROL_PLANE}
        --etcd-servers=http://127.0.0.1:2379
        --service-cluster-ip-range={SERVICE_RANGE}
        --client-ca-file={pki}/ca.crt
        --tls-cert-file={pki}/kube-apiserver.crt
        --tls-private-key-file={pki}/kube-apiserver.key
        --kubelet-certificate-authority={pki}/ca.crt
        --kubelet-client-certificate={pki}/apiserver-kubelet.crt
        --kubelet-client-key={pki}/apiserver-kubelet.key
        --kubelet-preferred-address-types=InternalIP
        --service-account-issuer=https://kubernetes.default.svc
        --service-account-key-file={pki}/service-accounts.pub
        --service-account-signing-key-file={pki}/service-accounts.key
        --authorization-mode=Node,RBAC
        --enable-admission-plugins=NodeRestriction
        --allow-privileged"
    )
}

fn controller_manager(pki: &str, kubeconfig: &str) -> String {
    format!(
        "--kubeconfig={kubeconfig}
        --root-ca-file={pki}/ca.crt
        --service-account-private-key-file={pki}/service-accounts.key
        --cluster-signing-cert-file={pki}/ca.crt
        --cluster-signing-key-file={pki}/ca.key
        --use-service-account-credentials
        --leader-elect=false"
    )
}

pub(super) fn kube_proxy(layout: &Layout, node: &str) -> String {
    format!(
        "--kubeconfig={}
        --hostname-override={node}
        --proxy-mode=nftables
        --cluster-cidr={POD_RANGE}
        --conntrack-max-per-core=0",
        layout.kubeconfig("kube-proxy").display()
    )
}

/// Starts a nested set of namespaces, connected to the bridge by a veth pair.
fn start_node(
    services: &mut Services,
    layout: &Layout,
    versions: &Versions,
    index: usize,
    nodes: &[String],
) -> Result<(), Error> {
    let node = &nodes[index];
    let own = std::env::current_exe().map_err(Error::file("/proc/self/exe"))?;
    let mut arguments: Vec<String> = OWN_NAMESPACES.split(' ').chain(["--"]).map(str::to_owned).collect();
    arguments.extend([own.display().to_string(), "init-node".to_owned()]);
    arguments.extend(["--directory".to_owned(), layout.directory.display().to_string()]);
    arguments.extend(versions.arguments());
    arguments.extend([node.clone(), index.to_string(), nodes.len().to_string()]);
    let unshare = services.start(&format!("{node}-init"), "/usr/bin/unshare", &arguments.join("\n"))?;
    let pid = wait_for("a node's first process", NAMESPACES_WITHIN, || first_child(unshare))?;
    write(&layout.node_pid(node), pid.to_string())?;
    line(&format!("ip link add {node} type veth peer name eth0 netns {pid}"))?;
    line(&format!("ip link set {node} master {BRIDGE} up"))?;
    line(&format!("ip route add {} via {}", pod_range(index), node_address(index)))?;
    Ok(())
}

fn first_child(parent: i32) -> Result<i32, String> {
    let path = format!("/proc/{parent}/task/{parent}/children");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    text.split_whitespace().next().and_then(|pid| pid.parse().ok()).ok_or_else(|| "no child yet".to_owned())
}
