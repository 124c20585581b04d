//! The AdmissionReview that answers the API server.
//!
//! A denial is a successful call with `allowed: false` and status 403. The API server repeats the
//! status' message and the warnings to the user, and writes the audit annotations into the cluster's
//! audit log (Kubernetes reference, "Dynamic Admission Control", section "Response").

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;

use super::words::Words;

pub(super) fn body(uid: &str, allowed: bool, words: &Words) -> Bytes {
    let status = words.message.as_deref().map(|message| Status { code: 403, reason: "Forbidden", message });
    let review = AdmissionReview {
        api_version: "admission.k8s.io/v1",
        kind: "AdmissionReview",
        response: Response {
            uid,
            allowed,
            status,
            warnings: &words.warnings,
            audit_annotations: &words.annotations,
        },
    };
    // Strings and numbers only: this cannot fail.
    serde_json::to_vec(&review).unwrap_or_default().into()
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct AdmissionReview<'a> {
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
