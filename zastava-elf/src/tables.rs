//! The file header, and the two header tables, read entry by entry.

use crate::error::Error;
use crate::layout::{Count, Layout, RawSection, Table};
use crate::limits::{Limit, Limits};
use crate::note::NoteArea;
use crate::part::Part;
use crate::read_at::ReadAt;
use crate::windows::Windows;

#[derive(Clone, Copy)]
pub(crate) enum TableKind {
    Segments,
    Sections,
}

impl TableKind {
    pub(crate) fn part(self) -> Part {
        match self {
            Self::Segments => Part::SegmentTable,
            Self::Sections => Part::SectionTable,
        }
    }

    pub(crate) fn entry_part(self, index: u32) -> Part {
        match self {
            Self::Segments => Part::Segment(index),
            Self::Sections => Part::Section(index),
        }
    }

    pub(crate) fn limit(self, limits: &Limits) -> (Limit, u32) {
        match self {
            Self::Segments => (Limit::ProgramHeaders, limits.program_headers),
            Self::Sections => (Limit::SectionHeaders, limits.section_headers),
        }
    }

    fn declared(self, layout: &Layout) -> Table {
        match self {
            Self::Segments => layout.segments,
            Self::Sections => layout.sections,
        }
    }
}

impl Layout {
    pub(crate) fn read<S: ReadAt + ?Sized>(windows: &mut Windows<'_, S>) -> Result<Self, Error<S::Error>> {
        Self::parse(windows.head(Self::HEADER_BYTES_MAX)?)
    }

    /// The number of entries of a table; 0 if the file has no such table.
    pub(crate) fn count<S: ReadAt + ?Sized>(
        &self,
        windows: &mut Windows<'_, S>,
        kind: TableKind,
    ) -> Result<u64, Error<S::Error>> {
        let (table, part) = (kind.declared(self), kind.part());
        if table.offset == 0 {
            return Ok(0);
        }
        let count = match table.count {
            Count::Here(count) => count,
            Count::InSectionZero => self.count_in_section_zero(windows, kind)?,
        };
        if count > 0 && !table.entry_size_fits {
            return Err(Error::Malformed { part });
        }
        Ok(count)
    }

    fn count_in_section_zero<S: ReadAt + ?Sized>(
        &self,
        windows: &mut Windows<'_, S>,
        kind: TableKind,
    ) -> Result<u64, Error<S::Error>> {
        let (table, part) = (self.sections, kind.part());
        if table.offset == 0 || !table.entry_size_fits {
            return Err(Error::Malformed { part });
        }
        let mut entry = [0; Self::ENTRY_BYTES_MAX];
        let entry = &mut entry[..table.entry_bytes];
        windows.read_table(table.offset, entry, part)?;
        let (segments, sections) = self.extended_counts(entry).ok_or(Error::Malformed { part })?;
        Ok(match kind {
            TableKind::Segments => segments,
            TableKind::Sections => sections,
        })
    }

    /// The notes that an entry leads to, if it is for notes.
    pub(crate) fn note_area<S: ReadAt + ?Sized>(
        &self,
        windows: &mut Windows<'_, S>,
        kind: TableKind,
        index: u32,
    ) -> Result<Option<NoteArea>, Error<S::Error>> {
        let mut entry = [0; Self::ENTRY_BYTES_MAX];
        let entry = self.entry(windows, kind, index, &mut entry)?;
        Ok(match kind {
            TableKind::Segments => self.note_segment(entry),
            TableKind::Sections => self.note_section(entry),
        })
    }

    /// A section header, whatever it is for.
    pub(crate) fn section<S: ReadAt + ?Sized>(
        &self,
        windows: &mut Windows<'_, S>,
        index: u32,
    ) -> Result<RawSection, Error<S::Error>> {
        let mut entry = [0; Self::ENTRY_BYTES_MAX];
        let entry = self.entry(windows, TableKind::Sections, index, &mut entry)?;
        self.raw_section(entry).ok_or(Error::Malformed { part: Part::SectionTable })
    }

    fn entry<'e, S: ReadAt + ?Sized>(
        &self,
        windows: &mut Windows<'_, S>,
        kind: TableKind,
        index: u32,
        entry: &'e mut [u8; Self::ENTRY_BYTES_MAX],
    ) -> Result<&'e [u8], Error<S::Error>> {
        let (table, part) = (kind.declared(self), kind.part());
        let entry = &mut entry[..table.entry_bytes];
        let distance = u64::from(index) * table.entry_bytes as u64;
        let offset = table.offset.checked_add(distance).ok_or(Error::Truncated { part })?;
        windows.read_table(offset, entry, part)?;
        Ok(entry)
    }
}
