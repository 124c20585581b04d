//! Recovers the lanes from the store. Old segments are never written to; a new epoch begins.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;

use super::{LaneIo, cursor_name};
use crate::counts::Counts;
use crate::drop_reason::DropReason;
use crate::format::{
    CURSOR_BYTES, Cursor, CursorFound, Footer, SEGMENT_HEADER_BYTES, SegmentHeader, SegmentName,
    TRAILER_BYTES,
};
use crate::lane::{Lane, Location, Segment, SeqRange};
use crate::mutation::{Mutation, is_planted};
use crate::options::{BufferOptions, CLASSES_MAX, blocks};
use crate::scan::{Extent, Frames, SegmentFile};
use crate::stats::{CursorCondition, OpenReport};
use crate::store::{Removal, Store, StoredFile};

pub(crate) struct Recovered {
    pub(crate) lanes: Vec<Lane>,
    pub(crate) lane_ios: Vec<LaneIo>,
    pub(crate) set_aside_bytes: u64,
    pub(crate) report: OpenReport,
}

/// A segment file whose frames have not been read yet.
pub(crate) struct Located {
    /// The file with its full length.
    pub(crate) file: SegmentFile,
    /// True if only a newer version can read it.
    pub(crate) is_newer: bool,
    pub(crate) is_damaged: bool,
    buffer_id: Option<u128>,
}

pub(crate) fn recover(store: &mut dyn Store, options: &BufferOptions) -> io::Result<Recovered> {
    let files = store.list()?;
    let mut report = OpenReport::default();
    let mut located = locate(store, &files)?;
    let has_cursor = |class: &usize| files.iter().any(|file| file.name == cursor_name(*class) && !file.aside);
    let found = (0..CLASSES_MAX).rev().find(|class| located.contains_key(class) || has_cursor(class));
    let classes = options.classes().max(found.map_or(0, |class| class + 1));
    let (mut lanes, mut lane_ios) = (Vec::new(), Vec::new());
    for class in 0..classes {
        let segments = located.remove(&class).unwrap_or_default();
        let (lane, lane_io) = recover_lane(store, class, segments, &mut report)?;
        lanes.push(lane);
        lane_ios.push(lane_io);
    }
    let aside: Vec<u64> =
        store.list()?.iter().filter(|file| file.aside).map(|file| blocks(file.len)).collect();
    report.set_aside_files = aside.len() as u64;
    let mut recovered = Recovered { lanes, lane_ios, set_aside_bytes: aside.iter().sum(), report };
    recovered.fit_and_save(store, options.bytes_max)?;
    Ok(recovered)
}

impl Recovered {
    /// Evicts down to the cap, which may be lower than before, oldest and lowest class first. Saves the cursors of the new
    /// epoch.
    fn fit_and_save(&mut self, store: &mut dyn Store, bytes_max: u64) -> io::Result<()> {
        let others = (self.lanes.len() * CURSOR_BYTES) as u64 + self.set_aside_bytes;
        let held = |lanes: &[Lane]| {
            let segments = lanes.iter().flat_map(|lane| &lane.segments).filter_map(SeqRange::segment);
            others + segments.map(|segment| segment.disk_bytes).sum::<u64>()
        };
        for class in (0..self.lanes.len()).rev() {
            while held(&self.lanes) > bytes_max && self.lanes[class].oldest().is_some() {
                self.report.evicted += self.lanes[class].evict(DropReason::CapLowered);
            }
            let lane = &mut self.lanes[class];
            // The epoch must be durable before a record is delivered under it. This also finds a directory that is not
            // writable now, and not at the first push.
            self.lane_ios[class].save(store, class, lane.checkpoint(false), true)?;
            for (file, _) in lane.garbage.drain(..) {
                store.remove(&file, Removal::Delete)?;
            }
        }
        self.report.pending = self.lanes.iter().map(Lane::pending).sum();
        store.sync_names()
    }
}

/// Lists all segments by class, in the order in which they were written.
pub(crate) fn locate(
    store: &mut dyn Store,
    files: &[StoredFile],
) -> io::Result<BTreeMap<usize, Vec<Located>>> {
    let mut classes: BTreeMap<usize, Vec<Located>> = BTreeMap::new();
    for StoredFile { name, len, .. } in files.iter().filter(|file| !file.aside) {
        let Some(identity) = SegmentName::parse(name) else { continue };
        let (class, mut header) = (identity.class, [0; SEGMENT_HEADER_BYTES]);
        let read = store.read(name, 0, &mut header)?;
        let file = SegmentFile { name: name.clone(), identity, len: *len };
        let mut located = Located { file, is_newer: false, is_damaged: false, buffer_id: None };
        match SegmentHeader::decode(&header[..read]) {
            // A header that names another class than the file name is not believed: its numbers belong to that class.
            SegmentHeader::Current { name, buffer_id } if name.class == class => {
                (located.file.identity, located.buffer_id) = (name, Some(buffer_id));
            }
            SegmentHeader::Newer => located.is_newer = true,
            _ => located.is_damaged = read == SEGMENT_HEADER_BYTES,
        }
        classes.entry(usize::from(class)).or_default().push(located);
    }
    classes.values_mut().for_each(|segments| segments.sort_by_key(|segment| segment.file.identity));
    Ok(classes)
}

fn recover_lane(
    store: &mut dyn Store,
    class: usize,
    mut located: Vec<Located>,
    report: &mut OpenReport,
) -> io::Result<(Lane, LaneIo)> {
    let CursorFound { cursor, condition, slot, .. } = read_cursor(store, &cursor_name(class))?;
    // Segments of another buffer are left alone, like any other foreign file.
    if let Some(Cursor { buffer_id, .. }) = &cursor {
        let found = located.len();
        located.retain(|located| located.buffer_id.is_none_or(|id| id == *buffer_id));
        report.foreign_files += (found - located.len()) as u64;
    }
    // A directory with segments must have had a cursor.
    let is_new = condition == CursorCondition::Fresh && located.is_empty();
    let condition = if cursor.is_some() || is_new { condition } else { CursorCondition::Lost };
    let mut cursor = start_cursor(cursor, condition, &located);
    report.cursor = report.cursor.max(condition);
    report.damaged_headers += located.iter().filter(|located| located.is_damaged).count() as u64;
    report.unclean |= !is_new && !cursor.clean;
    let lane_io = LaneIo { generation: cursor.generation, slot: slot + 1, ..LaneIo::default() };
    let mut expected = cursor.released_through + 1;
    let mut segments = VecDeque::new();
    for (at, segment) in located.iter().enumerate() {
        let successor = located.get(at + 1).map(|next| next.file.identity.first_seq);
        let first_seq = segment.file.identity.first_seq;
        // A segment reaches to the first number of its successor, so only the first one can leave a hole.
        if first_seq > expected {
            segments.push_back(SeqRange::lost(expected, first_seq, DropReason::Missing));
            expected = first_seq;
        }
        let range = if segment.is_newer {
            store.remove(&segment.file.name, Removal::SetAside)?;
            // At least the first record of the segment is lost.
            let end = successor.unwrap_or_else(|| cursor.next_seq.max(first_seq + 1)).max(expected);
            SeqRange::lost(expected, end, DropReason::UnreadableVersion)
        } else {
            let (range, torn) = recover_segment(store, &segment.file, expected, successor, &cursor)?;
            report.torn_tail |= torn && successor.is_none();
            range
        };
        expected = expected.max(range.end);
        segments.push_back(range);
    }
    if cursor.next_seq > expected {
        segments.push_back(SeqRange::lost(expected, cursor.next_seq, DropReason::Missing));
    }
    report.lost += segments.iter().map(|range| range.counts.drops().total()).sum::<u64>();
    // Released numbers that were not reported become a lost range, which is reported now.
    let (from, end) = (cursor.reported_through + 1, cursor.released_through + 1);
    let counts = std::mem::take(&mut cursor.unreported);
    counts.iter().for_each(|(key, count)| drop(cursor.dropped.take(key, count)));
    segments.push_front(SeqRange { from, end, counts, location: Location::Lost });
    // The new epoch makes the cursor on disk out of date.
    cursor.epoch += u32::from(!is_planted(Mutation::ReuseEpoch));
    let mut lane = Lane::new(cursor, random() as u32, segments);
    lane.sweep();
    Ok((lane, lane_io))
}

/// Reads the cursor file. Creates it if it is missing, and sets it aside if only a newer version can read it.
fn read_cursor(store: &mut dyn Store, name: &str) -> io::Result<CursorFound> {
    let mut bytes = vec![0; CURSOR_BYTES];
    let mut read = match store.read(name, 0, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            store.create(name, 0)?;
            0
        }
        read => read?,
    };
    if read > 0 {
        // A killed process may have left this slot unsynced. It must be durable before the other slot is written.
        store.sync(name)?;
    }
    let found = Cursor::decode(&bytes[..read]);
    if found.is_newer {
        store.remove(name, Removal::SetAside)?;
        store.create(name, 0)?;
        read = 0;
    }
    // Filled to its full length, so that later writes need no new space.
    if read < CURSOR_BYTES {
        store.write(name, read as u64, &vec![0; CURSOR_BYTES - read])?;
    }
    Ok(found)
}

/// Returns the cursor to continue with, reconciled with the segments.
fn start_cursor(cursor: Option<Cursor>, condition: CursorCondition, located: &[Located]) -> Cursor {
    let known = || located.iter().rev().find_map(|located| located.buffer_id);
    let id = || known().unwrap_or_else(|| u128::from(random()) << 64 | u128::from(random()));
    let mut cursor = cursor.unwrap_or_else(|| Cursor { buffer_id: id(), next_seq: 1, ..Cursor::default() });
    // Without the latest cursor it is unknown what became of the records before the oldest segment. Most likely they
    // were acknowledged, so they must not be reported as lost.
    let oldest = located.iter().map(|located| located.file.identity.first_seq).min();
    let unknown = oldest.map_or(0, |oldest| (oldest - 1).saturating_sub(cursor.released_through));
    if condition != CursorCondition::Intact && unknown > 0 {
        cursor.unaccounted += unknown;
        cursor.released_through += unknown;
        cursor.reported_through = cursor.released_through;
        cursor.unreported = Counts::default();
        cursor.next_seq = cursor.next_seq.max(cursor.released_through + 1);
    }
    // The end was orderly only if no later epoch wrote anything.
    let last_epoch = located.iter().map(|located| located.file.identity.epoch).max().unwrap_or(0);
    cursor.clean &= cursor.epoch >= last_epoch;
    cursor.epoch = cursor.epoch.max(last_epoch);
    cursor
}

/// Recovers a segment from its footer, or by reading it if it has none or is settled in part. The flag says whether it
/// ends in a torn frame.
fn recover_segment(
    store: &mut dyn Store,
    file: &SegmentFile,
    from: u64,
    successor: Option<u64>,
    cursor: &Cursor,
) -> io::Result<(SeqRange, bool)> {
    let (extent, footer) = read_extent(store, file, from, successor, cursor)?;
    if footer.is_none() {
        // Releases the unused reservation. The segment is whole even if this fails.
        let _ = store.truncate(&file.name, file.len);
    }
    if footer.is_none() || successor.is_none() {
        // A killed process may have left it in the page cache only. If this fails it can still be delivered.
        let _ = store.sync(&file.name);
    }
    let segment = Segment { file: extent.file.clone(), disk_bytes: blocks(file.len), is_active: false };
    let (mut counts, mut end, mut torn) = (Counts::default(), extent.known_end.max(from), false);
    let is_known = |footer: &Footer| (file.identity.first_seq, footer.end_seq) == (from, extent.known_end);
    match footer {
        Some(footer) if is_known(&footer) => counts = footer.counts,
        _ if from >= extent.limit => {}
        _ => {
            let mut frames = Frames::new(extent, 0);
            while let Some(entry) = frames.next(store)? {
                entry.add_to(&mut counts);
            }
            (end, torn) = (frames.seq.max(from), frames.torn_tail);
        }
    }
    Ok((SeqRange { from, end, counts, location: Location::File(segment) }, torn))
}

/// Returns which numbers a segment holds, by its name, its footer, its successor and the cursor.
pub(crate) fn read_extent(
    store: &mut dyn Store,
    file: &SegmentFile,
    from_seq: u64,
    successor: Option<u64>,
    cursor: &Cursor,
) -> io::Result<(Extent, Option<Footer>)> {
    let (footer, len) = match read_footer(store, file)? {
        Some((footer, start))
            if footer.end_seq.checked_sub(file.identity.first_seq) == Some(footer.counts.total())
                && successor.is_none_or(|successor| footer.end_seq <= successor) =>
        {
            (Some(footer), start)
        }
        _ => (None, file.len),
    };
    let footer_end = footer.as_ref().map(|footer| footer.end_seq);
    let exact = if cursor.clean { Some(cursor.next_seq.max(from_seq)) } else { footer_end };
    let limit = successor.or(exact).unwrap_or(u64::MAX);
    // A power cut can bring back a removed file with void frames, or with a footer beyond the exact end.
    let known_end = successor.or(footer_end).unwrap_or(cursor.next_seq).min(limit);
    Ok((Extent { file: SegmentFile { len, ..file.clone() }, from_seq, known_end, limit }, footer))
}

/// Returns an intact footer and its offset. Reads nothing else, so that a bad sector among the frames does not keep the
/// buffer from opening.
fn read_footer(store: &mut dyn Store, file: &SegmentFile) -> io::Result<Option<(Footer, u64)>> {
    let mut read_end = |bytes: usize| {
        let start = file.len.saturating_sub(bytes as u64).max(SEGMENT_HEADER_BYTES as u64);
        let mut end = vec![0; file.len.saturating_sub(start) as usize];
        let read = store.read(&file.name, start, &mut end)?;
        end.truncate(read);
        io::Result::Ok((end, start))
    };
    let Some(len) = Footer::len_of(&read_end(TRAILER_BYTES)?.0) else { return Ok(None) };
    let (bytes, start) = read_end(len)?;
    Ok(Footer::decode(&bytes, file.identity.salt).map(|footer| (footer, start)))
}

/// Returns a number that differs between processes and calls. The standard library seeds its hash maps from the system;
/// salts and buffer ids need no more.
fn random() -> u64 {
    RandomState::new().hash_one(0)
}
