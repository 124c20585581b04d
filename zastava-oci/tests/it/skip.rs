//! Tests that cannot run here.

use std::io::Write as _;
use std::process::Command;

/// Past the test runner's capture, so that it is seen although the test passes.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}

pub(crate) fn is_installed(program: &str) -> bool {
    Command::new(program).arg("--version").output().is_ok_and(|output| output.status.success())
}
