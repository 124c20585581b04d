//! Shared by the tests: scratch directories, records that name their number, and invariants.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use zastava_buffer::{
    Buffer, BufferOptions, Commit, Consumer, Disk, Durability, Entry, Gap, Kind, OnUnavailable, OpenReport,
    Producer, Record, Removal, Stats, StorageHealth, Store, StoredFile, block_on,
};

/// A directory in memory if the machine has one, since sweeps open thousands of buffers.
pub(crate) fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { TempDir::new_in(memory) } else { TempDir::new() }.expect("scratch directory")
}

/// The smallest cap, with segments of one block.
pub(crate) fn small() -> BufferOptions {
    let mut options = BufferOptions::new(64 << 10);
    (options.segment_bytes, options.record_bytes_max) = (4096, 3000);
    options.commit = Commit::Group { records_max: u32::MAX, interval: Duration::from_millis(1) };
    options.free_percent_min = 0;
    options
}

pub(crate) fn open(directory: &Path, options: BufferOptions) -> (Producer, Consumer, OpenReport) {
    Buffer::open(directory, options).expect("the directory opens")
}

/// Like [`small`], with this much room.
pub(crate) fn roomy(bytes_max: u64, segment_bytes: u64) -> BufferOptions {
    let mut options = small();
    (options.bytes_max, options.segment_bytes) = (bytes_max, segment_bytes);
    options
}

/// Like [`small`], for a process that does not wait for its predecessor.
pub(crate) fn patient() -> BufferOptions {
    let mut options = small();
    options.on_unavailable = OnUnavailable::MemoryOnly;
    options
}

/// A payload that names its number, so that no other can pass for it.
pub(crate) fn payload(seq: u64) -> Vec<u8> {
    let text = format!("record {seq};");
    text.bytes().cycle().take(text.len() + seq as usize * 7 % 60).collect()
}

pub(crate) fn kind(seq: u64) -> Kind {
    Kind((seq % 3) as u8)
}

/// Waits until the storage is healthy. The writer may be faster than the test, so each wait is for a change from the
/// health that was seen last.
pub(crate) fn recovered(producer: &Producer) {
    let mut seen = producer.health();
    while seen != StorageHealth::Ok {
        seen = block_on(producer.health_changed(seen));
    }
}

/// Pushes the records with these numbers.
pub(crate) fn fill(producer: &Producer, seqs: impl IntoIterator<Item = u64>) {
    for seq in seqs {
        assert_eq!(block_on(producer.push_wait(kind(seq), &payload(seq))).ok(), Some(seq));
    }
}

pub(crate) fn flush(producer: &Producer) {
    block_on(producer.flush(Durability::Power)).expect("the disk works");
}

pub(crate) fn close(producer: &Producer) -> Stats {
    let (is_done, stats) = producer.close(Duration::from_secs(600));
    assert!(is_done && stats.is_balanced(), "{stats}");
    stats
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

    /// Checks the bytes and the order of the records.
    pub(crate) fn assert_genuine(&self) {
        for record in &self.records {
            assert_eq!((record.kind, &record.bytes[..]), (kind(record.seq), &payload(record.seq)[..]));
        }
        assert!(self.records.windows(2).all(|pair| pair[0].seq < pair[1].seq));
    }
}

/// Reads and acknowledges everything in small batches. Checks that each number is delivered once.
pub(crate) fn drain(consumer: &mut Consumer) -> Drained {
    let mut drained = Drained::default();
    let mut last_seq = None;
    while !consumer.is_drained() {
        let batch = block_on(consumer.next_batch(3, 100)).expect("open");
        for entry in batch.entries() {
            let (first, last) = match entry {
                Entry::Record(record) => {
                    drained.records.push(record.clone());
                    (record.seq, record.seq)
                }
                Entry::Gap(gap) => {
                    assert_eq!(gap.counts.total(), gap.records());
                    drained.gaps.push(gap.clone());
                    (gap.first_seq, gap.last_seq)
                }
                other => panic!("unknown entry {other:?}"),
            };
            assert!(last_seq.is_none_or(|last_seq| first == last_seq + 1), "{first} after {last_seq:?}");
            last_seq = Some(last);
        }
        batch.ack();
        let stats = consumer.stats();
        assert!(stats.is_balanced(), "{stats}");
    }
    drained
}

/// Checks the allocated blocks of all files against the cap.
pub(crate) fn check_disk(directory: &Path, bytes_max: u64) {
    let sizes = files(directory).into_iter().filter_map(|path| fs::metadata(path).ok());
    let (bytes, allocated) =
        sizes.fold((0, 0), |(bytes, blocks), file| (bytes + file.len(), blocks + file.blocks() * 512));
    // The lock names its holder.
    let lock = 4096;
    assert!(bytes <= bytes_max && allocated <= bytes_max + lock, "{bytes} {allocated} of {bytes_max}");
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

/// Copies the directory, as a killed process would leave it.
pub(crate) fn copy(from: &Path) -> TempDir {
    let to = scratch();
    for path in files(from) {
        let target = to.path().join(path.strip_prefix(from).expect("below"));
        fs::create_dir_all(target.parent().expect("parent")).expect("create");
        fs::copy(&path, target).expect("copy");
    }
    to
}

/// Prints past the test runner's capture, so that it is seen although the test passes.
pub(crate) fn skip(why: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stderr(), "SKIP: {why}");
}

/// Prints the figures of a sweep.
pub(crate) fn report(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(io::stdout(), "{what}");
}

/// Reads a number from the environment, for longer runs.
pub(crate) fn rounds(variable: &str, default: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A directory with a hook before each read and write.
#[derive(Debug)]
pub(crate) struct Hooked {
    pub(crate) disk: Disk,
    /// Name, offset and length.
    pub(crate) before_read: fn(&str, u64, usize) -> io::Result<()>,
    pub(crate) before_write: fn(&[u8]),
}

impl Store for Hooked {
    fn list(&mut self) -> io::Result<Vec<StoredFile>> {
        self.disk.list()
    }
    fn create(&mut self, name: &str, reserve_bytes: u64) -> io::Result<()> {
        self.disk.create(name, reserve_bytes)
    }
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        (self.before_write)(bytes);
        self.disk.write(name, offset, bytes)
    }
    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        (self.before_read)(name, offset, buffer.len())?;
        self.disk.read(name, offset, buffer)
    }
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.disk.truncate(name, len)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.disk.sync(name)
    }
    fn sync_names(&mut self) -> io::Result<()> {
        self.disk.sync_names()
    }
    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()> {
        self.disk.remove(name, removal)
    }
}
