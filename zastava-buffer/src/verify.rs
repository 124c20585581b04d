//! Looking at a buffer that is not open, without changing anything.

use std::collections::BTreeMap;
use std::io;

use crate::format::SEGMENT_HEADER_BYTES;
use crate::scan::{Extent, Found, Frames};
use crate::stats::OpenReport;
use crate::store::Store;
use crate::tally::{DropReason, Drops};
use crate::worker::{locate, read_footer};

/// What the segments hold, acknowledged or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// Segments read.
    pub segments: u64,
    /// Segments that only a newer version can read, or that were set aside.
    pub unreadable_segments: u64,
    /// Segments whose header is damaged.
    pub damaged_headers: u64,
    /// Records whose bytes are as they were pushed.
    pub records: u64,
    /// Bytes of these records.
    pub bytes: u64,
    /// Numbers for which there is no intact record.
    pub lost: Drops,
}

/// Reads every segment to its end and checks every checksum. For an operator's question whether a directory is
/// whole; opening needs none of it. Run it on a buffer that nobody has open.
///
/// # Errors
/// Whatever the storage says. Damage is not an error.
pub fn verify(store: &mut dyn Store) -> io::Result<Verified> {
    let (mut verified, mut report) = (Verified::default(), OpenReport::default());
    let mut classes: BTreeMap<u8, Vec<_>> = BTreeMap::new();
    for file in store.list()? {
        if file.aside {
            verified.unreadable_segments += 1;
        } else if let Some(located) = locate(store, &file, &mut report)? {
            classes.entry(located.identity.class).or_default().push(located);
        }
    }
    for segments in classes.values_mut() {
        segments.sort_by_key(|segment| segment.identity);
        for at in 0..segments.len() {
            let successor = segments.get(at + 1).map(|next| next.identity.first_seq);
            let (file, salt, seq) =
                (segments[at].file.clone(), segments[at].identity.salt, segments[at].identity.first_seq);
            let Some(file_len) = segments[at].len else {
                verified.unreadable_segments += 1;
                continue;
            };
            let footer = read_footer(store, &file, file_len, salt)?;
            let end = successor.or_else(|| footer.as_ref().map(|(footer, _)| footer.end_seq));
            let (known_end, limit) = (end.unwrap_or(0), end.unwrap_or(u64::MAX));
            let (len, offset) = (footer.map_or(file_len, |(_, len)| len), SEGMENT_HEADER_BYTES as u64);
            let extent = Extent { name: file, salt, offset, seq, len, from_seq: seq, known_end, limit };
            verified.add(Frames::new(extent), store)?;
        }
    }
    verified.damaged_headers = report.damaged_headers;
    Ok(verified)
}

impl Verified {
    fn add(&mut self, mut frames: Frames, store: &mut dyn Store) -> io::Result<()> {
        self.segments += 1;
        while let Some(found) = frames.next(store)? {
            match found {
                Found::Record { payload, .. } => {
                    self.records += 1;
                    self.bytes += payload.len() as u64;
                }
                // A gap that was written as such is as it should be.
                Found::Lost { tally, .. } => {
                    for (kind, reason, count) in
                        tally.drops().iter().filter(|lost| lost.1 != DropReason::MemoryFull)
                    {
                        self.lost.add(kind, reason, count);
                    }
                }
            }
        }
        Ok(())
    }
}
