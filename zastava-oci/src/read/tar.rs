//! Tar archives that anybody wrote: ustar, GNU long names, PAX.
//!
//! The `tar` crate reads long names and PAX records whole, whatever size their header claims. This reader
//! bounds them, and it refuses what readers are known to understand differently.

use std::io::{self, Read};

use tar::{EntryType, Header, PaxExtensions};

use super::place::Place;
use super::section::Section;
use super::{Limits, ReadError};

const BLOCK_BYTES: u64 = 512;

/// Where a tar archive is read from.
pub(super) trait Source: Read {
    /// Passes over bytes. Fails with `UnexpectedEof` if there are fewer.
    fn skip(&mut self, bytes: u64) -> io::Result<()>;
}

impl Source for Section {
    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        Self::skip(self, bytes)
    }
}

/// Why there is no next entry.
#[derive(Debug)]
pub(super) enum Fault {
    Read(io::Error),
    Format(&'static str),
    /// The extended headers of one entry are larger than allowed.
    ExtendedHeader,
}

impl Fault {
    /// The error of a reader; `other` makes it from an I/O error that holds none.
    pub(super) fn at(
        self,
        place: &Place,
        limits: &Limits,
        other: impl FnOnce(io::Error) -> ReadError,
    ) -> ReadError {
        let place = place.clone();
        match self {
            Self::Format(fault) => ReadError::Tar { place, fault },
            Self::ExtendedHeader => {
                ReadError::limit(place, "extended_header_bytes", limits.extended_header_bytes)
            }
            Self::Read(error) => error.downcast().unwrap_or_else(other),
        }
    }
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof if error.get_ref().is_none() => {
                Self::Format("the archive is cut off")
            }
            _ => Self::Read(error),
        }
    }
}

/// The header of an entry, with its extensions applied.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) path: Vec<u8>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) kind: EntryType,
    pub(super) size: u64,
    pub(super) mode: u32,
    pub(super) uid: u64,
    pub(super) gid: u64,
    /// Where the content begins, from the start of the archive.
    pub(super) offset: u64,
}

/// Reads an archive entry by entry. Between entries, it reads the content of the last one.
#[derive(Debug)]
pub(super) struct TarReader<S> {
    source: S,
    position: u64,
    /// What is left of the entry's content, and the padding behind it.
    content: u64,
    padding: u64,
    extended_header_bytes: u64,
}

/// What extended headers say about the next entry.
#[derive(Default)]
struct Extensions {
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    size: Option<u64>,
    uid: Option<u64>,
    gid: Option<u64>,
}

impl<S: Source> TarReader<S> {
    pub(super) fn new(source: S, extended_header_bytes: u64) -> Self {
        Self { source, position: 0, content: 0, padding: 0, extended_header_bytes }
    }

    /// Where the next header is, from the start of the archive.
    pub(super) fn next_header(&self) -> u64 {
        self.position + self.content + self.padding
    }

    pub(super) fn source(&mut self) -> &mut S {
        &mut self.source
    }

    /// The next entry, or `None` at the end of the archive.
    pub(super) fn next(&mut self) -> Result<Option<Member>, Fault> {
        let mut extensions = Extensions::default();
        let mut allowed = self.extended_header_bytes;
        while let Some(header) = self.header()? {
            let kind = header.entry_type();
            let size = number(header.entry_size())?;
            if !is_extension(kind) {
                return self.member(&header, kind, extensions).map(Some);
            }
            let bytes = self.extended_header(size, &mut allowed)?;
            match kind {
                EntryType::GNULongName => extensions.path = Some(until_nul(bytes)),
                EntryType::GNULongLink => extensions.link = Some(until_nul(bytes)),
                EntryType::XHeader => extensions.read_pax(&bytes)?,
                // A global header is about the archive: git writes its commit into one.
                _ => {}
            }
        }
        if extensions.is_empty() { Ok(None) } else { Err(Fault::Format("an extended header has no entry")) }
    }

    /// Content of the last entry.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.content).unwrap_or(usize::MAX).min(buffer.len());
        let read = self.source.read(&mut buffer[..wanted])?;
        if read == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.content -= read as u64;
        self.position += read as u64;
        Ok(read)
    }

    /// The next header, or `None` at the end: a block of zeros, as other readers have it, or no more blocks.
    fn header(&mut self) -> Result<Option<Header>, Fault> {
        let rest = self.content + self.padding;
        self.source.skip(rest)?;
        self.position += rest;
        (self.content, self.padding) = (0, 0);
        let mut header = Header::new_old();
        let block = header.as_mut_bytes();
        match read_full(&mut self.source, block)? {
            0 => return Ok(None),
            read if read < block.len() => return Err(Fault::Format("the archive is cut off")),
            _ => {}
        }
        if block.iter().all(|byte| *byte == 0) {
            return Ok(None);
        }
        self.position += BLOCK_BYTES;
        let sum = checksum(block);
        match header.cksum() {
            Ok(stated) if stated == sum => Ok(Some(header)),
            _ => Err(Fault::Format("not a tar header: its checksum is wrong")),
        }
    }

    fn extended_header(&mut self, size: u64, allowed: &mut u64) -> Result<Vec<u8>, Fault> {
        *allowed = allowed.checked_sub(size).ok_or(Fault::ExtendedHeader)?;
        self.begin(size)?;
        let mut bytes = Vec::new();
        let mut buffer = [0; 4096];
        while self.content > 0 {
            let read = self.read(&mut buffer)?;
            bytes.extend_from_slice(&buffer[..read]);
        }
        Ok(bytes)
    }

    fn begin(&mut self, size: u64) -> Result<(), Fault> {
        let end = self.position.checked_add(size).and_then(|end| end.checked_next_multiple_of(BLOCK_BYTES));
        let end = end.ok_or(Fault::Format("an entry's size is too large"))?;
        (self.content, self.padding) = (size, end - self.position - size);
        Ok(())
    }

    fn member(&mut self, header: &Header, kind: EntryType, extensions: Extensions) -> Result<Member, Fault> {
        // Its map follows the header, uncounted by the size.
        if kind == EntryType::GNUSparse {
            return Err(Fault::Format("sparse files are not read"));
        }
        let has_content = matches!(kind, EntryType::Regular | EntryType::Continuous);
        let size = match extensions.size {
            Some(size) => size,
            None => number(header.entry_size())?,
        };
        // Some readers pass over as many bytes, others do not: what one sees, another does not.
        if size > 0 && !has_content {
            return Err(Fault::Format("an entry without content states a size"));
        }
        self.begin(size)?;
        let link = || header.link_name_bytes().map(|link| link.into_owned());
        Ok(Member {
            path: extensions.path.unwrap_or_else(|| header.path_bytes().into_owned()),
            link: extensions.link.or_else(link).filter(|link| !link.is_empty()),
            kind,
            size,
            mode: number(header.mode())?,
            uid: extensions.uid.map_or_else(|| number(header.uid()), Ok)?,
            gid: extensions.gid.map_or_else(|| number(header.gid()), Ok)?,
            offset: self.position,
        })
    }
}

impl Extensions {
    fn is_empty(&self) -> bool {
        self.path.is_none() && self.link.is_none() && self.size.is_none()
    }

    /// POSIX.1-2017, pax, "pax Extended Header".
    fn read_pax(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        for record in PaxExtensions::new(bytes) {
            let record = record.map_err(|_| Fault::Format("a PAX record is malformed"))?;
            let value = record.value_bytes();
            match record.key_bytes() {
                b"path" => self.path = Some(value.to_owned()),
                b"linkpath" => self.link = Some(value.to_owned()),
                b"size" => self.size = Some(decimal(value)?),
                b"uid" => self.uid = Some(decimal(value)?),
                b"gid" => self.gid = Some(decimal(value)?),
                key if key.starts_with(b"GNU.sparse.") => {
                    return Err(Fault::Format("sparse files are not read"));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn is_extension(kind: EntryType) -> bool {
    matches!(
        kind,
        EntryType::GNULongName | EntryType::GNULongLink | EntryType::XHeader | EntryType::XGlobalHeader
    )
}

fn number<T>(field: io::Result<T>) -> Result<T, Fault> {
    field.map_err(|_| Fault::Format("a number of a header is malformed"))
}

fn decimal(value: &[u8]) -> Result<u64, Fault> {
    let digits =
        std::str::from_utf8(value).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    digits.and_then(|text| text.parse().ok()).ok_or(Fault::Format("a number of a PAX record is malformed"))
}

fn until_nul(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    bytes.truncate(end);
    bytes
}

/// The sum of the bytes, those of the checksum counted as blanks.
fn checksum(block: &[u8]) -> u32 {
    let counted = |(at, byte): (usize, &u8)| if (148..156).contains(&at) { 32 } else { u32::from(*byte) };
    block.iter().enumerate().map(counted).sum()
}

fn read_full(source: &mut impl Read, mut buffer: &mut [u8]) -> io::Result<usize> {
    let mut total = 0;
    while !buffer.is_empty() {
        match source.read(buffer) {
            Ok(0) => break,
            Ok(read) => {
                total += read;
                buffer = &mut buffer[read..];
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(total)
}
