//! The commands of the program beside those that all programs share. A command is a file below `cli/` with an
//! `OwnCommand` in [`COMMANDS`].

mod dead_letters;
mod status;

use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write as _;

use clap::Parser;
use zastava_core::program::{ExitStatus, Invocation, OwnCommand};
use zastava_observer::ObserverOptions;

/// What `--help` lists.
pub(crate) const COMMANDS: [OwnCommand; 2] = [status::COMMAND, dead_letters::COMMAND];

/// Runs the command of that name with the arguments that follow it.
pub(crate) fn run(
    name: &str,
    arguments: Vec<OsString>,
    invocation: &Invocation,
) -> Result<ExitStatus, ExitStatus> {
    match name {
        status::NAME => status::run(&parse(name, arguments)?, &options(invocation)?),
        dead_letters::NAME => dead_letters::run(&parse(name, arguments)?, &options(invocation)?),
        _ => Err(ExitStatus::Usage),
    }
}

fn options(invocation: &Invocation) -> Result<ObserverOptions, ExitStatus> {
    Ok(invocation.options(ObserverOptions::read)?.0)
}

/// The command's arguments, or the status to exit with after help or a usage error was printed.
fn parse<T: Parser>(name: &str, arguments: Vec<OsString>) -> Result<T, ExitStatus> {
    let name = OsString::from(format!("zastava-observer {name}"));
    T::try_parse_from(std::iter::once(name).chain(arguments)).map_err(|error| {
        // Printing fails only when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { ExitStatus::Usage } else { ExitStatus::Success }
    })
}

/// Prints to standard output. A reader that has seen enough, as in `status | head`, is not a failure. A full disk is.
fn print(text: impl Display) -> Result<(), ExitStatus> {
    let mut out = std::io::stdout();
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(fail(format_args!("standard output cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Prints an error.
fn fail(text: impl Display) -> ExitStatus {
    let _ = writeln!(std::io::stderr(), "zastava-observer: {text}");
    ExitStatus::Failure
}
