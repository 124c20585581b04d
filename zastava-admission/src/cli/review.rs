//! `zastava-webhook review`: asks a running webhook what it would decide for a Pod with the given
//! images.
//!
//! The command sends the review that an API server would send, as a dry run. No API server takes part
//! and nothing is created. So a webhook that allows can be told from one that is not registered, which
//! `kubectl` cannot do.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process;
use std::time::{Duration, Instant};

use bytes::Bytes;
use clap::{Parser, ValueEnum};
use http::{Request, Uri, header};
use serde::Deserialize;
use serde_json::{Value, json};
use tower::Service as _;
use zastava_authority::{TransportOptions, https};
use zastava_core::clock::Timestamp;
use zastava_core::program::{ExitStatus, OwnCommand};

use super::{parse, print, with_causes};
use crate::AnyError;

pub(super) const NAME: &str = "review";
pub(super) const COMMAND: OwnCommand = OwnCommand {
    name: NAME,
    about: "Asks a running webhook what it would decide for a Pod with the given images",
    reads_configuration: false,
};

/// Where the chart mounts the CA bundle of the serving certificate.
const CA_PATH: &str = "/var/run/secrets/zastava-webhook/ca.crt";
/// The pause between two attempts.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Parser)]
struct Arguments {
    /// An image of the Pod, preferably with its digest; repeatable
    #[arg(long = "image", value_name = "REF", required = true)]
    images: Vec<String>,
    /// The Pod's namespace, on which the failure mode depends
    #[arg(long, value_name = "NAME", default_value = "default")]
    namespace: String,
    /// Where the webhook takes reviews
    #[arg(long, value_name = "URL", default_value = "https://zastava-webhook.stellaops.svc/validate")]
    url: Uri,
    /// PEM file of the authorities that the webhook's certificate is checked against
    /// [default: /var/run/secrets/zastava-webhook/ca.crt if it exists, otherwise the system's]
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// PEM file of a client certificate, for a webhook that asks for one
    #[arg(long, value_name = "FILE", requires = "client_key")]
    client_certificate: Option<PathBuf>,
    /// PEM file of the client certificate's key
    #[arg(long, value_name = "FILE", requires = "client_certificate")]
    client_key: Option<PathBuf>,
    /// How long the webhook may take; sent along as API servers send it
    #[arg(long, value_name = "SECONDS", default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=30))]
    timeout: u64,
    /// How long to ask again while the decision is not the expected one, or there is none
    #[arg(long, value_name = "SECONDS", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=3600))]
    patience: u64,
    /// The decision to expect; with any other the status is 1
    #[arg(long, value_name = "DECISION")]
    expect: Option<Expected>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Expected {
    Allow,
    Deny,
}

impl Expected {
    fn of(response: &Response) -> Self {
        if response.allowed { Self::Allow } else { Self::Deny }
    }
}

/// Runs the command.
pub(super) fn run(program: &str, arguments: Vec<OsString>) -> Result<ExitStatus, ExitStatus> {
    let arguments: Arguments = parse(program, NAME, arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let answer = runtime.map_err(AnyError::from).and_then(|runtime| runtime.block_on(ask(&arguments)));
    match answer {
        Ok(response) => Ok(report(&arguments, &response)),
        Err(error) => {
            let text = format!("{} gave no decision: {}\n", arguments.url, with_causes(&*error));
            print(std::io::stderr(), &text);
            Ok(ExitStatus::Failure)
        }
    }
}

/// Asks until the decision is the expected one or the patience ends. Right after an installation the
/// webhook may not be reachable yet, or wait for its first token.
async fn ask(arguments: &Arguments) -> Result<Response, AnyError> {
    let end = Instant::now() + Duration::from_secs(arguments.patience);
    loop {
        let answer = send(arguments).await;
        let is_expected = match (&answer, arguments.expect) {
            (Ok(response), Some(expected)) => expected == Expected::of(response),
            (answer, _) => answer.is_ok(),
        };
        if is_expected || Instant::now() >= end {
            return answer;
        }
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
}

/// The part of an AdmissionReview's response that is shown.
#[derive(Debug, Deserialize)]
struct Response {
    uid: String,
    allowed: bool,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    warnings: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

async fn send(arguments: &Arguments) -> Result<Response, AnyError> {
    let timeout = Duration::from_secs(arguments.timeout);
    let mounted = || Some(PathBuf::from(CA_PATH)).filter(|path| Path::exists(path));
    let mut http = https(&TransportOptions {
        ca_bundle_path: arguments.ca.clone().or_else(mounted),
        client_identity: arguments.client_certificate.clone().zip(arguments.client_key.clone()),
        request_timeout: timeout,
        ..TransportOptions::default()
    })?;
    let uid = format!("zastava-review-{}-{}", process::id(), Timestamp::now());
    let separator = if arguments.url.query().is_some() { '&' } else { '?' };
    let request = Request::post(format!("{}{separator}timeout={}s", arguments.url, arguments.timeout))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Bytes::from(review(&uid, arguments).to_string()))?;
    let answer = http.call(request).await?;
    if !answer.status().is_success() {
        let text = String::from_utf8_lossy(answer.body());
        let text: String = text.trim().chars().take(200).flat_map(char::escape_debug).collect();
        return Err(format!("it answered {}: {text}", answer.status()).into());
    }
    let mut review: Value = serde_json::from_slice(answer.body())?;
    let response: Response = serde_json::from_value(review["response"].take())?;
    if response.uid != uid {
        return Err("it answered another review".into());
    }
    Ok(response)
}

/// The review that an API server sends before it creates a Pod with one container for each image.
fn review(uid: &str, arguments: &Arguments) -> Value {
    let containers = arguments
        .images
        .iter()
        .enumerate()
        .map(|(index, image)| json!({"name": format!("image-{index}"), "image": image}));
    let containers: Vec<_> = containers.collect();
    json!({
        "apiVersion": "admission.k8s.io/v1",
        "kind": "AdmissionReview",
        "request": {
            "uid": uid,
            "kind": {"group": "", "version": "v1", "kind": "Pod"},
            "resource": {"group": "", "version": "v1", "resource": "pods"},
            "name": "zastava-review",
            "namespace": arguments.namespace,
            "operation": "CREATE",
            "userInfo": {"username": "zastava-webhook review"},
            "object": {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": "zastava-review", "namespace": arguments.namespace},
                "spec": {"containers": containers},
            },
            "dryRun": true,
        },
    })
}

fn report(arguments: &Arguments, response: &Response) -> ExitStatus {
    let found = Expected::of(response);
    let mut text = format!("{found:?} {}\n", arguments.images.join(" "));
    if !response.status.message.is_empty() {
        text += &format!("  {}\n", response.status.message.escape_debug());
    }
    for warning in &response.warnings {
        text += &format!("  Warning: {}\n", warning.escape_debug());
    }
    print(std::io::stdout(), &text);
    match arguments.expect {
        Some(expected) if expected != found => {
            print(std::io::stderr(), &format!("{expected:?} was expected\n"));
            ExitStatus::Failure
        }
        _ => ExitStatus::Success,
    }
}
