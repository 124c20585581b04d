//! The build-id: 1 to 64 bytes, without the heap.
//!
//! Ids become file names, object keys and URLs, so their text is always made from the bytes.

use core::cmp::Ordering;
use core::fmt;
use core::hash::{Hash, Hasher};
use core::str::FromStr;

use crate::ascii::AsciiText;

/// The ids of Go programs whose Go build ID is `redacted`. Each linker makes them of the first 20 bytes of its SHA-256
/// (`addbuildinfo` in cmd/link): since Go 1.25 with the first byte inverted, in 1.24 with one bit of it, and in 1.23, on
/// request, with every byte.
const OF_REDACTED_GO: [[u8; 20]; 3] = [
    *b"\x49\x89\x19\xaf\xf0\x01\xd8\x36\x62\x49\x40\x3a\x25\x44\xfb\xa2\xd8\x33\x08\x4f",
    *b"\xb7\x89\x19\xaf\xf0\x01\xd8\x36\x62\x49\x40\x3a\x25\x44\xfb\xa2\xd8\x33\x08\x4f",
    *b"\x49\x76\xe6\x50\x0f\xfe\x27\xc9\x9d\xb6\xbf\xc5\xda\xbb\x04\x5d\x27\xcc\xf7\xb0",
];

/// The text of an id.
type HexText = AsciiText<{ 2 * BuildId::BYTES_MAX }>;

/// A GNU build-id of 1 to [`BuildId::BYTES_MAX`] bytes.
///
/// It prints as lower-case hex without separators, as `readelf -n` prints it and debuginfod expects it. Parsing
/// also accepts upper-case digits, and nothing else.
///
/// Linkers write 20 bytes by default; 8, 16 and 32 are in use, and `--build-id=0x...` gives any length. Two files
/// can have the same id, such as reproducible builds with a fixed seed.
///
/// ```
/// use zastava_elf::BuildId;
///
/// let id: BuildId = "AB12cd".parse()?;
/// assert_eq!(id.as_bytes(), [0xab, 0x12, 0xcd]);
/// assert_eq!(id.to_string(), "ab12cd");
/// assert_eq!(id.debug_path().unwrap().as_str(), ".build-id/ab/12cd.debug");
/// # Ok::<(), zastava_elf::InvalidBuildId>(())
/// ```
#[derive(Clone, Copy)]
pub struct BuildId {
    len: u8,
    bytes: [u8; Self::BYTES_MAX],
}

impl BuildId {
    /// The longest id that is accepted. Clients of debuginfod have the same bound.
    pub const BYTES_MAX: usize = 64;

    /// The bytes of the id; never empty.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// Whether files that have nothing in common share this id: do not look anything up by it.
    ///
    /// Either all bytes are equal, as in the all-zero ids of images that were patched after linking. Or it is the id
    /// that the Go linker derives from the Go build ID `redacted`, which Bazel gives to every program.
    // docs/design/elf.md#which-ids-are-degenerate
    #[must_use]
    pub fn is_degenerate(&self) -> bool {
        let id = self.as_bytes();
        id.windows(2).all(|pair| pair[0] == pair[1]) || OF_REDACTED_GO.iter().any(|shared| id == shared)
    }

    /// The hex text, on the stack.
    pub(crate) fn hex(&self) -> HexText {
        let mut text = AsciiText::new();
        text.push_hex(self.as_bytes());
        text
    }
}

impl TryFrom<&[u8]> for BuildId {
    type Error = InvalidBuildId;

    fn try_from(id: &[u8]) -> Result<Self, InvalidBuildId> {
        if id.is_empty() {
            return Err(InvalidBuildId::Empty);
        }
        let mut bytes = [0; Self::BYTES_MAX];
        let used = bytes.get_mut(..id.len()).ok_or(InvalidBuildId::TooLong)?;
        used.copy_from_slice(id);
        // At most BYTES_MAX, so it fits.
        Ok(Self { len: id.len() as u8, bytes })
    }
}

impl FromStr for BuildId {
    type Err = InvalidBuildId;

    /// Works on bytes: slicing text at a byte can panic, and the integer parsers accept a sign.
    fn from_str(text: &str) -> Result<Self, InvalidBuildId> {
        let digits = text.as_bytes();
        if digits.len() > 2 * Self::BYTES_MAX {
            return Err(InvalidBuildId::TooLong);
        }
        let mut bytes = [0; Self::BYTES_MAX];
        for (at, &digit) in digits.iter().enumerate() {
            let nibble = nibble(digit).ok_or(InvalidBuildId::NotHex { at })?;
            bytes[at / 2] = bytes[at / 2] << 4 | nibble;
        }
        if !digits.len().is_multiple_of(2) {
            return Err(InvalidBuildId::OddLength);
        }
        Self::try_from(&bytes[..digits.len() / 2])
    }
}

impl fmt::Display for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.hex().as_str())
    }
}

impl fmt::LowerHex for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for BuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "BuildId({self})")
    }
}

impl PartialEq for BuildId {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for BuildId {}

impl PartialOrd for BuildId {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for BuildId {
    fn cmp(&self, other: &Self) -> Ordering {
        self.as_bytes().cmp(other.as_bytes())
    }
}

impl Hash for BuildId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_bytes().hash(state);
    }
}

/// Why bytes or text are not a [`BuildId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidBuildId {
    /// It is empty. An id has at least one byte.
    Empty,
    /// It has more than [`BuildId::BYTES_MAX`] bytes.
    TooLong,
    /// The last byte has only one digit.
    OddLength,
    /// It contains something other than hex digits.
    NotHex {
        /// The offset in the text, in bytes.
        at: usize,
    },
}

impl fmt::Display for InvalidBuildId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("build-id is empty"),
            Self::TooLong => write!(f, "build-id is longer than {} bytes", BuildId::BYTES_MAX),
            Self::OddLength => f.write_str("build-id has an odd number of hex digits"),
            Self::NotHex { at } => write!(f, "build-id has something other than a hex digit at offset {at}"),
        }
    }
}

impl core::error::Error for InvalidBuildId {}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}
