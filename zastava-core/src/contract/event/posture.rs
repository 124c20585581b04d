//! What is known about an image's signatures.

use serde::{Deserialize, Serialize};

/// What is known about an image's signatures.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Posture {
    /// Whether the image carries a valid signature.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image_signed: Option<bool>,
    /// `present`, `missing`, or the referrer's digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sbom_referrer: Option<String>,
    /// The image's attestation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attestation: Option<Attestation>,
}

/// An attestation in a transparency log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attestation {
    /// The log entry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uuid: Option<String>,
    /// Whether verification succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<bool>,
}
