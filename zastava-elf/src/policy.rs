//! What to search, in which order, how far, within which limits.

use crate::limits::Limits;

/// Which header table is searched first. The first GNU build-id wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
// docs/design/elf.md#why-do-segments-come-first-when-readelf-takes-sections-first
pub enum Order {
    /// For programs and libraries: segments are what the kernel and the loader see, and what `strip` leaves.
    #[default]
    SegmentsThenSections,
    /// For separate debug files, whose program headers may describe the file that they were made from.
    SectionsThenSegments,
}

/// How far the search goes after the GNU build-id was found. Without one, everything is searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
// docs/design/elf.md#why-does-a-search-go-on-after-the-gnu-build-id-and-only-to-the-end-of-the-table
pub enum Extent {
    /// No further. Least work, for the build-id alone.
    BuildId,
    /// To the end of the table that led to it. The other notes of real files are there, mostly in bytes that
    /// were read already.
    #[default]
    Table,
    /// Through both tables.
    Everything,
}

/// The settings of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Policy {
    pub(crate) limits: Limits,
    pub(crate) order: Order,
    pub(crate) extent: Extent,
    /// Whether the build-id is read again before it is returned.
    pub(crate) confirms: bool,
}
