//! What container labels say about a pod. Every engine below the kubelet sets the same labels.

use std::collections::HashMap;

const POD_NAMESPACE: &str = "io.kubernetes.pod.namespace";
const POD_NAME: &str = "io.kubernetes.pod.name";
const CONTAINER_NAME: &str = "io.kubernetes.container.name";

/// The names of a pod's container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct PodFacts {
    pub(crate) namespace: Option<String>,
    pub(crate) pod: Option<String>,
    pub(crate) container: Option<String>,
}

impl PodFacts {
    /// Reads the labels of a container; a container without a pod has none of them.
    pub(crate) fn of(labels: &HashMap<String, String>) -> Self {
        Self {
            namespace: label(labels, POD_NAMESPACE),
            pod: label(labels, POD_NAME),
            container: label(labels, CONTAINER_NAME),
        }
    }
}

fn label(labels: &HashMap<String, String>, name: &str) -> Option<String> {
    labels.get(name).filter(|value| !value.is_empty()).cloned()
}
