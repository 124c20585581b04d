//! The scanner: what to look for, in which order, how far, within which limits.

use crate::build_id::BuildId;
use crate::error::Error;
use crate::facts::Identity;
use crate::header::Endian;
use crate::limits::Limits;
use crate::search::Search;
use crate::source::Source;

/// Reads ELF files within [`Limits`]. A plain value: make one anywhere, share it freely.
///
/// ```
/// use zastava_elf::{Error, ErrorKind, Order, Scanner};
///
/// const SCANNER: Scanner = Scanner::new();
/// const OF_DEBUG_FILES: Scanner = SCANNER.in_order(Order::SectionsThenSegments);
/// let answer = SCANNER.scan(b"#!/bin/sh\n".as_slice());
/// assert_eq!(answer.map_err(|error| error.kind()), Err(ErrorKind::NotElf));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanner {
    pub(crate) limits: Limits,
    pub(crate) order: Order,
    pub(crate) extent: Extent,
    pub(crate) confirms: bool,
}

/// Which table is searched first. The first GNU build-id wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Order {
    /// For programs and libraries: what the kernel and the loader see, and what `strip` leaves.
    #[default]
    SegmentsThenSections,
    /// For separate debug files, whose program headers may describe the file they were made from.
    SectionsThenSegments,
}

/// How far a search goes on once the GNU build-id is found. Without one, everything is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Extent {
    /// No further: the least work for the id alone.
    BuildId,
    /// To the end of the table that led to it. The other notes of real files are there, mostly among
    /// the bytes already read.
    #[default]
    Table,
    /// Through both tables.
    Everything,
}

impl Scanner {
    /// With the default limits, [`Order::SegmentsThenSections`] and [`Extent::Table`].
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limits(Limits::DEFAULT)
    }

    /// With limits of your own.
    #[must_use]
    pub const fn with_limits(limits: Limits) -> Self {
        Self { limits, order: Order::SegmentsThenSections, extent: Extent::Table, confirms: false }
    }

    /// The same, searching in this order.
    #[must_use]
    pub const fn in_order(self, order: Order) -> Self {
        Self { order, ..self }
    }

    /// The same, searching so far.
    #[must_use]
    pub const fn through(self, extent: Extent) -> Self {
        Self { extent, ..self }
    }

    /// The same, reading the id once more before it is told; [`Error::Changed`] if it is another by then.
    ///
    /// A read that meets a write of the same bytes may return a mixture of old and new, an id that nobody gave
    /// the file: some four hundred in a million under a thread that does nothing but rewrite the bytes around
    /// the id, and then four. Costs one read. `build_id` and `build_id_of` do so.
    #[must_use]
    pub const fn confirming(self) -> Self {
        Self { confirms: true, ..self }
    }

    /// What the ELF file behind `source` says about itself.
    ///
    /// # Errors
    ///
    /// Every kind but [`NotRegular`](crate::ErrorKind::NotRegular). An identity without a GNU build-id is
    /// returned only when everything was searched for it.
    pub fn scan<S: Source + ?Sized>(&self, source: &S) -> Result<Identity, Error<S::Error>> {
        Search::new(source, self).file()
    }

    /// The same for notes without an ELF file around them, such as the content of `/sys/kernel/notes` or of
    /// `/sys/module/<name>/notes/.note.gnu.build-id`, which have the byte order [`Endian::NATIVE`].
    /// They are taken as padded to 4 bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`](crate::ErrorKind::Malformed), [`IdTooLong`](crate::ErrorKind::IdTooLong) or
    /// [`Limit`](crate::ErrorKind::Limit).
    pub fn scan_notes(&self, bytes: &[u8], endian: Endian) -> Result<Identity, Error> {
        Ok(Search::new(bytes, self).notes(bytes.len(), endian)?)
    }
}

/// The scanner of those who want the GNU build-id alone.
pub(crate) const FOR_BUILD_ID: Scanner = Scanner::new().through(Extent::BuildId);

/// The GNU build-id of the ELF file in `bytes`; `None` when everything was searched and there is none.
///
/// # Errors
///
/// See [`Scanner::scan`]; never [`Error::Io`].
pub fn build_id_in(bytes: &[u8]) -> Result<Option<BuildId>, Error> {
    Ok(Search::new(bytes, &FOR_BUILD_ID).file_build_id()?)
}

/// The GNU build-id in bare notes: `/sys/kernel/notes` names the running kernel.
///
/// ```
/// use zastava_elf::{Endian, build_id_notes};
///
/// let notes = b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\xcd\0\0";
/// let id = build_id_notes(notes, Endian::Little)?;
/// assert_eq!(id, "abcd".parse().ok());
/// # Ok::<(), zastava_elf::Error>(())
/// ```
///
/// # Errors
///
/// See [`Scanner::scan_notes`].
pub fn build_id_notes(bytes: &[u8], endian: Endian) -> Result<Option<BuildId>, Error> {
    Ok(FOR_BUILD_ID.scan_notes(bytes, endian)?.build_id)
}
