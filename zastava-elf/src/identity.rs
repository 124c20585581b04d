//! What an ELF file says about itself: the answer of a search.

use core::fmt;

use crate::build_id::BuildId;
use crate::header::Header;
use crate::inline::InlineBytes;
use crate::limits::Cost;
use crate::part::Part;

/// The identity of an ELF file: its ids, its package, the facts in its header. It borrows nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The GNU build-id. `None` means that everything was searched and there is none.
    pub build_id: Option<BuildId>,
    /// The segment or section that holds it.
    pub found_in: Option<Part>,
    /// The Go build ID, if one was found; see [`complete`](Self::complete).
    pub go_build_id: Option<GoBuildId>,
    /// The package that the file belongs to, if a note that names it was found; see
    /// [`complete`](Self::complete).
    pub package: Option<PackageNote>,
    /// The facts in the file header; `None` for notes without a file.
    pub header: Option<Header>,
    /// Whether everything was searched and understood. If true, the file has none of the facts that are `None`.
    /// If false, only a `build_id` of `None` is certain.
    // docs/design/elf.md#why-is-limit-on-the-way-to-the-gnu-build-id-an-error-while-damage-of-a-go-note-is-not
    pub complete: bool,
    /// The work that was done.
    pub cost: Cost,
}

/// The build ID that the Go linker writes (owner `Go`, type 4): text, such as four hashes with slashes between
/// them. It is neither hex nor a path. Many files share ids such as `redacted`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GoBuildId(InlineBytes<{ Self::BYTES_MAX }>);

impl GoBuildId {
    /// The longest id that is accepted. The Go linker writes 83 bytes; `-buildid` sets any other text.
    pub const BYTES_MAX: usize = 256;

    /// Visible ASCII only, since ids end up in logs and in keys.
    // docs/design/elf.md#why-is-complete-false-when-a-go-build-id-contains-a-space
    pub(crate) fn new(inline: InlineBytes<{ Self::BYTES_MAX }>) -> Option<Self> {
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
/// The text should be a JSON object, which is not checked. It is the file's own claim: show it, do not trust it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PackageNote(InlineBytes<{ Self::BYTES_MAX }>);

impl PackageNote {
    /// The longest text that is accepted, including the NUL at its end.
    pub const BYTES_MAX: usize = 1024;

    pub(crate) fn new(mut inline: InlineBytes<{ Self::BYTES_MAX }>) -> Option<Self> {
        inline.trim_nuls();
        inline.as_str().is_some_and(|text| !text.is_empty()).then_some(Self(inline))
    }

    /// The JSON text. It may contain control characters.
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
