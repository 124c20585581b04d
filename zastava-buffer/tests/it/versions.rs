//! Directories of other versions: version 1 is read for ever, newer versions are set aside.

use std::fs;
use std::path::{Path, PathBuf};

use zastava_buffer::{CursorCondition, DropReason};

use crate::support::{close, copy, drain, fill, flush, kind, open, scratch, segments, small};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// Writes the golden directories of the current version; they are checked in once and never changed:
/// `ZASTAVA_BUFFER_GOLDEN=1 cargo test -p stellaops-zastava-buffer --test it golden`.
#[test]
fn golden_directories_can_be_made() {
    let (plain, killed) = (scratch(), scratch());
    let (producer, mut consumer, _) = open(plain.path(), small());
    fill(&producer, 1..=120);
    zastava_buffer::block_on(consumer.next_batch(15, 1 << 20)).expect("open").ack();
    close(&producer);
    let (producer, _consumer, _) = open(killed.path(), small());
    fill(&producer, 1..=50);
    flush(&producer);
    let torn = copy(killed.path());
    close(&producer);
    let path = segments(torn.path()).pop().expect("one");
    let mut bytes = fs::read(&path).expect("read");
    bytes.truncate(bytes.len() - 5);
    bytes[64 + 32] ^= 1;
    fs::write(&path, bytes).expect("write");
    for (name, directory) in [("v1-closed", &plain), ("v1-torn-and-damaged", &torn)] {
        let target = golden(name);
        if std::env::var_os("ZASTAVA_BUFFER_GOLDEN").is_some() && !target.exists() {
            fs::create_dir_all(&target).expect("created");
            for path in crate::support::files(directory.path()).iter().filter(|path| !path.ends_with("lock"))
            {
                fs::copy(path, target.join(path.file_name().expect("a name"))).expect("copied");
            }
        }
        assert!(target.is_dir(), "{name} is checked in");
    }
}

#[test]
fn a_directory_of_version_1_is_read() {
    let directory = copy(&golden("v1-closed"));
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert_eq!(
        (report.pending, report.lost, report.unclean, report.cursor),
        (105, 0, false, CursorCondition::Intact)
    );
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!(drained.seqs(), (16..=120).collect::<Vec<_>>());
    fill(&producer, [121]);
    close(&producer);
}

#[test]
fn a_damaged_directory_of_version_1_is_read() {
    let directory = copy(&golden("v1-torn-and-damaged"));
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert!(report.unclean && report.torn_tail, "{report:?}");
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!((drained.lost(), drained.gaps[0].first_seq), (1, 1));
    assert_eq!(drained.gaps[0].counts.count(Some(kind(1)), DropReason::Corrupt), 1);
    assert_eq!(drained.seqs(), (2..=49).collect::<Vec<_>>());
    close(&producer);
}

/// Makes a header or slot claim version 2, with a valid checksum.
fn make_newer(path: &Path, offset: usize, crc_at: usize, checked: usize) {
    let mut bytes = fs::read(path).expect("read");
    bytes[offset + 8] = 2;
    let crc = crc32c::crc32c(&bytes[offset..offset + checked]);
    bytes[offset + crc_at..offset + crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    fs::write(path, bytes).expect("write");
}

#[test]
fn a_newer_segment_is_set_aside_counted_and_kept() {
    let directory = copy(&golden("v1-closed"));
    let all = segments(directory.path());
    make_newer(&all[1], 0, 60, 60);
    let bytes = fs::read(&all[1]).expect("read");
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert_eq!(report.set_aside_files, 1);
    assert!(report.lost > 0);
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!(
        drained.gaps[0].counts.iter().map(|count| count.1).collect::<Vec<_>>(),
        [DropReason::UnreadableVersion]
    );
    assert_eq!(drained.records.len() as u64 + drained.lost(), 105);
    let name = all[1].file_name().expect("a name");
    assert_eq!(fs::read(directory.path().join("aside").join(name)).expect("kept"), bytes);
    assert!(producer.stats().set_aside_bytes > 0);
    fill(&producer, [121]);
    close(&producer);
}

#[test]
fn a_newer_cursor_is_set_aside_and_records_come_again() {
    let directory = copy(&golden("v1-closed"));
    let cursor = directory.path().join("cursor-00");
    let mut bytes = fs::read(&cursor).expect("read");
    (bytes[8], bytes[4096 + 8]) = (2, 2);
    fs::write(&cursor, &bytes).expect("write");
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert_eq!((report.cursor, report.set_aside_files), (CursorCondition::Lost, 1));
    let drained = drain(&mut consumer);
    assert_eq!((drained.records.len(), drained.lost()), (120, 0), "also what was acknowledged");
    assert_eq!(fs::read(directory.path().join("aside/cursor-00")).expect("kept"), bytes);
    close(&producer);
}

/// Writes the checksum at the end of a frame header or footer, from the salt of the segment.
fn seal(segment: &[u8], bytes: &mut [u8]) {
    let salt = u32::from_le_bytes(segment[20..24].try_into().expect("a header"));
    let (checked, rest) = bytes.split_at_mut(bytes.len() - 4);
    rest.copy_from_slice(&crc32c::crc32c_append(salt, checked).to_le_bytes());
}

#[test]
fn a_record_that_claims_more_than_one_number_is_damage() {
    let directory = copy(&golden("v1-closed"));
    let path = segments(directory.path()).pop().expect("one");
    let mut bytes = fs::read(&path).expect("read");
    let mut header = bytes[64..96].to_vec();
    header[20] = 3;
    seal(&bytes, &mut header);
    bytes[64..96].copy_from_slice(&header);
    fs::write(&path, bytes).expect("write");
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert_eq!(report.pending, 105, "{report:?}");
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!((drained.records.len(), drained.lost()), (104, 1));
    close(&producer);
}

#[test]
fn a_footer_of_counts_beyond_reason_is_no_footer() {
    let directory = copy(&golden("v1-closed"));
    let path = segments(directory.path()).pop().expect("one");
    let mut bytes = fs::read(&path).expect("read");
    let mut trailer = bytes.split_off(bytes.len() - 32);
    let lines = usize::from(trailer[16]);
    bytes.truncate(bytes.len() - 16 * lines);
    trailer[16..20].copy_from_slice(&1024_u32.to_le_bytes());
    let line = |number: u16| {
        let mut line = [u8::MAX; 16];
        line[..2].copy_from_slice(&(number % 256).to_le_bytes());
        line[2] = 1 + (number / 256) as u8;
        line
    };
    let mut footer: Vec<u8> = (0..1024).flat_map(line).chain(trailer).collect();
    seal(&bytes, &mut footer);
    bytes.extend(footer);
    fs::write(&path, bytes).expect("write");
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert_eq!((report.pending, report.lost), (105, 0), "{report:?}");
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!(drained.seqs(), (16..=120).collect::<Vec<_>>());
    close(&producer);
}
