//! Prints what reading build-ids costs, ours and others', over the ELF files of this machine.
//!
//! `benches/elf/measure` runs it and counts system calls too. Arguments: `[--passes N] [DIRECTORY...]`, or
//! `--once READER [DIRECTORY...]`, which asks one reader once about each file and prints how many these are.
//!
//! Every pass asks every reader about every file, in an order that rotates; the processor time of the thread
//! counts, which other work on the machine disturbs least. Ratios are taken within a pass; medians over passes.

mod alloc;
mod hostile;
mod readers;

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::readers::{READERS, REFERENCE, Reader};

const DIRECTORIES: [&str; 5] =
    ["/usr/bin", "/usr/sbin", "/usr/lib/x86_64-linux-gnu", "/usr/lib/aarch64-linux-gnu", "/usr/lib/gcc"];

fn main() {
    let mut passes = 21;
    let mut once = None;
    let mut directories = Vec::new();
    let mut arguments = env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--passes" => passes = arguments.next().and_then(|n| n.parse().ok()).expect("a number"),
            "--once" => once = Some(arguments.next().expect("a reader")),
            _ => directories.push(PathBuf::from(argument)),
        }
    }
    if directories.is_empty() {
        directories = DIRECTORIES.iter().map(PathBuf::from).collect();
    }
    let files = elf_files(&directories);
    if let Some(name) = once {
        let reader = READERS.iter().find(|reader| reader.name == name).expect("the name of a reader");
        // Seen by strace: what stands between these two is what counts.
        let _ = File::open("/measure-begins");
        for file in &files {
            let _ = (reader.read)(file);
        }
        let _ = File::open("/measure-ends");
        println!("{} files", files.len());
        return;
    }
    let bytes: u64 = files.iter().filter_map(|file| fs::metadata(file).ok()).map(|file| file.len()).sum();
    println!("{} ELF files, {} MB, {passes} passes, page cache warm\n", files.len(), bytes / 1_000_000);
    table(&files, passes);
    println!();
    hostile::table();
}

fn elf_files(directories: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = BTreeSet::new();
    let mut open: Vec<PathBuf> = directories.to_vec();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => found.extend(fs::canonicalize(entry.path()).ok().filter(|path| is_elf(path))),
            }
        }
    }
    found.into_iter().collect()
}

fn is_elf(path: &Path) -> bool {
    let mut magic = [0; 4];
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && magic == *b"\x7fELF"
}

/// What one reader did in all passes.
#[derive(Default)]
struct Measured {
    /// Of all files, a pass each.
    cpu: Vec<Duration>,
    /// Of each file, its least over the passes.
    each: Vec<Duration>,
    allocations: u64,
    with_id: usize,
    unlike: usize,
}

fn table(files: &[PathBuf], passes: usize) {
    let wanted: Vec<_> = files.iter().map(|file| (READERS[0].read)(file).unwrap_or_default()).collect();
    let mut measured: Vec<Measured> = READERS.iter().map(|reader| check(reader, files, &wanted)).collect();
    for pass in 0..passes {
        for turn in 0..READERS.len() {
            let at = (pass + turn) % READERS.len();
            measure(&READERS[at], files, &mut measured[at]);
        }
    }
    let reference = READERS.iter().position(|reader| reader.name == REFERENCE).expect("it is one of them");
    let reference = measured[reference].cpu.clone();
    println!(
        "reader                              CPU us/file  median    p99   ratio  allocations  with id  unlike ours"
    );
    for (reader, mut measured) in READERS.iter().zip(measured) {
        let ratios =
            measured.cpu.iter().zip(&reference).map(|(cpu, of)| cpu.as_secs_f64() / of.as_secs_f64());
        let mut ratios: Vec<f64> = ratios.collect();
        ratios.sort_by(f64::total_cmp);
        measured.cpu.sort();
        measured.each.sort();
        let us = |time: Duration| time.as_secs_f64() * 1e6;
        println!(
            "{:<35} {:>11.2} {:>7.2} {:>6.1} {:>7.3} {:>12} {:>8} {:>12}",
            reader.name,
            us(measured.cpu[passes / 2]) / files.len() as f64,
            us(measured.each[files.len() / 2]),
            us(measured.each[files.len() * 99 / 100]),
            ratios[passes / 2],
            measured.allocations,
            measured.with_id,
            measured.unlike,
        );
    }
}

/// What the reader finds and allocates; warms the page cache as well.
fn check(reader: &Reader, files: &[PathBuf], wanted: &[Option<Vec<u8>>]) -> Measured {
    let mut measured = Measured { each: vec![Duration::MAX; files.len()], ..Measured::default() };
    for (file, wanted) in files.iter().zip(wanted) {
        let (found, allocations) = alloc::counted(|| (reader.answer)(file));
        measured.allocations += allocations;
        if reader.finds {
            let found = found.and_then(|()| (reader.read)(file));
            measured.with_id += usize::from(matches!(found, Some(Some(_))));
            measured.unlike += usize::from(found.as_ref() != Some(wanted));
        }
    }
    measured
}

fn measure(reader: &Reader, files: &[PathBuf], measured: &mut Measured) {
    let begin = cpu();
    for file in files {
        std::hint::black_box((reader.answer)(file));
    }
    measured.cpu.push(cpu() - begin);
    for (file, least) in files.iter().zip(&mut measured.each) {
        let begin = std::time::Instant::now();
        std::hint::black_box((reader.answer)(file));
        *least = begin.elapsed().min(*least);
    }
}

/// The processor time of this thread.
fn cpu() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}
