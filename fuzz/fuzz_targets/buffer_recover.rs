//! Arbitrary bytes as segments and cursor of a buffer. It opens, drains to the end and keeps working, and the counts
//! balance. The first byte selects what the rest is; a second file may follow.
//!
//! Run this and `buffer_operations` with `-- -detect_leaks=0`: a thread that is ending looks like a leak.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use zastava_buffer::{Buffer, BufferOptions, Entry, Kind, block_on};

const NAMES: [&str; 4] = [
    "00-00000001-00000001-0000000000000001-00000000.seg",
    "00-00000001-00000002-0000000000000005-00000000.seg",
    "01-00000001-00000001-0000000000000001-00000000.seg",
    "cursor-00",
];
const RECORD: &[u8] = b"still working";

fuzz_target!(|data: &[u8]| {
    let Some((&choice, bytes)) = data.split_first() else { return };
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let half = if choice & 0x10 == 0 { bytes.len() } else { bytes.len() / 2 };
    for (at, part) in [&bytes[..half], &bytes[half..]].into_iter().enumerate() {
        let name = NAMES[(usize::from(choice & 3) + at) % NAMES.len()];
        if at == 0 || half < bytes.len() {
            std::fs::write(directory.path().join(name), part).expect("written");
        }
    }
    let mut config = BufferOptions::new(1 << 20);
    config.free_percent_min = 0;
    for _ in 0..2 {
        let (producer, mut consumer, report) =
            Buffer::open(directory.path(), config.clone()).expect("it opens");
        let seq = producer.push(Kind(1), RECORD).seq().expect("there is room");
        let (mut records, mut found) = (0, false);
        while !consumer.is_drained() {
            let batch = block_on(consumer.next_batch(50, 4096)).expect("open");
            for entry in batch.entries() {
                if let Entry::Record(record) = entry {
                    records += 1;
                    found |= batch.class() == 0 && record.seq == seq && record.bytes == RECORD;
                }
            }
            batch.ack();
        }
        let (is_done, stats) = producer.close(Duration::from_secs(30));
        assert!(is_done && found && stats.is_balanced() && stats.pending == 0);
        assert!(records <= report.pending + 1);
    }
});
