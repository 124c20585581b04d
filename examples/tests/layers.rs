//! The arrows between crates are those of ARCHITECTURE.md and no others.

use std::collections::BTreeMap;
use std::process::Command;

/// Who may use whom, tests aside. `sandbox` is allowed to observer and admission in tests only, `oci` to admission.
const ARROWS: [(&str, &[&str]); 8] = [
    ("stellaops-zastava-core", &[]),
    ("stellaops-zastava-elf", &[]),
    ("stellaops-zastava-buffer", &[]),
    ("stellaops-zastava-authority", &["stellaops-zastava-core"]),
    ("stellaops-zastava-oci", &["stellaops-zastava-core"]),
    ("stellaops-zastava-sandbox", &["stellaops-zastava-authority", "stellaops-zastava-core"]),
    (
        "stellaops-zastava-observer",
        &[
            "stellaops-zastava-authority",
            "stellaops-zastava-buffer",
            "stellaops-zastava-core",
            "stellaops-zastava-elf",
        ],
    ),
    ("stellaops-zastava-admission", &["stellaops-zastava-authority", "stellaops-zastava-core"]),
];
const IN_TESTS_ONLY: [(&str, &str); 3] = [
    ("stellaops-zastava-observer", "stellaops-zastava-sandbox"),
    ("stellaops-zastava-admission", "stellaops-zastava-sandbox"),
    ("stellaops-zastava-admission", "stellaops-zastava-oci"),
];
/// Use any crate, and nothing uses them.
const LEAVES: [&str; 5] =
    ["zastava-examples", "zastava-benches", "zastava-deploy-tests", "zastava-e2e", "xtask"];

#[test]
fn crates_use_only_what_the_architecture_allows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into();
    let mut seen = 0;
    for package in metadata["packages"].as_array().expect("has packages") {
        let name = package["name"].as_str().expect("has a name");
        if LEAVES.contains(&name) {
            continue;
        }
        let allowed = arrows.get(name).unwrap_or_else(|| panic!("{name} has no row in ARROWS"));
        seen += 1;
        for dependency in package["dependencies"].as_array().expect("has dependencies") {
            let target = dependency["name"].as_str().expect("has a name");
            let in_test = dependency["kind"] == "dev" && IN_TESTS_ONLY.contains(&(name, target));
            assert!(
                !target.contains("zastava-") || allowed.contains(&target) || in_test,
                "{name} must not use {target}"
            );
        }
    }
    assert_eq!(seen, ARROWS.len(), "every crate of ARROWS exists");
}
