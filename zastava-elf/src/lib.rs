//! Reads the identity of ELF files: GNU build-id, Go build ID, package note, and the facts in the header.
//!
//! The file may be anybody's, even that of a hostile container. Each answer takes a few small reads, into buffers
//! on the stack, within [`Limits`]. Nothing is mapped into memory, and nothing is allocated. Opening by path never
//! waits on a FIFO and never touches a device.
//!
//! # A file
//!
//! ```
//! # #[cfg(all(feature = "linux", target_os = "linux"))] {
//! match zastava_elf::build_id("/proc/self/exe")? {
//!     Some(id) => println!("{id}"),
//!     None => println!("everything was searched; there is no build-id"),
//! }
//! # }
//! # Ok::<(), zastava_elf::Error>(())
//! ```
//!
//! `build_id_of` takes a descriptor. `build_id_trusted` takes half the time, for files that only trusted users
//! can write. `open_in_root` opens a path as a container sees it, and does not leave the container's root.
//!
//! # Bytes
//!
//! A slice, or any other source of bytes that implements [`ReadAt`]. This part is `no_std` and needs no allocator.
//!
//! ```
//! use zastava_elf::{ElfReader, Endian, build_id_in, build_id_in_notes};
//!
//! # let bytes = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\
//! #     \0\0\0\0\0\0\0\0\0\0\0\0\x40\0\x38\0\0\0\x40\0\0\0\0\0";
//! assert_eq!(build_id_in(bytes)?, None);
//!
//! // More than the build-id, with the work that it took.
//! let identity = ElfReader::new().identity(bytes.as_slice())?;
//! assert_eq!(identity.header.map(|header| header.machine.to_string()).as_deref(), Some("x86_64"));
//! assert!(identity.complete && identity.cost.preads == 1);
//!
//! // Notes without a file around them, such as /sys/kernel/notes.
//! let notes = b"\x04\0\0\0\x02\0\0\0\x03\0\0\0GNU\0\xab\xcd\0\0";
//! assert_eq!(build_id_in_notes(notes, Endian::Little)?, "abcd".parse().ok());
//! # Ok::<(), zastava_elf::Error>(())
//! ```
//!
//! # A process
//!
//! `Process` holds `/proc/<pid>` open, so that a reused pid cannot mix two processes.
//!
//! ```
//! # #[cfg(all(feature = "linux", target_os = "linux"))] {
//! use zastava_elf::{ElfReader, Process, build_id_of};
//!
//! let process = Process::current()?;
//!
//! // The file that runs, even if it was deleted or replaced.
//! let identity = ElfReader::new().confirming().identity(&process.executable()?)?;
//! assert!(identity.header.is_some());
//!
//! // The libraries: the files that are mapped, and not what their paths lead to by now.
//! let files = process.files()?;
//! for mapping in process.mappings()?.iter().filter(|mapping| mapping.is_executable) {
//!     match files.open(mapping) {
//!         Ok(opened) => println!("{:?} {:?}", opened.path, build_id_of(&opened.file)?),
//!         Err(error) => println!("{}: {error}", error.kind()),
//!     }
//! }
//! # }
//! # Ok::<(), zastava_elf::Error>(())
//! ```
//!
//! # A debug store
//!
//! ```
//! # #[cfg(all(feature = "linux", target_os = "linux"))] {
//! use zastava_elf::{BuildId, DebugStore, Lookup};
//!
//! let store = DebugStore::open(["/usr/lib"])?;
//! let id: BuildId = "135afc8c6d1b9e02356cce218bf0109c3687ad9f".parse().expect("hex");
//! match store.find(&id)? {
//!     Lookup::Found(file) => println!("{:?}", file.version()),
//!     Lookup::Mismatch { got, .. } => println!("the file there has the id {got:?}"),
//!     _ => println!("no file at {}", id.debug_path().expect("more than one byte")),
//! }
//! # }
//! # Ok::<(), zastava_elf::Error>(())
//! ```
//!
//! # What is searched
//!
//! * Every `PT_NOTE` segment in table order, then every `SHT_NOTE` section. Stripped files have no sections, and
//!   some linkers put the id outside the segment. The first id wins. For debug files,
//!   [sections come first](Order::SectionsThenSegments).
//! * A note counts if both owner and type match: `"GNU\0"` and 3 for the build-id, `"Go\0\0"` and 4 for the Go
//!   build ID, `"FDO\0"` and 0xcafe1a7e for the package. SystemTap probes and core files also use type 3.
//! * Notes are padded to 8 bytes if the alignment in the table is 8, and to 4 bytes otherwise.
//! * Both classes, both byte orders, `PN_XNUM` and the `e_shnum` extension (gABI, chapter 4).
//!
//! # Errors
//!
//! `Ok(None)` is certain: everything was searched. Damage and limits do not hide an id elsewhere in the file; they
//! are returned as [`Error`] if no id was found. [`Error::kind`] is for decisions, [`ErrorKind::as_str`] for metric
//! labels, [`Error::part`] says where. The message does not repeat the cause, which is the error's `source`.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `linux` | yes | paths, descriptors, processes, debug stores |
//! | `serde` | | [`BuildId`] as hex text, or as bytes in binary formats |
//! | `htlhash` | | OpenTelemetry's hash of head, tail and length, for files without an id |
//! | `procmap-query` | | `Process::kernel_build_id`; it contains the crate's only unsafe call |
//! | `cli` | | the program `zastava-elf` |
//!
//! # What it does not do
//!
//! It reads no symbols, no debug information and no compressed sections: take `object` or `gimli`. It does not
//! resolve addresses to names: take `blazesym`. It does not fetch from debuginfod; it only makes the
//! [path of the request](BuildId::debuginfod_path). It does not read the modules that a core file names.
//!
//! All calls block, usually for microseconds. A file system in user space (FUSE) can block a call for as long as
//! its owner likes; make such calls on a thread that can wait.
//!
//! # Stability
//!
//! Before 1.0 a minor version may change the interface. [`ErrorKind::as_str`], the text of [`BuildId`] and the exit
//! status of the program stay. The oldest supported Rust is 1.95; raising it is a minor version.

#![no_std]
#![cfg_attr(not(feature = "procmap-query"), forbid(unsafe_code))]

#[cfg(all(feature = "linux", target_os = "linux"))]
extern crate std;

mod ascii;
mod build_id;
mod debug_link;
mod errno;
mod error;
mod findings;
mod header;
#[cfg(feature = "htlhash")]
mod htlhash;
mod identity;
mod inline;
mod layout;
mod limits;
#[cfg(all(feature = "linux", target_os = "linux"))]
mod linux;
mod meter;
mod note;
mod notes;
mod part;
mod paths;
mod policy;
mod read_at;
mod reader;
mod search;
#[cfg(feature = "serde")]
mod serde;
mod tables;
mod windows;

pub use crate::build_id::{BuildId, InvalidBuildId};
pub use crate::debug_link::DebugLink;
pub use crate::errno::Errno;
pub use crate::error::{Error, ErrorKind};
pub use crate::header::{Class, Endian, FileType, Header, Machine};
#[cfg(feature = "htlhash")]
pub use crate::htlhash::HtlHash;
pub use crate::identity::{GoBuildId, Identity, PackageNote};
pub use crate::limits::{Cost, Limit, Limits};
#[cfg(all(feature = "linux", target_os = "linux"))]
pub use crate::linux::{
    Backing, DebugStore, Device, FilePlace, FileVersion, KernelPath, Lookup, MappedFile, Mapping, OpenedFile,
    Process, ProcessFiles, Procfs, RegularFile, Root, build_id, build_id_of, build_id_trusted, open_in_root,
    open_regular, open_trusted,
};
pub use crate::part::Part;
pub use crate::paths::{Artifact, DebugPath, DebuginfodPath, ShortId};
pub use crate::policy::{Extent, Order};
pub use crate::read_at::ReadAt;
pub use crate::reader::{ElfReader, build_id_in, build_id_in_notes};

/// The README's example runs.
#[cfg(all(doctest, feature = "linux", target_os = "linux"))]
#[doc = include_str!("../README.md")]
struct Readme;
