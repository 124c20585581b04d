//! Artifacts that refer to an image: signatures, SBOMs, attestations.

use std::collections::BTreeMap;

use super::layout::{LayoutReader, Visited};
use super::{ReadError, documents::Manifest};
use crate::descriptor::Descriptor;
use crate::{Digest, media_type};

impl LayoutReader {
    /// The manifests and indexes whose subject is this one, by digest. As from a registry, each descriptor has the
    /// artifact's type and its annotations.
    ///
    /// They are looked for among the entries of `index.json`, and in the index that the referrers tag schema names
    /// `sha256-<hex>` (OCI distribution specification, "Referrers Tag Schema").
    ///
    /// # Errors
    /// [`ReadError::Subject`] if that index lists what does not refer to the subject. Otherwise as
    /// [`manifest`](Self::manifest).
    pub fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, ReadError> {
        let mut visited = Visited::default();
        let mut found = BTreeMap::new();
        for entry in self.entries() {
            if let Some(referrer) = self.referrer(entry, subject, &mut visited)? {
                found.insert(referrer.digest, referrer);
            }
        }
        let tag = subject.to_string().replace(':', "-");
        let fallback = self.entries().iter().filter(|entry| entry.names().any(|name| name == tag));
        for entry in fallback.filter(|entry| media_type::is_index(&entry.media_type)) {
            for listed in self.index(entry)?.manifests {
                if found.contains_key(&listed.digest) {
                    continue;
                }
                let missing = ReadError::Subject { referrer: listed.digest, subject };
                let referrer = self.referrer(&listed, subject, &mut visited)?.ok_or(missing)?;
                found.insert(referrer.digest, referrer);
            }
        }
        Ok(found.into_values().collect())
    }

    /// `None` if the document has another subject, or was read before.
    fn referrer(
        &self,
        descriptor: &Descriptor,
        subject: Digest,
        visited: &mut Visited,
    ) -> Result<Option<Descriptor>, ReadError> {
        if !visited.is_new(descriptor.digest, self.limits())? {
            return Ok(None);
        }
        let (artifact_type, refers_to, annotations) = if media_type::is_index(&descriptor.media_type) {
            let index = self.index(descriptor)?;
            (index.artifact_type, index.subject, index.annotations)
        } else if media_type::is_manifest(&descriptor.media_type) {
            let manifest = self.manifest(descriptor)?;
            (Some(artifact_type(&manifest)), manifest.subject, manifest.annotations)
        } else {
            return Ok(None);
        };
        if refers_to.is_none_or(|refers_to| refers_to.digest != subject) {
            return Ok(None);
        }
        let described = Descriptor::new(descriptor.media_type.clone(), descriptor.digest, descriptor.size);
        Ok(Some(Descriptor { artifact_type, annotations, ..described }))
    }
}

/// Without an artifact type, the type of the configuration counts (OCI distribution specification, "Listing
/// Referrers").
fn artifact_type(manifest: &Manifest) -> String {
    manifest.artifact_type.clone().unwrap_or_else(|| manifest.config.media_type.clone())
}
