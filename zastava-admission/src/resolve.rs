//! From the text of an image field to what the policy source is asked.
//!
//! A verdict is bound to a digest. `name:tag@digest` is asked by its digest, because the engine pulls
//! it by its digest. A tag alone is asked as a tag, in every review: the next pull may get another
//! image. Looking a tag's digest up in its registry will be `resolve/registry.rs`, and makes the third
//! kind of [`Query`] (docs/design/admission.md#where-does-tag-resolution-go).

use std::sync::Arc;

use zastava_core::image::{Digest, ImageReference};

use crate::policy::AskedImage;
use crate::text::name;
use crate::verdict::{Rule, Verdict};

/// How an image is asked.
#[derive(Debug, PartialEq)]
pub(crate) enum Query {
    /// By its digest: `registry/repository@sha256:…`
    Pinned { digest: Digest, reference: String },
    /// By its tag: `registry/repository:tag`
    Tag(String),
}

impl Query {
    pub(crate) fn asked(&self) -> AskedImage<'_> {
        match self {
            Self::Pinned { digest, reference } => AskedImage { reference, digest: Some(*digest) },
            Self::Tag(reference) => AskedImage { reference, digest: None },
        }
    }

    /// The reference with its digest, when it is known.
    pub(crate) fn pinned(&self) -> Option<&str> {
        match self {
            Self::Pinned { reference, .. } => Some(reference),
            Self::Tag(_) => None,
        }
    }
}

/// How the image is asked, or the verdict that its text alone settles.
pub(crate) fn resolve(reference: &str, resolve_tags: bool) -> Result<Query, Arc<Verdict>> {
    if reference.trim().is_empty() {
        return Err(Arc::new(Verdict::refused(Rule::BlankImage, "a container names no image")));
    }
    let image: ImageReference = reference.parse().map_err(|error| {
        let reason = format!("the reference cannot be read: {error}");
        Arc::new(Verdict::refused(Rule::MalformedReference, reason))
    })?;
    match image.digest().zip(image.pinned()) {
        Some((digest, reference)) => Ok(Query::Pinned { digest, reference }),
        None if resolve_tags => Ok(Query::Tag(image.to_string())),
        None => {
            let reason = format!("the tag {} can move to another image", image.tag().unwrap_or("latest"));
            Err(Arc::new(Verdict::unknown(Rule::UnpinnedTag, name(&reason, 200))))
        }
    }
}
