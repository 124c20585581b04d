//! Arbitrary bytes as segment or cursor of a buffer: it opens, drains to the end, goes on, and the books
//! balance. The first byte chooses the file.
#![no_main]

use std::fs;

use libfuzzer_sys::fuzz_target;
use zastava_buffer::{Buffer, Entry, Kind, Options};

const SEGMENT: &str = "0000000000000001-0000000000000001-00000000.seg";
const RECORD: &[u8] = b"still working";

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let directory = tempfile::tempdir().expect("a directory");
    let name = if choice % 4 == 0 { "cursor" } else { SEGMENT };
    fs::write(directory.path().join(name), bytes).expect("written");

    for _ in 0..2 {
        let (buffer, report) = Buffer::open(directory.path(), Options::new(1 << 20)).expect("it opens");
        let admission = buffer.push(Kind(1), RECORD).expect("there is room");
        let mut records = 0;
        let mut last = None;
        loop {
            let batch = buffer.next_batch(5, 4096).expect("readable");
            let Some(through) = batch.last().map(Entry::last_seq) else { break };
            records += batch.iter().filter(|entry| matches!(entry, Entry::Record(_))).count() as u64;
            last = batch.into_iter().last();
            buffer.ack_through(through).expect("delivered");
        }
        assert!(
            matches!(last, Some(Entry::Record(record)) if record.seq == admission.seq && record.bytes == RECORD)
        );
        let stats = buffer.stats();
        assert!(records > report.pending || report.evicted > 0);
        assert_eq!((stats.pending, stats.accepted), (0, stats.acked + stats.dropped.total()));
    }
});
