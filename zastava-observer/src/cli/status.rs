//! `status`: what the running observer says about itself, for a person.

mod report;

use std::net::SocketAddr;

use clap::Parser;
use zastava_core::program::{ExitStatus, OwnCommand, RunningProgram};
use zastava_observer::ObserverOptions;

use self::report::Report;
use super::{fail, print};

pub(super) const NAME: &str = "status";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Prints what the running observer says about itself; exits with 0 if it is well",
    reads_configuration: true,
};
/// What the observer calls itself in `/status`.
const PROGRAM: &str = "zastava-observer";

/// The arguments of the command.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exits with 0 if the observer is well, with 4 if it runs and a check warns or fails, and with 1 \
                        if no observer answers."
)]
pub(super) struct Arguments {
    /// Prints JSON
    #[arg(long)]
    json: bool,
    /// Where the observer serves probes and metrics [default: zastava.observer.health.listen]
    #[arg(long, value_name = "IP:PORT")]
    address: Option<SocketAddr>,
}

pub(super) fn run(arguments: &Arguments, options: &ObserverOptions) -> Result<ExitStatus, ExitStatus> {
    let observer = RunningProgram::ask(PROGRAM, arguments.address, options.health.listen).map_err(fail)?;
    if arguments.json {
        let text = serde_json::to_string_pretty(&observer.json()).map_err(fail)?;
        print(format_args!("{text}\n"))?;
    } else {
        print(Report(&observer))?;
    }
    Ok(if observer.is_well() { ExitStatus::Success } else { ExitStatus::NotWell })
}
