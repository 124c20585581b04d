//! Finds other programs, or prints one visible line about why a test passes without them.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// The repository's root.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("is two levels up")
}

/// A path from a variable. An empty one is not set: that is how shells say it.
fn named(value: Option<OsString>) -> Option<PathBuf> {
    value.filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// The program that the variable names, that was built for the cluster tests, or that is on `PATH`.
pub(crate) fn find(variable: &str, name: &str) -> Option<PathBuf> {
    if let Some(named) = named(std::env::var_os(variable)) {
        assert!(named.is_file(), "{variable} names {}, which is no file", named.display());
        return Some(named);
    }
    let built = root().join("e2e/.tools/bin").join(name);
    let path: OsString = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).map(|folder| folder.join(name));
    std::iter::once(built).chain(on_path).find(|candidate| candidate.is_file())
}

/// The same, with the line that says what is missing.
pub(crate) fn find_or_skip(variable: &str, name: &str) -> Option<PathBuf> {
    let found = find(variable, name);
    if found.is_none() {
        // Written past the test harness, which hides the output of passing tests.
        let _ = writeln!(std::io::stderr(), "SKIP: {name} is missing; {variable} may name it");
    }
    found
}

/// Standard output of a run that must succeed.
pub(crate) fn success(command: &mut Command) -> String {
    let output = command.output().expect("runs");
    assert!(output.status.success(), "{command:?}\n{}", both(&output));
    String::from_utf8(output.stdout).expect("is text")
}

/// The output of a program, standard output first.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

pub(crate) fn read(path: &str) -> String {
    let path = root().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn an_empty_variable_names_nothing() {
    assert_eq!(named(None), None);
    assert_eq!(named(Some(OsString::new())), None);
    assert_eq!(named(Some("/usr/bin/helm".into())), Some(PathBuf::from("/usr/bin/helm")));
}
