//! `zastava-webhook cache-seed`: asks Scanner about images and prints the question with its answer, a line of the file with
//! which another webhook can begin.
//!
//! docs/design/admission.md#what-does-a-cache-begin-with

use std::ffi::OsString;
use std::time::Duration;

use clap::Parser;
use serde_json::json;
use zastava_admission::{WebhookOptions, policy_labels};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{PolicyRequest, PolicyVerdict};
use zastava_core::image::ImageReference;
use zastava_core::program::{ExitStatus, Invocation, OwnCommand, with_causes};

use super::{decider, parse, print};
use crate::AnyError;

pub(super) const NAME: &str = "cache-seed";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Prints Scanner's verdicts on images as a line of admission.cacheSeedPath",
    reads_configuration: true,
};

/// Prints Scanner's verdicts on images as a line of `admission.cacheSeedPath`
#[derive(Debug, Parser)]
struct Arguments {
    /// The images, each with its digest
    #[arg(required = true, value_name = "REFERENCE", value_parser = pinned)]
    images: Vec<String>,
    /// The namespace in which the images would run
    #[arg(long, value_name = "NAME")]
    namespace: String,
    /// A label of the Pods; repeatable
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = super::policy_test::label)]
    labels: Vec<(String, String)>,
}

/// The complete reference, by which a webhook asks.
fn pinned(text: &str) -> Result<String, String> {
    let image: ImageReference = text.parse().map_err(|error| format!("{error}"))?;
    image.pinned().ok_or_else(|| "it has no digest, and a verdict on a tag is not remembered".to_owned())
}

/// Runs the command.
pub(super) fn run(
    program: &str,
    arguments: Vec<OsString>,
    invocation: &Invocation,
) -> Result<ExitStatus, ExitStatus> {
    let arguments: Arguments = parse(program, NAME, arguments)?;
    let (options, _) = invocation.options(WebhookOptions::read)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let line = runtime.map_err(AnyError::from).and_then(|runtime| runtime.block_on(ask(arguments, options)));
    match line {
        Ok(line) => {
            print(std::io::stdout(), &format!("{line}\n"));
            Ok(ExitStatus::Success)
        }
        Err(error) => {
            print(std::io::stderr(), &format!("{program}: {}\n", with_causes(&*error)));
            Ok(ExitStatus::Failure)
        }
    }
}

async fn ask(arguments: Arguments, options: WebhookOptions) -> Result<serde_json::Value, AnyError> {
    let core = decider::connect(&options)?;
    let Arguments { images, namespace, labels, .. } = arguments;
    let request = PolicyRequest {
        namespace: Some(namespace),
        labels: policy_labels(&labels.into_iter().collect()),
        images,
    };
    let mut response = core.scanner().policy(&request).await?;
    // A time to live means nothing to who reads the line later.
    let ttl = response.ttl_seconds.take().map(Duration::from_secs);
    let end = ttl.map(|ttl| Timestamp::now().saturating_add(ttl));
    response.expires_at_utc = [response.expires_at_utc, end].into_iter().flatten().min();
    if response.expires_at_utc.is_none() {
        return Err("scanner does not say how long its answer holds".into());
    }
    if response.policy_revision.is_none() {
        return Err("scanner does not say which revision of the policy made its answer".into());
    }
    for image in &request.images {
        let digest = image.parse::<ImageReference>().ok().and_then(|reference| reference.digest());
        let verdict = response.result(image, digest).and_then(|result| result.policy_verdict);
        if verdict.is_none_or(|verdict| verdict == PolicyVerdict::Error) {
            return Err(format!("scanner has no verdict on {image}").into());
        }
    }
    Ok(json!({"request": request, "response": response}))
}
