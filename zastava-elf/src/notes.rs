//! One run of notes, read note by note.

use crate::error::Error;
use crate::inline::InlineBytes;
use crate::limits::Limit;
use crate::note::{NoteArea, NoteKind, RawNote};
use crate::part::Part;
use crate::read_at::ReadAt;
use crate::windows::Windows;

pub(crate) struct Notes<'w, 's, S: ?Sized> {
    windows: &'w mut Windows<'s, S>,
    area: NoteArea,
    pub(crate) part: Part,
    /// Where the next note begins in the area.
    next: u64,
}

/// A note whose owner and descriptor lie in the area. Places are counted from the start of the area.
#[derive(Clone, Copy)]
pub(crate) struct Note {
    /// What the note holds if its owner is the one that goes with its type.
    pub(crate) kind: Option<NoteKind>,
    owner_at: u64,
    descriptor_at: u64,
    pub(crate) descriptor_bytes: u32,
}

impl<'w, 's, S: ReadAt + ?Sized> Notes<'w, 's, S> {
    pub(crate) fn new(windows: &'w mut Windows<'s, S>, area: NoteArea, part: Part) -> Self {
        Self { windows, area, part, next: 0 }
    }

    /// The next note. `None` at the end: fewer bytes than a note's header are padding.
    pub(crate) fn next(&mut self) -> Result<Option<Note>, Error<S::Error>> {
        let (area, at) = (self.area, self.next);
        if area.bytes.saturating_sub(at) < RawNote::BYTES as u64 {
            return Ok(None);
        }
        self.windows.meter.count_note(self.part)?;
        let mut header = [0; RawNote::BYTES];
        let owner_at = self.read(at, &mut header)?;
        let note = RawNote::parse(&header, area.endian);
        let descriptor_at = area.padding.after(owner_at + u64::from(note.owner_bytes));
        let end = descriptor_at + u64::from(note.descriptor_bytes);
        if end > area.bytes {
            return Err(Error::Malformed { part: self.part });
        }
        self.next = area.padding.after(end);
        let descriptor_bytes = note.descriptor_bytes;
        Ok(Some(Note { kind: note.kind(), owner_at, descriptor_at, descriptor_bytes }))
    }

    pub(crate) fn has_owner(&mut self, note: Note, wanted: [u8; 4]) -> Result<bool, Error<S::Error>> {
        let mut owner = [0; 4];
        self.read(note.owner_at, &mut owner)?;
        Ok(owner == wanted)
    }

    /// The descriptor, if it has at most `N` bytes.
    pub(crate) fn descriptor<const N: usize>(
        &mut self,
        note: Note,
    ) -> Result<Option<InlineBytes<N>>, Error<S::Error>> {
        let Some(mut descriptor) = InlineBytes::zeros(note.descriptor_bytes) else { return Ok(None) };
        self.read(note.descriptor_at, descriptor.bytes_mut())?;
        Ok(Some(descriptor))
    }

    /// Where a descriptor that was read begins in the source.
    pub(crate) fn offset_of_descriptor(&self, note: Note) -> u64 {
        // It was read at this offset, so the sum does not overflow.
        self.area.offset.saturating_add(note.descriptor_at)
    }

    /// Fills `out` and returns the place after it.
    fn read(&mut self, at: u64, out: &mut [u8]) -> Result<u64, Error<S::Error>> {
        let part = self.part;
        let end = at + out.len() as u64;
        if end > self.windows.meter.limits.note_area_bytes.into() {
            return Err(Error::Limit { limit: Limit::NoteAreaBytes, part });
        }
        let offset = self.area.offset.checked_add(at).ok_or(Error::Truncated { part })?;
        self.windows.read_notes(offset, out, part)?;
        Ok(end)
    }
}
