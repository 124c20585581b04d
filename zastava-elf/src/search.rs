//! One search: both tables, each entry, each note.

use crate::build_id::BuildId;
use crate::error::Error;
use crate::findings::{Findings, FoundId};
use crate::header::{Endian, Header};
use crate::identity::Identity;
use crate::layout::Layout;
use crate::note::{NoteArea, Padding};
use crate::notes::Notes;
use crate::part::Part;
use crate::policy::{Extent, Order, Policy};
use crate::read_at::ReadAt;
use crate::tables::TableKind;
use crate::windows::Windows;

/// A search in progress. Its functions return an error only if the whole search must end.
pub(crate) struct Search<'s, S: ReadAt + ?Sized> {
    pub(crate) windows: Windows<'s, S>,
    policy: Policy,
    findings: Findings,
    /// Whether all tables were searched to their end.
    is_complete: bool,
    flaw: Flaw<S::Error>,
}

type Done<S> = Result<(), Error<<S as ReadAt>::Error>>;

impl<'s, S: ReadAt + ?Sized> Search<'s, S> {
    pub(crate) fn new(source: &'s S, policy: &Policy) -> Self {
        Self {
            windows: Windows::new(source, policy.limits),
            policy: *policy,
            findings: Findings::new(policy.extent),
            is_complete: false,
            flaw: Flaw(None),
        }
    }

    pub(crate) fn identity(mut self) -> Result<Identity, Error<S::Error>> {
        let header = self.search_file()?;
        Ok(self.into_identity(Some(header)))
    }

    /// The build-id alone, without the cost of copying the other facts.
    pub(crate) fn build_id(mut self) -> Result<Option<BuildId>, Error<S::Error>> {
        self.search_file()?;
        Ok(self.findings.build_id.map(|found| found.id))
    }

    pub(crate) fn identity_in_notes(
        mut self,
        bytes: usize,
        endian: Endian,
    ) -> Result<Identity, Error<S::Error>> {
        let area = NoteArea { offset: 0, bytes: bytes as u64, padding: Padding::Four, endian };
        let end = self.search_notes(area, Part::Notes);
        self.is_complete = end.is_ok() && !self.findings.is_enough();
        self.conclude(end)?;
        Ok(self.into_identity(None))
    }

    fn search_file(&mut self) -> Result<Header, Error<S::Error>> {
        let layout = Layout::read(&mut self.windows)?;
        let end = self.search_tables(&layout);
        self.conclude(end)?;
        Ok(layout.header)
    }

    fn search_tables(&mut self, layout: &Layout) -> Done<S> {
        let kinds = match self.policy.order {
            Order::SegmentsThenSections => [TableKind::Segments, TableKind::Sections],
            Order::SectionsThenSegments => [TableKind::Sections, TableKind::Segments],
        };
        for kind in kinds {
            if self.findings.build_id.is_some() && self.policy.extent != Extent::Everything {
                return Ok(());
            }
            self.search_table(layout, kind)?;
        }
        self.is_complete = true;
        Ok(())
    }

    fn search_table(&mut self, layout: &Layout, kind: TableKind) -> Done<S> {
        let count = match layout.count(&mut self.windows, kind) {
            Ok(count) => count,
            Err(error) => return self.flaw.pass_over(error),
        };
        let (limit, most) = kind.limit(&self.policy.limits);
        // Bounded by `most`, a u32.
        for index in 0..count.min(most.into()) as u32 {
            let area = match layout.note_area(&mut self.windows, kind, index) {
                Ok(Some(area)) => area,
                Ok(None) => continue,
                Err(error) => return self.flaw.pass_over(error),
            };
            self.search_notes(area, kind.entry_part(index))?;
            if self.findings.is_enough() {
                return Ok(());
            }
        }
        if count > most.into() {
            self.flaw.pass_over(Error::Limit { limit, part: kind.part() })?;
        }
        Ok(())
    }

    fn search_notes(&mut self, area: NoteArea, part: Part) -> Done<S> {
        let mut notes = Notes::new(&mut self.windows, area, part);
        while !self.findings.is_enough() {
            let note = match notes.next() {
                Ok(Some(note)) => note,
                Ok(None) => break,
                Err(error) => return self.flaw.pass_over(error),
            };
            match self.findings.add(&mut notes, note) {
                Ok(()) => {}
                // Not an id. The notes after it may hold one.
                Err(error @ Error::IdTooLong { .. }) => self.flaw.pass_over(error)?,
                Err(error) => return self.flaw.pass_over(error),
            }
        }
        Ok(())
    }

    /// What could not be searched is an error only if there is no build-id.
    fn conclude(&mut self, end: Done<S>) -> Done<S> {
        match (self.findings.build_id, end, self.flaw.0.take()) {
            (None, Err(error), _) | (None, Ok(()), Some(error)) => Err(error),
            (None, Ok(()), None) => Ok(()),
            (Some(found), end, flaw) => {
                self.is_complete &= end.is_ok() && flaw.is_none();
                if self.policy.confirms { self.confirm(&found) } else { Ok(()) }
            }
        }
    }

    fn confirm(&mut self, found: &FoundId) -> Done<S> {
        let (id, part) = (found.id.as_bytes(), found.part);
        let mut again = [0; BuildId::BYTES_MAX];
        let again = &mut again[..id.len()];
        self.windows.read_anew(found.offset, again, part)?;
        if again == id { Ok(()) } else { Err(Error::Changed { part }) }
    }

    fn into_identity(self, header: Option<Header>) -> Identity {
        let findings = self.findings;
        Identity {
            build_id: findings.build_id.map(|found| found.id),
            found_in: findings.build_id.map(|found| found.part),
            go_build_id: findings.go_build_id,
            package: findings.package,
            header,
            complete: self.is_complete && !findings.has_unusable && self.policy.extent != Extent::BuildId,
            cost: self.windows.cost(),
        }
    }
}

/// Why a part could not be searched. A limit outweighs damage; otherwise the first reason stays.
struct Flaw<E>(Option<Error<E>>);

impl<E> Flaw<E> {
    /// Remembers the error. Returns it if the whole search must end.
    fn pass_over(&mut self, error: Error<E>) -> Result<(), Error<E>> {
        if error.ends_search() {
            return Err(error);
        }
        let is_limit = |error: &Error<E>| matches!(error, Error::Limit { .. });
        if self.0.as_ref().is_none_or(|flaw| is_limit(&error) && !is_limit(flaw)) {
            self.0 = Some(error);
        }
        Ok(())
    }
}
