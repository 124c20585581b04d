//! Descriptors as sources of bytes, read with `pread`.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use crate::errno::Errno;
use crate::linux::calls::retry;
use crate::linux::open::RegularFile;
use crate::read_at::ReadAt;

/// The position of the descriptor is neither used nor moved.
impl ReadAt for BorrowedFd<'_> {
    type Error = Errno;

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
        // No file reaches beyond the largest signed offset, and the kernel refuses to read there.
        let room = (i64::MAX as u64).saturating_sub(offset);
        let len = usize::try_from(room).map_or(buffer.len(), |room| room.min(buffer.len()));
        if len == 0 {
            return Ok(0);
        }
        retry(|| rustix::io::pread(self, &mut buffer[..len], offset))
            .map_err(|error| Errno::from_raw(error.raw_os_error()))
    }
}

macro_rules! read_at_by_descriptor {
    ($($file:ty)*) => {$(
        impl ReadAt for $file {
            type Error = Errno;

            fn read_at(&self, offset: u64, buffer: &mut [u8]) -> Result<usize, Errno> {
                self.as_fd().read_at(offset, buffer)
            }
        }
    )*};
}

read_at_by_descriptor!(File OwnedFd RegularFile);
