//! Arbitrary text as JSON: its digest is that of the canonical form that is written from a tree, and text without one has
//! none.
#![no_main]

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use zastava_core::contract::canonical_json_digest;
use zastava_core::image::Digest;

fn has_float(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.is_f64(),
        Value::Array(items) => items.iter().any(has_float),
        Value::Object(members) => members.values().any(has_float),
        _ => false,
    }
}

fuzz_target!(|text: &str| {
    let value = serde_json::from_str::<Value>(text).ok().filter(|value| !has_float(value));
    let expected =
        value.map(|value| Digest::of(&serde_json_canonicalizer::to_vec(&value).expect("a canonical form")));
    assert_eq!(canonical_json_digest(text).ok(), expected);
});
