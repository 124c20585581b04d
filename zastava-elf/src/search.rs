//! One search: two tables, each entry, each note.

use crate::build_id::BuildId;
use crate::error::{Error, Place};
use crate::facts::{GoBuildId, Identity, Inline, PackageNote};
use crate::header::{Endian, Header};
use crate::layout::{Count, Fact, Layout, NoteArea, Padding, RawNote, RawSection, Table};
use crate::limits::{Limit, Limits};
use crate::reader::{Reader, Slot};
use crate::scan::{Extent, Order, Scanner};
use crate::source::Source;

#[derive(Clone, Copy)]
pub(crate) enum Kind {
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

/// A search under way. Functions return an error only where all of it must end.
pub(crate) struct Search<'s, S: Source + ?Sized> {
    pub(crate) reader: Reader<'s, S>,
    order: Order,
    extent: Extent,
    confirms: bool,
    build_id: Option<(BuildId, Place)>,
    /// Where the build-id begins in the source.
    build_id_at: u64,
    go_build_id: Option<GoBuildId>,
    package: Option<PackageNote>,
    /// Whether all tables were gone through.
    through: bool,
    /// Whether a Go or package note was met that cannot be taken.
    unclear: bool,
    /// The worst of what could not be searched. Told if there is no build-id.
    flaw: Option<Error<S::Error>>,
}

type Done<S> = Result<(), Error<<S as Source>::Error>>;

impl<'s, S: Source + ?Sized> Search<'s, S> {
    pub(crate) fn new(source: &'s S, scanner: &Scanner) -> Self {
        Self {
            reader: Reader::new(source, scanner.limits),
            order: scanner.order,
            extent: scanner.extent,
            confirms: scanner.confirms,
            build_id: None,
            build_id_at: 0,
            go_build_id: None,
            package: None,
            through: false,
            unclear: false,
            flaw: None,
        }
    }

    pub(crate) fn file(mut self) -> Result<Identity, Error<S::Error>> {
        let layout = self.layout()?;
        let end = self.tables(&layout);
        self.conclude(end)?;
        Ok(self.identity(Some(layout.header)))
    }

    /// The same without the cost of carrying the other facts about.
    pub(crate) fn file_build_id(mut self) -> Result<Option<BuildId>, Error<S::Error>> {
        let layout = self.layout()?;
        let end = self.tables(&layout);
        self.conclude(end)?;
        Ok(self.build_id.map(|(id, _)| id))
    }

    pub(crate) fn notes(mut self, bytes: usize, endian: Endian) -> Result<Identity, Error<S::Error>> {
        let area = NoteArea { offset: 0, bytes: bytes as u64, padding: Padding::Four, endian };
        let end = self.area(area, Place::Notes);
        self.through = end.is_ok() && !self.is_done();
        self.conclude(end)?;
        Ok(self.identity(None))
    }

    pub(crate) fn layout(&mut self) -> Result<Layout, Error<S::Error>> {
        Layout::parse(self.reader.head(Layout::HEADER_BYTES_MAX)?)
    }

    /// What was in the way matters only if there is no build-id.
    fn conclude(&mut self, end: Done<S>) -> Done<S> {
        match (self.build_id, end, self.flaw.take()) {
            (None, Err(error), _) | (None, Ok(()), Some(error)) => Err(error),
            (None, Ok(()), None) => Ok(()),
            (Some((id, place)), end, flaw) => {
                self.through &= end.is_ok() && flaw.is_none();
                if self.confirms { self.confirm(&id, place) } else { Ok(()) }
            }
        }
    }

    /// Reads the id again, past the windows.
    fn confirm(&mut self, id: &BuildId, place: Place) -> Done<S> {
        let mut again = [0; BuildId::BYTES_MAX];
        let again = &mut again[..id.as_bytes().len()];
        self.reader.read_through(self.build_id_at, again, place)?;
        if again == id.as_bytes() { Ok(()) } else { Err(Error::Changed { place }) }
    }

    fn identity(&self, header: Option<Header>) -> Identity {
        Identity {
            build_id: self.build_id.map(|(id, _)| id),
            found_in: self.build_id.map(|(_, place)| place),
            go_build_id: self.go_build_id,
            package: self.package,
            header,
            complete: self.through && !self.unclear && self.extent != Extent::BuildId,
            cost: self.reader.cost(),
        }
    }

    /// Remembers why a part could not be searched: the first limit, else the first reason.
    fn skip(&mut self, error: Error<S::Error>) -> Done<S> {
        if error.ends_search() {
            return Err(error);
        }
        let is_limit = |error: &Error<S::Error>| matches!(error, Error::Limit { .. });
        if self.flaw.as_ref().is_none_or(|flaw| is_limit(&error) && !is_limit(flaw)) {
            self.flaw = Some(error);
        }
        Ok(())
    }

    /// Whether nothing more is wanted, in the middle of a table too.
    fn is_done(&self) -> bool {
        self.extent == Extent::BuildId && self.build_id.is_some()
    }

    fn tables(&mut self, layout: &Layout) -> Done<S> {
        let kinds = match self.order {
            Order::SegmentsThenSections => [Kind::Segments, Kind::Sections],
            Order::SectionsThenSegments => [Kind::Sections, Kind::Segments],
        };
        for kind in kinds {
            if self.build_id.is_some() && self.extent != Extent::Everything {
                return Ok(());
            }
            self.table(layout, kind)?;
        }
        self.through = true;
        Ok(())
    }

    fn table(&mut self, layout: &Layout, kind: Kind) -> Done<S> {
        let count = match self.count(layout, kind) {
            Ok(count) => count,
            Err(error) => return self.skip(error),
        };
        let (limit, most) = kind.limit(self.reader.limits());
        // Bounded by `most`, a u32.
        for index in 0..count.min(most.into()) as u32 {
            let area = match self.entry(layout, kind, index) {
                Ok(area) => area,
                Err(error) => return self.skip(error),
            };
            let Some(area) = area else { continue };
            self.area(area, kind.place(index))?;
            if self.is_done() {
                return Ok(());
            }
        }
        if count > most.into() {
            self.skip(Error::Limit { limit, place: kind.table_place() })?;
        }
        Ok(())
    }

    /// The number of entries of a table; 0 when it is not there.
    pub(crate) fn count(&mut self, layout: &Layout, kind: Kind) -> Result<u64, Error<S::Error>> {
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
        let mut entry = [0; Layout::ENTRY_BYTES_MAX];
        let entry = self.read_entry(layout, kind, index, &mut entry)?;
        Ok(match kind {
            Kind::Segments => layout.note_segment(entry),
            Kind::Sections => layout.note_section(entry),
        })
    }

    /// A section header, whatever it is for.
    pub(crate) fn section(&mut self, layout: &Layout, index: u32) -> Result<RawSection, Error<S::Error>> {
        let mut entry = [0; Layout::ENTRY_BYTES_MAX];
        let entry = self.read_entry(layout, Kind::Sections, index, &mut entry)?;
        layout.section(entry).ok_or(Error::Malformed { place: Place::SectionTable })
    }

    fn read_entry<'e>(
        &mut self,
        layout: &Layout,
        kind: Kind,
        index: u32,
        entry: &'e mut [u8; Layout::ENTRY_BYTES_MAX],
    ) -> Result<&'e [u8], Error<S::Error>> {
        let (table, place) = (declared(layout, kind), kind.table_place());
        let entry = &mut entry[..table.entry_bytes];
        let distance = u64::from(index) * table.entry_bytes as u64;
        let offset = table.offset.checked_add(distance).ok_or(Error::Truncated { place })?;
        self.reader.read(Slot::Table, offset, entry, place)?;
        Ok(entry)
    }

    fn area(&mut self, area: NoteArea, place: Place) -> Done<S> {
        let mut at = 0;
        // Fewer bytes than a note's header are padding. Each turn moves on by at least such a header.
        while area.bytes.saturating_sub(at) >= RawNote::BYTES as u64 {
            match self.note(area, at, place) {
                Ok(next) => at = next,
                Err(error) => return self.skip(error),
            }
            if self.is_done() {
                break;
            }
        }
        Ok(())
    }

    /// Looks at the note `at` bytes into the area and returns where the next begins.
    fn note(&mut self, area: NoteArea, at: u64, place: Place) -> Result<u64, Error<S::Error>> {
        self.reader.count_note(place)?;
        let mut header = [0; RawNote::BYTES];
        let name_at = self.read_note(area, at, &mut header, place)?;
        let note = RawNote::parse(&header, area.endian);
        let descriptor_at = area.padding.after(name_at + u64::from(note.name_bytes));
        let end = descriptor_at + u64::from(note.descriptor_bytes);
        if end > area.bytes {
            return Err(Error::Malformed { place });
        }
        if let Some((fact, owner)) = note.meaning()
            && self.is_wanted(fact)
        {
            let seen = self.is_owned(area, name_at, owner, place).and_then(|is_owned| match is_owned {
                true => self.fact(area, fact, descriptor_at, note.descriptor_bytes, place),
                false => Ok(()),
            });
            match seen {
                // Damage of another note does not make the search for the build-id fail.
                Err(error) if fact != Fact::BuildId && !error.ends_search() => self.unclear = true,
                result => result?,
            }
        }
        Ok(area.padding.after(end))
    }

    fn is_owned(
        &mut self,
        area: NoteArea,
        at: u64,
        wanted: [u8; 4],
        place: Place,
    ) -> Result<bool, Error<S::Error>> {
        let mut owner = [0; 4];
        self.read_note(area, at, &mut owner, place)?;
        Ok(owner == wanted)
    }

    /// The first of each counts.
    fn is_wanted(&self, fact: Fact) -> bool {
        match fact {
            Fact::BuildId => self.build_id.is_none(),
            Fact::GoBuildId => self.extent != Extent::BuildId && self.go_build_id.is_none(),
            Fact::Package => self.extent != Extent::BuildId && self.package.is_none(),
        }
    }

    fn fact(&mut self, area: NoteArea, fact: Fact, at: u64, bytes: u32, place: Place) -> Done<S> {
        match fact {
            Fact::BuildId if bytes == 0 => {}
            Fact::BuildId => match self.descriptor(area, at, bytes, place)? {
                // Neither empty nor longer than fits, so this cannot fail.
                Some(descriptor) => {
                    let descriptor: Inline<{ BuildId::BYTES_MAX }> = descriptor;
                    self.build_id = BuildId::try_from(descriptor.as_bytes()).ok().map(|id| (id, place));
                    // Was just read there, so it does not overflow.
                    self.build_id_at = area.offset.saturating_add(at);
                }
                // Not an id, but the notes after it may hold one.
                None => self.skip(Error::IdTooLong { place, bytes })?,
            },
            Fact::GoBuildId => {
                self.go_build_id = self.descriptor(area, at, bytes, place)?.and_then(GoBuildId::new);
                self.unclear |= self.go_build_id.is_none();
            }
            Fact::Package => {
                self.package = self.descriptor(area, at, bytes, place)?.and_then(PackageNote::new);
                self.unclear |= self.package.is_none();
            }
        }
        Ok(())
    }

    /// A descriptor if it is short enough.
    fn descriptor<const N: usize>(
        &mut self,
        area: NoteArea,
        at: u64,
        bytes: u32,
        place: Place,
    ) -> Result<Option<Inline<N>>, Error<S::Error>> {
        let Some(mut descriptor) = Inline::zeros(bytes) else { return Ok(None) };
        self.read_note(area, at, descriptor.bytes_mut(), place)?;
        Ok(Some(descriptor))
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

fn declared(layout: &Layout, kind: Kind) -> Table {
    match kind {
        Kind::Segments => layout.segments,
        Kind::Sections => layout.sections,
    }
}
