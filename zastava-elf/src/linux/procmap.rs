//! `PROCMAP_QUERY`: asks the kernel about a mapping (Linux 6.11, `include/uapi/linux/fs.h`).
//!
//! The crate's only unsafe code: an `ioctl` takes a number and an address, and only this file checks that they
//! belong together. The feature `procmap-query` is off by default.

use std::os::fd::BorrowedFd;

use rustix::io::Errno as RawErrno;
use rustix::ioctl::{Updater, ioctl, opcode};

use crate::build_id::BuildId;
use crate::errno::Errno;
use crate::error::Error;
use crate::part::Part;

/// The kernel returns ids of 20 bytes at most (`BUILD_ID_SIZE_MAX`) and refuses smaller buffers.
const ID_BYTES_MAX: usize = 20;

/// `struct procmap_query`
#[repr(C)]
#[derive(Debug, Default)]
struct Query {
    size: u64,
    query_flags: u64,
    query_addr: u64,
    vma_start: u64,
    vma_end: u64,
    vma_flags: u64,
    vma_page_size: u64,
    vma_offset: u64,
    inode: u64,
    dev_major: u32,
    dev_minor: u32,
    vma_name_size: u32,
    build_id_size: u32,
    vma_name_addr: u64,
    build_id_addr: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`
const PROCMAP_QUERY: rustix::ioctl::Opcode = opcode::read_write::<Query>(b'f', 17);

/// The build-id of the file mapped at `address`; `None` if the kernel does not say.
pub(super) fn build_id(maps: BorrowedFd<'_>, address: u64) -> Result<Option<BuildId>, Error> {
    let mut id = [0_u8; ID_BYTES_MAX];
    let mut query = Query {
        size: size_of::<Query>() as u64,
        query_addr: address,
        build_id_size: ID_BYTES_MAX as u32,
        build_id_addr: id.as_mut_ptr() as u64,
        ..Query::default()
    };
    // docs/design/elf.md#why-is-procmap_query-a-feature-and-off
    #[expect(unsafe_code, reason = "there is no safe function for this call")]
    // SAFETY: the number is made from the size of the structure, which is the kernel's. The kernel writes at
    // most `build_id_size` bytes at `build_id_addr`: the length of `id`, which outlives the call. No name is
    // asked for.
    let answer = unsafe { ioctl(maps, Updater::<PROCMAP_QUERY, Query>::new(&mut query)) };
    match answer {
        Ok(()) => Ok(id.get(..query.build_id_size as usize).and_then(|id| BuildId::try_from(id).ok())),
        // A kernel before 6.11.
        Err(RawErrno::NOTTY | RawErrno::INVAL | RawErrno::OPNOTSUPP) => Ok(None),
        Err(error) => Err(Error::Io { part: Part::Maps, error: Errno::from_raw(error.raw_os_error()) }),
    }
}
