//! Reads within a budget, through three small windows.
//!
//! The head of the file holds the header, the program headers and nearly always the notes: one read answers
//! most files. The two other windows are for a table and for notes elsewhere, so that going back and forth
//! between them does not read either twice. They are made when first needed; on the way of most files they
//! are never touched.

use crate::error::{Error, Place};
use crate::limits::{Cost, Limit, Limits};
use crate::source::Source;

pub(crate) const WINDOW_BYTES: usize = 4096;

/// Which window a read outside the head goes through.
#[derive(Clone, Copy)]
pub(crate) enum Slot {
    Table,
    Notes,
}

pub(crate) struct Reader<'s, S: ?Sized> {
    meter: Meter<'s, S>,
    head: Window,
    table: Option<Window>,
    notes: Option<Window>,
}

impl<'s, S: Source + ?Sized> Reader<'s, S> {
    pub(crate) fn new(source: &'s S, limits: Limits) -> Self {
        let meter = Meter { source, limits, cost: Cost::default(), end: u64::MAX };
        Self { meter, head: Window::new(), table: None, notes: None }
    }

    /// The beginning of the source: at least `wanted` bytes, or all there are. What was read stays.
    pub(crate) fn head(&mut self, wanted: usize) -> Result<&[u8], Error<S::Error>> {
        if self.head.len < wanted {
            self.head.load(&mut self.meter, 0, wanted, Place::Header)?;
        }
        Ok(self.head.loaded())
    }

    /// Fills `out` from `offset`. Owned copies only: what was judged is what is used.
    pub(crate) fn read(
        &mut self,
        slot: Slot,
        offset: u64,
        out: &mut [u8],
        place: Place,
    ) -> Result<(), Error<S::Error>> {
        if self.head.copy_to(offset, out) {
            return Ok(());
        }
        let window = match slot {
            Slot::Table => &mut self.table,
            Slot::Notes => &mut self.notes,
        }
        .get_or_insert_with(Window::new);
        if window.copy_to(offset, out) {
            return Ok(());
        }
        window.load(&mut self.meter, offset, out.len(), place)?;
        if window.copy_to(offset, out) { Ok(()) } else { Err(Error::Truncated { place }) }
    }

    /// Fills `out` from `offset` without a window: what the source holds now.
    pub(crate) fn read_through(
        &mut self,
        offset: u64,
        out: &mut [u8],
        place: Place,
    ) -> Result<(), Error<S::Error>> {
        let mut done = 0;
        while done < out.len() {
            match self.meter.read(offset.saturating_add(done as u64), &mut out[done..], place)? {
                0 => return Err(Error::Truncated { place }),
                got => done += got,
            }
        }
        Ok(())
    }

    /// Called before each note that is looked at.
    pub(crate) fn count_note(&mut self, place: Place) -> Result<(), Error<S::Error>> {
        if self.meter.cost.notes >= self.meter.limits.notes {
            return Err(Error::Limit { limit: Limit::Notes, place });
        }
        self.meter.cost.notes += 1;
        Ok(())
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.meter.limits
    }

    pub(crate) fn cost(&self) -> Cost {
        self.meter.cost
    }
}

struct Meter<'s, S: ?Sized> {
    source: &'s S,
    limits: Limits,
    cost: Cost,
    /// The lowest offset at which the source had nothing. A table of headers that all lead out of the file
    /// then costs one read and not one each.
    end: u64,
}

impl<S: Source + ?Sized> Meter<'_, S> {
    /// One read, of what the budget allows; 0 at the end of the source.
    fn read(&mut self, offset: u64, buffer: &mut [u8], place: Place) -> Result<usize, Error<S::Error>> {
        if offset >= self.end {
            return Ok(0);
        }
        if self.cost.preads >= self.limits.preads {
            return Err(Error::Limit { limit: Limit::Preads, place });
        }
        let left = self.limits.bytes.saturating_sub(self.cost.bytes);
        if left == 0 {
            return Err(Error::Limit { limit: Limit::Bytes, place });
        }
        let asked = buffer.len().min(left as usize);
        self.cost.preads += 1;
        let got = self.source.read_at(offset, &mut buffer[..asked]);
        // A source that claims more than it was asked for has still filled no more.
        let got = got.map_err(|error| Error::Io { place, error })?.min(asked);
        self.cost.bytes += got as u32;
        if got == 0 {
            self.end = offset;
        }
        Ok(got)
    }
}

/// A copy of some bytes of the source.
struct Window {
    offset: u64,
    len: usize,
    bytes: [u8; WINDOW_BYTES],
}

impl Window {
    fn new() -> Self {
        Self { offset: 0, len: 0, bytes: [0; WINDOW_BYTES] }
    }

    /// Reads until `wanted` bytes at `offset` are there, or the source ends.
    fn load<S: Source + ?Sized>(
        &mut self,
        meter: &mut Meter<'_, S>,
        offset: u64,
        wanted: usize,
        place: Place,
    ) -> Result<(), Error<S::Error>> {
        self.offset = offset;
        self.len = 0;
        while self.len < wanted {
            let at = offset.saturating_add(self.len as u64);
            match meter.read(at, &mut self.bytes[self.len..], place)? {
                0 => break,
                got => self.len += got,
            }
        }
        Ok(())
    }

    fn loaded(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// Copies from the window if it holds all that is asked for.
    fn copy_to(&self, offset: u64, out: &mut [u8]) -> bool {
        let Some(from) = offset.checked_sub(self.offset).and_then(|from| usize::try_from(from).ok()) else {
            return false;
        };
        let Some(bytes) = self.loaded().get(from..).and_then(|rest| rest.get(..out.len())) else {
            return false;
        };
        out.copy_from_slice(bytes);
        true
    }
}
