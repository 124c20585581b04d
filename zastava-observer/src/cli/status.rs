//! `status`: what the running observer says about itself, for a person.

mod report;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use clap::Parser;
use serde_json::Value;
use zastava_core::program::{ExitStatus, OwnCommand, with_causes};
use zastava_observer::ObserverOptions;

use self::report::Report;
use super::http::{AskError, ask};
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
    let address = arguments.address.map_or_else(|| local(options.health.listen), Ok).map_err(fail)?;
    let (checks, status) = fetch(address).map_err(fail)?;
    let report = Report::new(&checks, status);
    if arguments.json {
        let text = serde_json::to_string_pretty(&report.json()).map_err(fail)?;
        print(format_args!("{text}\n"))?;
    } else {
        print(&report)?;
    }
    Ok(if report.is_well() { ExitStatus::Success } else { ExitStatus::NotWell })
}

/// Where a listener of this machine is reached.
fn local(listen: SocketAddr) -> Result<SocketAddr, String> {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    match listen.port() {
        0 => Err(
            "health.listen leaves the port to the system; --address names it, and the observer's log has it \
                  in the line \"probes and metrics are answered\""
                .to_owned(),
        ),
        port => Ok(SocketAddr::new(ip, port)),
    }
}

/// The lines of readiness, and `/status`.
fn fetch(address: SocketAddr) -> Result<(String, Value), String> {
    let explain = |error: AskError| {
        let hint = match error {
            AskError::Silent(..) => {
                "; does the observer run on this node, and does it listen there (health.listen, or --address)?"
            }
            AskError::NoHttp(_) => "; another program has that port (health.listen, or --address)",
        };
        with_causes(&error) + hint
    };
    let answer = ask(address, "/status").map_err(explain)?;
    let status: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match status["program"].as_str() {
        Some(PROGRAM) if answer.status == 200 => {}
        Some(other) if other != PROGRAM => {
            return Err(format!("{} answers at {address}, and not {PROGRAM}", other.escape_debug()));
        }
        _ => {
            return Err(format!(
                "what answers at {address} is no {PROGRAM}: GET /status gave status {} without its name",
                answer.status
            ));
        }
    }
    let ready = ask(address, "/healthz/ready").map_err(explain)?;
    Ok((String::from_utf8_lossy(&ready.body).into_owned(), status))
}
