//! One minimum version of Rust is claimed everywhere, and whoever runs the tests learns whether their compiler checks it.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

/// `1.95` of `rust-version = "1.95"`.
fn claimed(root: &Path) -> String {
    let manifest = fs::read_to_string(root.join("Cargo.toml")).expect("the workspace's manifest");
    let line = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    line.expect("a minimum version").trim_matches('"').to_owned()
}

/// What follows `Rust` or `Rust version is` wherever a version does.
fn versions(text: &str) -> Vec<String> {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ").replace("//! ", "");
    let places = text.match_indices("Rust").map(|(at, word)| &text[at + word.len()..]);
    let numbers = places.filter_map(|rest| {
        let rest = rest
            .strip_prefix(" version is ")
            .or_else(|| rest.strip_prefix(" is "))
            .or_else(|| rest.strip_prefix(' '))?;
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        Some(rest[..end].trim_end_matches('.').to_owned())
    });
    numbers.filter(|number| number.starts_with("1.")).collect()
}

#[test]
fn every_document_names_the_version_of_the_manifest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let claimed = claimed(root);
    let mut paths = vec![root.join("README.md"), root.join("CONTRIBUTING.md")];
    for entry in fs::read_dir(root).expect("the workspace can be listed") {
        let folder = entry.expect("an entry").path();
        paths.extend(["README.md", "src/lib.rs"].map(|name| folder.join(name)).into_iter().filter(|path| {
            path.exists()
                && folder.file_name().is_some_and(|name| name.to_string_lossy().starts_with("zastava-"))
        }));
    }
    let mut found = 0;
    for path in paths {
        for version in versions(&fs::read_to_string(&path).expect("is there")) {
            assert_eq!(version, claimed, "{}", path.display());
            found += 1;
        }
    }
    assert!(found >= 8, "only {found} claims were found");
}

/// The minimum is checked by the compiler of that version alone. `incompatible_msrv` knows the standard library and not the language.
#[test]
fn the_compiler_is_that_of_the_minimum_or_says_that_it_is_not() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace");
    let claimed = claimed(root);
    let output = Command::new("rustc").arg("--version").current_dir(root).output().expect("rustc runs");
    let told = String::from_utf8(output.stdout).expect("is text");
    let version = told.split(' ').nth(1).expect("a version");
    if !version.starts_with(&format!("{claimed}.")) {
        let _ = writeln!(
            std::io::stderr(),
            "SKIP: this build has Rust {version}; whether {claimed} builds it shows with: cargo +{claimed} check --workspace --all-targets"
        );
    }
}
