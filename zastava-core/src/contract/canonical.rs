//! The two hashing rules. Each hash is named for its rule, and a field uses only one of them.
//!
//! | rule | over | printed as | used for |
//! | --- | --- | --- | --- |
//! | [`declared_hash`] | compact JSON, fields as declared, nulls left out, map keys sorted | `sha256-<base64url>` | events, decisions |
//! | [`canonical_digest`], [`canonical_json_digest`] | RFC 8785 canonical JSON | `sha256:<hex>` | exports, bundles, `podSpecDigest` |
//!
//! Both refuse floating-point numbers, since different writers print them differently.

mod order;
mod text;
mod write;

use base64::Engine as _;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::image::Digest;
use order::Order;
use text::Text;

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
/// As [`canonical_json_digest`], and [`CanonicalError::Json`] when the value cannot be written as JSON.
pub fn canonical_digest<T: Serialize>(value: &T) -> Result<Digest, CanonicalError> {
    canonical_json_digest(&serde_json::to_string(value)?)
}

/// The SHA-256 digest of the RFC 8785 canonical form of JSON text.
///
/// The canonical form is hashed as it is written and never exists as a whole. Beside the text this takes four bytes for each
/// member of an object whose members are not sorted, 12 bytes for each such object, and at most 24 MiB in all.
///
/// Of members with the same name the last one counts. Objects and lists may be nested 127 levels deep. An object with more than 65,536
/// members must have them in order.
///
/// # Errors
/// [`CanonicalError::Float`] when the text holds a number that is not an integer of 64 bits, and another variant when it is
/// malformed, nested too deep or too large.
pub fn canonical_json_digest(json: &str) -> Result<Digest, CanonicalError> {
    let text = Text::new(json)?;
    let order = Order::of(text)?;
    write::digest(text, &order)
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
    /// The value contains a number that is not an integer of 64 bits.
    #[error("floating-point numbers have no canonical form")]
    Float,
    /// The value cannot be written as JSON.
    #[error("the value cannot be written as JSON")]
    Json(#[from] serde_json::Error),
    /// The text is not JSON.
    #[error("the JSON is malformed at byte {at}")]
    Malformed {
        /// Where.
        at: usize,
    },
    /// Objects and lists are nested more than 127 levels deep.
    #[error("the JSON is nested more than 127 levels deep")]
    TooDeep,
    /// The text has 4 GiB or more, an object with more than 65,536 members that are not sorted, or so many of such members that sorting
    /// takes too much memory.
    #[error("the JSON is too large to be sorted")]
    TooLarge,
}
