//! What the tests share: scratch directories, small records, draining, and the checks that must
//! hold at every moment.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use zastava_buffer::{Buffer, Entry, Gap, Kind, OpenReport, Options, Record, Stats};

/// A directory in memory where there is one: sweeps open thousands of buffers, and each syncs.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("scratch directory")
}

/// The smallest cap, with segments of one block.
pub(crate) fn small() -> Options {
    let mut options = Options::new(64 << 10);
    options.segment_bytes = 4096;
    options.record_bytes_max = 4000;
    options
}

pub(crate) fn open(directory: &Path, options: Options) -> (Buffer, OpenReport) {
    Buffer::open(directory, options).expect("the directory opens")
}

/// A record that tells its number, so that no other can pass for it.
pub(crate) fn payload(seq: u64) -> Vec<u8> {
    let text = format!("record {seq};");
    text.bytes().cycle().take(text.len() + seq as usize * 7 % 60).collect()
}

pub(crate) fn kind(seq: u64) -> Kind {
    Kind((seq % 3) as u8)
}

/// Pushes the next `count` records.
pub(crate) fn fill(buffer: &Buffer, count: u64) {
    for _ in 0..count {
        let seq = buffer.stats().next_seq;
        let admission = buffer.push(kind(seq), &payload(seq)).expect("push");
        assert_eq!((admission.seq, admission.evicted), (seq, 0));
    }
}

#[derive(Debug, Default)]
pub(crate) struct Drained {
    pub(crate) records: Vec<Record>,
    pub(crate) gaps: Vec<Gap>,
}

impl Drained {
    pub(crate) fn seqs(&self) -> Vec<u64> {
        self.records.iter().map(|record| record.seq).collect()
    }

    pub(crate) fn lost(&self) -> u64 {
        self.gaps.iter().map(Gap::records).sum()
    }

    /// The right bytes in the right order.
    pub(crate) fn assert_genuine(&self) {
        for record in &self.records {
            assert_eq!((record.kind, &record.bytes), (kind(record.seq), &payload(record.seq)));
        }
        assert!(self.records.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    }
}

/// Reads and acknowledges everything, in small batches. Every number must come exactly once.
pub(crate) fn drain(buffer: &Buffer) -> Drained {
    let mut drained = Drained::default();
    let mut last_seq = None;
    loop {
        let batch = buffer.next_batch(3, 100).expect("batch");
        let Some(through) = batch.last().map(Entry::last_seq) else { return drained };
        for entry in batch {
            let (first, last) = match entry {
                Entry::Record(record) => {
                    drained.records.push(record);
                    let seq = drained.records.last().expect("just pushed").seq;
                    (seq, seq)
                }
                Entry::Gap(gap) => {
                    drained.gaps.push(gap);
                    (gap.first_seq, gap.last_seq)
                }
                other => panic!("unknown entry {other:?}"),
            };
            assert!(last_seq.is_none_or(|last_seq| first == last_seq + 1), "{first} after {last_seq:?}");
            last_seq = Some(last);
        }
        buffer.ack_through(through).expect("ack");
        check_books(&buffer.stats());
    }
}

pub(crate) fn check_books(stats: &Stats) {
    assert_eq!(stats.accepted, stats.acked + stats.pending + stats.dropped.total(), "{stats:?}");
}

/// The files as the disk has them, against the cap and against what the buffer believes.
pub(crate) fn check_disk(directory: &Path, stats: &Stats) {
    let files = files(directory);
    let bytes: u64 = files.iter().map(|path| fs::metadata(path).expect("metadata").len()).sum();
    let allocated: u64 = files.iter().map(|path| fs::metadata(path).expect("metadata").blocks() * 512).sum();
    assert!(bytes <= stats.bytes_max && allocated <= stats.bytes_max, "{bytes} {allocated} {stats:?}");
    assert!(bytes <= stats.disk_bytes && stats.disk_bytes <= stats.bytes_max, "{bytes} {stats:?}");
}

/// All files below the directory, sorted.
pub(crate) fn files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).expect("list") {
        let path = entry.expect("entry").path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

pub(crate) fn segments(directory: &Path) -> Vec<PathBuf> {
    files(directory).into_iter().filter(|path| path.extension().is_some_and(|end| end == "seg")).collect()
}

/// The directory as a killed process would leave it: what was written, nothing that a drop adds.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = scratch();
    for path in files(from) {
        let target = to.path().join(path.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("parent")).expect("create");
        fs::copy(&path, target).expect("copy");
    }
    to
}
