//! Tests that cannot run here.

use std::io::Write as _;

/// Past the test runner's capture, so that it is seen although the test passes.
pub(crate) fn skip(why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIP: {why}");
}
