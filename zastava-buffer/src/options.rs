//! The options of a buffer: its bounds, what happens when it is full, and when records are synced.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::error::Error;
use crate::format::{CURSOR_BYTES, FRAME_HEADER_BYTES, SEGMENT_HEADER_BYTES, TRAILER_BYTES};
use crate::kind::Kind;

/// Smallest cap of one class: 64 KiB.
pub const BYTES_MAX_MIN: u64 = 64 << 10;
/// Smallest segment: 4 KiB, one block.
pub const SEGMENT_BYTES_MIN: u64 = BLOCK_BYTES;
/// Largest value of [`BufferOptions::record_bytes_max`]: 16 MiB. Bounds the memory that reading a damaged or foreign
/// file can take.
pub const RECORD_BYTES_LIMIT: u64 = 16 << 20;
/// Largest number of classes.
pub const CLASSES_MAX: usize = 8;

const SEGMENT_BYTES_DEFAULT: (u64, u64) = (512 << 10, 16 << 20);
const RECORD_BYTES_DEFAULT: u64 = 1 << 20;
const RING_BYTES_DEFAULT: usize = 4 << 20;
const MEMORY_BLOCK_BYTES: (usize, usize) = (1 << 10, 64 << 10);
/// Room for the parts of a segment that are no frames: header, trailer, and the counts of a few kinds.
const SEGMENT_OVERHEAD_BYTES: u64 = (SEGMENT_HEADER_BYTES + TRAILER_BYTES + 16 * 16) as u64;
/// Disk use is counted in blocks of this size, since file systems allocate in blocks.
const BLOCK_BYTES: u64 = 4096;

/// Longer than any process lives, and short enough to be added to an `Instant` without overflow.
pub(crate) const DURATION_MAX: Duration = Duration::from_secs(100 * 365 * 24 * 3600);

/// Rounds the length of a file up to whole blocks.
pub(crate) fn blocks(len: u64) -> u64 {
    len.next_multiple_of(BLOCK_BYTES)
}

/// Options of a buffer. [`Buffer::open`](crate::Buffer::open) refuses values that contradict each other.
///
/// Three options deserve a decision: [`bytes_max`](Self::bytes_max), [`ring_bytes`](Self::ring_bytes), and the
/// [policy](Self::policies) of each kind. The defaults of the others suit most uses.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BufferOptions {
    /// Cap on the disk space of all files, in bytes. Each file counts in whole blocks of 4 KiB and with its
    /// reservation. At least [`BYTES_MAX_MIN`] for each class; 64 MiB by default. Stay below the limit of a volume that
    /// has one. If the cap is lower than at the last opening, opening drops the oldest records.
    pub bytes_max: u64,
    /// Bound on the bytes of records in memory: those not yet written, or not yet synced. 4 MiB by default.
    pub ring_bytes: usize,
    /// Bound on the number of records in memory. None by default.
    pub ring_records: u64,
    /// Policies by kind.
    pub policies: BTreeMap<Kind, KindPolicy>,
    /// Policy of kinds that [`policies`](Self::policies) does not list. Drop oldest, class 0 by default.
    pub default_policy: KindPolicy,
    /// When records are synced. Every 100 ms at most by default.
    pub commit: Commit,
    /// Length at which a segment is sealed and the next one begins. Space is freed by whole segments, so one eviction
    /// drops this much. From [`SEGMENT_BYTES_MIN`] to half the cap; by default an eighth of the cap, from 512 KiB to
    /// 16 MiB.
    pub segment_bytes: u64,
    /// Longest payload of a record. It must fit in a segment and in half of [`ring_bytes`](Self::ring_bytes). By default
    /// 1 MiB or what fits; at most [`RECORD_BYTES_LIMIT`].
    pub record_bytes_max: usize,
    /// What opening does if another process holds the directory, or the directory cannot be used.
    pub on_unavailable: OnUnavailable,
    /// How many batches may be out at once. 1 by default. Batches are settled in order.
    pub batches_max: usize,
    /// Share of the file system that stays free: below it, no new segment is created. 12 by default, because a kubelet
    /// starts to evict pods below 10. 0 turns the check off.
    pub free_percent_min: u8,
}

/// What happens to the records of a kind when there is no room, and how important they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(clippy::exhaustive_structs, reason = "two decisions, written down by every caller")]
pub struct KindPolicy {
    /// What a push does when there is no room.
    pub when_full: WhenFull,
    /// Priority class; 0 is the highest. Each class has its own sequence numbers, segments and order. Lower classes are
    /// dropped first, higher classes are delivered first.
    pub class: u8,
}

/// What a push does when there is no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WhenFull {
    /// The push drops the oldest records, from the lowest class first, and never from a class above its own.
    DropOldest,
    /// The push is refused. [`push_wait`](crate::Producer::push_wait) waits for room.
    Refuse,
}

/// When accepted records are synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Commit {
    /// Records are written as soon as possible and never synced. They reach
    /// [`Durability::Process`](crate::Durability::Process) and no more.
    Never,
    /// Records are synced in groups. The first group after a quiet time is synced at once. After that a sync is due when
    /// `records_max` records wait, `interval` has passed, or somebody calls [`flush`](crate::Producer::flush). Records stay
    /// in memory until they are synced, so a failed sync loses nothing.
    Group {
        /// Number of waiting records that makes a sync due.
        records_max: u32,
        /// Time since the last sync that makes the next one due.
        interval: Duration,
    },
}

/// What opening does if the directory cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnUnavailable {
    /// Opening fails.
    Fail,
    /// Opening succeeds. Records are kept in memory, and the directory is tried again until it can be used. A process
    /// can so start while its predecessor still holds the directory.
    MemoryOnly,
}

impl BufferOptions {
    /// Returns the default options for a cap of `bytes_max`.
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

    /// Returns the bytes and records at which a block in memory is closed.
    pub(crate) fn block(&self) -> (usize, u64) {
        let (least, most) = MEMORY_BLOCK_BYTES;
        let part_of_segment = usize::try_from(self.segment_bytes / 8).unwrap_or(most);
        let bytes = (self.ring_bytes / 16).min(part_of_segment).clamp(least, most);
        (bytes, self.group_records().min(self.ring_records / 16).max(1))
    }

    /// Returns how many records may be written and not yet synced.
    pub(crate) fn group_records(&self) -> u64 {
        match self.commit {
            Commit::Never => u64::MAX,
            Commit::Group { records_max, .. } => u64::from(records_max).max(1),
        }
    }

    /// Returns how long records may wait for a sync, and a changed cursor for a write.
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
        // Two full segments of each class always fit, so making room never empties the queue.
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
