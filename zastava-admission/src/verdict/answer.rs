//! The words of an answer: what the API server, the user and the audit log are told.
//!
//! A denial is a successful call with `allowed: false` and status 403; the API server repeats its
//! message to the user. Warnings reach the user too, audit annotations the cluster's audit log
//! (Kubernetes reference, "Dynamic Admission Control", section "Response").

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use zastava_core::contract::{Decision, PolicyVerdict};

use super::{Because, JudgedImage, Rule, decide};
use crate::options::FailureMode;
use crate::text::shown;

/// The API server cuts a warning here.
const WARNING_LENGTH_MAX: usize = 256;
const MESSAGE_LENGTH_MAX: usize = 1024;
const ANNOTATION_LENGTH_MAX: usize = 512;
/// Images that a text names; the decision line names them all.
const IMAGES_NAMED_MAX: usize = 5;

/// What is told, beside the decision itself.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) decision: Decision,
    pub(crate) because: Because,
    /// Why it is denied.
    message: Option<String>,
    /// At most two: for `warn` verdicts, and for failing open or not enforcing.
    warnings: Vec<String>,
    /// For the audit log and the decision line alike.
    pub(crate) annotations: BTreeMap<&'static str, String>,
}

/// From the images' verdicts, or the rule that refused the whole object, to what is told.
pub(crate) fn conclude(
    images: &[JudgedImage],
    refusal: Option<&(Rule, String)>,
    namespace: &str,
    mode: FailureMode,
    enforce: bool,
) -> Outcome {
    let (decision, because) = match refusal {
        Some(_) => (Decision::Deny, Because::Failed),
        None => decide(images.iter().map(|image| image.verdict.policy), mode),
    };
    let mut outcome =
        Outcome { decision, because, message: None, warnings: Vec::new(), annotations: BTreeMap::new() };
    outcome.tell_warned(images);
    let blocking = |image: &&JudgedImage| match because {
        Because::Failed => image.verdict.policy == PolicyVerdict::Fail,
        _ => image.verdict.policy == PolicyVerdict::Error,
    };
    let blocking: Vec<_> = images.iter().filter(blocking).collect();
    let (rule, complaint) = match (refusal, blocking.first()) {
        (Some((rule, reason)), _) => (*rule, format!("{reason} (rule {rule})")),
        (None, Some(first)) => (first.verdict.rule, list(&blocking)),
        (None, None) => return outcome,
    };
    outcome.annotations.insert("rule", rule.to_string());
    let namespace = shown(namespace, 63);
    match decision {
        Decision::Allow => outcome.tell_fail_open(&namespace, &complaint),
        Decision::Deny => {
            let closed = match because {
                Because::NoVerdict(_) => format!("; namespace {namespace} fails closed"),
                _ => String::new(),
            };
            let message = format!("zastava: {complaint}{closed}. {}", rule.advice());
            if enforce {
                outcome.message = Some(cut_keeping_end(&message, rule.advice()));
            } else {
                outcome.tell_not_enforced(&complaint);
            }
        }
    }
    outcome
}

impl Outcome {
    fn tell_warned(&mut self, images: &[JudgedImage]) {
        let warned: Vec<_> =
            images.iter().filter(|image| image.verdict.policy == PolicyVerdict::Warn).collect();
        if !warned.is_empty() {
            self.warn(&format!("zastava: {}", list(&warned)));
        }
    }

    fn tell_fail_open(&mut self, namespace: &str, complaint: &str) {
        self.warn(&format!(
            "zastava: allowed without a verdict, namespace {namespace} fails open: {complaint}"
        ));
        self.annotations.insert("failOpen", shown(complaint, ANNOTATION_LENGTH_MAX));
    }

    fn tell_not_enforced(&mut self, complaint: &str) {
        self.decision = Decision::Allow;
        self.warn(&format!("zastava: would be denied if it were enforced: {complaint}"));
        self.annotations.insert("wouldDeny", shown(complaint, ANNOTATION_LENGTH_MAX));
    }

    fn warn(&mut self, text: &str) {
        self.warnings.push(shown(text, WARNING_LENGTH_MAX));
    }
}

fn list(images: &[&JudgedImage]) -> String {
    let mut named: Vec<_> = images.iter().take(IMAGES_NAMED_MAX).map(|image| image.complaint()).collect();
    if images.len() > IMAGES_NAMED_MAX {
        named.push(format!("and {} more", images.len() - IMAGES_NAMED_MAX));
    }
    named.join(", ")
}

/// A long message loses its middle, not the advice.
fn cut_keeping_end(message: &str, end: &str) -> String {
    if message.chars().count() <= MESSAGE_LENGTH_MAX {
        return shown(message, MESSAGE_LENGTH_MAX);
    }
    let start = shown(message, MESSAGE_LENGTH_MAX - end.len() - 1);
    format!("{start} {end}")
}

/// The body of the answer: an AdmissionReview with the same uid.
pub(crate) fn response(uid: &str, outcome: &Outcome) -> Bytes {
    let status = outcome.message.as_deref().map(|message| Status { code: 403, reason: "Forbidden", message });
    let review = Answer {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: Response {
            uid,
            allowed: outcome.decision == Decision::Allow,
            status,
            warnings: &outcome.warnings,
            audit_annotations: &outcome.annotations,
        },
    };
    // Strings and numbers only: this cannot fail.
    serde_json::to_vec(&review).unwrap_or_default().into()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<'a> {
    api_version: &'static str,
    kind: &'static str,
    response: Response<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Response<'a> {
    uid: &'a str,
    allowed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status<'a>>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    warnings: &'a [String],
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    audit_annotations: &'a BTreeMap<&'static str, String>,
}

#[derive(Serialize)]
struct Status<'a> {
    code: u16,
    reason: &'static str,
    message: &'a str,
}
