//! `zastava-webhook review`: what would be decided for the objects of manifests, or for a Pod with the given images.
//!
//! The command makes the review that an API server would send for each object, as a dry run, and has it decided by a
//! running webhook, or by the same code in this process. No API server takes part and nothing is created. So a webhook
//! that allows can be told from one that is not registered, which `kubectl` cannot do.

mod report;
mod subject;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{ArgGroup, Parser, ValueEnum};
use zastava_admission::WebhookOptions;
use zastava_core::program::{ExitStatus, Invocation, OwnCommand};

use super::decider::{self, Answer, Decider, Webhook, WebhookArguments};
use super::{parse, print, with_causes};
use crate::AnyError;
use report::{Decided, Format, Outcome};
use subject::Subject;

pub(super) const NAME: &str = "review";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Says what would be decided for manifests, or for a Pod with the given images",
    reads_configuration: true,
};

/// The pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
#[command(
    group(ArgGroup::new("subjects").args(["files", "images"]).required(true).multiple(true)),
    after_help = "Exits with 0 if all is allowed, with 5 if something in a file is denied, with 3 if the files hold nothing, \
                  and with 1 if a file cannot be read or there is no decision. With --expect it exits with 0 if each \
                  decision is the expected one, with 3 if a denial is expected of nothing, and with 1 otherwise. A denial of --image alone is not a failure."
)]
struct Arguments {
    /// Manifests: YAML of any number of documents or JSON, also lists and AdmissionReviews; - is standard input
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// An image of a Pod, preferably with its digest; repeatable
    #[arg(long = "image", value_name = "REF")]
    images: Vec<String>,
    /// The namespace of the Pod, and of objects that name none
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    #[command(flatten)]
    webhook: WebhookArguments,
    /// Decides in this process by the configuration, and asks Scanner itself
    #[arg(long, conflicts_with_all = ["url", "ca", "client_certificate", "client_key"])]
    scanner: bool,
    /// How long a decision may take; sent along as API servers send it
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=30))]
    timeout: u64,
    /// How long to ask again while a decision is not the expected one, or there is none
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
    patience: u64,
    /// The decision to expect; with any other the status is 1
    #[arg(long, value_name = "DECISION")]
    expect: Option<Expected>,
    /// How to print the decisions [default: text]
    #[arg(long, value_name = "FORMAT")]
    output: Option<Format>,
    /// Short for --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    Allow,
    Deny,
}

impl Expected {
    fn is(self, answer: &Answer) -> bool {
        (self == Self::Allow) == answer.allowed
    }
}

/// Runs the command.
pub(super) fn run(
    program: &str,
    arguments: Vec<OsString>,
    invocation: &Invocation,
) -> Result<ExitStatus, ExitStatus> {
    let arguments: Arguments = parse(program, NAME, arguments)?;
    let options = match arguments.scanner {
        true => Some(invocation.options(WebhookOptions::read)?.0),
        false => None,
    };
    let subjects = arguments.subjects()?;
    if subjects.is_empty() {
        print(std::io::stderr(), "the input holds no object\n");
        return Ok(ExitStatus::NothingToDo);
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let decided = runtime
        .map_err(AnyError::from)
        .and_then(|runtime| runtime.block_on(decide_all(&arguments, options, subjects)));
    match decided {
        Ok(decided) => Ok(arguments.report(&decided)),
        Err(error) => {
            print(std::io::stderr(), &format!("{}\n", with_causes(&*error)));
            Ok(ExitStatus::Failure)
        }
    }
}

impl Arguments {
    /// Everything to be decided. Every file that cannot be read is named, and then nothing is decided.
    fn subjects(&self) -> Result<Vec<Subject>, ExitStatus> {
        let mut subjects = Vec::new();
        let mut is_faulty = false;
        if !self.images.is_empty() {
            subjects.push(Subject::of_images(&self.images, &self.namespace));
        }
        for file in &self.files {
            match Subject::of_file(file, &self.namespace) {
                Ok(found) => subjects.extend(found),
                Err(error) => {
                    is_faulty = true;
                    print(std::io::stderr(), &format!("{error}\n"));
                }
            }
        }
        if is_faulty { Err(ExitStatus::Failure) } else { Ok(subjects) }
    }

    fn report(&self, decided: &[Decided]) -> ExitStatus {
        let format = if self.json { Format::Json } else { self.output.unwrap_or(Format::Text) };
        print(std::io::stdout(), &format.write(decided));
        let answers = || decided.iter().filter_map(|one| one.outcome.answer().map(|answer| (one, answer)));
        match self.expect {
            Some(Expected::Deny) if answers().next().is_none() => {
                print(std::io::stderr(), "the input holds nothing that could be denied\n");
                ExitStatus::NothingToDo
            }
            Some(expected) => match answers().find(|(_, answer)| !expected.is(answer)) {
                Some(_) => {
                    print(std::io::stderr(), &format!("{expected:?} was expected\n"));
                    ExitStatus::Failure
                }
                None => ExitStatus::Success,
            },
            None if answers().any(|(one, answer)| !answer.allowed && one.subject.place.is_some()) => {
                ExitStatus::Denied
            }
            None => ExitStatus::Success,
        }
    }
}

async fn decide_all(
    arguments: &Arguments,
    options: Option<WebhookOptions>,
    subjects: Vec<Subject>,
) -> Result<Vec<Decided>, AnyError> {
    let timeout = Duration::from_secs(arguments.timeout);
    let (decider, name) = match options {
        Some(options) => {
            let core = decider::connect(&options)?;
            (Decider::own(options, core.scanner(), timeout)?, "this process".to_owned())
        }
        None => {
            let webhook = Webhook::new(&arguments.webhook, timeout);
            let name = arguments.webhook.url.to_string();
            (Decider::Webhook(webhook.map_err(|error| no_decision(&name, &error))?), name)
        }
    };
    let end = Instant::now() + Duration::from_secs(arguments.patience);
    let mut decided = Vec::new();
    for subject in subjects {
        let outcome = match &subject.question {
            None => Outcome::HoldsNoPod,
            Some(question) => {
                let answer = async || decider.decide(question).await;
                let answer = patient(answer, arguments.expect, end).await;
                Outcome::Decided(answer.map_err(|error| no_decision(&name, &error))?)
            }
        };
        decided.push(Decided { subject, outcome });
    }
    Ok(decided)
}

fn no_decision(name: &str, error: &AnyError) -> AnyError {
    format!("{name} gave no decision: {}", with_causes(&**error)).into()
}

/// Asks until the decision is the expected one or the patience ends. Right after an installation the webhook may not be
/// reachable yet, or wait for its first token.
async fn patient(
    ask: impl AsyncFn() -> Result<Answer, AnyError>,
    expected: Option<Expected>,
    end: Instant,
) -> Result<Answer, AnyError> {
    loop {
        let answer = ask().await;
        let is_expected = match (&answer, expected) {
            (Ok(answer), Some(expected)) => expected.is(answer),
            (answer, _) => answer.is_ok(),
        };
        if is_expected || Instant::now() >= end {
            return answer;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}
