//! `.gnu_debuglink`: the name and checksum of a separate debug file (GDB manual, "Separate Debug Files").

use core::fmt;

use crate::error::Error;
use crate::header::Endian;
use crate::inline::InlineBytes;
use crate::layout::{Layout, RawSection};
use crate::limits::Limit;
use crate::part::Part;
use crate::read_at::ReadAt;
use crate::reader::ElfReader;
use crate::tables::TableKind;
use crate::windows::Windows;

const SECTION_NAME: &[u8; 15] = b".gnu_debuglink\0";
/// `SHN_XINDEX`: the index of the section of names did not fit into the file header.
const NAMES_IN_SECTION_ZERO: u16 = 0xffff;
const CHECKSUM_BYTES: usize = 4;
const CONTENT_BYTES_MAX: usize = (DebugLink::FILE_NAME_BYTES_MAX + 1).next_multiple_of(4) + CHECKSUM_BYTES;

/// The name of a separate debug file, and the CRC-32 of its content. Both are the file's own claim: compare the
/// build-id or the checksum of the file that you find.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DebugLink {
    file_name: InlineBytes<{ Self::FILE_NAME_BYTES_MAX }>,
    crc32: u32,
}

impl DebugLink {
    /// The length of the longest file name on Linux.
    pub const FILE_NAME_BYTES_MAX: usize = 255;

    /// One plain file name: not empty, without `/` and NUL, neither `.` nor `..`. Other bytes are possible.
    #[must_use]
    pub fn file_name(&self) -> &[u8] {
        self.file_name.as_bytes()
    }

    /// The CRC-32 (IEEE 802.3, as in zip) of the debug file.
    #[must_use]
    pub fn crc32(&self) -> u32 {
        self.crc32
    }

    fn parse(content: &[u8], endian: Endian) -> Option<Self> {
        let (text, checksum) = content.split_last_chunk::<CHECKSUM_BYTES>()?;
        let end = text.iter().position(|&byte| byte == 0)?;
        // The checksum is at the next multiple of four and ends the section.
        if (end + 1).next_multiple_of(4) != text.len() {
            return None;
        }
        let name = &text[..end];
        if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
            return None;
        }
        let mut file_name = InlineBytes::zeros(u32::try_from(end).ok()?)?;
        file_name.bytes_mut().copy_from_slice(name);
        let crc32 = match endian {
            Endian::Little => u32::from_le_bytes(*checksum),
            Endian::Big => u32::from_be_bytes(*checksum),
        };
        Some(Self { file_name, crc32 })
    }
}

impl fmt::Debug for DebugLink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DebugLink({}, {:08x})", self.file_name().escape_ascii(), self.crc32)
    }
}

impl ElfReader {
    /// Reads the `.gnu_debuglink` of the ELF file in `source`, if it has one. It makes reads of its own, for the
    /// names of the sections.
    ///
    /// # Errors
    ///
    /// As [`identity`](Self::identity). A link that is compressed or is not a plain file name is
    /// [`Malformed`](crate::ErrorKind::Malformed).
    pub fn debug_link<S: ReadAt + ?Sized>(&self, source: &S) -> Result<Option<DebugLink>, Error<S::Error>> {
        let mut windows = Windows::new(source, self.policy.limits);
        let layout = Layout::read(&mut windows)?;
        let count = layout.count(&mut windows, TableKind::Sections)?;
        let names = match layout.names {
            _ if count == 0 => return Ok(None),
            0 => return Ok(None),
            NAMES_IN_SECTION_ZERO => layout.section(&mut windows, 0)?.link,
            index => index.into(),
        };
        let part = Part::SectionTable;
        if u64::from(names) >= count {
            return Err(Error::Malformed { part });
        }
        let names = layout.section(&mut windows, names)?;
        let most = self.policy.limits.section_headers;
        for index in 1..count.min(most.into()) as u32 {
            let section = layout.section(&mut windows, index)?;
            if is_debug_link(&mut windows, &names, &section)? {
                return content(&mut windows, &layout, &section, Part::Section(index)).map(Some);
            }
        }
        if count > most.into() {
            return Err(Error::Limit { limit: Limit::SectionHeaders, part });
        }
        Ok(None)
    }
}

fn is_debug_link<S: ReadAt + ?Sized>(
    windows: &mut Windows<'_, S>,
    names: &RawSection,
    section: &RawSection,
) -> Result<bool, Error<S::Error>> {
    // A name that would reach beyond the section of names is another one.
    let fits = u64::from(section.name) + SECTION_NAME.len() as u64 <= names.bytes;
    if !section.is_program_data || !fits {
        return Ok(false);
    }
    let part = Part::SectionTable;
    let at = names.offset.checked_add(section.name.into()).ok_or(Error::Truncated { part })?;
    let mut name = [0; SECTION_NAME.len()];
    windows.read_notes(at, &mut name, part)?;
    Ok(name == *SECTION_NAME)
}

fn content<S: ReadAt + ?Sized>(
    windows: &mut Windows<'_, S>,
    layout: &Layout,
    section: &RawSection,
    part: Part,
) -> Result<DebugLink, Error<S::Error>> {
    let mut content = [0; CONTENT_BYTES_MAX];
    let content = usize::try_from(section.bytes).ok().and_then(|bytes| content.get_mut(..bytes));
    let content = content.filter(|_| !section.is_compressed).ok_or(Error::Malformed { part })?;
    windows.read_notes(section.offset, content, part)?;
    DebugLink::parse(content, layout.header.endian).ok_or(Error::Malformed { part })
}
