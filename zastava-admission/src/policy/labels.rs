//! The labels that a verdict may depend on.

use std::collections::BTreeMap;

/// Labels that controllers invent for each generation or pod.
const GENERATED_LABELS: [&str; 10] = [
    "apps.kubernetes.io/pod-index",
    "batch.kubernetes.io/controller-uid",
    "batch.kubernetes.io/job-completion-index",
    "batch.kubernetes.io/job-name",
    "controller-revision-hash",
    "controller-uid",
    "job-name",
    "pod-template-generation",
    "pod-template-hash",
    "statefulset.kubernetes.io/pod-name",
];

/// The labels that are sent to the policy source and stand in the cache's key: all but the generated
/// ones, with which no two pods of a workload would share a verdict.
///
/// docs/design/admission.md#why-are-labels-part-of-the-cache-key
#[must_use]
pub fn policy_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let is_generated = |name: &String| GENERATED_LABELS.contains(&name.as_str());
    labels.iter().filter(|(name, _)| !is_generated(name)).map(|(k, v)| (k.clone(), v.clone())).collect()
}
