//! Files made to cost: each answered in a thread whose whole stack is 64 KiB.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::unix::fs::{FileExt as _, symlink};
use std::path::{Path, PathBuf};
use std::thread;

use rustix::fs::{CWD, FileType, Mode, mknodat};
use zastava_elf::{Root, build_id, build_id_of};

use crate::{alloc, cpu};

const STACK_BYTES: usize = 64 << 10;
const ROUNDS: usize = 101;

pub fn table() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cases = [
        ("65,000 PT_NOTE over 20,000 notes", quadratic(directory.path())),
        ("1 GiB sparse, all of it one note segment", sparse(directory.path())),
        ("40 links deep", links(directory.path(), 40)),
        ("41 links deep", links(directory.path(), 41)),
        ("FIFO", fifo(directory.path())),
        ("no ELF file", write(directory.path(), "script", b"#!/bin/sh\n")),
        ("cut off in the header", write(directory.path(), "cut", &header(1)[..40])),
        ("no tables", write(directory.path(), "bare", &header(0))),
    ];
    println!(
        "hostile file                              worst CPU us  median  allocations  answer (stack: {STACK_BYTES} bytes)"
    );
    for (name, path) in cases {
        row(name, move || build_id(&path));
    }
    let (root, path) = (Root::open(directory.path()).expect("a directory"), "link-40");
    row("40 links deep, in a root", move || build_id_of(root.open_regular(path)?));
}

fn row(
    name: &str,
    ask: impl Fn() -> Result<Option<zastava_elf::BuildId>, zastava_elf::Error> + Send + 'static,
) {
    let ask = move || {
        let mut times = [std::time::Duration::ZERO; ROUNDS];
        // Over all the rounds.
        let (answer, allocations) = alloc::counted(|| {
            for time in &mut times {
                let begin = cpu();
                let _ = std::hint::black_box(ask());
                *time = cpu() - begin;
            }
            ask()
        });
        times.sort();
        (times[ROUNDS - 1], times[ROUNDS / 2], allocations, answer)
    };
    let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn(ask).expect("a thread");
    let (worst, median, allocations, answer) = thread.join().expect("an answer");
    let answer = match answer {
        Ok(Some(id)) => id.short().to_string(),
        Ok(None) => "none".to_owned(),
        Err(error) => error.to_string(),
    };
    let us = |time: std::time::Duration| time.as_secs_f64() * 1e6;
    println!("{name:<42} {:>11.1} {:>7.1} {allocations:>12}  {answer}", us(worst), us(median));
}

fn quadratic(directory: &Path) -> PathBuf {
    let (segments, notes) = (65_000_u16, vec![0; 20_000 * 12]);
    let at = 64 + u64::from(segments) * 56;
    let mut file = header(segments);
    for _ in 0..segments {
        file.extend(note_segment(at, notes.len() as u64));
    }
    file.extend(notes);
    write(directory, "quadratic", &file)
}

fn sparse(directory: &Path) -> PathBuf {
    let mut file = header(1);
    file.extend(note_segment(120, 1 << 30));
    let path = write(directory, "sparse", &file);
    File::options().write(true).open(&path).and_then(|file| file.set_len(1 << 30)).expect("a sparse file");
    path
}

fn links(directory: &Path, count: usize) -> PathBuf {
    let note = *b"\x04\0\0\0\x08\0\0\0\x03\0\0\0GNU\0deepdeep";
    let mut file = header(1);
    file.extend(note_segment(120, note.len() as u64));
    file.extend(note);
    write(directory, "link-0", &file);
    for n in 1..=count {
        let _ = symlink(format!("link-{}", n - 1), directory.join(format!("link-{n}")));
    }
    directory.join(format!("link-{count}"))
}

fn fifo(directory: &Path) -> PathBuf {
    let path = directory.join("fifo");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a FIFO");
    path
}

fn header(segments: u16) -> Vec<u8> {
    let mut header = Vec::from(*b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\x03\0\x3e\0\x01\0\0\0");
    for word in [0_u64, 64, 0] {
        header.extend(word.to_le_bytes());
    }
    header.extend([0; 4]);
    for half in [64_u16, 56, segments, 64, 0, 0] {
        header.extend(half.to_le_bytes());
    }
    header
}

fn note_segment(offset: u64, bytes: u64) -> Vec<u8> {
    let mut entry = Vec::from([4, 0, 0, 0, 4, 0, 0, 0]);
    for word in [offset, 0, 0, bytes, bytes, 4] {
        entry.extend(word.to_le_bytes());
    }
    entry
}

fn write(directory: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = directory.join(name);
    let mut file = File::create(&path).expect("a file");
    file.write_all(bytes).expect("written");
    // In the page cache and of the length it should have.
    file.read_at(&mut [0; 1], 0).ok();
    assert_eq!(fs::metadata(&path).expect("it is there").len(), bytes.len() as u64);
    path
}
