//! The two hashing rules. Each hash is named for its rule, and a field uses only one of them.
//!
//! | rule | over | printed as | used for |
//! | --- | --- | --- | --- |
//! | [`declared_hash`] | compact JSON, fields as declared, nulls left out, map keys sorted | `sha256-<base64url>` | events, decisions |
//! | [`canonical_digest`] | RFC 8785 canonical JSON | `sha256:<hex>` | exports, bundles, `podSpecDigest` |
//!
//! Both refuse floating-point numbers, since different writers print them differently.

use base64::Engine as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::image::Digest;

/// The SHA-256 hash of the value's compact JSON in declared field order, as `sha256-<base64url>` without
/// padding.
///
/// Maps inside the value must be sorted, as `BTreeMap` is.
///
/// # Errors
/// [`CanonicalError::Float`] when the value holds a floating-point number.
pub fn declared_hash<T: Serialize>(value: &T) -> Result<String, CanonicalError> {
    refuse_floats(&serde_json::to_value(value)?)?;
    let hash = Sha256::digest(serde_json::to_vec(value)?);
    Ok(format!("sha256-{}", base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(hash)))
}

/// The SHA-256 digest of the value's RFC 8785 canonical JSON.
///
/// # Errors
/// [`CanonicalError::Float`] when the value holds a floating-point number.
pub fn canonical_digest<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    let value = serde_json::to_value(value)?;
    refuse_floats(&value)?;
    Ok(Digest::of(&serde_json_canonicalizer::to_vec(&value)?))
}

fn refuse_floats(value: &serde_json::Value) -> Result<(), CanonicalError> {
    match value {
        serde_json::Value::Number(number) if number.is_f64() => Err(CanonicalError::Float),
        serde_json::Value::Array(items) => items.iter().try_for_each(refuse_floats),
        serde_json::Value::Object(members) => members.values().try_for_each(refuse_floats),
        _ => Ok(()),
    }
}

/// Why a value has no canonical form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CanonicalError {
    /// The value contains a number that is not an integer.
    #[error("floating-point numbers have no canonical form")]
    Float,
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}
