//! Reads what an ELF file says it is: the GNU build-id, the Go build ID, the package note, the header facts;
//! from a path, a process, a descriptor or a byte slice.
//!
//! The files may belong to anybody, a hostile container included. So every question is answered
//! with a few small reads into owned buffers, within [`Limits`], without a memory map and without
//! the heap; and opening by path never waits on a FIFO nor touches a device.
//!
//! ```
//! # #[cfg(all(feature = "linux", target_os = "linux"))] {
//! let program = zastava_elf::build_id("/proc/self/exe")?;
//! match program {
//!     Some(id) => assert_eq!(id.to_string().parse(), Ok(id)),
//!     None => println!("searched completely: this program carries no build-id"),
//! }
//! # }
//! # Ok::<(), zastava_elf::Error>(())
//! ```
//!
//! # What is searched
//!
//! * Every `PT_NOTE` segment in table order, then every `SHT_NOTE` section. Both are needed: stripped
//!   files lose their sections, and some linkers leave the id outside the segment. The first id wins.
//!   For separate debug files it is better done [the other way round](Order::SectionsThenSegments).
//! * A note counts when owner and type are right: `"GNU\0"` and 3 for the build-id, `"Go\0\0"` and 4 for the
//!   Go build ID, `"FDO\0"` and 0xcafe1a7e for the package. Type 3 alone is also a SystemTap probe, a core's
//!   process record, or a Xen or PaX note.
//! * Notes are padded to 8 bytes when the table entry's alignment is exactly 8, else to 4.
//! * Both classes, both byte orders, `PN_XNUM` and the `e_shnum` extension (gABI, chapter 4).
//! * A descriptor of length 0 is no id. One above [`BuildId::BYTES_MAX`] cannot be told and ends in
//!   [`Error::IdTooLong`], unless a usable id is found elsewhere.
//!
//! # What an answer means
//!
//! `Ok(None)` says that everything was searched. What could not be read, be it damaged or over a limit,
//! does not hide an id elsewhere in the file; if none is found, it is the answer, as an error. The facts beside
//! the build-id come from the same reads; [`Identity::complete`] says whether their absence is certain.
//!
//! # Layers
//!
//! [`Scanner`] over any [`Source`] is the core, `no_std` and without `alloc`. The rest comes with the default
//! feature `linux`, and only there: paths and descriptors (`build_id`, `RegularFile`, `Root`), processes (`Process`)
//! and debug files by id (`DebugStore`). Feature `serde` adds its traits to [`BuildId`], `htlhash`
//! OpenTelemetry's hash for files without an id, `cli` the program `zastava-elf`.
//!
//! Everything here blocks, mostly for microseconds. A file system in user space (FUSE) can make a
//! lookup or a read wait for as long as its owner likes: keep that off a thread that must go on.

#![no_std]
#![cfg_attr(not(feature = "procmap-query"), forbid(unsafe_code))]

#[cfg(all(feature = "linux", target_os = "linux"))]
extern crate std;

mod build_id;
mod debug_link;
mod error;
mod facts;
mod header;
#[cfg(feature = "htlhash")]
mod htlhash;
mod layout;
mod limits;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod linux;
mod paths;
mod reader;
mod scan;
mod search;
#[cfg(feature = "serde")]
mod serde;
mod source;
mod text;

pub use crate::build_id::{BuildId, InvalidBuildId};
pub use crate::debug_link::DebugLink;
pub use crate::error::{Errno, Error, ErrorKind, Place};
pub use crate::facts::{GoBuildId, Identity, PackageNote};
pub use crate::header::{Class, Endian, FileType, Header, Machine};
#[cfg(feature = "htlhash")]
pub use crate::htlhash::HtlHash;
pub use crate::limits::{Cost, Limit, Limits};
#[cfg(all(feature = "linux", target_os = "linux"))]
pub use crate::linux::{
    Backing, DebugStore, Device, FdSource, FileVersion, KernelPath, Lookup, MappedFile, Mapping, Process,
    Procfs, RegularFile, Root, build_id, build_id_of, build_id_trusted, open_in_root, open_regular,
    open_trusted,
};
pub use crate::paths::{Artifact, DebugPath, DebuginfodPath, ShortId};
pub use crate::scan::{Extent, Order, Scanner, build_id_in, build_id_notes};
pub use crate::source::Source;

/// The README's example runs.
#[cfg(all(doctest, feature = "linux", target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
