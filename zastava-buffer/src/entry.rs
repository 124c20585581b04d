//! What a push returns, and the entries that the consumer receives.

use std::fmt;

use bytes::Bytes;

use crate::counts::{Counts, DropCounts};
use crate::kind::Kind;

/// What became of a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a push may have been refused, or may have cost older records"]
#[non_exhaustive]
pub enum PushOutcome {
    /// Accepted into memory; the worker will write it.
    Stored {
        /// The record's number within its class, one above the last.
        seq: u64,
    },
    /// Accepted. Since the last push, older records were dropped to make room.
    Evicted {
        /// The record's number.
        seq: u64,
        /// How many records were dropped, from this class and lower ones.
        count: u64,
    },
    /// Not accepted. Counted in [`Stats::refused`](crate::Stats::refused).
    Refused(RefusalReason),
}

impl PushOutcome {
    /// Returns the record's number, if it was accepted.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        match *self {
            Self::Stored { seq } | Self::Evicted { seq, .. } => Some(seq),
            Self::Refused(_) => None,
        }
    }
}

/// Why a push was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// The record is longer than [`BufferOptions::record_bytes_max`](crate::BufferOptions::record_bytes_max).
    TooLarge,
    /// There is no room, and the kind's [policy](crate::KindPolicy) does not drop other records.
    Full,
    /// [`Producer::close`](crate::Producer::close) was called.
    Closed,
}

/// How durable a record is, named by the failure that it survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// The record is in memory. It survives nothing.
    Memory,
    /// The record is written. It survives a panic, the OOM killer and `kill -9`, but not a power cut.
    Process,
    /// File and directory are synced. The record survives a crash of the machine and a power cut.
    Power,
}

/// One entry of the stream: a record, or a gap where records were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A record as it was pushed.
    Record(Record),
    /// Records that were accepted and can no longer be delivered.
    Gap(Gap),
}

impl Entry {
    /// Returns the number that [`Batch::ack_through`](crate::Batch::ack_through) takes to settle this entry and all
    /// entries before it.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Record(record) => record.seq,
            Self::Gap(gap) => gap.last_seq,
        }
    }

    /// Returns a gap from `first_seq` on, as long as the sum of the counts.
    pub(crate) fn gap(first_seq: u64, lost: Counts) -> Self {
        let last_seq = first_seq + lost.total() - 1;
        Self::Gap(Gap { first_seq, last_seq, counts: DropCounts(lost) })
    }

    pub(crate) fn add_to(&self, sum: &mut Counts) {
        match self {
            Self::Record(record) => sum.add((Some(record.kind), None), 1),
            Self::Gap(gap) => sum.merge(&gap.counts.0),
        }
    }

    pub(crate) fn first_seq(&self) -> u64 {
        match self {
            Self::Record(record) => record.seq,
            Self::Gap(gap) => gap.first_seq,
        }
    }

    pub(crate) fn payload_bytes(&self) -> usize {
        if let Self::Record(record) = self { record.bytes.len() } else { 0 }
    }
}

/// A record as it was pushed. Its `Debug` shows the length of the bytes, not the bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The record's number within its class.
    pub seq: u64,
    /// The opening of the directory that accepted the record; 0 while there is no directory. After a power cut the
    /// number of an unsynced record can be assigned again. The pair of epoch and number cannot.
    pub epoch: u32,
    /// The kind that the push gave.
    pub kind: Kind,
    /// The bytes that the push gave: a slice of a shared block of up to 64 KiB, which it keeps alive.
    pub bytes: Bytes,
    /// 1 for the first delivery since opening, plus one for each batch with it that was dropped.
    pub attempt: u32,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("seq", &self.seq)
            .field("epoch", &self.epoch)
            .field("kind", &self.kind)
            .field("bytes", &format_args!("{} bytes", self.bytes.len()))
            .field("attempt", &self.attempt)
            .finish()
    }
}

/// A range of accepted records that were lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// First lost number.
    pub first_seq: u64,
    /// Last lost number; not below `first_seq`.
    pub last_seq: u64,
    /// The lost records by kind and reason; the sum is the length of the range. If damage left several gaps in one
    /// segment, the kinds of each gap are a guess, and their sum over the segment is exact.
    pub counts: DropCounts,
}

impl Gap {
    /// Returns how many records were lost.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.last_seq - self.first_seq + 1
    }
}
