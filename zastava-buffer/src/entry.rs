//! What goes in and what comes out: kinds, records, gaps, and the answer to a push.

use std::fmt;

use crate::stats::DropReason;

/// What sort of record this is, by the caller's own numbering. Losses are counted by kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kind(pub u8);

/// The answer to a push that stored its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use = "a push may have dropped older records to make room"]
#[non_exhaustive]
pub struct Admission {
    /// The record's number. Numbers grow by one from 1 over the lifetime of the directory.
    pub seq: u64,
    /// How many older records were dropped to make room for this one.
    pub evicted: u64,
    /// What the record survives from now on.
    pub durability: Durability,
}

/// Durability, named by the failure that is survived.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Durability {
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
    /// The number to give to [`ack_through`](crate::Buffer::ack_through) when this entry and all
    /// before it are done.
    pub fn last_seq(&self) -> u64 {
        match self {
            Self::Record(record) => record.seq,
            Self::Gap(gap) => gap.last_seq,
        }
    }
}

/// A record as it was pushed. Its `Debug` shows the length of the bytes, not the bytes.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// Number given by the push.
    pub seq: u64,
    /// The opening of the directory in which the record was pushed. After a power cut a number
    /// that was never synced can be given again; the pair of epoch and number cannot.
    pub epoch: u64,
    /// Kind given by the push.
    pub kind: Kind,
    /// Bytes given by the push.
    pub bytes: Vec<u8>,
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("seq", &self.seq)
            .field("epoch", &self.epoch)
            .field("kind", &self.kind)
            .field("bytes", &format_args!("{} bytes", self.bytes.len()))
            .finish()
    }
}

/// A range of numbers whose records were accepted and are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gap {
    /// First lost number.
    pub first_seq: u64,
    /// Last lost number; not below `first_seq`.
    pub last_seq: u64,
    /// Kind of all lost records, when one intact header told it. The exact counts by kind are in
    /// [`Stats::dropped`](crate::Stats::dropped).
    pub kind: Option<Kind>,
    /// Why they are lost.
    pub reason: DropReason,
}

impl Gap {
    /// How many records are lost.
    pub fn records(&self) -> u64 {
        self.last_seq - self.first_seq + 1
    }
}
