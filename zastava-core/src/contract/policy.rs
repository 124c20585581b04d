//! Scanner's questions and answers: batches of events, policy requests, problem documents.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize};

use super::decision::{PolicyVerdict, Rekor};
use crate::clock::Timestamp;
use crate::image::Digest;

/// `{"batchId": …, "events": […]}` around envelopes that are JSON already, without reading them again.
#[must_use]
pub fn encode_batch<'a>(batch_id: &str, envelopes: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let id = serde_json::Value::from(batch_id).to_string();
    let mut out = format!("{{\"batchId\":{id},\"events\":[").into_bytes();
    for (index, envelope) in envelopes.into_iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(envelope);
    }
    out.extend_from_slice(b"]}");
    out
}

/// Scanner's answer to a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsAccepted {
    /// Events that were new to Scanner.
    #[serde(default)]
    pub accepted: u64,
    /// Events that Scanner had already.
    #[serde(default)]
    pub duplicates: u64,
}

/// The question: may these images run?
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRequest {
    /// Where they would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels of the workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// References, by digest when it is known.
    pub images: Vec<String>,
}

/// The answer, keyed by the reference that was asked for or by the bare digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyResponse {
    /// How long the answer holds, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// Until when the answer holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_utc: Option<Timestamp>,
    /// The policy that answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_revision: Option<String>,
    /// One result for each image.
    #[serde(default)]
    pub results: BTreeMap<String, ImageResult>,
}

impl PolicyResponse {
    /// The result for an image: by the reference as asked, else by its digest.
    #[must_use]
    pub fn result(&self, asked: &str, digest: Option<Digest>) -> Option<&ImageResult> {
        self.results.get(asked).or_else(|| self.results.get(&digest?.to_string()))
    }
}

/// What Scanner says of one image. A result without a verdict is an `error`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageResult {
    /// The verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_verdict: Option<PolicyVerdict>,
    /// Whether the image carries a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    /// Whether the image has an SBOM among its referrers. Older servers say `hasSbom`.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "hasSbom")]
    pub has_sbom_referrers: Option<bool>,
    /// Why.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub reasons: Vec<String>,
    /// The image's entry in a transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekor: Option<Rekor>,
    /// Anything else: an object, or a string that holds one.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty", deserialize_with = "object_or_text")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Build-ids seen for this image, most recent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub build_ids: Vec<String>,
}

fn null_as_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

fn object_or_text<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<serde_json::Map<String, serde_json::Value>, D::Error> {
    let value = serde_json::Value::deserialize(deserializer)?;
    let parsed = match value {
        serde_json::Value::String(text) => serde_json::from_str(&text).unwrap_or_default(),
        other => other,
    };
    Ok(match parsed {
        serde_json::Value::Object(members) => members,
        _ => serde_json::Map::new(),
    })
}

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// What kind of problem, as a URI.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// The kind in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// This very case in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
