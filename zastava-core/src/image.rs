//! Image references and digests, parsed once into types that cannot be wrong.
//!
//! The grammar is that of the OCI distribution project's `reference` package: a name of at most
//! 255 characters, an optional registry host, an optional tag, an optional digest. Docker's short
//! forms are completed: `nginx` names `docker.io/library/nginx`.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const NAME_LENGTH_MAX: usize = 255;
const TAG_LENGTH_MAX: usize = 128;

/// A SHA-256 content digest, printed as `sha256:<64 lower-case hex digits>`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(bytes).into())
    }

    /// A digest that was computed elsewhere.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl FromStr for Digest {
    type Err = ImageError;

    /// Upper-case digits are refused: two spellings of one digest would be two cache keys.
    fn from_str(text: &str) -> Result<Self, ImageError> {
        let hex = text.strip_prefix("sha256:").ok_or(ImageError::Digest)?.as_bytes();
        let mut bytes = [0; 32];
        if hex.len() != 2 * bytes.len() {
            return Err(ImageError::Digest);
        }
        for (byte, pair) in bytes.iter_mut().zip(hex.chunks_exact(2)) {
            *byte = (nibble(pair[0])? << 4) | nibble(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn nibble(digit: u8) -> Result<u8, ImageError> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(ImageError::Digest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// A complete image reference: registry, repository, and a tag, a digest, both or neither.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ImageReference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl ImageReference {
    /// The registry host with its port, `docker.io` when the text named none.
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

    /// The digest, when the reference pins one. It wins over the tag.
    #[must_use]
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// `registry/repository@sha256:…` when the digest is known.
    #[must_use]
    pub fn pinned(&self) -> Option<String> {
        self.digest.map(|digest| format!("{}/{}@{digest}", self.registry, self.repository))
    }

    /// The same repository at a digest that was found out elsewhere, without the tag.
    #[must_use]
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }
}

impl fmt::Display for ImageReference {
    /// The completed form: `docker.io/library/nginx:1.27`; `latest` when neither tag nor digest is given.
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
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse()?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; one before it belongs to the host's port.
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(parse_tag(tag)?)),
            _ => (rest, None),
        };
        if name.len() > NAME_LENGTH_MAX {
            return Err(ImageError::NameTooLong);
        }
        let (registry, path) = split_registry(name)?;
        check_path(path)?;
        let repository = match registry {
            "docker.io" if !path.contains('/') => format!("library/{path}"),
            _ => path.to_owned(),
        };
        Ok(Self { registry: registry.to_ascii_lowercase(), repository, tag, digest })
    }
}

fn parse_tag(tag: &str) -> Result<String, ImageError> {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let valid = tag.len() <= TAG_LENGTH_MAX
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-');
    if valid { Ok(tag.to_owned()) } else { Err(ImageError::Tag) }
}

/// The first component is a host when it could not be a path: it has a dot or a port, or is `localhost`.
fn split_registry(name: &str) -> Result<(&str, &str), ImageError> {
    match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            check_host(host)?;
            let canonical = if host.eq_ignore_ascii_case("index.docker.io") { "docker.io" } else { host };
            Ok((canonical, path))
        }
        _ => Ok(("docker.io", name)),
    }
}

fn check_host(host: &str) -> Result<(), ImageError> {
    let (name, port) = match host.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (host, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_valid = port.is_none_or(|port| port.parse::<u16>().is_ok() && !port.starts_with('+'));
    if name.split('.').all(label) && port_valid { Ok(()) } else { Err(ImageError::Registry) }
}

/// Components of lower-case letters and digits, joined inside by `.`, `_`, `__` or dashes.
fn check_path(path: &str) -> Result<(), ImageError> {
    let valid = path.split('/').all(|component| {
        let bytes = component.as_bytes();
        let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        bytes.first().is_some_and(alphanumeric)
            && bytes.last().is_some_and(alphanumeric)
            && bytes.split(alphanumeric).all(|separator| {
                matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
            })
    });
    if valid { Ok(()) } else { Err(ImageError::Repository) }
}

/// Why a text is not an image reference or a digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// Not `sha256:` and 64 lower-case hex digits.
    #[error("the digest is not sha256 in lower-case hex")]
    Digest,
    /// The part before the first slash is not a host with an optional port.
    #[error("the registry host is malformed")]
    Registry,
    /// Upper-case letters, empty components, or separators at the wrong place.
    #[error("the repository name is malformed")]
    Repository,
    /// Longer than 128 characters, or with characters a tag cannot have.
    #[error("the tag is malformed")]
    Tag,
    /// The name is longer than 255 characters.
    #[error("the name is longer than 255 characters")]
    NameTooLong,
}
