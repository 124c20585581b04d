//! Small windows on a source, so that most parts of a file are read from memory.
//!
//! The head of a file holds the header, the program headers and nearly always the notes: one read answers most
//! files. Two more windows, one for header tables and one for notes, keep a search that goes back and forth
//! between them from reading either twice. They are created when they are first needed, which is rare.

use crate::error::Error;
use crate::limits::{Cost, Limits};
use crate::meter::Meter;
use crate::part::Part;
use crate::read_at::ReadAt;

pub(crate) const WINDOW_BYTES: usize = 4096;

pub(crate) struct Windows<'s, S: ?Sized> {
    pub(crate) meter: Meter<'s, S>,
    /// The work of [`read_anew`](Self::read_anew).
    anew: Cost,
    head: Window,
    table: Option<Window>,
    notes: Option<Window>,
}

impl<'s, S: ReadAt + ?Sized> Windows<'s, S> {
    pub(crate) fn new(source: &'s S, limits: Limits) -> Self {
        let meter = Meter::new(source, limits);
        Self { meter, anew: Cost::default(), head: Window::new(), table: None, notes: None }
    }

    /// The beginning of the source: at least `wanted` bytes, or all there are.
    pub(crate) fn head(&mut self, wanted: usize) -> Result<&[u8], Error<S::Error>> {
        if self.head.len < wanted {
            self.head.load(&mut self.meter, 0, wanted, Part::Header)?;
        }
        Ok(self.head.loaded())
    }

    /// Fills `out` with the bytes at `offset`, by way of the window for header tables.
    pub(crate) fn read_table(
        &mut self,
        offset: u64,
        out: &mut [u8],
        part: Part,
    ) -> Result<(), Error<S::Error>> {
        read(&self.head, &mut self.table, &mut self.meter, offset, out, part)
    }

    /// Fills `out` with the bytes at `offset`, by way of the window for notes.
    pub(crate) fn read_notes(
        &mut self,
        offset: u64,
        out: &mut [u8],
        part: Part,
    ) -> Result<(), Error<S::Error>> {
        read(&self.head, &mut self.notes, &mut self.meter, offset, out, part)
    }

    /// Fills `out` with what the source now has at `offset`, past the windows.
    ///
    /// Each call has a budget of its own, as large as that of the search. What a search for other facts has spent
    /// then never costs the id, nor the hash of a tail the search.
    pub(crate) fn read_anew(
        &mut self,
        offset: u64,
        out: &mut [u8],
        part: Part,
    ) -> Result<(), Error<S::Error>> {
        let mut meter = self.meter.renewed();
        let end = fill(&mut meter, offset, out, part);
        self.anew = self.anew.plus(meter.cost);
        end
    }

    /// All work that was done.
    pub(crate) fn cost(&self) -> Cost {
        self.meter.cost.plus(self.anew)
    }
}

fn fill<S: ReadAt + ?Sized>(
    meter: &mut Meter<'_, S>,
    offset: u64,
    out: &mut [u8],
    part: Part,
) -> Result<(), Error<S::Error>> {
    let mut done = 0;
    while done < out.len() {
        match meter.read(offset.saturating_add(done as u64), &mut out[done..], part)? {
            0 => return Err(Error::Truncated { part }),
            got => done += got,
        }
    }
    Ok(())
}

/// Fills `out` from the head, or by way of another window.
fn read<S: ReadAt + ?Sized>(
    head: &Window,
    window: &mut Option<Window>,
    meter: &mut Meter<'_, S>,
    offset: u64,
    out: &mut [u8],
    part: Part,
) -> Result<(), Error<S::Error>> {
    if head.copy_to(offset, out) {
        return Ok(());
    }
    let window = window.get_or_insert_with(Window::new);
    if window.copy_to(offset, out) {
        return Ok(());
    }
    window.load(meter, offset, out.len(), part)?;
    if window.copy_to(offset, out) { Ok(()) } else { Err(Error::Truncated { part }) }
}

/// A copy of some bytes of the source. Bytes are copied out before they are judged, so that no write to the file
/// comes between the judgement and the use.
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
    fn load<S: ReadAt + ?Sized>(
        &mut self,
        meter: &mut Meter<'_, S>,
        offset: u64,
        wanted: usize,
        part: Part,
    ) -> Result<(), Error<S::Error>> {
        self.offset = offset;
        self.len = 0;
        while self.len < wanted {
            let at = offset.saturating_add(self.len as u64);
            match meter.read(at, &mut self.bytes[self.len..], part)? {
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
