//! A bounded, crash-safe queue of opaque records on disk: no record lost, or the loss counted.
//!
//! A [`Producer`] pushes bytes with a small [`Kind`] and never waits; one [`Consumer`] takes [batches](Batch),
//! sends them on and acknowledges them. One thread does all file operations. The crate never looks into the
//! bytes and needs no async runtime; its futures work in any, and [`block_on`] is enough without one.
//!
//! ```
//! use std::time::Duration;
//! use zastava_buffer::{Buffer, BufferOptions, Durability, Entry, Kind, block_on};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let mut config = BufferOptions::new(64 << 20);
//! # config.free_percent_min = 0;
//! let (producer, mut consumer, report) = Buffer::open(directory.path(), config)?;
//! assert_eq!(report.pending, 0);
//!
//! let _ = producer.push(Kind(1), b"container started");
//! block_on(producer.push_durable(Kind(1), b"container stopped", Durability::Power))?;
//!
//! let batch = block_on(consumer.next_batch(64, 1 << 20)).expect("not closed");
//! for entry in batch.entries() {
//!     match entry {
//!         Entry::Record(record) => println!("{}: {} bytes", record.seq, record.bytes.len()),
//!         Entry::Gap(gap) => println!("{} records were lost: {:?}", gap.records(), gap.counts),
//!         _ => {}
//!     }
//! }
//! batch.ack();
//! let (_, stats) = producer.close(Duration::from_secs(5));
//! assert_eq!((stats.accepted, stats.acked, stats.pending), (2, 2, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! * **At least once.** A record leaves the queue when its batch is acknowledged, or when it is dropped and
//!   counted. A batch that is let go comes again. After a crash a record may come twice; the class,
//!   [`Producer::id`], [`Record::epoch`] and [`Record::seq`] name it for good.
//! * **Honest durability.** [`push`](Producer::push) promises memory. [`push_durable`](Producer::push_durable) and
//!   [`flush`](Producer::flush) wait for what they are asked: [`Durability::Process`] survives `kill -9`,
//!   [`Durability::Power`] a power cut. Records stay in memory until they are as safe as [`Commit`] wants, so a
//!   failed write or sync loses nothing.
//! * **A hard cap.** All files together stay within [`BufferOptions::bytes_max`], in blocks of 4 KiB, reservations
//!   included. When there is no room the kind's [`KindPolicy`] decides.
//! * **Exact counts.** `accepted = acked + pending + dropped`, in every [`Stats`], over the lifetime of the
//!   directory. Losses come in the stream as a [`Gap`], in their place.
//! * **Damage is contained.** A damaged record is skipped and counted; those around it are delivered. Bytes that
//!   fail their checksum never are.
//! * **Trouble is survived.** While the disk is full, read-only, broken, or held by another process, records are
//!   kept and delivered from memory; see [`StorageHealth`].
//!
//! The files are described in `FORMAT.md`. Unix only: positioned reads and directory syncs.

/// The example in the README, kept true.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod buffer;
mod consumer;
mod counts;
mod drop_reason;
mod entry;
mod error;
mod format;
mod kind;
mod lane;
mod mutation;
mod options;
mod producer;
mod queue;
mod scan;
mod stats;
mod store;
#[cfg(feature = "testkit")]
pub mod testkit;
mod verify;
mod worker;

#[cfg(test)]
mod simulation;

pub use buffer::{Buffer, block_on};
pub use consumer::{Batch, Consumer};
pub use counts::DropCounts;
pub use drop_reason::DropReason;
pub use entry::{Durability, Entry, Gap, PushOutcome, Record, RefusalReason};
pub use error::Error;
pub use kind::Kind;
pub use options::{
    BYTES_MAX_MIN, BufferOptions, CLASSES_MAX, Commit, KindPolicy, OnUnavailable, RECORD_BYTES_LIMIT,
    SEGMENT_BYTES_MIN, WhenFull,
};
pub use producer::Producer;
pub use stats::{CursorCondition, OpenReport, Stats, StorageHealth, StorageProblem};
pub use store::{Disk, Removal, Store, StoredFile};
pub use verify::{VerifyReport, verify};
