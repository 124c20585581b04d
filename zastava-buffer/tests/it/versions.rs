//! Directories of a newer version: what cannot be read is kept, counted, and in nobody's way.

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use zastava_buffer::{CursorCondition, DropReason};

use crate::support::{check_books, drain, fill, open, scratch, segments, small};

/// Three segments of five records each.
fn sample() -> TempDir {
    let directory = scratch();
    for _ in 0..3 {
        fill(&open(directory.path(), small()).0, 5);
    }
    directory
}

/// Makes a segment claim a newer version, with a right checksum; its new content.
fn upgrade(path: &Path, version: u16, must_understand: u32) -> Vec<u8> {
    let mut bytes = fs::read(path).expect("read");
    bytes[8..10].copy_from_slice(&version.to_le_bytes());
    bytes[16..20].copy_from_slice(&must_understand.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..60]);
    bytes[60..64].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, &bytes).expect("write");
    bytes
}

#[test]
fn a_newer_segment_is_set_aside_and_counted() {
    for (version, must_understand) in [(2, 0), (1, 1)] {
        let directory = sample();
        let newer = &segments(directory.path())[1];
        let bytes = upgrade(newer, version, must_understand);
        let (buffer, report) = open(directory.path(), small());
        assert_eq!((report.set_aside_files, report.pending, report.lost), (1, 10, 5));
        let [gap] = drain(&buffer).gaps[..] else { panic!("{report:?}") };
        assert_eq!((gap.first_seq, gap.last_seq, gap.reason), (6, 10, DropReason::UnreadableVersion));
        assert_eq!((buffer.stats().accepted, buffer.stats().set_aside_bytes), (15, 4096));
        drop(buffer);
        let aside = directory.path().join("aside").join(newer.file_name().expect("name"));
        assert_eq!(fs::read(aside).expect("kept"), bytes);
        assert_eq!(open(directory.path(), small()).1.set_aside_files, 1);
    }
}

#[test]
fn a_feature_that_may_be_ignored_is_ignored() {
    let directory = sample();
    let path = &segments(directory.path())[1];
    let mut bytes = fs::read(path).expect("read");
    bytes[12] = 1;
    fs::write(path, bytes).expect("write");
    upgrade(path, 1, 0);
    let (_, report) = open(directory.path(), small());
    assert_eq!((report.set_aside_files, report.damaged_headers, report.pending), (0, 0, 15));
}

#[test]
fn a_directory_of_newer_segments_alone_does_not_stop_the_queue() {
    let directory = sample();
    for path in segments(directory.path()) {
        upgrade(&path, 9, 0);
    }
    // A cursor of the newer version too: both of its slots.
    let cursor = directory.path().join("cursor");
    let mut bytes = fs::read(&cursor).expect("read");
    bytes[8] = 9;
    bytes[4096 + 8] = 9;
    fs::write(&cursor, &bytes).expect("write");

    let (buffer, report) = open(directory.path(), small());
    assert_eq!((report.cursor, report.set_aside_files), (CursorCondition::Lost, 4));
    fill(&buffer, 3);
    let drained = drain(&buffer);
    assert_eq!(drained.records.len(), 3);
    assert!(drained.seqs()[0] > 11, "the numbers known to be given are not given again");
    check_books(&buffer.stats());
}

#[test]
fn an_older_directory_opens_unchanged_after_a_newer_cursor_was_lost() {
    let directory = sample();
    let path = directory.path().join("cursor");
    let mut bytes = fs::read(&path).expect("read");
    bytes[8] = 2;
    bytes[4096 + 8] = 2;
    fs::write(&path, &bytes).expect("write");
    let (buffer, report) = open(directory.path(), small());
    assert_eq!((report.cursor, report.set_aside_files), (CursorCondition::Lost, 1));
    assert_eq!(drain(&buffer).seqs(), (1..=15).collect::<Vec<_>>());
}
