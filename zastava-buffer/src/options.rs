//! What a caller decides: how much the buffer may hold, what happens when it is full, and how safe records are.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Error;
use crate::format::{CURSOR_BYTES, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, TRAILER_BYTES};
use crate::kind::Kind;

/// Smallest cap of one class: 64 KiB.
pub const BYTES_MAX_MIN: u64 = 64 << 10;
/// Smallest segment: 4 KiB, one block.
pub const SEGMENT_BYTES_MIN: u64 = BLOCK_BYTES;
/// No record can be larger than this, whatever the configuration says: 16 MiB. It bounds the memory that
/// a damaged or foreign file can make us use.
pub const RECORD_BYTES_LIMIT: u64 = 16 << 20;
/// Classes that there can be.
pub const CLASSES_MAX: usize = 8;

const SEGMENT_BYTES_DEFAULT: (u64, u64) = (512 << 10, 16 << 20);
const RECORD_BYTES_DEFAULT: u64 = 1 << 20;
const RING_BYTES_DEFAULT: usize = 4 << 20;
const MEMORY_BLOCK_BYTES: (usize, usize) = (1 << 10, 64 << 10);
/// What a segment needs besides frames: header, trailer, and the lines of a few kinds.
const SEGMENT_OVERHEAD_BYTES: u64 = (SEGMENT_HEADER_BYTES + TRAILER_BYTES + 16 * 16) as u64;
/// Disk use is counted in blocks of this size, which is how file systems give it out.
const BLOCK_BYTES: u64 = 4096;

/// Longer than any process lives, and short enough to be added to a moment.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// The room that a file of this length takes.
pub(crate) fn blocks(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_BYTES)
}

/// How a buffer works. [`Buffer::open`](crate::Buffer::open) refuses contradictions. Three things want a
/// decision: the cap, the memory, and the [policy](Self::policies) of each kind.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferOptions {
    /// Cap on the disk space of all files of the buffer, each counted in whole blocks of 4 KiB, with what is
    /// reserved. At least [`BYTES_MAX_MIN`] a class; 64 MiB by default. For a volume with its own limit stay
    /// below that limit. It may be lowered between two openings: the oldest records are then dropped.
    pub bytes_max: u64,
    /// Bound on the records in memory, which are those that are not yet on disk, or not yet synced; 4 MiB by default.
    pub ring_bytes: usize,
    /// The same as a number of records; no bound by default.
    pub ring_records: u64,
    /// What happens when there is no room, by kind.
    pub policies: BTreeMap<Kind, KindPolicy>,
    /// The policy of all other kinds; drop oldest, class 0 by default.
    pub default_policy: KindPolicy,
    /// When records are made to survive a power cut; every 100 ms at most by default.
    pub commit: Commit,
    /// Length at which a segment ends and the next begins. Space is freed by whole segments, so this is also
    /// how much one eviction drops. From [`SEGMENT_BYTES_MIN`] to half the cap; by default an eighth of it, from
    /// 512 KiB to 16 MiB.
    pub segment_bytes: u64,
    /// Longest record. It must fit in a segment and in half the ring. By default 1 MiB or what fits, at most
    /// [`RECORD_BYTES_LIMIT`].
    pub record_bytes_max: usize,
    /// What to do at open when another process holds the directory, or it cannot be used.
    pub on_unavailable: OnUnavailable,
    /// How many batches may be out at once; 1 by default. They are acknowledged in order.
    pub batches_max: usize,
    /// New segments are made only where the file system keeps this part of its space free; 12 by default, since a
    /// kubelet starts to evict pods below 10. 0 turns it off.
    pub free_percent_min: u8,
}

/// What happens to a kind when there is no room, and how much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two decisions, written down by every caller")]
pub struct KindPolicy {
    /// What a push of this kind does when there is no room.
    pub when_full: WhenFull,
    /// 0 matters most. Each class has its own numbers, segments and order; lower classes are dropped first,
    /// higher ones are delivered first.
    pub class: u8,
}

/// What a push does when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The oldest records go, of the lowest class first and never of a class that matters more.
    DropOldest,
    /// The push is refused; [`push_wait`](crate::Producer::push_wait) waits for room.
    Refuse,
}

/// When accepted records are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commit {
    /// Written as soon as possible, never synced: [`Durability::Process`](crate::Durability::Process) is all there is.
    Never,
    /// After a quiet time at once, then as soon as this many records wait, this much time has passed, or somebody
    /// [flushes](crate::Producer::flush). Records stay in memory until then, so that a failed sync loses nothing.
    Group {
        /// So many records make a commit due.
        records_max: u32,
        /// So much time after the last commit makes one due.
        interval: Duration,
    },
}

/// What to do at open when the directory cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Opening fails.
    Fail,
    /// Records are kept in memory, and the directory is tried again until it can be used. A process that waits
    /// for its predecessor to end cannot deadlock with it.
    MemoryOnly,
}

impl BufferOptions {
    /// The defaults for a cap of `bytes_max`.
    #[must_use]
    pub fn new(bytes_max: u64) -> Self {
        let (least, most) = SEGMENT_BYTES_DEFAULT;
        let half = (bytes_max.saturating_sub(CURSOR_BYTES as u64) / 2).max(SEGMENT_BYTES_MIN);
        let segment_bytes = (bytes_max / 8).clamp(least, most).min(half / BLOCK_BYTES * BLOCK_BYTES);
        let record_bytes_max = RECORD_BYTES_DEFAULT.min(record_room(segment_bytes)) as usize;
        Self {
            bytes_max,
            ring_bytes: RING_BYTES_DEFAULT,
            ring_records: u64::MAX,
            policies: BTreeMap::new(),
            default_policy: KindPolicy { when_full: WhenFull::DropOldest, class: 0 },
            commit: Commit::Group { records_max: u32::MAX, interval: Duration::from_millis(100) },
            segment_bytes,
            record_bytes_max,
            on_unavailable: OnUnavailable::Fail,
            batches_max: 1,
            free_percent_min: 12,
        }
    }

    pub(crate) fn policy(&self, kind: Kind) -> KindPolicy {
        self.policies.get(&kind).copied().unwrap_or(self.default_policy)
    }

    pub(crate) fn classes(&self) -> usize {
        let policies = self.policies.values().chain([&self.default_policy]);
        policies.map(|policy| usize::from(policy.class) + 1).max().unwrap_or(1)
    }

    /// Bytes and records at which a block in memory is closed.
    pub(crate) fn block(&self) -> (usize, u64) {
        let (least, most) = MEMORY_BLOCK_BYTES;
        let part_of_segment = usize::try_from(self.segment_bytes / 8).unwrap_or(most);
        let bytes = (self.ring_bytes / 16).min(part_of_segment).clamp(least, most);
        (bytes, self.group_records().min(self.ring_records / 16).max(1))
    }

    /// How many records may be written and not synced.
    pub(crate) fn group_records(&self) -> u64 {
        match self.commit {
            Commit::Never => u64::MAX,
            Commit::Group { records_max, .. } => u64::from(records_max).max(1),
        }
    }

    /// How long records and books may wait to be synced and written.
    pub(crate) fn interval(&self) -> Duration {
        match self.commit {
            Commit::Never => Duration::from_millis(100),
            Commit::Group { interval, .. } => interval.min(DURATION_MAX),
        }
    }

    pub(crate) fn is_synced(&self) -> bool {
        self.commit != Commit::Never
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let classes = self.classes() as u64;
        within("class", classes - 1, 0, CLASSES_MAX as u64 - 1)?;
        within("bytes_max", self.bytes_max, classes * BYTES_MAX_MIN, i64::MAX as u64)?;
        // Two full segments of each class always fit, so that making room never has to empty the queue.
        let half = (self.bytes_max / classes - CURSOR_BYTES as u64) / 2;
        within("segment_bytes", self.segment_bytes, SEGMENT_BYTES_MIN, half - half % BLOCK_BYTES)?;
        within("ring_bytes", self.ring_bytes as u64, 4096, isize::MAX as u64)?;
        within("ring_records", self.ring_records, 16, u64::MAX)?;
        let longest = record_room(self.segment_bytes).min((self.ring_bytes / 2 - FRAME_HEADER_BYTES) as u64);
        within("record_bytes_max", self.record_bytes_max as u64, 1, longest)?;
        within("batches_max", self.batches_max as u64, 1, 1 << 16)?;
        within("free_percent_min", u64::from(self.free_percent_min), 0, 99)
    }
}

impl Default for BufferOptions {
    fn default() -> Self {
        Self::new(64 << 20)
    }
}

fn record_room(segment_bytes: u64) -> u64 {
    let overhead = SEGMENT_OVERHEAD_BYTES + FRAME_HEADER_BYTES as u64;
    segment_bytes.saturating_sub(overhead).clamp(1, RECORD_BYTES_LIMIT)
}

fn within(option: &'static str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(Error::InvalidOption { option, value, min, max }) }
}
