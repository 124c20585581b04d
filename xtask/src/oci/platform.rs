//! What a program was built for.

use std::fmt;
use std::str::FromStr;

/// A platform that Zastava runs on, written as in an image index: operating system and `GOARCH`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// `linux/amd64`: x86-64.
    #[default]
    LinuxAmd64,
    /// `linux/arm64`: AArch64. Its only variant, v8, is left out as other writers do.
    LinuxArm64,
}

impl Platform {
    /// Every platform, in the order in which an index lists them.
    pub const ALL: [Self; 2] = [Self::LinuxAmd64, Self::LinuxArm64];

    /// As a folder's name: `linux-amd64`.
    pub(crate) fn folder(self) -> String {
        format!("linux-{}", self.architecture())
    }

    pub(crate) fn architecture(self) -> &'static str {
        match self {
            Self::LinuxAmd64 => "amd64",
            Self::LinuxArm64 => "arm64",
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "linux/{}", self.architecture())
    }
}

/// The text is not a platform that Zastava runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not linux/amd64 or linux/arm64")]
pub struct PlatformError;

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        Self::ALL.into_iter().find(|platform| platform.to_string() == text).ok_or(PlatformError)
    }
}
