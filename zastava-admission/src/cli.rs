//! The commands of the program beside those that all programs share.
//!
//! A command is a file below `cli/` with an `OwnCommand` in [`COMMANDS`].

mod cache_seed;
mod check_certificate;
mod decider;
mod manifests;
mod policy_test;
mod request;
mod review;
mod status;

use std::ffi::OsString;
use std::io::Write;

use clap::Parser;
use zastava_core::program::{ExitStatus, Invocation, OwnCommand, with_causes};

/// What `--help` lists.
pub(crate) const COMMANDS: [OwnCommand; 6] = [
    review::COMMAND,
    policy_test::COMMAND,
    policy_test::OLD_COMMAND,
    status::COMMAND,
    check_certificate::COMMAND,
    cache_seed::COMMAND,
];

/// Runs the command of that name with the arguments that follow it.
pub(crate) fn run(
    program: &str,
    name: &str,
    arguments: Vec<OsString>,
    invocation: &Invocation,
) -> Result<ExitStatus, ExitStatus> {
    match name {
        review::NAME => review::run(program, arguments, invocation),
        policy_test::NAME | policy_test::OLD_NAME => policy_test::run(program, name, arguments, invocation),
        status::NAME => status::run(program, arguments, invocation),
        cache_seed::NAME => cache_seed::run(program, arguments, invocation),
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

/// Prints. The exit status carries the result even when nobody reads the output.
fn print(mut out: impl Write, text: &str) {
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}
