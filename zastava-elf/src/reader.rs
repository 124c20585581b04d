//! The reader of ELF files: its settings, and its questions.

use crate::build_id::BuildId;
use crate::error::Error;
use crate::header::Endian;
use crate::identity::Identity;
use crate::limits::Limits;
use crate::policy::{Extent, Order, Policy};
use crate::read_at::ReadAt;
use crate::search::Search;

/// Reads the identity of ELF files, within [`Limits`]. A plain value: create one anywhere, share it freely.
///
/// ```
/// use zastava_elf::{ElfReader, ErrorKind, Order};
///
/// const READER: ElfReader = ElfReader::new();
/// const OF_DEBUG_FILES: ElfReader = READER.in_order(Order::SectionsThenSegments);
///
/// let answer = READER.identity(b"#!/bin/sh\n".as_slice());
/// assert_eq!(answer.map_err(|error| error.kind()), Err(ErrorKind::NotElf));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ElfReader {
    pub(crate) policy: Policy,
}

impl ElfReader {
    /// A reader with the default limits, [`Order::SegmentsThenSections`] and [`Extent::Table`].
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limits(Limits::DEFAULT)
    }

    /// A reader with other limits.
    #[must_use]
    pub const fn with_limits(limits: Limits) -> Self {
        let (order, extent) = (Order::SegmentsThenSections, Extent::Table);
        Self { policy: Policy { limits, order, extent, confirms: false } }
    }

    /// Searches the tables in this order.
    #[must_use]
    pub const fn in_order(self, order: Order) -> Self {
        Self { policy: Policy { order, ..self.policy } }
    }

    /// Searches this far.
    #[must_use]
    pub const fn through(self, extent: Extent) -> Self {
        Self { policy: Policy { extent, ..self.policy } }
    }

    /// Reads the build-id again before it returns it. If it changed, the answer is [`Error::Changed`].
    ///
    /// A read during a write of the same bytes may return a mixture of old and new: an id that the file never
    /// had. A second read finds nearly all such mixtures and costs one call. `build_id` and `build_id_of` do it
    /// always.
    // docs/design/elf.md#why-is-a-build-id-read-twice
    #[must_use]
    pub const fn confirming(self) -> Self {
        Self { policy: Policy { confirms: true, ..self.policy } }
    }

    /// Reads the identity of the ELF file in `source`.
    ///
    /// # Errors
    ///
    /// Every kind but [`NotRegular`](crate::ErrorKind::NotRegular). An identity without a GNU build-id is
    /// returned only if everything was searched for it.
    pub fn identity<S: ReadAt + ?Sized>(&self, source: &S) -> Result<Identity, Error<S::Error>> {
        Search::new(source, &self.policy).identity()
    }

    /// Reads notes without an ELF file around them, such as `/sys/kernel/notes` or
    /// `/sys/module/<name>/notes/.note.gnu.build-id`, which have the byte order [`Endian::NATIVE`]. The notes are
    /// taken as padded to 4 bytes.
    ///
    /// # Errors
    ///
    /// [`Malformed`](crate::ErrorKind::Malformed), [`IdTooLong`](crate::ErrorKind::IdTooLong) or
    /// [`Limit`](crate::ErrorKind::Limit).
    pub fn identity_in_notes(&self, bytes: &[u8], endian: Endian) -> Result<Identity, Error> {
        Ok(Search::new(bytes, &self.policy).identity_in_notes(bytes.len(), endian)?)
    }

    /// The GNU build-id, without the cost of collecting the other facts.
    pub(crate) fn build_id<S: ReadAt + ?Sized>(
        &self,
        source: &S,
    ) -> Result<Option<BuildId>, Error<S::Error>> {
        Search::new(source, &self.policy).build_id()
    }
}

/// Stops at the GNU build-id.
pub(crate) const FOR_BUILD_ID: ElfReader = ElfReader::new().through(Extent::BuildId);

/// Reads the GNU build-id of the ELF file in `bytes`. `None` means that everything was searched and there is none.
///
/// # Errors
///
/// See [`ElfReader::identity`]; never [`Error::Io`].
pub fn build_id_in(bytes: &[u8]) -> Result<Option<BuildId>, Error> {
    Ok(FOR_BUILD_ID.build_id(bytes)?)
}

/// Reads the GNU build-id in notes without an ELF file around them. That in `/sys/kernel/notes` is the running
/// kernel's.
///
/// ```
/// use zastava_elf::{Endian, build_id_in_notes};
///
/// let notes = b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\xcd\0\0";
/// let id = build_id_in_notes(notes, Endian::Little)?;
/// assert_eq!(id, "abcd".parse().ok());
/// # Ok::<(), zastava_elf::Error>(())
/// ```
///
/// # Errors
///
/// See [`ElfReader::identity_in_notes`].
pub fn build_id_in_notes(bytes: &[u8], endian: Endian) -> Result<Option<BuildId>, Error> {
    Ok(FOR_BUILD_ID.identity_in_notes(bytes, endian)?.build_id)
}
