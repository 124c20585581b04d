//! What a scan found out, and the two facts beside the GNU build-id.

use core::fmt;

use crate::build_id::BuildId;
use crate::error::Place;
use crate::header::Header;
use crate::limits::Cost;

/// What an ELF file says about itself. Without lifetimes: keep it, send it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The GNU build-id; `None` when everything was searched and there is none.
    pub build_id: Option<BuildId>,
    /// The segment or section that holds it.
    pub found_in: Option<Place>,
    /// The Go build ID, if one was met. See [`complete`](Self::complete).
    pub go_build_id: Option<GoBuildId>,
    /// The package the file belongs to, if a note that says so was met. See [`complete`](Self::complete).
    pub package: Option<PackageNote>,
    /// What the file header says; `None` for bare notes.
    pub header: Option<Header>,
    /// Whether everything was searched and understood. If so, no fact that is `None` is in the file.
    /// If not, that is certain of `build_id` alone.
    pub complete: bool,
    /// What finding out cost.
    pub cost: Cost,
}

/// The build ID that the Go linker writes (owner `Go`, type 4): text, such as four hashes with slashes
/// between them. Not hex, not a GNU build-id, never a path; `redacted` and the like are shared by many files.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoBuildId(Inline<{ Self::BYTES_MAX }>);

impl GoBuildId {
    /// The longest that is accepted. The Go linker's own have 83 bytes; `-buildid` sets any other.
    pub const BYTES_MAX: usize = 256;

    /// Visible ASCII only: it ends up in logs and in keys.
    pub(crate) fn new(inline: Inline<{ Self::BYTES_MAX }>) -> Option<Self> {
        let text = inline.as_str()?;
        (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())).then_some(Self(inline))
    }

    /// The text: 1 to [`GoBuildId::BYTES_MAX`] visible ASCII characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().unwrap_or_default()
    }
}

impl fmt::Display for GoBuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for GoBuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GoBuildId({self})")
    }
}

/// The package metadata of a file (owner `FDO`, type 0xcafe1a7e; <https://systemd.io/PACKAGE_METADATA_FOR_EXECUTABLE_FILES>).
///
/// The text is a JSON object if its writer kept to the specification. It is not checked here, and it is the
/// file's own claim: fit for showing, not for trusting.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackageNote(Inline<{ Self::BYTES_MAX }>);

impl PackageNote {
    /// The longest that is accepted, the NUL at its end included.
    pub const BYTES_MAX: usize = 1024;

    pub(crate) fn new(mut inline: Inline<{ Self::BYTES_MAX }>) -> Option<Self> {
        inline.trim_nuls();
        inline.as_str().is_some_and(|text| !text.is_empty()).then_some(Self(inline))
    }

    /// The JSON text, unchecked: it may hold control characters.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str().unwrap_or_default()
    }
}

impl fmt::Debug for PackageNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PackageNote({:?})", self.as_str())
    }
}

/// A note's descriptor, kept inline. Bytes beyond `len` are 0.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Inline<const N: usize> {
    len: u16,
    bytes: [u8; N],
}

impl<const N: usize> Inline<N> {
    /// Zeros, to be written by way of `bytes_mut`; `None` if so many do not fit.
    pub(crate) fn zeros(len: u32) -> Option<Self> {
        (len as usize <= N && N <= u16::MAX.into()).then_some(Self { len: len as u16, bytes: [0; N] })
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[..usize::from(self.len)]
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    fn trim_nuls(&mut self) {
        while let Some(0) = self.as_bytes().last() {
            self.len -= 1;
        }
    }

    fn as_str(&self) -> Option<&str> {
        str::from_utf8(self.as_bytes()).ok()
    }
}
