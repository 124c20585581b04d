//! Reads within a budget.

use crate::error::Error;
use crate::limits::{Cost, Limit, Limits};
use crate::part::Part;
use crate::read_at::ReadAt;

/// Counts what is read of a source, and stops at the limits.
pub(crate) struct Meter<'s, S: ?Sized> {
    source: &'s S,
    pub(crate) limits: Limits,
    pub(crate) cost: Cost,
    /// The lowest offset at which the source had nothing. A table whose entries all lead out of the file then
    /// costs one read, and not one read each.
    end: u64,
}

impl<'s, S: ReadAt + ?Sized> Meter<'s, S> {
    pub(crate) fn new(source: &'s S, limits: Limits) -> Self {
        Self { source, limits, cost: Cost::default(), end: u64::MAX }
    }

    /// The same source with an unspent budget.
    pub(crate) fn renewed(&self) -> Self {
        Self { source: self.source, limits: self.limits, cost: Cost::default(), end: self.end }
    }

    /// Reads once, as much as the budget allows; 0 at the end of the source.
    pub(crate) fn read(
        &mut self,
        offset: u64,
        buffer: &mut [u8],
        part: Part,
    ) -> Result<usize, Error<S::Error>> {
        if offset >= self.end {
            return Ok(0);
        }
        if self.cost.preads >= self.limits.preads {
            return Err(Error::Limit { limit: Limit::Preads, part });
        }
        let left = self.limits.bytes.saturating_sub(self.cost.bytes);
        if left == 0 {
            return Err(Error::Limit { limit: Limit::Bytes, part });
        }
        let asked = buffer.len().min(left as usize);
        self.cost.preads += 1;
        let got = self.source.read_at(offset, &mut buffer[..asked]);
        // A source that claims more than it was asked for has filled no more.
        let got = got.map_err(|error| Error::Io { part, error })?.min(asked);
        self.cost.bytes += got as u32;
        if got == 0 {
            self.end = offset;
        }
        Ok(got)
    }

    /// Counts one note. Called before the note is read.
    pub(crate) fn count_note(&mut self, part: Part) -> Result<(), Error<S::Error>> {
        if self.cost.notes >= self.limits.notes {
            return Err(Error::Limit { limit: Limit::Notes, part });
        }
        self.cost.notes += 1;
        Ok(())
    }
}
