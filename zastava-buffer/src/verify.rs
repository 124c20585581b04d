//! Reads and checks a directory that is not open, without changing it.

use std::io;

use crate::counts::DropCounts;
use crate::drop_reason::DropReason;
use crate::entry::{Entry, Record};
use crate::format::Cursor;
use crate::scan::Frames;
use crate::store::Store;
use crate::worker::{locate, read_extent};

/// What the segments hold, including acknowledged records whose segments are still there.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyReport {
    /// Segments that were read.
    pub segments: u64,
    /// Segments that only a newer version can read, and files that are set aside.
    pub unreadable_segments: u64,
    /// Segments with a damaged header.
    pub damaged_headers: u64,
    /// Intact records.
    pub records: u64,
    /// Payload bytes of the intact records.
    pub bytes: u64,
    /// Records that are lost, by kind and reason.
    pub lost: DropCounts,
}

/// Reads every segment and checks every checksum. Answers an operator's question whether a directory is intact; opening
/// a buffer does not need it. Do not run it on a directory that is open.
///
/// # Errors
/// The error of the storage. Damage is not an error.
pub fn verify(store: &mut dyn Store) -> io::Result<VerifyReport> {
    read_all(store, &mut |_| {})
}

/// Shows every intact record of a directory that is not open to `visit`, without changing anything: class by class, and
/// within a class the oldest record first. Records that were acknowledged are shown as long as their segments are there.
///
/// # Errors
/// The error of the storage. Damage is not an error.
pub fn read_all(store: &mut dyn Store, visit: &mut dyn FnMut(&Record)) -> io::Result<VerifyReport> {
    let mut verified = VerifyReport::default();
    let files = store.list()?;
    verified.unreadable_segments = files.iter().filter(|file| file.aside).count() as u64;
    for segments in locate(store, &files)?.into_values() {
        for (at, segment) in segments.iter().enumerate() {
            if segment.is_newer {
                verified.unreadable_segments += 1;
                continue;
            }
            let successor = segments.get(at + 1).map(|next| next.file.identity.first_seq);
            let (extent, _) = read_extent(store, &segment.file, 0, successor, &Cursor::default())?;
            let mut frames = Frames::new(extent, 0);
            while let Some(entry) = frames.next(store)? {
                verified.add(&entry);
                if let Entry::Record(record) = &entry {
                    visit(record);
                }
            }
            verified.segments += 1;
            verified.damaged_headers += u64::from(segment.is_damaged);
        }
    }
    Ok(verified)
}

impl VerifyReport {
    fn add(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(record) => {
                self.records += 1;
                self.bytes += record.bytes.len() as u64;
            }
            // Gap frames that were written for records dropped from memory are no damage.
            Entry::Gap(gap) => {
                let damage = gap.counts.iter().filter(|(_, reason, _)| *reason != DropReason::MemoryFull);
                damage.for_each(|(kind, reason, count)| self.lost.0.add((kind, Some(reason)), count));
            }
        }
    }
}
