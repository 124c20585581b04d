//! `cargo xtask`, where it refuses before it builds.

use std::process::{Command, Output};

fn xtask(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_xtask")).args(arguments).output().expect("runs")
}

#[test]
fn names_and_platforms_that_cannot_be_are_refused_before_anything_is_built() {
    let rows = [
        (["--tag", "a/b"], "\"registry.internal/zastava/zastava-observer:a/b\" is not an image reference"),
        (["--repository", "registry.internal/Z"], "\"registry.internal/Z/zastava-observer:"),
        (["--platform", "linux/riscv64"], "not linux/amd64 or linux/arm64"),
        (["--ca-bundle", "/nonexistent.pem"], "cannot read /nonexistent.pem: No such file"),
    ];
    for (arguments, message) in rows {
        let output = xtask(&[&["images"][..], &arguments].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(message), "{arguments:?}: {said}");
        assert!(!said.contains("Compiling"), "{said}");
    }
}

#[test]
fn sizes_of_programs_that_are_not_there_name_the_path() {
    let output = xtask(&["sizes", "--programs", "/nonexistent"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.starts_with("xtask: cannot run /nonexistent/zastava-sandbox: No such file"), "{said}");
}
