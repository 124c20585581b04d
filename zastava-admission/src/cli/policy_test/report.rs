//! What is printed.

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Value, json};
use zastava_core::contract::PolicyVerdict;
use zastava_core::program::{Table, said};

use super::super::decider::Answer;
use super::source::Heard;

/// The decision on a Pod with the image, and what Scanner said of it.
#[derive(Debug)]
pub(super) struct Report {
    /// As it was given.
    pub(super) image: String,
    pub(super) namespace: String,
    pub(super) answer: Answer,
    /// `None` when the text of the reference decided.
    pub(super) heard: Option<Heard>,
}

impl Report {
    pub(super) fn verdict(&self) -> PolicyVerdict {
        self.answer.images.first().map_or(PolicyVerdict::Error, |image| image.policy_verdict)
    }

    pub(super) fn reasons(&self) -> &[String] {
        self.answer.images.first().map_or(&[], |image| &image.reasons)
    }

    /// Where the decision comes from, if it is not the verdict alone: `failOpen`, `wouldDeny`.
    fn annotations(&self) -> impl Iterator<Item = (&str, &str)> {
        let told = ["rule", "failOpen", "wouldDeny"];
        self.answer
            .annotations
            .iter()
            .map(|(name, text)| (name.as_str(), text.as_str()))
            .filter(move |(name, _)| told.contains(name))
    }

    pub(super) fn json(&self) -> Value {
        let mut report = json!({
            "image": self.image,
            "namespace": self.namespace,
            "decision": self.answer.decision(),
            "policyVerdict": self.verdict(),
            "reasons": self.reasons(),
            "annotations": self.annotations().collect::<BTreeMap<_, _>>(),
            "buildIds": [],
        });
        if let Some(Heard { policy_revision, result }) = &self.heard {
            // All that Scanner said, in the words of its contract.
            report["scanner"] = json!(result);
            report["policyRevision"] = json!(policy_revision);
            report["buildIds"] = json!(result.build_ids);
        }
        report
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::default();
        table.row(["Image", &self.image]);
        table.row(["Namespace", &self.namespace]);
        table.row(["Decision", self.answer.decision()]);
        table.row(["Verdict", self.verdict().name()]);
        for reason in self.reasons() {
            table.row(["Reason", reason]);
        }
        for (name, text) in self.annotations() {
            table.row([name, text]);
        }
        if let Some(heard) = &self.heard {
            evidence(heard, &mut table);
        }
        write!(f, "{table}")
    }
}

fn evidence(Heard { policy_revision, result }: &Heard, table: &mut Table) {
    let yes = |known: Option<bool>| match known {
        Some(true) => "yes",
        Some(false) => "no",
        None => "not said",
    };
    table.row(["Signed", yes(result.signed)]);
    table.row(["SBOM", yes(result.has_sbom_referrers)]);
    if let Some(rekor) = &result.rekor {
        let entry = rekor.uuid.as_deref().or(rekor.url.as_deref()).unwrap_or("-");
        table.row(["Rekor", &format!("{entry}, verified: {}", yes(rekor.verified))]);
    }
    if let Some(revision) = policy_revision {
        table.row(["Policy revision", revision]);
    }
    for (name, value) in &result.metadata {
        table.row([format!("Metadata {name}"), said(value)]);
    }
    match result.build_ids.as_slice() {
        [] => table.row([
            "Build IDs",
            "none yet: no container of the image was seen, or its program has no such note",
        ]),
        ids => ids.iter().for_each(|id| table.row(["Build IDs", id])),
    }
}
