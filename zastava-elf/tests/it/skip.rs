//! Tests that cannot run here.

use std::io::Write as _;

/// Writes past the capture of the test runner, so that it is seen although the test passes.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}
