//! Renders against Kubernetes' own schemas.

use std::process::Command;

use crate::chart::{Chart, variants};
use crate::tools::{find_or_skip, success};

/// The oldest that the chart says it takes, and the newest.
const VERSIONS: [&str; 2] = ["1.33", "1.37"];

/// Kinds whose schemas are not part of Kubernetes.
const FOREIGN: [&str; 3] = ["monitoring.coreos.com/", "cert-manager.io/", "helm.sh/"];

#[test]
fn renders_hold_strictly_against_the_schemas_of_kubernetes() {
    let (Some(chart), Some(validate)) =
        (Chart::open(), find_or_skip("ZASTAVA_KUBERNETES_VALIDATE", "kubernetes-validate"))
    else {
        return;
    };
    let folder = tempfile::tempdir().expect("has a place for files");
    let mut files = Vec::new();
    for (name, values) in variants() {
        for (index, object) in chart.render(&values).objects.iter().enumerate() {
            let version = object["apiVersion"].as_str().expect("has a version");
            if FOREIGN.iter().any(|foreign| version.starts_with(foreign)) {
                continue;
            }
            let path = folder.path().join(format!("{}-{index}.json", name.replace(' ', "-")));
            std::fs::write(&path, object.to_string()).expect("writes");
            files.push(path);
        }
    }
    assert!(files.len() > 60, "{} objects", files.len());
    for version in VERSIONS {
        success(
            Command::new(&validate)
                .args(["--strict", "--quiet", "--kubernetes-version", version])
                .args(&files),
        );
    }
    // A schema that takes everything would take this too.
    let wrong = folder.path().join("wrong.json");
    std::fs::write(
        &wrong,
        r#"{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": {"prots": []}}"#,
    )
    .expect("writes");
    let refused =
        Command::new(&validate).args(["--strict", "--kubernetes-version", VERSIONS[1]]).arg(&wrong).output();
    assert!(!refused.expect("runs").status.success(), "a misspelt field is taken");
}
