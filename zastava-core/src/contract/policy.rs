//! The messages of Scanner's API: event batches, policy requests, problem details.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::decision::{PolicyVerdict, Rekor};
use crate::clock::Timestamp;
use crate::image::Digest;

/// Joins encoded envelopes to a batch, `{"batchId": …, "events": […]}`, without parsing them.
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

/// Scanner's response to a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventsAccepted {
    /// Events that were new to Scanner.
    #[serde(default)]
    pub accepted: u64,
    /// Events that Scanner already had.
    #[serde(default)]
    pub duplicates: u64,
}

/// Asks Scanner for a verdict on each image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRequest {
    /// The namespace in which the images would run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Labels of the workload.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Image references, by digest when it is known.
    pub images: Vec<String>,
}

/// Scanner's verdicts, keyed by the requested reference or by the bare digest.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyResponse {
    /// How long the verdicts are valid, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// When the verdicts expire.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_utc: Option<Timestamp>,
    /// The revision of the policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_revision: Option<String>,
    /// One result for each image. An answer that names one twice cannot be read.
    #[serde(default, deserialize_with = "each_once")]
    pub results: BTreeMap<String, ImageResult>,
}

impl PolicyResponse {
    /// The result for an image, found by the requested reference or by its digest.
    #[must_use]
    pub fn result(&self, asked: &str, digest: Option<Digest>) -> Option<&ImageResult> {
        self.results.get(asked).or_else(|| self.results.get(&digest?.to_string()))
    }
}

/// Scanner's result for one image. A missing verdict counts as `error`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageResult {
    /// The verdict.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_verdict: Option<PolicyVerdict>,
    /// Whether the image carries a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed: Option<bool>,
    /// Whether the image has an SBOM among its referrers. Older servers call it `hasSbom`.
    #[serde(default, skip_serializing_if = "Option::is_none", alias = "hasSbom")]
    pub has_sbom_referrers: Option<bool>,
    /// The reasons for the verdict.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub reasons: Vec<String>,
    /// The image's entry in a transparency log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rekor: Option<Rekor>,
    /// Further facts: an object, or a string that contains one as JSON.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty", deserialize_with = "object_or_text")]
    pub metadata: serde_json::Map<String, serde_json::Value>,
    /// Build-ids seen in this image, most recent first.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_default")]
    pub build_ids: Vec<String>,
}

/// Reads an object whose members have different names. serde keeps the last of several with one name.
fn each_once<'de, D, T>(deserializer: D) -> Result<BTreeMap<String, T>, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de>,
{
    struct EachOnce<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for EachOnce<T> {
        type Value = BTreeMap<String, T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
            let mut members = BTreeMap::new();
            while let Some((name, value)) = access.next_entry()? {
                if members.insert(name, value).is_some() {
                    return Err(A::Error::custom("a name is there twice"));
                }
            }
            Ok(members)
        }
    }

    deserializer.deserialize_map(EachOnce(PhantomData))
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

/// Problem details (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProblemDetails {
    /// The problem type, a URI.
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// A summary of the problem type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The HTTP status.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// An explanation of this occurrence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}
