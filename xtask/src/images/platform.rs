//! The platforms that releases are built for.

use std::fmt;
use std::str::FromStr;

/// A platform that Zastava runs on, written as in an image index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Platform {
    /// `linux/amd64`: x86-64.
    #[default]
    LinuxAmd64,
    /// `linux/arm64`: AArch64.
    LinuxArm64,
}

impl Platform {
    /// Every platform.
    pub const ALL: [Self; 2] = [Self::LinuxAmd64, Self::LinuxArm64];

    /// As a folder's name: `linux-amd64`.
    pub(super) fn folder(self) -> String {
        self.to_string().replace('/', "-")
    }
}

impl From<Platform> for zastava_oci::Platform {
    fn from(platform: Platform) -> Self {
        match platform {
            Platform::LinuxAmd64 => Self::LINUX_AMD64,
            Platform::LinuxArm64 => Self::LINUX_ARM64,
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        zastava_oci::Platform::from(*self).fmt(f)
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
