//! The first process of a set of namespaces: it lays the network and the mounts, starts services
//! again when they end, and reaps what is left to it. When it ends, the kernel ends all the others.

mod control_plane;
mod node;
mod services;

use std::path::PathBuf;

use crate::Error;
use crate::cluster::Layout;
use crate::tools::{Tools, Versions};

/// Which set of namespaces a process is the first of.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum InitRole {
    /// etcd, the API server and its companions, and the bridge between nodes.
    ControlPlane {
        /// Every node, in the order of their addresses.
        nodes: Vec<String>,
    },
    /// containerd, a kubelet and a kube-proxy.
    Node {
        /// Which one.
        name: String,
        /// Its index among the nodes.
        index: usize,
        /// How many nodes there are.
        count: usize,
    },
}

/// Runs as the first process until it is killed.
///
/// # Errors
/// If the namespaces cannot be set up. Otherwise it never returns.
pub fn run_init(directory: PathBuf, versions: &Versions, role: &InitRole) -> Result<(), Error> {
    let (layout, tools) = (Layout { directory }, Tools::locate(versions)?);
    let services = match role {
        InitRole::ControlPlane { nodes } => control_plane::start(&layout, &tools, versions, nodes)?,
        InitRole::Node { name, index, count } => node::start(&layout, &tools, name, *index, *count)?,
    };
    services.supervise()
}

/// Logs a line of the first process to its standard error.
fn note(text: &str) {
    use std::io::Write as _;
    // There is nowhere to report that the log cannot be written.
    let _ = writeln!(std::io::stderr(), "{text}");
}
