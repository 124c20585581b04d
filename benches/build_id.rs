//! Reading a build-id: through the file system, from an open descriptor, and from bytes at hand.
//!
//! Nearly all of a read by path is system calls. Its reference makes the same calls and looks at nothing.

use std::fs::{self, File};
use std::hint::black_box;
use std::os::unix::fs::FileExt as _;

use criterion::{Criterion, criterion_group, criterion_main};
use object::Object as _;
use object::read::elf::ElfFile64;
use zastava_benches::{ProcessorTime, criterion};
use zastava_elf::{build_id, build_id_in, build_id_of, build_id_trusted, open_in_root};

const PROGRAM: &str = "/proc/self/exe";

fn paths(c: &mut Criterion<ProcessorTime>) {
    let path = fs::canonicalize(PROGRAM).expect("a path");
    let mut group = c.benchmark_group("build_id");
    group.bench_function("reference: open, read, close", |b| {
        b.iter(|| {
            let mut head = [0; 4096];
            File::open(black_box(&path)).and_then(|file| file.read_at(&mut head, 0)).expect("readable");
            head
        });
    });
    group.bench_function("path", |b| b.iter(|| build_id(black_box(&path)).expect("an ELF file")));
    group.bench_function("trusted path", |b| {
        b.iter(|| build_id_trusted(black_box(&path)).expect("an ELF file"));
    });

    let root = File::open("/").expect("a root directory");
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

fn slice(c: &mut Criterion<ProcessorTime>) {
    let bytes = fs::read(PROGRAM).expect("readable");
    let mut group = c.benchmark_group("build_id_in");
    group.bench_function("reference: object", |b| {
        b.iter(|| {
            let file = ElfFile64::<object::Endianness>::parse(black_box(&*bytes)).expect("an ELF file");
            file.build_id().expect("readable").map(<[u8]>::len)
        });
    });
    group.bench_function("bytes", |b| b.iter(|| build_id_in(black_box(&bytes)).expect("an ELF file")));
    group.finish();
}

criterion_group!(name = benches; config = criterion(); targets = paths, slice);
criterion_main!(benches);
