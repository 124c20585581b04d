//! The file systems that the kernel mounts for itself, to hold memory: nobody can give a file in them a name.

use std::sync::OnceLock;
use std::vec::Vec;

use rustix::fs::{MemfdFlags, memfd_create};

use crate::linux::version::{Device, FileVersion};

/// One file system for pages of the usual size, and one for each size of huge pages.
const KINDS: [MemfdFlags; 4] = [
    MemfdFlags::empty(),
    MemfdFlags::HUGETLB,
    MemfdFlags::HUGETLB.union(MemfdFlags::HUGE_2MB),
    MemfdFlags::HUGETLB.union(MemfdFlags::HUGE_1GB),
];

/// Whether this is such a file system. If the kernel does not let us ask, none is.
pub(super) fn holds(device: Device) -> bool {
    static DEVICES: OnceLock<Vec<Device>> = OnceLock::new();
    DEVICES.get_or_init(|| KINDS.into_iter().filter_map(device_of).collect()).contains(&device)
}

/// A new memfd is in the file system that is asked for.
fn device_of(kind: MemfdFlags) -> Option<Device> {
    let create = |flags| memfd_create("zastava", kind | MemfdFlags::CLOEXEC | flags);
    // Before Linux 6.3 there is no such flag. A system may demand it since.
    let memory = create(MemfdFlags::NOEXEC_SEAL).or_else(|_| create(MemfdFlags::empty())).ok()?;
    Some(FileVersion::of(memory).ok()?.device)
}
