//! Where the bytes come from.

use core::convert::Infallible;

/// Bytes that can be read at an offset: a slice, a file, the memory of a process.
///
/// It has no length, since files in `/sys` and process memory have none.
pub trait ReadAt {
    /// Why a read can fail.
    type Error;

    /// Fills the beginning of `buffer` with the bytes at `offset`. Returns how many bytes it filled in.
    ///
    /// It may return fewer bytes than `buffer` holds; the caller reads on if it needs more. 0 means that the
    /// bytes end at or before `offset`; the caller does not read there again.
    ///
    /// # Errors
    ///
    /// Any error ends the search.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

impl ReadAt for [u8] {
    type Error = Infallible;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let rest = usize::try_from(offset).ok().and_then(|from| self.get(from..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl<S: ReadAt + ?Sized> ReadAt for &S {
    type Error = S::Error;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, S::Error> {
        (**self).read_at(offset, buffer)
    }
}
