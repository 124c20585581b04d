//! The search: segments, then sections, each area note by note.

use crate::build_id::BuildId;
use crate::error::{Error, Place};
use crate::layout::{Count, Endian, Layout, NoteArea, Padding, RawNote, Table};
use crate::limits::{Cost, Limit, Limits};
use crate::reader::{Reader, Slot};
use crate::source::Source;

/// Reads ELF files within [`Limits`]. A plain value: make one anywhere, share it freely.
///
/// ```
/// use zastava_elf::{Error, ErrorKind, Scanner};
///
/// const SCANNER: Scanner = Scanner::new();
/// let answer = SCANNER.scan(b"#!/bin/sh\n".as_slice());
/// assert_eq!(answer.map_err(|error| error.kind()), Err(ErrorKind::NotElf));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Scanner {
    limits: Limits,
}

impl Scanner {
    /// With the default limits.
    #[must_use]
    pub const fn new() -> Self {
        Self::with_limits(Limits::DEFAULT)
    }

    /// With limits of your own.
    #[must_use]
    pub const fn with_limits(limits: Limits) -> Self {
        Self { limits }
    }

    /// What the ELF file behind `source` says about itself.
    ///
    /// # Errors
    ///
    /// Every kind but [`NotRegular`](crate::ErrorKind::NotRegular). An identity without an id is returned
    /// only when everything was searched.
    pub fn scan<S: Source + ?Sized>(&self, source: &S) -> Result<Identity, Error<S::Error>> {
        let mut search = Search { reader: Reader::new(source, self.limits), flaw: None };
        let layout = Layout::parse(search.reader.head(Layout::HEADER_BYTES_MAX)?)?;
        let found = match search.table(&layout, Kind::Segments)? {
            Some(found) => Some(found),
            None => search.table(&layout, Kind::Sections)?,
        };
        search.conclude(found)
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
        let mut search = Search { reader: Reader::new(bytes, self.limits), flaw: None };
        let area = NoteArea { offset: 0, bytes: bytes.len() as u64, padding: Padding::Four, endian };
        let found = search.area(area, Place::Notes)?;
        Ok(search.conclude(found)?)
    }
}

/// What a scan found out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Identity {
    /// The GNU build-id; `None` when everything was searched and there is none.
    pub build_id: Option<BuildId>,
    /// The segment or section that holds it.
    pub found_in: Option<Place>,
    /// What finding out cost.
    pub cost: Cost,
}

/// The GNU build-id of the ELF file in `bytes`; `None` when everything was searched and there is none.
///
/// # Errors
///
/// See [`Scanner::scan`]; never [`Error::Io`].
pub fn build_id_in(bytes: &[u8]) -> Result<Option<BuildId>, Error> {
    Ok(Scanner::new().scan(bytes)?.build_id)
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
    Ok(Scanner::new().scan_notes(bytes, endian)?.build_id)
}

/// An id and where it was.
type Found = (BuildId, Place);

#[derive(Clone, Copy)]
enum Kind {
    Segments,
    Sections,
}

impl Kind {
    fn table_place(self) -> Place {
        match self {
            Self::Segments => Place::SegmentTable,
            Self::Sections => Place::SectionTable,
        }
    }

    fn place(self, index: u32) -> Place {
        match self {
            Self::Segments => Place::Segment(index),
            Self::Sections => Place::Section(index),
        }
    }

    fn limit(self, limits: &Limits) -> (Limit, u32) {
        match self {
            Self::Segments => (Limit::ProgramHeaders, limits.program_headers),
            Self::Sections => (Limit::SectionHeaders, limits.section_headers),
        }
    }
}

/// One scan under way. Functions return an error only where the whole search must end.
struct Search<'s, S: Source + ?Sized> {
    reader: Reader<'s, S>,
    /// The worst of what could not be searched. Told if nothing is found.
    flaw: Option<Error<S::Error>>,
}

impl<S: Source + ?Sized> Search<'_, S> {
    fn conclude(&mut self, found: Option<Found>) -> Result<Identity, Error<S::Error>> {
        let cost = self.reader.cost();
        match (found, self.flaw.take()) {
            (Some((id, place)), _) => Ok(Identity { build_id: Some(id), found_in: Some(place), cost }),
            (None, Some(flaw)) => Err(flaw),
            (None, None) => Ok(Identity { build_id: None, found_in: None, cost }),
        }
    }

    /// Remembers why a part could not be searched: the first limit, else the first reason.
    fn skip(&mut self, error: Error<S::Error>) -> Result<(), Error<S::Error>> {
        if error.ends_search() {
            return Err(error);
        }
        let is_limit = |error: &Error<S::Error>| matches!(error, Error::Limit { .. });
        if self.flaw.as_ref().is_none_or(|flaw| is_limit(&error) && !is_limit(flaw)) {
            self.flaw = Some(error);
        }
        Ok(())
    }

    fn table(&mut self, layout: &Layout, kind: Kind) -> Result<Option<Found>, Error<S::Error>> {
        let count = match self.count(layout, kind) {
            Ok(count) => count,
            Err(error) => return self.skip(error).map(|()| None),
        };
        let (limit, most) = kind.limit(self.reader.limits());
        // Bounded by `most`, a u32.
        for index in 0..count.min(most.into()) as u32 {
            let area = match self.entry(layout, kind, index) {
                Ok(area) => area,
                Err(error) => return self.skip(error).map(|()| None),
            };
            let Some(area) = area else { continue };
            if let Some(found) = self.area(area, kind.place(index))? {
                return Ok(Some(found));
            }
        }
        if count > most.into() {
            self.skip(Error::Limit { limit, place: kind.table_place() })?;
        }
        Ok(None)
    }

    /// The number of entries of a table; 0 when it is not there.
    fn count(&mut self, layout: &Layout, kind: Kind) -> Result<u64, Error<S::Error>> {
        let (table, place) = (declared(layout, kind), kind.table_place());
        if table.offset == 0 {
            return Ok(0);
        }
        let count = match table.count {
            Count::Here(count) => count,
            Count::InSectionZero => {
                let (segments, sections) = self.extended_counts(layout, place)?;
                match kind {
                    Kind::Segments => segments,
                    Kind::Sections => sections,
                }
            }
        };
        if count > 0 && !table.entry_size_fits {
            return Err(Error::Malformed { place });
        }
        Ok(count)
    }

    fn extended_counts(&mut self, layout: &Layout, place: Place) -> Result<(u64, u64), Error<S::Error>> {
        let table = layout.sections;
        if table.offset == 0 || !table.entry_size_fits {
            return Err(Error::Malformed { place });
        }
        let mut entry = [0; Layout::ENTRY_BYTES_MAX];
        let entry = &mut entry[..table.entry_bytes];
        self.reader.read(Slot::Table, table.offset, entry, place)?;
        layout.extended_counts(entry).ok_or(Error::Malformed { place })
    }

    /// The notes that entry `index` of a table leads to, if any.
    fn entry(
        &mut self,
        layout: &Layout,
        kind: Kind,
        index: u32,
    ) -> Result<Option<NoteArea>, Error<S::Error>> {
        let (table, place) = (declared(layout, kind), kind.table_place());
        let mut entry = [0; Layout::ENTRY_BYTES_MAX];
        let entry = &mut entry[..table.entry_bytes];
        let distance = u64::from(index) * table.entry_bytes as u64;
        let offset = table.offset.checked_add(distance).ok_or(Error::Truncated { place })?;
        self.reader.read(Slot::Table, offset, entry, place)?;
        Ok(match kind {
            Kind::Segments => layout.note_segment(entry),
            Kind::Sections => layout.note_section(entry),
        })
    }

    fn area(&mut self, area: NoteArea, place: Place) -> Result<Option<Found>, Error<S::Error>> {
        let mut at = 0;
        // Fewer bytes than a note's header are padding. Each turn moves on by at least such a header.
        while area.bytes.saturating_sub(at) >= RawNote::BYTES as u64 {
            match self.note(area, at, place) {
                Ok(Step::Found(id)) => return Ok(Some((id, place))),
                Ok(Step::Next(next)) => at = next,
                Err(error) => return self.skip(error).map(|()| None),
            }
        }
        Ok(None)
    }

    /// Looks at the note `at` bytes into the area.
    fn note(&mut self, area: NoteArea, at: u64, place: Place) -> Result<Step, Error<S::Error>> {
        self.reader.count_note(place)?;
        let mut header = [0; RawNote::BYTES];
        let name_at = self.read_note(area, at, &mut header, place)?;
        let note = RawNote::parse(&header, area.endian);
        let descriptor_at = area.padding.after(name_at + u64::from(note.name_bytes));
        let end = descriptor_at + u64::from(note.descriptor_bytes);
        if end > area.bytes {
            return Err(Error::Malformed { place });
        }
        let next = Step::Next(area.padding.after(end));
        let mut owner = [0; 4];
        if !note.is_type_3 || note.name_bytes != 4 {
            return Ok(next);
        }
        self.read_note(area, name_at, &mut owner, place)?;
        if owner != *b"GNU\0" || note.descriptor_bytes == 0 {
            return Ok(next);
        }
        let mut descriptor = [0; BuildId::BYTES_MAX];
        let Some(descriptor) = descriptor.get_mut(..note.descriptor_bytes as usize) else {
            // Not an id, but the notes after it may hold one.
            self.skip(Error::IdTooLong { place, bytes: note.descriptor_bytes })?;
            return Ok(next);
        };
        self.read_note(area, descriptor_at, descriptor, place)?;
        // The length was checked above, so this cannot fail.
        BuildId::try_from(&*descriptor).map(Step::Found).map_err(|_| Error::Malformed { place })
    }

    /// Reads a part of a note and returns the place after it, counted from the start of the area.
    fn read_note(
        &mut self,
        area: NoteArea,
        at: u64,
        out: &mut [u8],
        place: Place,
    ) -> Result<u64, Error<S::Error>> {
        let end = at + out.len() as u64;
        if end > self.reader.limits().note_area_bytes.into() {
            return Err(Error::Limit { limit: Limit::NoteAreaBytes, place });
        }
        let offset = area.offset.checked_add(at).ok_or(Error::Truncated { place })?;
        self.reader.read(Slot::Notes, offset, out, place)?;
        Ok(end)
    }
}

enum Step {
    Found(BuildId),
    Next(u64),
}

fn declared(layout: &Layout, kind: Kind) -> Table {
    match kind {
        Kind::Segments => layout.segments,
        Kind::Sections => layout.sections,
    }
}
