//! Why a text is not a reference or a digest.

/// Why a text is not an image reference or a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The digest is not `sha256:` and 64 lower-case hex digits.
    #[error("the digest is not sha256 in lower-case hex")]
    Digest,
    /// The part before the first slash is not a host with an optional port.
    #[error("the registry host is malformed")]
    Registry,
    /// The repository has upper-case letters, empty components or misplaced separators.
    #[error("the repository name is malformed")]
    Repository,
    /// The tag is longer than 128 characters or has invalid characters.
    #[error("the tag is malformed")]
    Tag,
    /// The repository is longer than 255 characters.
    #[error("the repository is longer than 255 characters")]
    RepositoryTooLong,
    /// An image ID, or the beginning of one. It names whatever image a node has under it.
    #[error("an image ID names whatever image the node has under it; name a repository and a digest")]
    ImageId,
}
