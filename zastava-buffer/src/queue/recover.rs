//! Opening a directory: whatever is in it becomes a cursor and a row of chunks without holes.
//!
//! Nothing old is written to. A new epoch begins, and the next push begins a new segment.

use std::collections::VecDeque;

use super::Queue;
use super::chunk::{Chunk, Segment, SyncState, Tally};
use crate::error::Error;
use crate::format::{
    CURSOR_BYTES, Cursor, CursorFound, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderFound, SegmentName,
};
use crate::options::Options;
use crate::scan::{Extent, Frames, Position};
use crate::stats::{CursorCondition, DropReason, Drops, OpenReport};
use crate::storage::{DataFile, Storage};

const WINDOW_BYTES: usize = 1 << 20;

/// A segment file before its frames are read.
struct Located {
    /// As the header says, or the name where the header is damaged.
    identity: SegmentName,
    name: SegmentName,
    /// Length of the file; `None` if it is set aside.
    len: Option<u64>,
    buffer_id: Option<u128>,
}

pub(crate) fn recover(storage: Storage, options: Options) -> Result<(Queue, OpenReport), Error> {
    let (cursor_file, found) = read_cursor(&storage)?;
    let (located, damaged_headers) = locate(&storage)?;
    let (cursor, condition) = start_cursor(&storage, found, &located);
    let (chunks, torn_tail) = read_chunks(&storage, &cursor, &located)?;

    let next_seq = chunks.back().map_or(cursor.next_seq, |chunk| chunk.end_seq.max(cursor.next_seq));
    let aside = storage.aside()?;
    let mut queue = Queue {
        storage,
        options,
        cursor_file,
        cursor: cursor.clone(),
        chunks,
        active: None,
        next_seq,
        delivered: VecDeque::new(),
        refused: Drops::default(),
        aside,
        directory_synced: false,
        scratch: Vec::new(),
    };
    // The epoch must be durable before a record can be delivered under it; and a directory that
    // cannot be written to is found out now, not at the first push.
    queue.save(cursor, true)?;
    queue.storage.sync_directory()?;
    queue.directory_synced = true;
    queue.retire()?;
    let evicted = queue.evict_to_cap()?;
    let report = OpenReport {
        pending: queue.pending(),
        lost: queue.chunks.iter().map(|chunk| chunk.unsettled.lost()).sum(),
        evicted,
        torn_tail,
        damaged_headers,
        set_aside_files: aside.files,
        cursor: condition,
    };
    Ok((queue, report))
}

impl Queue {
    /// Opening never waits for room: if the cap was lowered, the oldest go.
    fn evict_to_cap(&mut self) -> Result<u64, Error> {
        let mut evicted = 0;
        while self.disk_bytes() > self.options.bytes_max {
            match self.evict_oldest(DropReason::CapLowered)? {
                Some(records) => evicted += records,
                None => break,
            }
        }
        Ok(evicted)
    }
}

fn read_cursor(storage: &Storage) -> Result<(DataFile, CursorFound), Error> {
    let file = storage.open_cursor()?;
    let mut bytes = vec![0; CURSOR_BYTES];
    let read = file.read_at(&mut bytes, 0)?;
    match Cursor::decode(&bytes[..read]) {
        CursorFound::Newer => {
            storage.set_cursor_aside()?;
            Ok((storage.open_cursor()?, CursorFound::Newer))
        }
        found => Ok((file, found)),
    }
}

/// Finds the segments, in the order in which they were written, and sets aside those that only a
/// newer version can read. Also counts the damaged headers.
fn locate(storage: &Storage) -> Result<(Vec<Located>, u64), Error> {
    let mut located = Vec::new();
    let mut damaged_headers = 0;
    for name in storage.segments()? {
        let Some(file) = storage.open_segment(name)? else { continue };
        let mut header = [0; SEGMENT_HEADER_BYTES];
        let read = file.read_at(&mut header, 0)?;
        let len = file.len()?;
        located.push(match SegmentHeader::decode(&header[..read]) {
            SegmentHeaderFound::Current(header) => {
                Located { identity: header.identity, name, len: Some(len), buffer_id: Some(header.buffer_id) }
            }
            SegmentHeaderFound::Damaged => {
                damaged_headers += u64::from(read == SEGMENT_HEADER_BYTES);
                Located { identity: name, name, len: Some(len), buffer_id: None }
            }
            SegmentHeaderFound::Newer => {
                storage.set_segment_aside(name)?;
                Located { identity: name, name, len: None, buffer_id: None }
            }
        });
    }
    located.sort_by_key(|located| located.identity);
    Ok((located, damaged_headers))
}

/// The cursor to go on with: of a new epoch, and in step with what the segments say.
fn start_cursor(storage: &Storage, found: CursorFound, located: &[Located]) -> (Cursor, CursorCondition) {
    let (mut cursor, condition) = match found {
        CursorFound::Intact(cursor) => (cursor, CursorCondition::Intact),
        CursorFound::OneSlotDamaged(cursor) => (cursor, CursorCondition::OneSlotDamaged),
        CursorFound::Blank if located.is_empty() => (new_cursor(storage, located), CursorCondition::Fresh),
        CursorFound::Blank | CursorFound::Lost | CursorFound::Newer => {
            (new_cursor(storage, located), CursorCondition::Lost)
        }
    };
    // Without the latest cursor nobody knows what became of the records before the oldest segment;
    // most likely they were acknowledged, so they must not be reported as lost.
    let oldest = located.iter().map(|located| located.identity.first_seq).min();
    let unknown = oldest.map_or(0, |oldest| (oldest - 1).saturating_sub(cursor.released_through));
    if condition != CursorCondition::Intact && unknown > 0 {
        cursor.unaccounted += unknown;
        cursor.released_through += unknown;
        cursor.acknowledged_through = cursor.released_through;
        cursor.next_seq = cursor.next_seq.max(cursor.released_through + 1);
    }
    let last_epoch = located.iter().map(|located| located.identity.epoch).max();
    cursor.epoch = cursor.epoch.max(last_epoch.unwrap_or(0)) + 1;
    (cursor, condition)
}

fn new_cursor(storage: &Storage, located: &[Located]) -> Cursor {
    let known = located.iter().rev().find_map(|located| located.buffer_id);
    let random = || u128::from(storage.random_u64()) << 64 | u128::from(storage.random_u64());
    Cursor { buffer_id: known.unwrap_or_else(random), next_seq: 1, ..Cursor::default() }
}

/// Reads every segment once. Returns the chunks for all numbers after the cursor, and whether the
/// newest segment ends in part of a frame.
fn read_chunks(
    storage: &Storage,
    cursor: &Cursor,
    located: &[Located],
) -> Result<(VecDeque<Chunk>, bool), Error> {
    let mut chunks = VecDeque::new();
    let mut expected = cursor.released_through + 1;
    let mut torn_tail = false;
    for (index, segment) in located.iter().enumerate() {
        let successor = located.get(index + 1).map(|successor| successor.identity.first_seq);
        let first_seq = segment.identity.first_seq;
        // Segments reach to their successor's first number, so only the first can leave a hole.
        if first_seq > expected {
            chunks.push_back(absent(expected, first_seq, DropReason::Missing));
            expected = first_seq;
        }
        let chunk = if segment.len.is_some() {
            let known_end = successor.unwrap_or(cursor.next_seq);
            let limit = successor.unwrap_or(u64::MAX);
            let (chunk, torn) = read_segment(storage, segment, expected, known_end, limit)?;
            torn_tail = torn && successor.is_none();
            chunk
        } else {
            // At least the record that began the segment is known to be lost.
            let least = cursor.next_seq.max(first_seq + 1);
            let end_seq = successor.unwrap_or(least).max(expected);
            absent(expected, end_seq, DropReason::UnreadableVersion)
        };
        expected = chunk.end_seq;
        chunks.push_back(chunk);
    }
    if cursor.next_seq > expected {
        chunks.push_back(absent(expected, cursor.next_seq, DropReason::Missing));
    }
    Ok((chunks, torn_tail))
}

/// The last three are the first number not settled, the end known from outside, and the first void
/// number, as in [`Extent`].
fn read_segment(
    storage: &Storage,
    located: &Located,
    from_seq: u64,
    known_end: u64,
    limit: u64,
) -> Result<(Chunk, bool), Error> {
    let SegmentName { epoch, first_seq, salt } = located.identity;
    let (name, len, absence) = (located.name, located.len.unwrap_or(0), DropReason::Missing);
    let start = Position { offset: SEGMENT_HEADER_BYTES as u64, seq: first_seq };
    let extent = Extent { start, len, salt, from_seq, known_end, limit, absence };
    let mut frames = Frames::new(storage.open_segment(name)?, extent, WINDOW_BYTES);
    let mut unsettled = Tally::default();
    let mut first = None;
    while let Some(found) = frames.next()? {
        unsettled.add_found(&found);
        first.get_or_insert_with(|| frames.before());
    }
    let end_seq = frames.position().seq.max(from_seq);
    let position = first.unwrap_or(Position { offset: len, seq: end_seq });
    let segment = Segment { name, salt, epoch, len, file_len: len, sync: SyncState::Pending };
    let chunk = Chunk { segment: Some(segment), from_seq, end_seq, position, absence, unsettled };
    Ok((chunk, frames.torn_tail()))
}

/// A chunk for numbers without bytes.
fn absent(from_seq: u64, end_seq: u64, absence: DropReason) -> Chunk {
    let mut unsettled = Tally::default();
    unsettled.add(super::Fate::Lost(None, absence), end_seq - from_seq);
    let position = Position { offset: 0, seq: from_seq };
    Chunk { segment: None, from_seq, end_seq, position, absence, unsettled }
}
