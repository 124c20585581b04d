//! `zastava-webhook policy test`: what Scanner says of an image, what would be decided for a Pod with it, and its newest
//! build-ids.
//!
//! The command decides in its own process by the configuration, with the code of a review, and asks Scanner itself: nothing
//! that is remembered hides a change. A decision has no build-ids, so they are taken from Scanner's answer.
//!
//! docs/design/admission.md#where-does-policy-test-go

mod report;
mod source;

use std::ffi::OsString;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use zastava_admission::WebhookOptions;
use zastava_core::contract::PolicyVerdict;
use zastava_core::image::{Digest, ImageReference};
use zastava_core::program::{ExitStatus, Invocation, OwnCommand};

use super::decider::{self, Decider};
use super::request::{Question, pod};
use super::{parse, print, with_causes};
use crate::AnyError;
use report::Report;
use source::{Overheard, by_digest};

pub(super) const NAME: &str = "policy";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Says what Scanner's policy makes of an image, with its newest build-ids: policy test",
    reads_configuration: true,
};

/// The spelling of an older tool: `stellaops-cli runtime policy test`.
pub(super) const OLD_NAME: &str = "runtime";
pub(super) const OLD_COMMAND: OwnCommand = OwnCommand {
    name: OLD_NAME,
    about: "The older spelling of policy test: runtime policy test",
    reads_configuration: true,
};

#[derive(Debug, Parser)]
struct Policy {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Parser)]
struct Runtime {
    #[command(subcommand)]
    command: RuntimeCommand,
}

#[derive(Debug, Subcommand)]
enum RuntimeCommand {
    /// Asks Scanner's policy
    Policy(Policy),
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Prints verdict, reasons, evidence and build-ids of one image
    Test(Arguments),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Exits with 0 if a Pod with the image would be allowed, with 5 if it would be denied, and with 1 if Scanner \
                  gives no answer."
)]
struct Arguments {
    /// The image: its digest (sha256:…), or a reference, preferably with its digest
    #[arg(long, value_name = "DIGEST")]
    image: String,
    /// The namespace in which the image would run
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// A label of the Pod; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = label)]
    labels: Vec<(String, String)>,
    /// How long Scanner may take
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=60))]
    timeout: u64,
    /// Prints JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("a label is KEY=VALUE")?;
    Ok((name.to_owned(), value.to_owned()))
}

/// Runs the command, by the name that it was called with.
pub(super) fn run(
    program: &str,
    name: &str,
    arguments: Vec<OsString>,
    invocation: &Invocation,
) -> Result<ExitStatus, ExitStatus> {
    let policy: Policy = match name {
        OLD_NAME => {
            let Runtime { command: RuntimeCommand::Policy(policy) } = parse(program, name, arguments)?;
            policy
        }
        _ => parse(program, name, arguments)?,
    };
    let Command::Test(arguments) = policy.command;
    let (options, _) = invocation.options(WebhookOptions::read)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let report =
        runtime.map_err(AnyError::from).and_then(|runtime| runtime.block_on(test(&arguments, options)));
    match report {
        Ok(report) => {
            let text = if arguments.json { format!("{:#}\n", report.json()) } else { report.to_string() };
            print(std::io::stdout(), &text);
            Ok(if report.answer.allowed { ExitStatus::Success } else { ExitStatus::Denied })
        }
        Err(error) => {
            print(std::io::stderr(), &format!("{program}: {}\n", with_causes(&*error)));
            Ok(ExitStatus::Failure)
        }
    }
}

async fn test(arguments: &Arguments, options: WebhookOptions) -> Result<Report, AnyError> {
    let core = decider::connect(&options)?;
    let overheard = Overheard::new(core.scanner());
    let Arguments { image, namespace, labels, timeout, .. } = arguments;
    // A digest is no image of a Pod, though all that Scanner needs.
    let reference = image.parse::<Digest>().map_or_else(|_| image.clone(), by_digest);
    let pod = pod("zastava-policy-test", std::slice::from_ref(&reference), labels);
    let decider = Decider::own(options, overheard.clone(), Duration::from_secs(*timeout))?;
    let answer = decider.decide(&Question::of_object(&pod, namespace)).await?;
    let digest = reference.parse::<ImageReference>().ok().and_then(|reference| reference.digest());
    let mut report = Report { image: image.clone(), namespace: namespace.clone(), answer, heard: None };
    report.heard = overheard.heard(digest, report.verdict())?;
    if report.heard.is_none() && report.verdict() == PolicyVerdict::Error {
        return Err(format!("scanner was not asked: {}", report.reasons().join("; ")).into());
    }
    Ok(report)
}
