//! From the text of an image field to what the policy source is asked.
//!
//! A verdict is bound to a digest. `name:tag@digest` is asked by its digest, because the engine pulls
//! it by its digest. A tag's registry is asked for the digest that the tag has now ([`registry`]), in every review: the next
//! pull may get another image. Where no registry may be asked, the policy source is asked about the tag itself.
//!
//! docs/design/admission.md#how-does-a-tag-get-its-digest

mod mirrors;
mod registry;

use std::sync::Arc;

use zastava_core::image::{Digest, ImageReference};

use crate::policy::AskedImage;
use crate::text::name;
use crate::verdict::{Rule, Verdict};
pub(crate) use mirrors::{Mirrors, Places};
pub use registry::Registries;
pub(crate) use registry::{Manifest, Unresolved};

/// How an image is asked.
#[derive(Debug, PartialEq)]
pub(crate) enum Query {
    /// By its digest: `registry/repository@sha256:…`
    Pinned {
        digest: Digest,
        reference: String,
        /// Where its registry has it, unless it is known to be no index.
        index_at: Option<ImageReference>,
    },
    /// By its tag: `registry/repository:tag`
    Tag { places: Places, reference: String },
}

impl Query {
    pub(crate) fn asked(&self) -> AskedImage<'_> {
        match self {
            Self::Pinned { digest, reference, .. } => AskedImage { reference, digest: Some(*digest) },
            Self::Tag { reference, .. } => AskedImage { reference, digest: None },
        }
    }

    /// The reference with its digest, when it is known.
    pub(crate) fn pinned(&self) -> Option<&str> {
        match self {
            Self::Pinned { reference, .. } => Some(reference),
            Self::Tag { .. } => None,
        }
    }

    /// The same image by what its registry says of the tag.
    pub(crate) fn at(&self, Manifest { digest, is_index }: Manifest) -> Option<Self> {
        let Self::Tag { places: Places { asked_at, known_as }, .. } = self else { return None };
        let index_at = is_index.then(|| asked_at.clone());
        Some(Self::Pinned { digest, reference: known_as.at(digest).pinned()?, index_at })
    }

    /// The same repository at the digest of one platform's image.
    pub(crate) fn platform(&self, digest: Digest) -> Option<String> {
        let Self::Pinned { reference, .. } = self else { return None };
        reference.parse::<ImageReference>().ok()?.at(digest).pinned()
    }
}

/// How the image is asked, or the verdict that its text alone settles.
pub(crate) fn resolve(reference: &str, resolve_tags: bool, mirrors: &Mirrors) -> Result<Query, Arc<Verdict>> {
    if reference.trim().is_empty() {
        return Err(Arc::new(Verdict::refused(Rule::BlankImage, "a container names no image")));
    }
    let malformed = |error| {
        let reason = format!("the reference cannot be read: {error}");
        Arc::new(Verdict::refused(Rule::MalformedReference, reason))
    };
    let image: ImageReference = reference.parse().map_err(malformed)?;
    let places = mirrors.places(&image).map_err(malformed)?;
    match places.known_as.digest().zip(places.known_as.pinned()) {
        Some((digest, reference)) => Ok(Query::Pinned { digest, reference, index_at: Some(places.asked_at) }),
        None if resolve_tags => Ok(Query::Tag { reference: places.known_as.to_string(), places }),
        None => {
            let reason = format!("the tag {} can move to another image", image.tag().unwrap_or("latest"));
            Err(Arc::new(Verdict::unknown(Rule::UnpinnedTag, name(&reason, 200))))
        }
    }
}
