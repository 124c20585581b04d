//! JSON as images carry it.

use serde_json::Value;

/// RFC 8785: sorted keys, no white space. Image digests are of these bytes.
pub(super) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value)
        .expect("a value without floating-point numbers has a canonical form")
}
