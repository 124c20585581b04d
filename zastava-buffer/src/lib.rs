//! A bounded, crash-safe queue of opaque records on disk that counts every record it drops.
//!
//! A [`Producer`] pushes bytes with a small [`Kind`] and never waits. One [`Consumer`] takes [batches](Batch), sends them
//! on and acknowledges them. One thread does all file operations. The crate never looks into the bytes and needs no async
//! runtime: its futures work in any, and [`block_on`] runs them without one.
//!
//! Take it for events, telemetry or jobs that must survive a restart of the process or a power cut until a server has them,
//! on a disk that must not fill up.
//!
//! # Spool and drain
//!
//! ```
//! use std::time::Duration;
//! use zastava_buffer::{Buffer, BufferOptions, Durability, Entry, Kind, block_on};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! let mut options = BufferOptions::new(64 << 20); // at most 64 MiB on disk
//! # options.free_percent_min = 0;
//! let (producer, mut consumer, report) = Buffer::open(directory.path(), options)?;
//! assert_eq!(report.pending, 0); // records of an earlier run
//!
//! let _ = producer.push(Kind(1), b"container started");
//! block_on(producer.push_durable(Kind(1), b"container stopped", Durability::Power))?;
//!
//! let batch = block_on(consumer.next_batch(64, 1 << 20)).expect("the buffer is open");
//! for entry in batch.entries() {
//!     match entry {
//!         Entry::Record(record) => println!("{}: {} bytes", record.seq, record.bytes.len()),
//!         Entry::Gap(gap) => println!("{} records were lost: {:?}", gap.records(), gap.counts),
//!         _ => {}
//!     }
//! }
//! batch.ack(); // a batch that is dropped instead is delivered again
//! let (_, stats) = producer.close(Duration::from_secs(5));
//! assert_eq!((stats.accepted, stats.acked, stats.pending), (2, 2, 0));
//! # Ok(())
//! # }
//! ```
//!
//! # Choose the durability
//!
//! [`push`](Producer::push) returns at once and promises memory. [`push_durable`](Producer::push_durable) and
//! [`flush`](Producer::flush) wait for a level that is named by the failure it survives:
//!
//! | level | survives | costs |
//! | --- | --- | --- |
//! | [`Durability::Memory`] | nothing | nothing |
//! | [`Durability::Process`] | `kill -9`, a panic, the OOM killer | a `write` |
//! | [`Durability::Power`] | a crash of the machine, a power cut | a sync, shared by the group that [`Commit`] gathers |
//!
//! ```
//! use zastava_buffer::{Buffer, BufferOptions, Durability, Kind, block_on};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let mut options = BufferOptions::new(1 << 20);
//! # options.free_percent_min = 0;
//! # let (producer, _consumer, _) = Buffer::open(directory.path(), options)?;
//! for number in 0..100_u32 {
//!     let _ = producer.push(Kind(1), &number.to_le_bytes());
//! }
//! block_on(producer.flush(Durability::Process))?; // one wait for all of them
//! let seq = block_on(producer.push_durable(Kind(2), b"decision", Durability::Power))?;
//! assert_eq!(producer.durability(Kind(2), seq), Some(Durability::Power));
//! # Ok(())
//! # }
//! ```
//!
//! # Choose what happens when there is no room
//!
//! Each kind has a [`KindPolicy`]: whether a push drops the oldest records or is refused, and a priority class. Higher
//! classes are delivered first and dropped last. Losses are never silent: they arrive in the stream as a [`Gap`], in their
//! place, and in [`Stats`].
//!
//! ```
//! use zastava_buffer::{Buffer, BufferOptions, Kind, KindPolicy, PushOutcome, RefusalReason, WhenFull};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! const AUDIT: Kind = Kind(0);
//! const HEARTBEAT: Kind = Kind(1);
//!
//! let mut options = BufferOptions::new(8 << 20);
//! options.policies.insert(AUDIT, KindPolicy { when_full: WhenFull::Refuse, class: 0 });
//! options.policies.insert(HEARTBEAT, KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
//! # (options.ring_bytes, options.record_bytes_max) = (4096, 1000);
//! let (producer, _consumer, _) = Buffer::in_memory(options)?;
//!
//! while producer.push(AUDIT, &[0; 1000]).seq().is_some() {}
//! let outcome = producer.push(AUDIT, &[0; 1000]);
//! assert_eq!(outcome, PushOutcome::Refused(RefusalReason::Full)); // `push_wait` would wait
//! assert!(producer.stats().is_balanced());
//! # Ok(())
//! # }
//! ```
//!
//! # Bring your own storage
//!
//! A [`Store`] is eight methods over named files. [`Buffer::open_store`] takes any. The feature `testkit` has
//! `testkit::conformance`, which checks a store against the contract. `benches/buffer/src/redb_store.rs` in the repository is
//! one in an embedded database.
//!
//! # What is promised
//!
//! * **At least once.** A record leaves the queue when its batch is acknowledged, or when it is dropped and counted. After a
//!   crash a record may be delivered twice. Its class, [`Producer::id`], [`Record::epoch`] and [`Record::seq`] together
//!   identify it for ever.
//! * **Honest durability.** Records stay in memory until they are as durable as [`Commit`] makes them, so a failed write or
//!   sync loses nothing.
//! * **A hard cap.** All files together stay within [`BufferOptions::bytes_max`], in blocks of 4 KiB, reservations included.
//! * **Exact counts.** `accepted = acked + pending + dropped` in every [`Stats`], over the lifetime of the directory. Only a
//!   crash can lose records without counting them: those that were still in memory. [`OpenReport::unclean`] says that this
//!   may have happened.
//! * **Contained damage.** A damaged record is skipped and counted, and the records around it are delivered. Bytes that fail
//!   their checksum are never delivered.
//! * **Work goes on.** While the disk is full, read-only, failing, or held by another process, records are kept in memory
//!   and delivered from there. [`StorageHealth`] says so.
//!
//! # Errors
//!
//! Opening and the waiting calls return [`Error`]. [`push`](Producer::push) returns a [`PushOutcome`], since being refused
//! or dropping older records is a decision of the caller's policy and not a failure. Problems of the disk after opening are
//! no errors of a call: the worker retries, and [`Producer::health`] reports them.
//!
//! # What it is not
//!
//! | for | take |
//! | --- | --- |
//! | compression or encryption | your own, before `push`: payloads are opaque bytes |
//! | several consumers, topics, replay of acknowledged records | a message broker, or a log such as `commitlog` |
//! | lookup by key, updates, queries | an embedded database such as `redb` or SQLite |
//! | deletion by age | your consumer: acknowledge what is too old |
//! | a queue within one process | `crossbeam-channel` or `tokio::sync::mpsc` |
//! | Windows | another crate: it needs positioned reads, directory syncs and `flock` |
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `testkit` | no | `testkit::conformance`, which checks a [`Store`] |
//!
//! # Stability
//!
//! The crate follows semantic versioning. Public enums and structs that may grow are `#[non_exhaustive]`. Files of format
//! version 1 stay readable by every later release; `FORMAT.md` specifies them. The minimum supported Rust version is 1.95;
//! raising it is a minor release.

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
pub use verify::{VerifyReport, read_all, verify};
