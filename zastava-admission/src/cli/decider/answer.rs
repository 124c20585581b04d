//! What a review's answer says.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;
use zastava_core::contract::ImageDecision;

use crate::AnyError;

/// The answer to a review, and what is known of its images where this process decided.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Answer {
    uid: String,
    pub(crate) allowed: bool,
    #[serde(default)]
    status: Status,
    #[serde(default)]
    pub(crate) warnings: Vec<String>,
    /// The audit annotations.
    #[serde(default, rename = "auditAnnotations")]
    pub(crate) annotations: BTreeMap<String, String>,
    /// Not on the wire. Empty for an answer of another process.
    #[serde(skip)]
    pub(crate) images: Vec<ImageDecision>,
}

#[derive(Clone, Debug, Default, Deserialize)]
struct Status {
    #[serde(default)]
    message: String,
}

impl Answer {
    /// Reads the AdmissionReview that answers the review of that uid.
    pub(super) fn read(body: &[u8], uid: &str) -> Result<Self, AnyError> {
        let mut review: Value = serde_json::from_slice(body)?;
        let answer = review.get_mut("response").map(Value::take).unwrap_or_default();
        let answer: Self = serde_json::from_value(answer)?;
        if answer.uid != uid {
            return Err("it answered another review".into());
        }
        Ok(answer)
    }

    /// `Allow` or `Deny`.
    pub(crate) fn decision(&self) -> &'static str {
        if self.allowed { "Allow" } else { "Deny" }
    }

    /// Why the object is denied, for a person; empty when it is allowed.
    pub(crate) fn message(&self) -> &str {
        &self.status.message
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_answer_to_the_review_is_an_error() {
        let answer = r#"{"response": {"uid": "1", "allowed": true}}"#;
        assert!(Answer::read(answer.as_bytes(), "1").unwrap().allowed);
        assert!(Answer::read(answer.as_bytes(), "2").is_err());
        for body in ["", "null", "[]", "1", "\"a\"", "{}", r#"{"response": []}"#, r#"[{"response": {}}]"#] {
            assert!(Answer::read(body.as_bytes(), "1").is_err(), "{body}");
        }
    }
}
