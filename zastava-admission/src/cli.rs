//! The commands of the program beside those that all programs share.
//!
//! A command is a file below `cli/` with an `OwnCommand` in [`COMMANDS`]. `policy test` will be the
//! next (docs/design/admission.md#where-does-policy-test-go).

mod check_certificate;
mod review;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;
use zastava_core::program::{ExitStatus, OwnCommand};

/// What `--help` lists.
pub(crate) const COMMANDS: [OwnCommand; 2] = [review::COMMAND, check_certificate::COMMAND];

/// Runs the command of that name with the arguments that follow it.
pub(crate) fn run(program: &str, name: &str, arguments: Vec<OsString>) -> Result<ExitStatus, ExitStatus> {
    match name {
        review::NAME => review::run(program, arguments),
        check_certificate::NAME => check_certificate::run(program, arguments),
        _ => Err(ExitStatus::Usage),
    }
}

/// The command's arguments, or the status to exit with after help or a usage error was printed.
fn parse<T: Parser>(program: &str, name: &str, arguments: Vec<OsString>) -> Result<T, ExitStatus> {
    let name = OsString::from(format!("{program} {name}"));
    T::try_parse_from(std::iter::once(name).chain(arguments)).map_err(|error| {
        // Printing fails only when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }
    })
}

/// An error with its causes, in one line.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// Prints. The exit status carries the result even when nobody reads the output.
fn print(mut out: impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
