//! Appending records of 1 KiB, and draining them in batches of 64.
//!
//! The floor writes the same bytes to a file with one system call each and looks at nothing: the
//! difference to it is what framing, checksums and the books cost. Nothing here syncs.

use std::fs::File;
use std::hint::black_box;
use std::io::Write as _;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tempfile::TempDir;
use zastava_buffer::{Buffer, Entry, Kind, Options};

const RECORD_BYTES: usize = 1024;
const BACKLOG: u64 = 4096;
const CAP_BYTES: u64 = 64 << 20;

fn open() -> (TempDir, Buffer) {
    let directory = tempfile::tempdir().expect("a directory");
    let (buffer, _) = Buffer::open(directory.path(), Options::new(CAP_BYTES)).expect("an empty buffer");
    (directory, buffer)
}

fn push(c: &mut Criterion) {
    let record = [7; RECORD_BYTES];
    let mut group = c.benchmark_group("buffer_push_1_kib");
    group.throughput(Throughput::Bytes(RECORD_BYTES as u64));
    group.bench_function("floor: one write each", |b| {
        let mut file = tempfile::tempfile().expect("a file");
        let mut bytes = 0;
        b.iter(|| {
            file.write_all(black_box(&record)).expect("room");
            bytes += RECORD_BYTES as u64;
            if bytes >= CAP_BYTES {
                rewind(&mut file);
                bytes = 0;
            }
        });
    });
    // Nobody drains, so this settles at the cap: the cost of dropping the oldest is in it.
    group.bench_function("push", |b| {
        let (_directory, buffer) = open();
        b.iter(|| buffer.push(Kind(1), black_box(&record)).expect("room is made"));
    });
    group.finish();
}

fn rewind(file: &mut File) {
    *file = tempfile::tempfile().expect("a file");
}

fn drain(c: &mut Criterion) {
    let mut group = c.benchmark_group("buffer_drain_1_kib");
    group.throughput(Throughput::Elements(BACKLOG));
    group.sample_size(20);
    group.bench_function("batches of 64", |b| {
        b.iter_batched(backlog, |(_directory, buffer)| drain_all(&buffer), BatchSize::PerIteration);
    });
    group.finish();
}

fn backlog() -> (TempDir, Buffer) {
    let (directory, buffer) = open();
    for _ in 0..BACKLOG {
        let _ = buffer.push(Kind(1), &[7; RECORD_BYTES]).expect("room");
    }
    (directory, buffer)
}

fn drain_all(buffer: &Buffer) {
    while let Some(through) = buffer.next_batch(64, 1 << 20).expect("readable").last().map(Entry::last_seq) {
        buffer.ack_through(through).expect("delivered");
    }
}

criterion_group!(benches, push, drain);
criterion_main!(benches);
