//! `.gnu_debuglink`: the name and checksum of a separate debug file (GDB manual, "Separate Debug Files").

use core::fmt;

use crate::error::{Error, Place};
use crate::facts::Inline;
use crate::limits::Limit;
use crate::reader::Slot;
use crate::scan::Scanner;
use crate::search::{Kind, Search};
use crate::source::Source;

const SECTION: &[u8; 15] = b".gnu_debuglink\0";
/// `SHN_XINDEX`: the index of the names did not fit into the file header.
const NAMES_IN_SECTION_ZERO: u16 = 0xffff;
const CHECKSUM_BYTES: usize = 4;

/// The name of a separate debug file, and the CRC-32 its content should have. The file's own claim: compare
/// the build-id of what is found, or the checksum.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DebugLink {
    file_name: Inline<{ Self::FILE_NAME_BYTES_MAX }>,
    crc32: u32,
}

impl DebugLink {
    /// The longest file name of Linux.
    pub const FILE_NAME_BYTES_MAX: usize = 255;

    /// One plain file name: not empty, no `/`, no NUL, neither `.` nor `..`. Any other bytes are possible.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.file_name.as_bytes()
    }

    /// The CRC-32 (of IEEE 802.3, as in zip) of the debug file.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        self.crc32
    }

    fn parse(content: &[u8], is_big: bool) -> Option<Self> {
        let (text, checksum) = content.split_last_chunk::<CHECKSUM_BYTES>()?;
        let end = text.iter().position(|&byte| byte == 0)?;
        // The checksum stands at the next multiple of four, and nothing behind it.
        if (end + 1).next_multiple_of(4) != text.len() {
            return None;
        }
        let name = &text[..end];
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return None;
        }
        let mut file_name = Inline::zeros(u32::try_from(end).ok()?)?;
        file_name.bytes_mut().copy_from_slice(name);
        let crc32 = if is_big { u32::from_be_bytes(*checksum) } else { u32::from_le_bytes(*checksum) };
        Some(Self { file_name, crc32 })
    }
}

impl fmt::Debug for DebugLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DebugLink({}, {:08x})", self.file_name().escape_ascii(), self.crc32)
    }
}

impl Scanner {
    /// The `.gnu_debuglink` of the ELF file behind `source`, if it has one. Costs reads of its own, since the
    /// names of the sections are needed.
    ///
    /// # Errors
    ///
    /// As [`Scanner::scan`]. A section whose name cannot be read, a compressed link and one that is more than
    /// a plain file name are [`Malformed`](crate::ErrorKind::Malformed) or
    /// [`Truncated`](crate::ErrorKind::Truncated).
    pub fn debug_link<S: Source + ?Sized>(&self, source: &S) -> Result<Option<DebugLink>, Error<S::Error>> {
        let mut search = Search::new(source, self);
        let layout = search.layout()?;
        let count = search.count(&layout, Kind::Sections)?;
        let names = match layout.names {
            _ if count == 0 => return Ok(None),
            0 => return Ok(None),
            NAMES_IN_SECTION_ZERO => search.section(&layout, 0)?.link,
            index => index.into(),
        };
        if u64::from(names) >= count {
            return Err(Error::Malformed { place: Place::SectionTable });
        }
        let names = search.section(&layout, names)?;
        let most = self.limits.section_headers;
        for index in 1..count.min(most.into()) as u32 {
            let section = search.section(&layout, index)?;
            // A name that would reach beyond the names is another one.
            let fits = u64::from(section.name) + SECTION.len() as u64 <= names.bytes;
            if !section.is_program_data || !fits {
                continue;
            }
            let place = Place::SectionTable;
            let at = names.offset.checked_add(section.name.into()).ok_or(Error::Truncated { place })?;
            let mut name = [0; SECTION.len()];
            search.reader.read(Slot::Notes, at, &mut name, place)?;
            if name != *SECTION {
                continue;
            }
            let place = Place::Section(index);
            let mut content = [0; (DebugLink::FILE_NAME_BYTES_MAX + 1).next_multiple_of(4) + CHECKSUM_BYTES];
            let content = usize::try_from(section.bytes).ok().and_then(|bytes| content.get_mut(..bytes));
            let content = content.filter(|_| !section.is_compressed).ok_or(Error::Malformed { place })?;
            search.reader.read(Slot::Notes, section.offset, content, place)?;
            let link = DebugLink::parse(content, layout.is_big());
            return link.map(Some).ok_or(Error::Malformed { place });
        }
        if count > most.into() {
            return Err(Error::Limit { limit: Limit::SectionHeaders, place: Place::SectionTable });
        }
        Ok(None)
    }
}
