//! The addresses of a cluster, valid only inside its namespaces.

/// The control plane: the bridge that connects all nodes, the API server, cluster DNS.
pub(crate) const CONTROL_PLANE: &str = "10.97.0.1";
/// The range of Services; its first address is the API server's.
pub(crate) const SERVICE_RANGE: &str = "10.96.0.0/16";
pub(crate) const API_SERVICE: &str = "10.96.0.1";
/// All pods of all nodes.
pub(crate) const POD_RANGE: &str = "10.98.0.0/16";
/// The bridge.
pub(crate) const BRIDGE: &str = "nodes";

/// The address of a node by its index.
pub(crate) fn node_address(index: usize) -> String {
    format!("10.97.0.{}", index + 11)
}

/// The pods of a node.
pub(crate) fn pod_range(index: usize) -> String {
    format!("10.98.{}.0/24", index + 1)
}
