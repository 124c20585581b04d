//! The blobs of a layout, by digest.

use std::collections::BTreeMap;

use serde_json::Value;
use zastava_core::image::Digest;

use crate::descriptor::Descriptor;

/// Blobs with their media types. Adding one twice keeps one.
#[derive(Clone, Debug, Default)]
pub(super) struct Blobs(BTreeMap<Digest, (String, Vec<u8>)>);

impl Blobs {
    pub(super) fn add(&mut self, media_type: &str, bytes: Vec<u8>) -> Descriptor {
        let descriptor = Descriptor::new(media_type, Digest::of(&bytes), bytes.len() as u64);
        self.0.insert(descriptor.digest, (media_type.to_owned(), bytes));
        descriptor
    }

    pub(super) fn add_json(&mut self, media_type: &str, value: &Value) -> Descriptor {
        self.add(media_type, canonical(value))
    }

    pub(super) fn descriptor(&self, digest: Digest) -> Option<Descriptor> {
        self.0.get(&digest).map(|(media_type, bytes)| Descriptor::new(media_type, digest, bytes.len() as u64))
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Digest, &[u8])> {
        self.0.iter().map(|(digest, (_, bytes))| (digest, bytes.as_slice()))
    }
}

/// RFC 8785: sorted keys, no white space. The same document always has the same digest.
pub(super) fn canonical(value: &Value) -> Vec<u8> {
    serde_json_canonicalizer::to_vec(value)
        .expect("a value without floating-point numbers has a canonical form")
}
