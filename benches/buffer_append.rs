//! Pushing records of 1 KiB, and draining them in batches of 64. `benches/buffer` measures against peers.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use zastava_buffer::{Buffer, BufferOptions, Commit, Consumer, Durability, Kind, Producer, block_on};

const RECORD_BYTES: usize = 1024;
const BACKLOG: u64 = 4096;

fn open() -> (TempDir, Producer, Consumer) {
    let directory = tempfile::tempdir().expect("a directory");
    let mut config = BufferOptions::new(64 << 20);
    (config.commit, config.free_percent_min) = (Commit::Never, 0);
    let (producer, consumer, _) = Buffer::open(directory.path(), config).expect("an empty buffer");
    (directory, producer, consumer)
}

/// Nobody drains, so the buffer stays at its cap, and the time includes dropping the oldest records.
fn push(c: &mut Criterion) {
    let mut group = c.benchmark_group("buffer_push_1_kib");
    group.throughput(Throughput::Bytes(RECORD_BYTES as u64));
    group.bench_function("push", |b| {
        let (_directory, producer, _consumer) = open();
        b.iter(|| producer.push(Kind(1), black_box(&[7; RECORD_BYTES])));
    });
    group.finish();
}

fn drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("buffer_drain_1_kib");
    group.throughput(Throughput::Elements(BACKLOG));
    group.sample_size(20);
    group.bench_function("batches of 64", |b| {
        b.iter_batched(
            backlog,
            |(_directory, _producer, mut consumer)| drain_all(&mut consumer),
            BatchSize::PerIteration,
        );
    });
    group.finish();
}

fn backlog() -> (TempDir, Producer, Consumer) {
    let (directory, producer, consumer) = open();
    for _ in 0..BACKLOG {
        let _ = producer.push(Kind(1), &[7; RECORD_BYTES]);
    }
    block_on(producer.flush(Durability::Process)).expect("the disk works");
    (directory, producer, consumer)
}

fn drain_all(consumer: &mut Consumer) {
    while !consumer.is_drained() {
        block_on(consumer.next_batch(64, 1 << 20)).expect("open").ack();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().measurement_time(Duration::from_secs(5));
    targets = push, drain
}
criterion_main!(benches);
