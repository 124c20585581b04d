//! What goes in and what comes out: kinds, records, gaps, and the answer to a push.

use std::fmt;

use bytes::Bytes;

use crate::counts::{Counts, DropCounts};
use crate::kind::Kind;

/// The answer to a push.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a push may have been refused, or may have cost older records"]
#[non_exhaustive]
pub enum PushOutcome {
    /// Accepted, and in memory on its way to the disk.
    Stored {
        /// The record's number within its class: one more than the last.
        seq: u64,
    },
    /// Accepted, and since the last push so many older records were dropped to make room.
    Evicted {
        /// The record's number.
        seq: u64,
        /// How many went, of this class and lower ones.
        count: u64,
    },
    /// Not accepted; counted in [`Stats::refused`](crate::Stats::refused).
    Refused(RefusalReason),
}

impl PushOutcome {
    /// The record's number, if it was accepted.
    #[must_use]
    pub fn seq(&self) -> Option<u64> {
        match *self {
            Self::Stored { seq } | Self::Evicted { seq, .. } => Some(seq),
            Self::Refused(_) => None,
        }
    }
}

/// Why a push was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefusalReason {
    /// Longer than [`BufferOptions::record_bytes_max`](crate::BufferOptions::record_bytes_max).
    TooLarge,
    /// No room, and the kind's [policy](crate::KindPolicy) does not let it push others out.
    Full,
    /// [`Producer::close`](crate::Producer::close) was called.
    Closed,
}

/// How safe a record is, named by the failure it survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
    /// In the memory of the process: survives nothing.
    Memory,
    /// The write returned: survives a panic, the OOM killer and `kill -9`, not a power cut.
    Process,
    /// File and directory are synced: survives a crash of the machine and a power cut.
    Power,
}

/// One step of the stream: a record, or the place where records are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Entry {
    /// A record as it was pushed.
    Record(Record),
    /// Records that were accepted and can no longer be delivered.
    Gap(Gap),
}

impl Entry {
    /// The number to give to [`Batch::ack_through`](crate::Batch::ack_through) when this entry and all before it
    /// are done.
    #[must_use]
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Record(record) => record.seq,
            Self::Gap(gap) => gap.last_seq,
        }
    }

    /// That the numbers from `first_seq` on are lost, as many as the counts has.
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
    /// Number within the class.
    pub seq: u64,
    /// The opening of the directory in which the record was pushed; 0 while there is none. After a power cut
    /// a number that was never synced can be given again; the pair of epoch and number cannot.
    pub epoch: u32,
    /// Kind given by the push.
    pub kind: Kind,
    /// Bytes given by the push. A slice of a shared block of up to 64 KiB, which lives as long as it does.
    pub bytes: Bytes,
    /// 1 at the first delivery since the opening, one more after each batch that was dropped.
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

/// A range of numbers whose records were accepted and are lost.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// First lost number.
    pub first_seq: u64,
    /// Last lost number; not below `first_seq`.
    pub last_seq: u64,
    /// The lost records by kind and reason; they sum up to the range. Where damage left several gaps in one
    /// segment, the kinds of each are a guess and the kinds of all together are exact.
    pub counts: DropCounts,
}

impl Gap {
    /// How many records are lost.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.last_seq - self.first_seq + 1
    }
}
