//! Appending records of 1 KiB, and draining them in batches of 64, beside a plain file. `benches/buffer` measures against peers.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read as _, Write as _};
use std::path::Path;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use zastava_benches::{ProcessorTime, criterion, processor_time_of};
use zastava_buffer::{
    Buffer, BufferOptions, Commit, Consumer, Durability, Kind, Producer, WhenFull, block_on,
};

const RECORD: [u8; 1024] = [7; 1024];
const RECORDS: u64 = 8192;

fn append(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("buffer_append");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("reference: plain file", |b| {
        b.iter_custom(|rounds| {
            let round = |_| {
                let directory = tempfile::tempdir().expect("a directory");
                processor_time_of(|| write_plain(directory.path()).expect("written"))
            };
            (0..rounds).map(round).sum()
        });
    });
    group.bench_function("append", |b| {
        b.iter_custom(|rounds| {
            let round = |_| {
                let (_directory, producer, _consumer) = open();
                let spent = processor_time_of(|| push_all(&producer));
                producer.close(Duration::from_secs(60));
                spent
            };
            (0..rounds).map(round).sum()
        });
    });
    group.finish();
}

fn drain(c: &mut Criterion<ProcessorTime>) {
    let mut group = c.benchmark_group("buffer_drain");
    group.throughput(Throughput::Elements(RECORDS));
    group.bench_function("reference: plain file", |b| {
        let directory = tempfile::tempdir().expect("a directory");
        write_plain(directory.path()).expect("written");
        b.iter(|| read_plain(directory.path()).expect("read"));
    });
    group.bench_function("drain", |b| {
        b.iter_custom(|rounds| {
            let round = |_| {
                let (_directory, producer, mut consumer) = open();
                push_all(&producer);
                let spent = processor_time_of(|| drain_all(&mut consumer));
                producer.close(Duration::from_secs(60));
                spent
            };
            (0..rounds).map(round).sum()
        });
    });
    group.finish();
}

fn open() -> (TempDir, Producer, Consumer) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut options = BufferOptions::new(64 << 20);
    (options.commit, options.free_percent_min) = (Commit::Never, 0);
    options.default_policy.when_full = WhenFull::Refuse;
    let (producer, consumer, _) = Buffer::open(directory.path(), options).expect("an empty buffer");
    (directory, producer, consumer)
}

/// Returns when every record is in a file.
fn push_all(producer: &Producer) {
    for _ in 0..RECORDS {
        if producer.push(Kind(1), &RECORD).seq().is_none() {
            block_on(producer.push_wait(Kind(1), &RECORD)).expect("accepted");
        }
    }
    block_on(producer.flush(Durability::Process)).expect("the disk works");
}

fn drain_all(consumer: &mut Consumer) {
    while !consumer.is_drained() {
        block_on(consumer.next_batch(64, 1 << 20)).expect("open").ack();
    }
}

/// Length, checksum and bytes of each record, through a buffer of 64 KiB.
fn write_plain(directory: &Path) -> io::Result<()> {
    let mut file = BufWriter::with_capacity(64 << 10, File::create(directory.join("plain"))?);
    for _ in 0..RECORDS {
        file.write_all(&(RECORD.len() as u32).to_le_bytes())?;
        file.write_all(&crc32c::crc32c(&RECORD).to_le_bytes())?;
        file.write_all(&RECORD)?;
    }
    file.flush()
}

fn read_plain(directory: &Path) -> io::Result<()> {
    let mut file = BufReader::with_capacity(64 << 10, File::open(directory.join("plain"))?);
    for _ in 0..RECORDS {
        let (mut length, mut checksum) = ([0; 4], [0; 4]);
        file.read_exact(&mut length)?;
        file.read_exact(&mut checksum)?;
        let mut record = vec![0; u32::from_le_bytes(length) as usize];
        file.read_exact(&mut record)?;
        assert_eq!(crc32c::crc32c(&record).to_le_bytes(), checksum);
    }
    Ok(())
}

criterion_group!(name = benches; config = criterion(); targets = append, drain);
criterion_main!(benches);
