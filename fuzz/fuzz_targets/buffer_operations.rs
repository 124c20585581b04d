//! Each pair of bytes is an operation on a buffer. In any order the counts balance, the cap holds, and every record is
//! delivered or reported as lost. Some operations flip a byte of a file between two openings.
#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use zastava_buffer::{
    Buffer, BufferOptions, Consumer, Durability, Kind, KindPolicy, Producer, WhenFull, block_on,
};

fn config() -> BufferOptions {
    let mut config = BufferOptions::new(128 << 10);
    (config.segment_bytes, config.record_bytes_max, config.ring_bytes) = (4096, 2000, 8 << 10);
    config.free_percent_min = 0;
    config.policies.insert(Kind(1), KindPolicy { when_full: WhenFull::Refuse, class: 0 });
    config.policies.insert(Kind(2), KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
    config
}

fn open(path: &std::path::Path) -> (Producer, Consumer) {
    let (producer, consumer, _) = Buffer::open(path, config()).expect("it opens");
    (producer, consumer)
}

fuzz_target!(|data: &[u8]| {
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let (mut producer, mut consumer) = open(directory.path());
    for step in data.chunks_exact(2).take(200) {
        let size = usize::from(step[1]);
        match step[0] % 8 {
            0..=2 => (0..8).for_each(|_| _ = producer.push(Kind(step[0] % 4), &vec![step[1]; size * 7])),
            3 => drop(block_on(producer.flush(Durability::Power))),
            4 | 5 => {
                if let Some(batch) = consumer.try_next_batch(1 + size % 40, 1 << 16) {
                    if step[0] % 8 == 4 {
                        batch.ack();
                    }
                }
            }
            kind => {
                producer.close(Duration::from_secs(30));
                if kind == 7 {
                    flip(directory.path(), size);
                }
                (producer, consumer) = open(directory.path());
            }
        }
        let stats = producer.stats();
        assert!(
            stats.is_balanced() && stats.disk_bytes <= 128 << 10 && stats.ring_bytes <= 8 << 10,
            "{stats}"
        );
    }
    while !consumer.is_drained() {
        block_on(consumer.next_batch(50, 1 << 16)).expect("open").ack();
    }
    let (is_done, stats) = producer.close(Duration::from_secs(30));
    assert!(is_done && stats.is_balanced() && stats.pending == 0, "{stats}");
});

fn flip(directory: &std::path::Path, at: usize) {
    let mut paths: Vec<_> =
        std::fs::read_dir(directory).expect("listed").map(|entry| entry.expect("listed").path()).collect();
    paths.sort();
    let path = &paths[at % paths.len()];
    let Ok(mut bytes) = std::fs::read(path) else { return };
    let len = bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(at * 31 % len) {
        *byte ^= 1 + at as u8 % 255;
        std::fs::write(path, bytes).expect("written");
    }
}
