//! Checks a [`Store`] against its contract. The checks panic with a message about what is wrong. Run them in a test:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use zastava_buffer::{Disk, testkit};
//!
//! # let directory = tempfile::tempdir()?;
//! let mut number = 0;
//! testkit::conformance(|| {
//!     number += 1;
//!     let path = directory.path().join(number.to_string());
//!     move || Disk::open(&path, 0)
//! });
//! # Ok(())
//! # }
//! ```

use std::io;
use std::time::Duration;

use crate::buffer::{Buffer, block_on};
use crate::entry::{Durability, Entry};
use crate::error::Error;
use crate::kind::Kind;
use crate::options::{BufferOptions, Commit, WhenFull};
use crate::store::{Removal, Store, StoredFile};

/// Runs all checks. `make` creates an empty store and returns a function that opens it, each time again.
///
/// # Panics
/// If the store breaks its contract.
pub fn conformance<S, O>(mut make: impl FnMut() -> O)
where
    S: Store + 'static,
    O: FnMut() -> Result<S, Error> + Send + 'static,
{
    files(&mut make());
    names(&mut make());
    for commit in [Commit::Never, Commit::Group { records_max: 8, interval: Duration::from_millis(5) }] {
        queue(make(), commit);
    }
    eviction(make());
}

fn open<S: Store>(opener: &mut impl FnMut() -> Result<S, Error>) -> S {
    opener().unwrap_or_else(|error| panic!("the store opens: {error}"))
}

fn read(store: &mut dyn Store, name: &str, offset: u64, len: usize) -> Vec<u8> {
    let mut buffer = vec![0xAA; len];
    let read = store.read(name, offset, &mut buffer).expect("reads");
    buffer.truncate(read);
    buffer
}

fn find(store: &mut dyn Store, name: &str) -> Option<StoredFile> {
    store.list().expect("lists").into_iter().find(|file| file.name == name)
}

/// Bytes are read as they were written, also after the store is opened again.
fn files<S: Store>(opener: &mut impl FnMut() -> Result<S, Error>) {
    let mut store = open(opener);
    store.create("a", 1 << 16).expect("creates");
    assert_eq!(find(&mut store, "a").map(|file| file.len), Some(0), "reserving does not change the length");
    let bytes: Vec<u8> = (0..10_000_u32).map(|at| (at % 251) as u8).collect();
    store.write("a", 0, &bytes).expect("writes");
    store.write("a", 10_000, &bytes).expect("writes at the end");
    store.write("a", 4_090, b"over the edge of a block").expect("writes over what is there");
    let mut expected = [&bytes[..], &bytes[..]].concat();
    expected[4_090..4_114].copy_from_slice(b"over the edge of a block");
    assert_eq!(read(&mut store, "a", 0, 30_000), expected, "as written");
    assert_eq!(read(&mut store, "a", 19_990, 100), expected[19_990..], "short at the end");
    assert_eq!(read(&mut store, "a", 50_000, 10), b"", "nothing beyond the end");
    store.truncate("a", 12_345).expect("truncates");
    assert_eq!(read(&mut store, "a", 0, 30_000), expected[..12_345], "cut");
    store.write("a", 12_345, b"again").expect("writes after the cut");
    store.sync("a").and_then(|()| store.sync_names()).expect("syncs");
    drop(store);
    let mut store = open(opener);
    assert_eq!(read(&mut store, "a", 12_340, 100), [&expected[12_340..12_345], b"again"].concat(), "kept");
    assert_eq!(find(&mut store, "a").map(|file| (file.len, file.aside)), Some((12_350, false)));
}

fn names<S: Store>(opener: &mut impl FnMut() -> Result<S, Error>) {
    let mut store = open(opener);
    let kind = |result: io::Result<usize>| result.map_err(|error| error.kind());
    assert_eq!(kind(store.read("none", 0, &mut [0])), Err(io::ErrorKind::NotFound), "no such file");
    for name in ["a", "b", "c.seg"] {
        store.create(name, 0).expect("creates");
        store.write(name, 0, name.as_bytes()).expect("writes");
    }
    assert!(store.create("a", 0).is_err(), "no name is given twice");
    assert_eq!(read(&mut store, "a", 0, 9), b"a", "and the first file is as it was");
    store.remove("a", Removal::Delete).expect("removes");
    store.remove("a", Removal::Delete).expect("removing again is no error");
    store.remove("b", Removal::SetAside).expect("sets aside");
    store.sync_names().expect("syncs");
    drop(store);
    let mut store = open(opener);
    assert_eq!(find(&mut store, "a"), None, "removed");
    assert!(find(&mut store, "b").is_some_and(|file| file.aside && file.len == 1), "aside, and still there");
    assert!(find(&mut store, "c.seg").is_some_and(|file| !file.aside));
    assert_eq!(kind(store.read("b", 0, &mut [0])), Err(io::ErrorKind::NotFound), "not under its old name");
}

/// Over several openings, each record comes out once, and the counts balance.
fn queue<S: Store + 'static>(opener: impl FnMut() -> Result<S, Error> + Send + 'static, commit: Commit) {
    let opener = std::sync::Arc::new(std::sync::Mutex::new(opener));
    let mut options = BufferOptions::new(1 << 20);
    (options.commit, options.segment_bytes, options.record_bytes_max) = (commit, 8 << 10, 4000);
    options.default_policy.when_full = WhenFull::Refuse;
    let level = if options.is_synced() { Durability::Power } else { Durability::Process };
    let (mut given, mut taken) = (0_u64, 0_u64);
    for session in 0..5 {
        let opener = std::sync::Arc::clone(&opener);
        let opened = Buffer::open_store(move || opener.lock().expect("not poisoned")(), options.clone());
        let (producer, mut consumer, report) = opened.unwrap_or_else(|error| panic!("opens: {error}"));
        assert_eq!((report.pending, report.lost), (given - taken, 0), "session {session}: {report:?}");
        for _ in 0..100 {
            let payload = given.to_string().repeat(1 + given as usize % 50);
            let pushed = block_on(producer.push_wait(Kind(given as u8 % 3), payload.as_bytes()));
            given += 1;
            assert_eq!(pushed.expect("accepted"), given);
        }
        block_on(producer.flush(level)).expect("as safe as configured");
        while given - taken > 50 {
            let batch = block_on(consumer.next_batch(7, 100_000)).expect("open");
            for entry in batch.entries() {
                let Entry::Record(record) = entry else { panic!("nothing is lost: {entry:?}") };
                assert_eq!(record.seq, taken + 1, "in order, once");
                let expected = taken.to_string().repeat(1 + taken as usize % 50);
                assert_eq!((record.kind, &record.bytes[..]), (Kind(taken as u8 % 3), expected.as_bytes()));
                taken += 1;
            }
            batch.ack();
        }
        let (is_done, stats) = producer.close(Duration::from_secs(60));
        assert!(is_done && stats.is_balanced(), "{stats}");
        assert_eq!((stats.accepted, stats.acked, stats.pending), (given, taken, given - taken));
    }
}

/// The cap holds, and evicted records are counted.
fn eviction<S: Store + 'static>(opener: impl FnMut() -> Result<S, Error> + Send + 'static) {
    let mut options = BufferOptions::new(64 << 10);
    (options.segment_bytes, options.record_bytes_max) = (4 << 10, 1000);
    let (producer, mut consumer, _) = Buffer::open_store(opener, options).expect("opens");
    for number in 0..500_u64 {
        assert!(producer.push(Kind(0), &[number as u8; 500]).seq().is_some());
        block_on(producer.flush(Durability::Process)).expect("written");
        let stats = producer.stats();
        assert!(stats.is_balanced() && stats.disk_bytes <= 64 << 10, "{stats}");
    }
    let (mut records, mut lost) = (0, 0);
    while !consumer.is_drained() {
        let batch = block_on(consumer.next_batch(100, 100_000)).expect("open");
        for entry in batch.entries() {
            match entry {
                Entry::Record(_) => records += 1,
                Entry::Gap(gap) => lost += gap.records(),
            }
        }
        batch.ack();
    }
    let stats = producer.stats();
    assert_eq!((stats.acked, stats.dropped.total()), (records, lost), "{stats}");
    assert!(lost > 0 && records + lost == 500, "{stats}");
    producer.close(Duration::from_secs(60));
}
