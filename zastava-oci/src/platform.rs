//! The operating system and processor that an image is for.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A platform in the words of an image index: `GOOS`, `GOARCH` and a variant. Written `linux/arm64/v8`.
///
/// ```
/// use zastava_oci::Platform;
///
/// let platform: Platform = "linux/arm64/v8".parse()?;
/// assert_eq!(platform.architecture(), "arm64");
/// assert!(platform.is_same_as(&Platform::LINUX_ARM64), "v8 is what every arm64 is");
/// # Ok::<(), zastava_oci::PlatformError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    os: Cow<'static, str>,
    architecture: Cow<'static, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    variant: Option<Cow<'static, str>>,
}

impl Platform {
    /// x86-64.
    pub const LINUX_AMD64: Self = Self::linux("amd64");
    /// AArch64.
    pub const LINUX_ARM64: Self = Self::linux("arm64");

    const fn linux(architecture: &'static str) -> Self {
        Self { os: Cow::Borrowed("linux"), architecture: Cow::Borrowed(architecture), variant: None }
    }

    pub(crate) fn new(os: String, architecture: String, variant: Option<String>) -> Self {
        Self { os: os.into(), architecture: architecture.into(), variant: variant.map(Into::into) }
    }

    /// The operating system, such as `linux`.
    #[must_use]
    pub fn os(&self) -> &str {
        &self.os
    }

    /// The processor architecture, such as `amd64`.
    #[must_use]
    pub fn architecture(&self) -> &str {
        &self.architecture
    }

    /// The architecture's variant, such as `v7`.
    #[must_use]
    pub fn variant(&self) -> Option<&str> {
        self.variant.as_deref()
    }

    /// Whether both name one platform. Writers spell out the lowest variant or leave it out: `arm64/v8` is
    /// `arm64`, and `amd64/v1` is `amd64`.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        (&self.os, &self.architecture) == (&other.os, &other.architecture)
            && self.significant_variant() == other.significant_variant()
    }

    fn significant_variant(&self) -> Option<&str> {
        match (self.architecture(), self.variant()) {
            (_, Some("")) | ("arm64", Some("v8")) | ("amd64", Some("v1")) => None,
            (_, variant) => variant,
        }
    }
}

impl Default for Platform {
    /// [`LINUX_AMD64`](Self::LINUX_AMD64).
    fn default() -> Self {
        Self::LINUX_AMD64
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.iter().try_for_each(|variant| write!(f, "/{variant}"))
    }
}

/// The text is not a platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not os/architecture or os/architecture/variant")]
pub struct PlatformError;

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let words: Vec<&str> = text.split('/').collect();
        let is_word = |word: &&str| {
            !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        if !words.iter().all(is_word) {
            return Err(PlatformError);
        }
        let (os, architecture, variant) = match words[..] {
            [os, architecture] => (os, architecture, None),
            [os, architecture, variant] => (os, architecture, Some(variant)),
            _ => return Err(PlatformError),
        };
        Ok(Self::new(os.to_owned(), architecture.to_owned(), variant.map(str::to_owned)))
    }
}
