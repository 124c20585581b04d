//! Image references.

use std::fmt;
use std::str::FromStr;

use super::digest::Digest;
use super::error::ImageError;
use super::grammar::{DOCKER_HUB, REPOSITORY_LENGTH_MAX, check_path, is_image_id, parse_tag, split_registry};

/// A complete image reference: registry, repository, and a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// The registry host with its port. `docker.io` when the text names none.
    #[must_use]
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository's path below the registry, such as `library/nginx`.
    #[must_use]
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag, as written.
    #[must_use]
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if the reference has one. It takes precedence over the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// `registry/repository@sha256:…`, if the reference has a digest.
    #[must_use]
    pub fn pinned(&self) -> Option<String> {
        self.digest.map(|digest| format!("{}/{}@{digest}", self.registry, self.repository))
    }

    /// The same repository at this digest, without the tag.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for ImageReference {
    /// The complete form, such as `docker.io/library/nginx:1.27`. The tag is `latest` when there is neither tag
    /// nor digest.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        match (&self.tag, self.digest) {
            (Some(tag), Some(digest)) => write!(f, ":{tag}@{digest}"),
            (Some(tag), None) => write!(f, ":{tag}"),
            (None, Some(digest)) => write!(f, "@{digest}"),
            (None, None) => f.write_str(":latest"),
        }
    }
}

impl FromStr for ImageReference {
    type Err = ImageError;

    fn from_str(text: &str) -> Result<Self, ImageError> {
        if is_image_id(text) {
            return Err(ImageError::ImageId);
        }
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon after the last slash starts the tag. A colon before it belongs to the host's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(parse_tag(tag)?)),
            _ => (rest, None),
        };
        let (registry, path) = split_registry(name)?;
        check_path(path)?;
        let repository = match registry {
            DOCKER_HUB if !path.contains('/') => format!("library/{path}"),
            _ => path.to_owned(),
        };
        if repository.len() > REPOSITORY_LENGTH_MAX {
            return Err(ImageError::RepositoryTooLong);
        }
        Ok(Self { registry: registry.to_owned(), repository, tag, digest })
    }
}
