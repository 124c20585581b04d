//! A bounded, crash-safe queue of opaque records on disk, with every loss counted.
//!
//! Producers [`push`](Buffer::push) bytes with a small [`Kind`]; one consumer reads the oldest with
//! [`next_batch`](Buffer::next_batch), sends them on and [acknowledges](Buffer::ack_through) them.
//! The crate never looks into the bytes, needs no async runtime and starts no thread.
//!
//! ```
//! use zastava_buffer::{Buffer, Entry, Kind, Options};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let (buffer, report) = Buffer::open(directory.path(), Options::default())?;
//! assert_eq!(report.pending, 0);
//!
//! let admission = buffer.push(Kind(1), b"container started")?;
//! let batch = buffer.next_batch(64, 1 << 20)?;
//! for entry in &batch {
//!     match entry {
//!         Entry::Record(record) => assert_eq!(record.bytes, b"container started"),
//!         Entry::Gap(gap) => eprintln!("{} records were lost: {:?}", gap.records(), gap.reason),
//!         _ => {}
//!     }
//! }
//! buffer.ack_through(admission.seq)?;
//! assert!(buffer.next_batch(64, 1 << 20)?.is_empty());
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * **At least once.** A record leaves the queue when it is acknowledged, or when it is dropped
//!   and counted. Reading consumes nothing: a batch that is let go comes again. After a crash a
//!   record may come twice; ([`Buffer::id`], [`Record::epoch`], [`Record::seq`]) names it for good.
//! * **Honest durability.** A push that returned survives the end of the process
//!   ([`Durability::Process`]), by `kill -9` too. Only [`Buffer::sync`] makes records survive a
//!   power cut.
//! * **A hard cap.** All files together stay within [`Options::bytes_max`], counted in blocks of
//!   4 KiB. When there is no room the oldest segment goes, by kind into [`Stats::dropped`].
//! * **Exact counts.** `accepted = acked + pending + dropped`, in every [`Stats`], over the lifetime
//!   of the directory.
//! * **Damage is contained.** A damaged record is skipped, reported as a [`Gap`] and counted; the
//!   records around it are delivered. Bytes that fail their checksum are never delivered.
//!
//! The files are described in `FORMAT.md`. Unix only: positioned reads and directory syncs.
//!
//! # Limits
//!
//! One lock guards the queue, so a push waits while a batch is read or a sync runs. Opening reads
//! the whole backlog once. One process at a time, one consumer at a time.

/// The example in the README, kept true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod buffer;
mod entry;
mod error;
mod format;
mod options;
mod queue;
mod scan;
mod stats;
mod storage;

pub use buffer::Buffer;
pub use entry::{Admission, Durability, Entry, Gap, Kind, Record};
pub use error::Error;
pub use options::{BYTES_MAX_MIN, Options, RECORD_BYTES_LIMIT, SEGMENT_BYTES_MIN};
pub use stats::{CursorCondition, DropReason, Drops, OpenReport, Stats};
