//! The commands of the program beside those that all programs share.
//!
//! A command is a file below `cli/` with an `OwnCommand` in [`COMMANDS`]. `policy test` will be the
//! next (docs/design/admission.md#where-does-policy-test-go).

mod review;

use std::ffi::OsString;
use std::io::Write;

use zastava_core::program::{ExitStatus, OwnCommand};

/// What `--help` lists.
pub(crate) const COMMANDS: [OwnCommand; 1] = [review::COMMAND];

/// Runs the command of that name with the arguments that follow it.
pub(crate) fn run(program: &str, name: &str, arguments: Vec<OsString>) -> Result<ExitStatus, ExitStatus> {
    match name {
        review::NAME => review::run(program, arguments),
        _ => Err(ExitStatus::Usage),
    }
}

/// Prints. The exit status carries the result even when nobody reads the output.
fn print(mut out: impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
