//! Where the bytes come from.

use core::convert::Infallible;

/// Bytes that can be read at an offset: a slice, a descriptor, somebody's memory.
///
/// There is no length to ask for; files in `/sys` and process memory have none.
pub trait Source {
    /// What reading can fail with.
    type Error;

    /// Fills the beginning of `buffer` with the bytes at `offset` and returns how many they are.
    ///
    /// Fewer than asked for are fine and are followed by another call if more are needed. 0 means that
    /// nothing lies at `offset` or after it; the scan then does not ask there again.
    ///
    /// # Errors
    ///
    /// Whatever the source says; it ends the scan.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Self::Error>;
}

impl Source for [u8] {
    type Error = Infallible;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Infallible> {
        let rest = usize::try_from(offset).ok().and_then(|from| self.get(from..)).unwrap_or_default();
        let len = rest.len().min(buffer.len());
        buffer[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

impl<S: Source + ?Sized> Source for &S {
    type Error = S::Error;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, S::Error> {
        (**self).read_at(offset, buffer)
    }
}
