//! A stretch of the numbers: one segment, or a range for which there is no segment.

use std::collections::BTreeMap;

use crate::entry::Kind;
use crate::error::Error;
use crate::format::SegmentName;
use crate::options::blocks;
use crate::scan::{Extent, Found, Frames, Position};
use crate::stats::DropReason;
use crate::storage::Storage;

/// What is known of one record that is not settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fate {
    Live(Kind),
    Lost(Option<Kind>, DropReason),
}

/// Chunks lie in the queue in order of their numbers, without a hole between them.
#[derive(Debug)]
pub(crate) struct Chunk {
    /// `None` when there is nothing to read: all its numbers are lost.
    pub(crate) segment: Option<Segment>,
    /// The first number that is not settled.
    pub(crate) from_seq: u64,
    /// One above the last number.
    pub(crate) end_seq: u64,
    /// Where `from_seq` begins, or the stretch of damage that it lies in.
    pub(crate) position: Position,
    /// Why numbers of this chunk without bytes are lost.
    pub(crate) absence: DropReason,
    /// The numbers from `from_seq` to the end, by fate; they sum up to that range exactly.
    pub(crate) unsettled: Tally,
}

#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) name: SegmentName,
    /// As the header says; the name can differ if somebody renamed the file.
    pub(crate) salt: u32,
    pub(crate) epoch: u64,
    /// Length that holds whole frames.
    pub(crate) len: u64,
    /// Length of the file, which is more when a failed write could not be taken back.
    pub(crate) file_len: u64,
    pub(crate) sync: SyncState,
}

/// Whether the segment survives a power cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SyncState {
    Pending,
    Done,
    /// After a failed sync the kernel takes the pages for clean, so a second sync would succeed and
    /// prove nothing (Rebello et al., "Can Applications Recover from fsync Failures?", ATC 2020).
    Failed,
}

impl Chunk {
    pub(crate) fn is_settled(&self) -> bool {
        self.from_seq >= self.end_seq
    }

    pub(crate) fn disk_bytes(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| blocks(segment.file_len))
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.segment.as_ref().map_or(0, |segment| segment.epoch)
    }

    /// Reads what is not settled.
    pub(crate) fn frames(&self, storage: &Storage, window_bytes: usize) -> Result<Frames, Error> {
        let file = match &self.segment {
            Some(segment) => storage.open_segment(segment.name)?,
            None => None,
        };
        let extent = Extent {
            start: self.position,
            len: self.segment.as_ref().map_or(0, |segment| segment.len),
            salt: self.segment.as_ref().map_or(0, |segment| segment.salt),
            from_seq: self.from_seq,
            known_end: self.end_seq,
            limit: self.end_seq,
            absence: self.absence,
        };
        Ok(Frames::new(file, extent, window_bytes))
    }

    pub(crate) fn settle(&mut self, fate: Fate, records: u64, end: Position) {
        self.unsettled.take(fate, records);
        self.from_seq = end.seq;
        self.position = end;
    }

    pub(crate) fn settle_all(&mut self) {
        self.unsettled = Tally::default();
        self.from_seq = self.end_seq;
    }
}

/// Counts by fate.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally {
    counts: BTreeMap<Fate, u64>,
}

impl Tally {
    pub(crate) fn add(&mut self, fate: Fate, records: u64) {
        if records > 0 {
            *self.counts.entry(fate).or_insert(0) += records;
        }
    }

    pub(crate) fn add_found(&mut self, found: &Found<'_>) {
        match *found {
            Found::Record { kind, .. } => self.add(Fate::Live(kind), 1),
            Found::Lost { first_seq, last_seq, kind, reason } => {
                self.add(Fate::Lost(kind, reason), last_seq - first_seq + 1);
            }
        }
    }

    /// Takes out what was added before. When a file was damaged since then, the fate met now is not
    /// the fate noted then; the sum must stay right all the same, so other fates stand in.
    fn take(&mut self, fate: Fate, records: u64) {
        let mut left = records - self.take_up_to(fate, records);
        while left > 0 {
            let Some((&other, _)) = self.counts.first_key_value() else { break };
            left -= self.take_up_to(other, left);
        }
        debug_assert_eq!(left, 0, "more records settled than a chunk has");
    }

    fn take_up_to(&mut self, fate: Fate, records: u64) -> u64 {
        let Some(count) = self.counts.get_mut(&fate) else { return 0 };
        let taken = records.min(*count);
        *count -= taken;
        if *count == 0 {
            self.counts.remove(&fate);
        }
        taken
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Fate, u64)> + '_ {
        self.counts.iter().map(|(&fate, &count)| (fate, count))
    }

    /// How many can still be delivered.
    pub(crate) fn live(&self) -> u64 {
        self.iter().filter(|(fate, _)| matches!(fate, Fate::Live(_))).map(|(_, count)| count).sum()
    }

    /// How many are known to be lost.
    pub(crate) fn lost(&self) -> u64 {
        self.counts.values().sum::<u64>() - self.live()
    }
}
