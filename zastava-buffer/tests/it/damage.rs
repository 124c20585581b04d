//! Damage of every kind at every place: opened, contained, counted, never delivered.

use std::fs;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zastava_buffer::{Buffer, CursorCondition, DropReason, Kind, OpenReport, Options};

use crate::support::{Drained, check_books, copy, drain, fill, open, scratch, segments, small};

const PER_SEGMENT: u64 = 5;
const SEGMENTS: u64 = 3;
const RECORDS: u64 = PER_SEGMENT * SEGMENTS;

/// How the last process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Dropped: the cursor knows the last number.
    Clean,
    /// Killed: only the log knows.
    Killed,
}

/// A directory with three short segments; each opening begins one. The first two records are
/// acknowledged.
fn sample(end: End) -> TempDir {
    let directory = scratch();
    for _ in 1..SEGMENTS {
        fill(&open(directory.path(), small()).0, PER_SEGMENT);
    }
    let (buffer, _) = open(directory.path(), small());
    buffer.next_batch(2, 1 << 20).expect("batch");
    buffer.ack_through(2).expect("ack");
    fill(&buffer, PER_SEGMENT);
    match end {
        End::Killed => copy(directory.path()),
        End::Clean => {
            drop(buffer);
            directory
        }
    }
}

/// Opens what is there, drains it, and checks what must hold whatever was done to the files.
fn open_and_drain(directory: &Path) -> (OpenReport, Drained, Buffer) {
    let (buffer, report) = open(directory, small());
    check_books(&buffer.stats());
    assert_eq!(buffer.stats().pending, report.pending);
    let drained = drain(&buffer);
    drained.assert_genuine();
    assert_eq!((drained.records.len() as u64, drained.lost()), (report.pending, report.lost));
    check_books(&buffer.stats());
    fill(&buffer, 1);
    assert_eq!(drain(&buffer).records.len(), 1, "the queue goes on");
    (report, drained, buffer)
}

/// Copies the sample, lets `damage` loose on one file of the copy, and opens it.
fn with(sample: &TempDir, file: &Path, damage: impl FnOnce(&mut Vec<u8>)) -> (OpenReport, Drained, Buffer) {
    let damaged = copy(sample.path());
    let path = damaged.path().join(file.file_name().expect("name"));
    let mut bytes = fs::read(&path).expect("read");
    damage(&mut bytes);
    fs::write(&path, bytes).expect("write");
    open_and_drain(damaged.path())
}

#[test]
fn a_flipped_byte_in_a_segment_costs_one_record_at_most() {
    for end in [End::Clean, End::Killed] {
        let sample = sample(end);
        for file in segments(sample.path()) {
            for offset in 0..fs::metadata(&file).expect("metadata").len() as usize {
                for mask in [0x01, 0xFF] {
                    let (report, drained, buffer) = with(&sample, &file, |bytes| bytes[offset] ^= mask);
                    let place = format!("{end:?} {} {offset} {report:?} {drained:?}", file.display());
                    // The two acknowledged records are gone for good, or come again as one gap.
                    assert!(drained.lost() <= 1, "{place}");
                    assert_eq!(drained.records.len() as u64 + drained.lost(), RECORDS - 2, "{place}");
                    assert_eq!(report.damaged_headers, u64::from(offset < 64), "{place}");
                    assert!(drained.gaps.iter().all(|gap| gap.reason == DropReason::Corrupt), "{place}");
                    assert_eq!(buffer.stats().dropped.total(), drained.lost(), "{place}");
                    assert_eq!(buffer.stats().accepted, RECORDS + 1, "{place}");
                }
            }
        }
    }
}

#[test]
fn a_damaged_payload_is_counted_by_its_kind() {
    let sample = sample(End::Killed);
    let file = &segments(sample.path())[1];
    let (_, drained, buffer) = with(&sample, file, |bytes| bytes[64 + 32] ^= 1);
    let [gap] = drained.gaps[..] else { panic!("{drained:?}") };
    assert_eq!((gap.first_seq, gap.last_seq, gap.kind), (6, 6, Some(Kind(0))));
    assert_eq!(buffer.stats().dropped.count(Some(Kind(0)), DropReason::Corrupt), 1);
}

#[test]
fn a_flipped_byte_in_the_cursor_loses_nothing() {
    for end in [End::Clean, End::Killed] {
        let sample = sample(end);
        let file = sample.path().join("cursor");
        for offset in (0..200).chain((200..4096).step_by(97)).flat_map(|offset| [offset, 4096 + offset]) {
            let (report, drained, buffer) = with(&sample, &file, |bytes| bytes[offset] ^= 0xFF);
            let place = format!("{end:?} {offset} {report:?} {drained:?}");
            assert!(drained.gaps.is_empty(), "{place}");
            assert!(drained.records.len() as u64 >= RECORDS - 2, "{place}");
            assert_eq!(*drained.seqs().last().expect("records"), RECORDS, "{place}");
            assert_eq!(buffer.stats().dropped.total(), 0, "{place}");
        }
    }
}

#[test]
fn a_segment_cut_at_any_place_keeps_the_records_before_the_cut() {
    for end in [End::Clean, End::Killed] {
        let sample = sample(end);
        for (index, file) in segments(sample.path()).iter().enumerate() {
            let is_last = index as u64 == SEGMENTS - 1;
            for len in 0..fs::metadata(file).expect("metadata").len() as usize {
                let (report, drained, buffer) = with(&sample, file, |bytes| bytes.truncate(len));
                let place = format!("{end:?} {} {len} {report:?} {drained:?}", file.display());
                let found = drained.records.len() as u64 + drained.lost();
                if is_last && end == End::Killed {
                    // Nothing says that there was more; a number that is free again is given again.
                    assert!(found <= RECORDS - 2 && drained.lost() == 0, "{place}");
                } else {
                    assert_eq!(found, RECORDS - 2, "{place}");
                    assert_eq!(buffer.stats().accepted, RECORDS + 1, "{place}");
                    assert!(drained.gaps.iter().all(|gap| gap.reason == DropReason::Missing), "{place}");
                }
                assert!(drained.records.len() as u64 >= RECORDS - 2 - PER_SEGMENT, "{place}");
            }
        }
    }
}

#[test]
fn an_unfinished_record_at_the_end_is_normal() {
    let sample = sample(End::Killed);
    let file = &segments(sample.path())[2];
    let (report, drained, _) = with(&sample, file, |bytes| {
        let next_frame = bytes[64..64 + 40].to_vec();
        bytes.extend_from_slice(&next_frame[..20]);
    });
    assert!(report.torn_tail);
    assert_eq!((drained.records.len() as u64, drained.lost()), (RECORDS - 2, 0));
}

#[test]
fn the_cursor_may_be_missing_or_cut() {
    let sample = sample(End::Killed);
    let cursor = sample.path().join("cursor");
    for len in (0..8192).step_by(61) {
        let (_, drained, _) = with(&sample, &cursor, |bytes| bytes.truncate(len));
        assert!(drained.gaps.is_empty() && drained.records.len() as u64 >= RECORDS - 2, "{len}");
    }
    let without = copy(sample.path());
    fs::remove_file(without.path().join("cursor")).expect("remove");
    let (report, drained, buffer) = open_and_drain(without.path());
    assert_eq!((report.cursor, drained.records.len() as u64), (CursorCondition::Lost, RECORDS));
    assert_eq!(buffer.stats().accepted, RECORDS + 1);
}

#[test]
fn records_acknowledged_long_ago_are_not_missing_when_the_cursor_is_lost() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 300);
    buffer.next_batch(200, 1 << 20).expect("batch");
    buffer.ack_through(200).expect("ack");
    drop(buffer);
    fs::write(directory.path().join("cursor"), b"not a cursor").expect("write");
    let (report, drained, buffer) = open_and_drain(directory.path());
    assert_eq!((report.cursor, report.lost), (CursorCondition::Lost, 0));
    let oldest = drained.records[0].seq;
    assert!(oldest > 100 && oldest <= 201, "{oldest}");
    assert_eq!(buffer.stats().accepted, 300 - (oldest - 1) + 1);
}

#[test]
fn a_removed_segment_is_a_gap_of_exactly_its_records() {
    for removed in 0..3 {
        let damaged = copy(sample(End::Clean).path());
        fs::remove_file(&segments(damaged.path())[removed]).expect("remove");
        let (_, drained, buffer) = open_and_drain(damaged.path());
        let [gap] = drained.gaps[..] else { panic!("{removed} {drained:?}") };
        let (first, last) = [(3, 5), (6, 10), (11, 15)][removed];
        assert_eq!((gap.first_seq, gap.last_seq, gap.reason), (first, last, DropReason::Missing));
        assert_eq!(buffer.stats().dropped.count(None, DropReason::Missing), last - first + 1);
    }
}

#[test]
fn files_that_are_not_ours_are_left_alone() {
    let directory = scratch();
    let foreign: Vec<PathBuf> =
        ["notes.txt", "1-2-3.seg", "0000000000000001-00000000000000+1-00000000.seg", "lost+found"]
            .iter()
            .map(|name| directory.path().join(name))
            .collect();
    for path in &foreign {
        fs::write(path, b"hands off").expect("write");
    }
    let empty = directory.path().join("0000000000000001-0000000000000001-00000000.seg");
    fs::write(&empty, b"").expect("an empty segment");
    open_and_drain(directory.path());
    assert!(foreign.iter().all(|path| path.exists()) && !empty.exists());
}

#[test]
fn frames_inside_a_record_do_not_fool_the_recovery() {
    // The frames of another buffer, with the very numbers that this one is going to give.
    let other = scratch();
    let (buffer, _) = open(other.path(), small());
    for _ in 0..9 {
        let _ = buffer.push(Kind(9), b"not what was pushed here").expect("push");
    }
    let frames = fs::read(&segments(other.path())[0]).expect("read")[64..].to_vec();

    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 3);
    let carrier = fs::metadata(&segments(directory.path())[0]).expect("metadata").len() as usize;
    let _ = buffer.push(Kind(7), &frames).expect("push");
    fill(&buffer, 5);
    drop(buffer);
    // With its header damaged, the search runs through the payload.
    let file = &segments(directory.path())[0];
    let mut bytes = fs::read(file).expect("read");
    bytes[carrier + 4] ^= 1;
    fs::write(file, bytes).expect("write");
    let drained = drain(&open(directory.path(), small()).0);
    drained.assert_genuine();
    assert_eq!((drained.seqs(), drained.lost()), (vec![1, 2, 3, 5, 6, 7, 8, 9], 1));
}

#[test]
fn a_frame_whose_number_was_given_again_is_void() {
    // A write that failed after all its bytes had arrived, and could not be taken back.
    let refused = scratch();
    let (buffer, _) = open(refused.path(), small());
    fill(&buffer, 5);
    let directory = copy(refused.path());
    let _ = buffer.push(Kind(9), b"its push had failed").expect("push");
    fill(&open(directory.path(), small()).0, 3);
    fs::copy(&segments(refused.path())[0], &segments(directory.path())[0]).expect("copy");
    let (_, drained, _) = open_and_drain(directory.path());
    assert_eq!((drained.seqs(), drained.lost()), ((1..=8).collect(), 0));
}

#[test]
fn damage_after_opening_is_met_by_the_reader_and_keeps_the_books() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    fill(&buffer, 10);
    let file = &segments(directory.path())[0];
    let mut bytes = fs::read(file).expect("read");
    bytes[64] ^= 1;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).expect("write");
    let drained = drain(&buffer);
    drained.assert_genuine();
    assert_eq!((drained.records.len(), drained.lost()), (8, 2));
    assert_eq!((buffer.stats().acked, buffer.stats().dropped.total()), (8, 2));
}

#[test]
fn recovery_is_linear_in_hostile_bytes() {
    let name = "0000000000000001-0000000000000001-00000000.seg";
    for pattern in [&b"\xFFZ\xFEF"[..], b"\xFF", b"\0", b"\xFFZ\xFEF\x10\0\0\0"] {
        let directory = scratch();
        let bytes: Vec<u8> = pattern.iter().copied().cycle().take(8 << 20).collect();
        fs::write(directory.path().join(name), bytes).expect("write");
        let (buffer, report) = open(directory.path(), Options::default());
        assert_eq!((report.pending, report.lost), (0, 1));
        drain(&buffer);
    }
}
