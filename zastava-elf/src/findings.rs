//! What the notes of a file have said so far.

use crate::build_id::BuildId;
use crate::error::Error;
use crate::identity::{GoBuildId, PackageNote};
use crate::inline::InlineBytes;
use crate::note::NoteKind;
use crate::notes::{Note, Notes};
use crate::part::Part;
use crate::policy::Extent;
use crate::read_at::ReadAt;

/// The first note of each kind counts.
pub(crate) struct Findings {
    pub(crate) build_id: Option<FoundId>,
    pub(crate) go_build_id: Option<GoBuildId>,
    pub(crate) package: Option<PackageNote>,
    /// Whether there was a Go or package note that cannot be used.
    pub(crate) has_unusable: bool,
    wants_build_id_only: bool,
}

#[derive(Clone, Copy)]
pub(crate) struct FoundId {
    pub(crate) id: BuildId,
    pub(crate) part: Part,
    /// Where the id begins in the source.
    pub(crate) offset: u64,
}

impl Findings {
    pub(crate) fn new(extent: Extent) -> Self {
        Self {
            build_id: None,
            go_build_id: None,
            package: None,
            has_unusable: false,
            wants_build_id_only: extent == Extent::BuildId,
        }
    }

    /// Whether nothing more is wanted, even in the middle of a table.
    pub(crate) fn is_enough(&self) -> bool {
        self.wants_build_id_only && self.build_id.is_some()
    }

    fn wants(&self, kind: NoteKind) -> bool {
        match kind {
            NoteKind::GnuBuildId => self.build_id.is_none(),
            NoteKind::GoBuildId => !self.wants_build_id_only && self.go_build_id.is_none(),
            NoteKind::Package => !self.wants_build_id_only && self.package.is_none(),
        }
    }

    /// Takes what a note says, if it is wanted.
    pub(crate) fn add<S: ReadAt + ?Sized>(
        &mut self,
        notes: &mut Notes<'_, '_, S>,
        note: Note,
    ) -> Result<(), Error<S::Error>> {
        let Some(kind) = note.kind.filter(|&kind| self.wants(kind)) else { return Ok(()) };
        let added = notes.has_owner(note, kind.owner()).and_then(|is_owned| match (is_owned, kind) {
            (false, _) => Ok(()),
            (true, NoteKind::GnuBuildId) => self.add_build_id(notes, note),
            (true, NoteKind::GoBuildId) => {
                self.go_build_id = notes.descriptor(note)?.and_then(GoBuildId::new);
                self.has_unusable |= self.go_build_id.is_none();
                Ok(())
            }
            (true, NoteKind::Package) => {
                self.package = notes.descriptor(note)?.and_then(PackageNote::new);
                self.has_unusable |= self.package.is_none();
                Ok(())
            }
        });
        match added {
            // Damage of another note does not make the search for the build-id fail.
            Err(error) if kind != NoteKind::GnuBuildId && !error.ends_search() => {
                self.has_unusable = true;
                Ok(())
            }
            result => result,
        }
    }

    fn add_build_id<S: ReadAt + ?Sized>(
        &mut self,
        notes: &mut Notes<'_, '_, S>,
        note: Note,
    ) -> Result<(), Error<S::Error>> {
        let (part, bytes) = (notes.part, note.descriptor_bytes);
        if bytes == 0 {
            return Ok(());
        }
        let descriptor: Option<InlineBytes<{ BuildId::BYTES_MAX }>> = notes.descriptor(note)?;
        let descriptor = descriptor.ok_or(Error::IdTooLong { part, bytes })?;
        let offset = notes.offset_of_descriptor(note);
        // Neither empty nor too long, so this is an id.
        let id = BuildId::try_from(descriptor.as_bytes()).ok();
        self.build_id = id.map(|id| FoundId { id, part, offset });
        Ok(())
    }
}
