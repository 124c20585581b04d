//! Flipped bytes, cut files, missing files: only the records that were hit are lost, and they are counted.

use std::fs;
use std::io;
use std::path::Path;

use zastava_buffer::{
    Buffer, CursorCondition, Disk, DropReason, Durability, Kind, StorageHealth, block_on, read_all, verify,
};

use crate::support::{
    Drained, Hooked, close, copy, drain, files, fill, kind, open, payload, roomy, rounds, scratch, segments,
    small,
};

const RECORDS: u64 = 300;

/// A directory with sealed segments, an unsealed one as after a crash, and a cursor in the middle of the first.
fn template() -> tempfile::TempDir {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    fill(&producer, 1..=RECORDS - 20);
    block_on(consumer.next_batch(10, 1 << 20)).expect("open").ack();
    close(&producer);
    let (producer, _consumer, _) = open(directory.path(), small());
    fill(&producer, RECORDS - 19..=RECORDS);
    crate::support::flush(&producer);
    let killed = copy(directory.path());
    close(&producer);
    killed
}

/// Opens the directory, drains it and checks that it still works. Returns what was drained, and whether the cursor was
/// damaged, so that acknowledged records may have been delivered again.
fn survive(directory: &Path) -> (Drained, bool) {
    let (producer, mut consumer, report) = open(directory, small());
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    let stats = producer.stats();
    assert!(stats.is_balanced() && stats.pending == 0, "{stats}");
    assert_eq!(stats.dropped.total(), drained.lost());
    // It takes records again, and these are delivered.
    let next = producer.push(Kind(9), b"still working").seq().expect("there is room");
    assert_eq!(drain(&mut consumer).seqs(), [next]);
    close(&producer);
    (drained, report.cursor != CursorCondition::Intact)
}

#[test]
fn a_flipped_byte_costs_one_record_at_most() {
    let template = template();
    let paths: Vec<_> = files(template.path()).into_iter().filter(|path| !path.ends_with("lock")).collect();
    let flips = rounds("ZASTAVA_BUFFER_FLIPS", 10_000);
    let total: usize = paths.iter().map(|path| fs::read(path).expect("read").len()).sum();
    let (mut more_than_one, mut lost_any, mut worst, mut all_lost, mut with_kind) = (0, 0, 0, 0, 0);
    for flip in 0..flips {
        // Spread over all bytes of all files, another bit pattern each time.
        let mut at = flip * 7919 % total;
        let path = paths.iter().find(|path| {
            let len = fs::read(path).expect("read").len();
            if at < len {
                true
            } else {
                at -= len;
                false
            }
        });
        let directory = copy(template.path());
        let path =
            directory.path().join(path.expect("in range").strip_prefix(template.path()).expect("below"));
        let mut bytes = fs::read(&path).expect("read");
        bytes[at] ^= 1 + (flip % 255) as u8;
        fs::write(&path, bytes).expect("write");
        let (drained, _) = survive(directory.path());
        let lost = drained.lost();
        let kinds = drained.gaps.iter().flat_map(|gap| gap.counts.iter());
        with_kind += kinds.filter(|(kind, ..)| kind.is_some()).map(|(.., count)| count).sum::<u64>();
        all_lost += lost;
        assert!(drained.seqs().len() as u64 + lost >= RECORDS - 10, "flip {flip}");
        more_than_one += usize::from(lost > 1);
        lost_any += usize::from(lost > 0);
        worst = worst.max(lost);
    }
    crate::support::report(&format!(
        "{flips} flips: {lost_any} lost a record, {more_than_one} more than one, {worst} at most; {with_kind} of {all_lost} by kind"
    ));
    assert!(more_than_one * 100 <= flips, "{more_than_one} of {flips}");
    assert!(worst <= 40, "never more than a segment");
}

#[test]
fn a_file_cut_at_any_offset_opens() {
    let template = template();
    let mut cuts = 0;
    for path in files(template.path()).into_iter().filter(|path| !path.ends_with("lock")) {
        let len = fs::read(&path).expect("read").len();
        // The cursor has two slots of mostly nothing.
        let step = if path.extension().is_some() { 1 } else { 97 };
        let step = step * rounds("ZASTAVA_BUFFER_CUT_STEP", 3);
        for cut in (0..len).step_by(step) {
            let directory = copy(template.path());
            let target = directory.path().join(path.strip_prefix(template.path()).expect("below"));
            fs::OpenOptions::new()
                .write(true)
                .open(target)
                .and_then(|file| file.set_len(cut as u64))
                .expect("cut");
            survive(directory.path());
            cuts += 1;
        }
    }
    crate::support::report(&format!("{cuts} cuts"));
    assert!(cuts > 1000);
}

#[test]
fn a_missing_segment_is_counted_and_reported() {
    let template = template();
    let all = segments(template.path());
    for missing in &all {
        let directory = copy(template.path());
        fs::remove_file(directory.path().join(missing.file_name().expect("a name"))).expect("ours");
        let (drained, _) = survive(directory.path());
        // The accounting knows of the newest segment only if it was written after that segment.
        assert!(drained.lost() > 0 || missing == all.last().expect("some"));
        let reasons = drained.gaps.iter().flat_map(|gap| gap.counts.iter()).map(|count| count.1);
        assert!(reasons.into_iter().all(|reason| reason == DropReason::Missing));
    }
}

#[test]
fn a_destroyed_stretch_is_counted_by_kind() {
    let template = template();
    let path = segments(template.path())[1].clone();
    let mut bytes = fs::read(&path).expect("read");
    let len = bytes.len();
    bytes[len / 4..len / 2].fill(0xEE);
    fs::write(&path, bytes).expect("write");
    let (drained, _) = survive(template.path());
    // One record lost its payload, those behind it all they had.
    let (first, last) = (drained.gaps[0].first_seq, drained.gaps[drained.gaps.len() - 1].last_seq);
    assert_eq!(drained.lost(), last - first + 1);
    for of in [Kind(0), Kind(1), Kind(2)] {
        let expected = (first..=last).filter(|seq| kind(*seq) == of).count() as u64;
        let told =
            drained.gaps.iter().map(|gap| gap.counts.count(Some(of), DropReason::Corrupt)).sum::<u64>();
        assert_eq!(told, expected, "{:?}", drained.gaps);
    }
}

#[test]
fn a_file_that_comes_back_after_an_orderly_end_is_void() {
    let (directory, other) = (scratch(), scratch());
    let (producer, mut consumer, _) = open(directory.path(), small());
    fill(&producer, 1..=10);
    drain(&mut consumer);
    close(&producer);
    let (producer, ..) = open(other.path(), small());
    fill(&producer, 1..=20);
    close(&producer);
    // As after a power cut before the directory was synced; its footer says more than was ever given for good.
    for path in segments(other.path()) {
        fs::copy(&path, directory.path().join(path.file_name().expect("a name"))).expect("copied");
    }
    let (drained, _) = survive(directory.path());
    assert_eq!((drained.records.len(), drained.lost()), (0, 0));
}

#[test]
fn foreign_files_are_left_alone() {
    let directory = scratch();
    let names =
        ["notes.txt", "00-00000001-00000001-0000000000000000-00000000.seg", ".hidden", "cursor", "x.seg"];
    for name in names {
        fs::write(directory.path().join(name), name).expect("write");
    }
    survive(directory.path());
    for name in names {
        assert_eq!(fs::read(directory.path().join(name)).expect("still there"), name.as_bytes());
    }
}

#[test]
fn a_segment_of_another_directory_is_left_alone() {
    let (directory, other) = (scratch(), scratch());
    for _ in 0..2 {
        // The second opening has a later epoch.
        let (producer, ..) = open(other.path(), small());
        crate::support::flush(&producer);
        block_on(producer.push_wait(Kind(1), b"foreign")).expect("accepted");
        close(&producer);
    }
    let (producer, ..) = open(directory.path(), small());
    fill(&producer, 1..=50);
    close(&producer);
    for path in segments(other.path()) {
        let name = path.file_name().expect("a file");
        fs::copy(&path, directory.path().join(name)).expect("copied");
    }
    let (producer, mut consumer, report) = open(directory.path(), small());
    assert_eq!((report.foreign_files, report.pending, report.lost), (2, 50, 0));
    let drained = drain(&mut consumer);
    drained.assert_genuine();
    assert_eq!(drained.records.len(), 50);
    close(&producer);
}

#[test]
fn a_segment_that_cannot_be_read_does_not_keep_others_from_being_written() {
    let directory = scratch();
    // More segments than are held open.
    let options = roomy(1 << 20, 4096);
    let (producer, ..) = open(directory.path(), options.clone());
    fill(&producer, 1..=1000);
    close(&producer);
    let oldest = segments(directory.path()).remove(0);
    let (producer, mut consumer, _) = open(directory.path(), options);
    let away = directory.path().join("away");
    fs::rename(&oldest, &away).expect("moved");
    fs::create_dir(&oldest).expect("created");
    assert!(consumer.try_next_batch(10, 1000).is_none(), "it has to be read");
    block_on(producer.health_changed(StorageHealth::Ok));
    let durable = block_on(producer.push_durable(Kind(2), &payload(1001), Durability::Power));
    assert!(matches!(durable, Ok(1001)), "{durable:?} {:?} {}", producer.health(), producer.stats());
    fs::remove_dir(&oldest).expect("ours");
    fs::rename(&away, &oldest).expect("moved");
    let drained = drain(&mut consumer);
    assert_eq!((drained.records.len(), drained.lost()), (1001, 0));
    close(&producer);
}

#[test]
fn a_bad_sector_does_not_keep_the_buffer_from_opening() {
    let directory = scratch();
    let (producer, ..) = open(directory.path(), roomy(4 << 20, 64 << 10));
    (0..200).for_each(|_| assert!(producer.push(Kind(1), &[7; 900]).seq().is_some()));
    close(&producer);
    let path = directory.path().to_owned();
    let bad_sector = move || {
        Ok(Hooked {
            disk: Disk::open(&path, 0)?,
            // Well before the footer, in the first segment alone.
            before_read: |name, offset, len| {
                let is_bad = name.contains("-0000000000000001-")
                    && (offset..offset + len as u64).contains(&(54 << 10));
                if is_bad { Err(io::Error::from_raw_os_error(5)) } else { Ok(()) }
            },
            before_write: |_| {},
        })
    };
    let (producer, mut consumer, report) =
        Buffer::open_store(bad_sector, roomy(4 << 20, 64 << 10)).expect("opened");
    assert_eq!((report.pending, report.lost), (200, 0), "{report:?}");
    let drained = drain(&mut consumer);
    assert_eq!(drained.records.len() as u64 + drained.lost(), 200, "{drained:?}");
    assert!((1..=10).contains(&drained.lost()), "{drained:?}");
    close(&producer);
}

#[test]
fn verify_finds_what_is_damaged_and_changes_nothing() {
    let template = template();
    let path = segments(template.path())[1].clone();
    let mut bytes = fs::read(&path).expect("read");
    bytes[64 + 40] ^= 1;
    fs::write(&path, &bytes).expect("write");
    let before: Vec<_> = files(template.path())
        .iter()
        .filter(|path| !path.ends_with("lock"))
        .map(|path| fs::read(path).expect("read"))
        .collect();
    let verified = verify(&mut Disk::open(template.path(), 0).expect("opens")).expect("reads");
    assert_eq!((verified.records, verified.lost.total()), (RECORDS - 1, 1), "{verified:?}");
    let after: Vec<_> = files(template.path())
        .iter()
        .filter(|path| !path.ends_with("lock"))
        .map(|path| fs::read(path).expect("read"))
        .collect();
    assert!(before == after);
}

#[test]
fn read_all_shows_every_intact_record_in_order() {
    let template = template();
    let mut numbers = Vec::new();
    let mut disk = Disk::open(template.path(), 0).expect("opens");
    let report = read_all(&mut disk, &mut |record| numbers.push(record.seq)).expect("reads");
    assert_eq!((report.records, numbers.len() as u64), (RECORDS, RECORDS));
    assert!(numbers.is_sorted());
}
