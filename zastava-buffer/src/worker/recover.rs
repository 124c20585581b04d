//! Opening: whatever is in the store becomes the lanes. Nothing old is written to; a new epoch begins.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;

use super::{Tail, cursor_name};
use crate::config::{CLASSES_MAX, Config, blocks};
use crate::format::{
    CURSOR_BYTES, Cursor, CursorFound, Footer, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentHeaderFound,
    SegmentName, TRAILER_BYTES,
};
use crate::lane::{Lane, Segment};
use crate::mistake::{Mistake, planted};
use crate::scan::{Extent, Frames};
use crate::stats::{CursorCondition, OpenReport};
use crate::store::{Removal, Store, StoredFile};
use crate::tally::{DropReason, Tally};

pub(crate) struct Recovered {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) tails: Vec<Tail>,
    pub(crate) set_aside_bytes: u64,
    pub(crate) report: OpenReport,
}

/// A segment file before its frames are read.
pub(crate) struct Located {
    pub(crate) file: String,
    /// As the header says, or the name where the header is damaged.
    pub(crate) identity: SegmentName,
    /// Length of the file; `None` if it is set aside.
    pub(crate) len: Option<u64>,
    buffer_id: Option<u128>,
}

pub(crate) fn recover(store: &mut dyn Store, config: &Config) -> io::Result<Recovered> {
    let files = store.list()?;
    let mut report = OpenReport::default();
    let mut located: BTreeMap<usize, Vec<Located>> = BTreeMap::new();
    for file in files.iter().filter(|file| !file.aside) {
        if let Some(found) = locate(store, file, &mut report)? {
            located.entry(usize::from(found.identity.class)).or_default().push(found);
        }
    }
    let has_cursor = |class: &usize| files.iter().any(|file| file.name == cursor_name(*class) && !file.aside);
    let found = (0..CLASSES_MAX).rev().find(|class| located.contains_key(class) || has_cursor(class));
    let classes = config.classes().max(found.map_or(0, |class| class + 1));
    let (mut lanes, mut tails) = (Vec::new(), Vec::new());
    for class in 0..classes {
        let mut segments = located.remove(&class).unwrap_or_default();
        segments.sort_by_key(|segment| segment.identity);
        let (lane, tail) = recover_lane(store, class, &segments, &mut report)?;
        lanes.push(lane);
        tails.push(tail);
    }
    let aside = store.list()?.into_iter().filter(|file| file.aside).map(|file| blocks(file.len));
    let aside: Vec<u64> = aside.collect();
    (report.set_aside_files, report.unclean) = (aside.len() as u64, report.unclean);
    let mut recovered = Recovered { lanes, tails, set_aside_bytes: aside.iter().sum(), report };
    recovered.evict_to_cap(store, config.bytes_max)?;
    recovered.report.pending = recovered.lanes.iter().map(Lane::pending).sum();
    Ok(recovered)
}

impl Recovered {
    /// Opening never waits for room: if the cap was lowered, the oldest of the lowest class go.
    fn evict_to_cap(&mut self, store: &mut dyn Store, bytes_max: u64) -> io::Result<()> {
        let cursors = (self.lanes.len() * CURSOR_BYTES) as u64 + self.set_aside_bytes;
        for class in (0..self.lanes.len()).rev() {
            let mut evicted = 0;
            while cursors + self.lanes.iter().map(Lane::disk_bytes).sum::<u64>() > bytes_max
                && self.lanes[class].can_evict()
            {
                evicted += self.lanes[class].evict(DropReason::CapLowered);
                for segment in self.lanes[class].segments.iter_mut().filter(|segment| segment.is_settled()) {
                    segment.disk_bytes = 0;
                }
            }
            self.report.evicted += evicted;
            // The epoch must be durable before a record can be delivered under it; and a directory that cannot
            // be written to is found out now, not at the first push.
            let (lane, tail) = (&mut self.lanes[class], &mut self.tails[class]);
            let cursor =
                Cursor { generation: tail.generation + 1, next_seq: lane.next_seq, ..lane.cursor.clone() };
            store.write(&cursor_name(class), Cursor::offset(tail.slot), &cursor.encode())?;
            store.sync(&cursor_name(class))?;
            (tail.generation, tail.slot) = (tail.generation + 1, tail.slot + 1);
            while lane.segments.front().is_some_and(Segment::is_settled) {
                if let Some((file, _)) = lane.segments.pop_front().and_then(|segment| segment.file) {
                    store.remove(&file, Removal::Delete)?;
                }
            }
        }
        store.sync_names()
    }
}

pub(crate) fn locate(
    store: &mut dyn Store,
    file: &StoredFile,
    report: &mut OpenReport,
) -> io::Result<Option<Located>> {
    let Some(name) = SegmentName::parse(&file.name) else { return Ok(None) };
    let mut header = [0; SEGMENT_HEADER_BYTES];
    let read = store.read(&file.name, 0, &mut header)?;
    let (mut identity, mut len, mut buffer_id) = (name, Some(file.len), None);
    match SegmentHeader::decode(&header[..read]) {
        // A header of another class would put its numbers where they do not belong.
        SegmentHeaderFound::Current(header) if header.name.class == name.class => {
            (identity, buffer_id) = (header.name, Some(header.buffer_id));
        }
        SegmentHeaderFound::Newer => len = None,
        _ => report.damaged_headers += u64::from(read == SEGMENT_HEADER_BYTES),
    }
    Ok(Some(Located { file: file.name.clone(), identity, len, buffer_id }))
}

fn recover_lane(
    store: &mut dyn Store,
    class: usize,
    located: &[Located],
    report: &mut OpenReport,
) -> io::Result<(Lane, Tail)> {
    let (found, mut slot) = read_cursor(store, &cursor_name(class))?;
    let (mut cursor, condition) = start_cursor(found, located);
    report.cursor = report.cursor.max(condition);
    report.unclean |= condition != CursorCondition::Fresh && !cursor.clean;
    let generation = cursor.generation;
    let mut segments = VecDeque::new();
    let mut expected = cursor.released_through + 1;
    for (at, file) in located.iter().enumerate() {
        let successor = located.get(at + 1).map(|next| next.identity.first_seq);
        let first_seq = file.identity.first_seq;
        if file.len.is_none() {
            store.remove(&file.file, Removal::SetAside)?;
        }
        // Segments reach to their successor's first number, so only the first can leave a hole.
        if first_seq > expected {
            segments.push_back(Segment::absent(expected, first_seq, DropReason::Missing));
            expected = first_seq;
        }
        let segment = if file.len.is_some() {
            let (segment, torn) = recover_segment(store, file, expected, successor, &cursor)?;
            report.torn_tail |= torn && successor.is_none();
            segment
        } else {
            // At least the record that began the segment is known to be lost.
            let end = successor.unwrap_or_else(|| cursor.next_seq.max(first_seq + 1)).max(expected);
            Segment::absent(expected, end, DropReason::UnreadableVersion)
        };
        expected = expected.max(segment.end);
        segments.push_back(segment);
    }
    if cursor.next_seq > expected {
        segments.push_back(Segment::absent(expected, cursor.next_seq, DropReason::Missing));
    }
    if condition == CursorCondition::Lost || condition == CursorCondition::Fresh {
        slot = 0;
    }
    // From here on there is more than the books say.
    cursor.clean = false;
    cursor.epoch += u32::from(!planted(Mistake::ReuseEpoch));
    let lane = Lane::new(cursor, random() as u32, segments);
    report.lost += lane.lost();
    Ok((lane, Tail { generation, slot, ..Tail::default() }))
}

/// What the books say, and the slot that the next ones go to.
fn read_cursor(store: &mut dyn Store, name: &str) -> io::Result<(CursorFound, u64)> {
    let mut bytes = vec![0; CURSOR_BYTES];
    let read = match store.read(name, 0, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            store.create(name, CURSOR_BYTES as u64)?;
            0
        }
        read => read?,
    };
    if read > 0 {
        // A killed process may have left it unsynced, and the other slot is written next.
        store.sync(name)?;
    }
    let (found, newest) = Cursor::decode(&bytes[..read]);
    if found == CursorFound::Newer {
        store.remove(name, Removal::SetAside)?;
        store.create(name, CURSOR_BYTES as u64)?;
    }
    // Filled up to its length, so that later writes need no new space.
    if read < CURSOR_BYTES || found == CursorFound::Newer {
        let from = if found == CursorFound::Newer { 0 } else { read };
        store.write(name, from as u64, &vec![0; CURSOR_BYTES - from])?;
    }
    Ok((found, newest + 1))
}

/// The cursor to go on with: in step with what the segments say.
fn start_cursor(found: CursorFound, located: &[Located]) -> (Cursor, CursorCondition) {
    let (mut cursor, condition) = match found {
        CursorFound::Intact(cursor) => (cursor, CursorCondition::Intact),
        CursorFound::OneSlotDamaged(cursor) => (cursor, CursorCondition::OneSlotDamaged),
        CursorFound::Blank if located.is_empty() => (new_cursor(located), CursorCondition::Fresh),
        CursorFound::Blank | CursorFound::Lost | CursorFound::Newer => {
            (new_cursor(located), CursorCondition::Lost)
        }
    };
    // Without the latest cursor nobody knows what became of the records before the oldest segment;
    // most likely they were acknowledged, so they must not be reported as lost.
    let oldest = located.iter().map(|located| located.identity.first_seq).min();
    let unknown = oldest.map_or(0, |oldest| (oldest - 1).saturating_sub(cursor.released_through));
    if condition != CursorCondition::Intact && unknown > 0 {
        cursor.unaccounted += unknown;
        cursor.released_through += unknown;
        cursor.told_through = cursor.released_through;
        cursor.untold = Default::default();
        cursor.next_seq = cursor.next_seq.max(cursor.released_through + 1);
    }
    let last_epoch = located.iter().map(|located| located.identity.epoch).max();
    cursor.epoch = cursor.epoch.max(last_epoch.unwrap_or(0));
    (cursor, condition)
}

fn new_cursor(located: &[Located]) -> Cursor {
    let known = located.iter().rev().find_map(|located| located.buffer_id);
    let buffer_id = known.unwrap_or_else(|| u128::from(random()) << 64 | u128::from(random()));
    Cursor { buffer_id, next_seq: 1, ..Cursor::default() }
}

/// By its footer, or by reading it if it has none or is settled in part.
fn recover_segment(
    store: &mut dyn Store,
    located: &Located,
    from_seq: u64,
    successor: Option<u64>,
    cursor: &Cursor,
) -> io::Result<(Segment, bool)> {
    let SegmentName { first_seq, salt, .. } = located.identity;
    let file_len = located.len.unwrap_or(0);
    let footer = read_footer(store, &located.file, file_len, salt)?;
    let footer = footer.filter(|(footer, _)| {
        footer.end_seq >= first_seq
            && footer.tally.total() == footer.end_seq - first_seq
            && successor.is_none_or(|successor| footer.end_seq <= successor)
    });
    let len = footer.as_ref().map_or(file_len, |(_, len)| *len);
    if footer.is_none() {
        // What was reserved and not used goes back. The segment is whole without this.
        let _ = store.truncate(&located.file, file_len);
    }
    if footer.is_none() || successor.is_none() {
        // A killed process may have left it in the page cache. If it cannot be synced it can still be delivered.
        let _ = store.sync(&located.file);
    }
    let footer_end = footer.as_ref().map(|(footer, _)| footer.end_seq);
    let exact = if cursor.clean { Some(cursor.next_seq.max(from_seq)) } else { footer_end };
    let known_end = successor.or(footer_end).unwrap_or(cursor.next_seq);
    let limit = successor.or(exact).unwrap_or(u64::MAX);
    let (mut tally, mut end, mut torn) = (Tally::default(), known_end.max(from_seq), false);
    match footer {
        Some((footer, _)) if from_seq == first_seq && footer.end_seq == known_end => tally = footer.tally,
        _ if from_seq >= limit => {}
        _ => {
            let (name, seq, offset) = (located.file.clone(), first_seq, SEGMENT_HEADER_BYTES as u64);
            let mut frames = Frames::new(Extent { name, salt, offset, seq, len, from_seq, known_end, limit });
            while let Some(found) = frames.next(store)? {
                found.add_to(&mut tally);
            }
            (end, torn) = (frames.seq().max(from_seq), frames.torn_tail());
        }
    }
    let file = Some((located.file.clone(), located.identity));
    let disk_bytes = blocks(file_len);
    Ok((
        Segment { file, len, disk_bytes, tally, ..Segment::absent(from_seq, end, DropReason::Missing) },
        torn,
    ))
}

/// An intact footer, and where it begins.
pub(crate) fn read_footer(
    store: &mut dyn Store,
    name: &str,
    file_len: u64,
    salt: u32,
) -> io::Result<Option<(Footer, u64)>> {
    let Some(at) = file_len.checked_sub(TRAILER_BYTES as u64) else { return Ok(None) };
    let mut trailer = [0; TRAILER_BYTES];
    if store.read(name, at, &mut trailer)? < TRAILER_BYTES {
        return Ok(None);
    }
    let len = Footer::len_of(&trailer).filter(|len| *len as u64 + SEGMENT_HEADER_BYTES as u64 <= file_len);
    let Some(len) = len else { return Ok(None) };
    let (start, mut bytes) = (file_len - len as u64, vec![0; len]);
    let read = store.read(name, start, &mut bytes)?;
    Ok(if read < len { None } else { Footer::decode(&bytes, salt).map(|footer| (footer, start)) })
}

/// Numbers that differ between processes and calls. The standard library seeds its hash maps from the system;
/// salts and identities need no more than that.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
