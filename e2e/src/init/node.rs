//! A node: directories of its own at the usual paths, a network, containerd, a kubelet, kube-proxy.

use std::path::Path;
use std::time::Duration;

use super::control_plane::kube_proxy;
use super::services::Services;
use crate::Error;
use crate::cluster::Layout;
use crate::cluster::network::{CONTROL_PLANE, SERVICE_RANGE, node_address, pod_range};
use crate::command::{line, make_directory, wait_for, write};
use crate::tools::Tools;

/// The control plane connects the network once it sees this process.
const CABLE_WITHIN: Duration = Duration::from_secs(10);

pub(crate) fn start(
    layout: &Layout,
    tools: &Tools,
    name: &str,
    index: usize,
    count: usize,
) -> Result<Services, Error> {
    lay_mounts(layout, name)?;
    lay_network(name, index, count)?;
    let home = layout.node(name);
    let mut services = Services::new(layout, tools.search_path());
    services.start(
        &format!("{name}-containerd"),
        tools.program("containerd")?,
        &format!("--config\n{}", home.join("containerd.toml").display()),
    )?;
    services.start(
        &format!("{name}-kubelet"),
        tools.program("kubelet")?,
        &format!(
            "--config={}
            --kubeconfig={}
            --hostname-override={name}
            --node-ip={}",
            home.join("kubelet.yaml").display(),
            layout.kubeconfig(name).display(),
            node_address(index)
        ),
    )?;
    services.start(&format!("{name}-kube-proxy"), tools.program("kube-proxy")?, &kube_proxy(layout, name))?;
    Ok(services)
}

/// A node's programs write to the usual paths, of which each node has its own.
fn lay_mounts(layout: &Layout, name: &str) -> Result<(), Error> {
    // Mounts of the node reach its pods (`HostToContainer`), and nothing beyond this namespace.
    line("mount --make-rshared /")?;
    let home = layout.node(name);
    line(&format!("mount --bind {}/var-lib /var/lib", home.display()))?;
    line(&format!("mount --bind {}/var-log /var/log", home.display()))?;
    line("mount -t tmpfs -o mode=755 tmpfs /run")?;
    line("mount -t tmpfs -o mode=755 tmpfs /var/opt")?;
    for directory in
        ["/run/containerd", "/run/netns", "/var/lib/containerd", "/var/lib/kubelet", "/var/opt/debug"]
    {
        make_directory(Path::new(directory))?;
    }
    line("mount --make-rshared /var/lib")?;
    line("mount --make-rshared /run").map(|_| ())
}

fn lay_network(name: &str, index: usize, count: usize) -> Result<(), Error> {
    line(&format!("hostname {name}"))?;
    write(Path::new("/proc/sys/net/ipv4/ip_forward"), "1")?;
    line("ip link set lo up")?;
    wait_for("the node's cable", CABLE_WITHIN, || {
        line("ip link set eth0 up").map_err(|error| error.to_string())
    })?;
    line(&format!("ip address add {}/24 dev eth0", node_address(index)))?;
    line(&format!("ip route add default via {CONTROL_PLANE}"))?;
    line(&format!("ip route add {SERVICE_RANGE} dev eth0"))?;
    for other in (0..count).filter(|other| *other != index) {
        line(&format!("ip route add {} via {}", pod_range(other), node_address(other)))?;
    }
    Ok(())
}
