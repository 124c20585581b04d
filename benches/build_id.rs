//! Reading a build-id: through the file system, from an open descriptor, and from bytes at hand.
//!
//! Nearly all of the first is system calls. The floor beside it opens, reads 4 KiB and looks at nothing.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;

use criterion::{Criterion, criterion_group, criterion_main};
use zastava_elf::{build_id, build_id_in, build_id_of, open_in_root};

const PROGRAM: &str = "/proc/self/exe";

fn paths(c: &mut Criterion) {
    let mut group = c.benchmark_group("build_id");
    group.bench_function("floor: plain open and one read", |b| {
        b.iter(|| {
            let mut head = [0; 4096];
            File::open(black_box(PROGRAM)).and_then(|file| file.read_at(&mut head, 0)).expect("readable");
            head
        });
    });
    group.bench_function("path", |b| b.iter(|| build_id(black_box(PROGRAM)).expect("an ELF file")));

    let root = File::open("/").expect("a root directory");
    let path = fs::canonicalize(PROGRAM).expect("a path");
    group.bench_function("path in a root", |b| {
        b.iter(|| {
            let file = open_in_root(&root, black_box(&path)).expect("a regular file");
            build_id_of(file).expect("an ELF file")
        });
    });

    let file = File::open(PROGRAM).expect("readable");
    group.bench_function("descriptor", |b| b.iter(|| build_id_of(black_box(&file)).expect("an ELF file")));
    group.finish();
}

fn slice(c: &mut Criterion) {
    let bytes = fs::read(PROGRAM).expect("readable");
    c.bench_function("build_id_in", |b| b.iter(|| build_id_in(black_box(&bytes)).expect("an ELF file")));
}

criterion_group!(benches, paths, slice);
criterion_main!(benches);
