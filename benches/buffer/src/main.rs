//! Prints what the buffer costs, beside a plain file and other queues. See `measure`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zastava_buffer::{Buffer, Disk, Kind, Removal, Store, StoredFile, block_on, verify};
use zastava_buffer_measure::GROUP;
use zastava_buffer_measure::queues::{QUEUES, Queue, config, settle_disk};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, or: usize| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(or);
    match arguments.first().map(String::as_str) {
        Some("throughput") => throughput(number(1, 7)),
        Some("backlog") => backlog(),
        Some("memory") => memory(),
        Some("memory-of") => memory_of(Path::new(&arguments[1]), &arguments[2]),
        Some("stall") => stall(number(1, 10) as u64),
        _ => eprintln!("throughput [ROUNDS] | backlog | memory | stall [SECONDS]"),
    }
}

fn scratch() -> TempDir {
    let parent = std::env::var_os("ZASTAVA_BUFFER_DIRECTORY").map_or_else(std::env::temp_dir, PathBuf::from);
    TempDir::new_in(parent).expect("a directory")
}

fn throughput(rounds: usize) {
    for (bytes, count) in [(1024, 200_000), (4096, 50_000)] {
        for sync in [false, true] {
            let mode = if sync { format!("synced every {GROUP} records") } else { "not synced".to_owned() };
            println!("\n{count} records of {bytes} bytes, {mode}, median of {rounds} rounds");
            println!(
                "{:<16}{:>14}{:>8}{:>14}{:>8}{:>16}",
                "", "append rec/s", "ratio", "drain rec/s", "ratio", "written/payload"
            );
            table(rounds, bytes, count, sync);
        }
    }
}

fn table(rounds: usize, bytes: usize, count: usize, sync: bool) {
    let mut figures: Vec<Vec<[f64; 3]>> = vec![Vec::new(); QUEUES.len()];
    for round in 0..rounds {
        for at in 0..QUEUES.len() {
            let queue = (at + round) % QUEUES.len();
            if QUEUES[queue].only.is_some_and(|only| only != sync) {
                continue;
            }
            figures[queue].push(run(&QUEUES[queue], bytes, count, sync));
        }
    }
    for (queue, rows) in QUEUES.iter().zip(&figures) {
        if rows.is_empty() {
            println!("{:<16}{:>14}{:>8}{:>14}{:>8}{:>16}", queue.name, "-", "-", "-", "-", "-");
            continue;
        }
        let figure = |what: usize| median(rows.iter().map(|row| row[what]).collect());
        // Within a round, so that other work on the machine disturbs both sides.
        let ratio = |what: usize| {
            median(rows.iter().zip(&figures[0]).map(|(ours, plain)| ours[what] / plain[what]).collect())
        };
        println!(
            "{:<16}{:>14.0}{:>8.2}{:>14.0}{:>8.2}{:>16.2}",
            queue.name,
            figure(0),
            ratio(0),
            figure(1),
            ratio(1),
            figure(2)
        );
    }
}

fn run(queue: &Queue, bytes: usize, count: usize, sync: bool) -> [f64; 3] {
    let directory = scratch();
    let payload: Vec<u8> = (0..bytes).map(|at| (at * 7 % 251) as u8).collect();
    settle_disk(directory.path()).expect("synced");
    let before = written_bytes();
    let began = Instant::now();
    (queue.append)(directory.path(), &payload, count, sync);
    let append = count as f64 / began.elapsed().as_secs_f64();
    let written = (written_bytes() - before) as f64 / (bytes * count) as f64;
    let began = Instant::now();
    (queue.drain)(directory.path(), &payload, count, sync);
    [append, count as f64 / began.elapsed().as_secs_f64(), written]
}

/// What this process made the kernel write to disks.
fn written_bytes() -> u64 {
    let io = fs::read_to_string("/proc/self/io").unwrap_or_default();
    let line = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    line.and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn fill(directory: &Path, bytes: usize) {
    let (producer, _consumer, _) = Buffer::open(directory, config(false)).expect("opened");
    let payload = vec![7; 1024];
    for _ in 0..bytes / 1024 {
        block_on(producer.push_wait(Kind(1), &payload)).expect("accepted");
    }
    producer.close(Duration::from_secs(600));
}

fn backlog() {
    let directory = scratch();
    fill(directory.path(), 1 << 30);
    let files = |is: fn(&str) -> bool| -> Vec<PathBuf> {
        let entries = fs::read_dir(directory.path()).expect("listed").map(|entry| entry.expect("listed"));
        entries.filter(|entry| entry.file_name().to_str().is_some_and(is)).map(|entry| entry.path()).collect()
    };
    let mut rows: Vec<[f64; 3]> = Vec::new();
    for _ in 0..7 {
        let began = Instant::now();
        let (producer, _consumer, report) = Buffer::open(directory.path(), config(false)).expect("opened");
        let open = began.elapsed();
        assert_eq!(report.pending, 1 << 20);
        producer.close(Duration::from_secs(60));
        let began = Instant::now();
        let mut buffer = vec![0; 128 << 10];
        for path in files(|name| name.ends_with(".seg")) {
            let mut file = fs::File::open(path).expect("opened");
            while io::Read::read(&mut file, &mut buffer).expect("read") > 0 {}
        }
        let raw = began.elapsed();
        let began = Instant::now();
        let verified = verify(&mut Disk::open(directory.path(), 0).expect("opened")).expect("read");
        assert_eq!((verified.records, verified.lost.total()), (1 << 20, 0));
        rows.push([open.as_secs_f64() * 1e3, raw.as_secs_f64() * 1e3, began.elapsed().as_secs_f64() * 1e3]);
    }
    let figure = |what: usize| median(rows.iter().map(|row| row[what]).collect());
    println!(
        "\n1 GiB backlog of 1 KiB records, {} segments, warm, median of 7",
        files(|name| name.ends_with(".seg")).len()
    );
    println!("open {:.1} ms, read the files {:.0} ms, verify {:.0} ms", figure(0), figure(1), figure(2));
    println!(
        "open / read {:.3}, verify speed / read speed {:.2}",
        figure(0) / figure(1),
        figure(1) / figure(2)
    );
}

fn memory() {
    let directory = scratch();
    fill(directory.path(), 1 << 30);
    println!("\nmemory with a 1 GiB backlog and a ring of 4 MiB, over the process before it opens");
    for part in ["open", "load", "drain"] {
        let program = std::env::current_exe().expect("a program");
        let output =
            Command::new(program).args(["memory-of", &directory.path().display().to_string(), part]).output();
        print!("{}", String::from_utf8_lossy(&output.expect("it runs").stdout));
    }
}

fn memory_of(directory: &Path, part: &str) {
    let payload = vec![7; 1024];
    let before = status("VmRSS:");
    let (producer, mut consumer, _) = Buffer::open(directory, config(true)).expect("opened");
    if part == "load" {
        for _ in 0..100_000 {
            block_on(producer.push_wait(Kind(1), &payload)).expect("accepted");
        }
    }
    if part == "drain" {
        while producer.stats().pending > 0 {
            block_on(consumer.next_batch(GROUP, usize::MAX)).expect("open").ack();
        }
    }
    producer.close(Duration::from_secs(60));
    println!("{part:<8}{:>6.1} MiB at the peak", (status("VmHWM:") - before) as f64 / 1024.0);
}

fn status(field: &str) -> i64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    line.and_then(|text| text.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}

/// A disk whose calls do not return while it is told to stall.
#[derive(Debug)]
struct Stalling {
    disk: Disk,
    is_stalled: Arc<AtomicBool>,
}

impl Stalling {
    fn disk(&mut self) -> &mut Disk {
        while self.is_stalled.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        &mut self.disk
    }
}

impl Store for Stalling {
    fn list(&mut self) -> io::Result<Vec<StoredFile>> {
        self.disk().list()
    }
    fn create(&mut self, name: &str, reserve_bytes: u64) -> io::Result<()> {
        self.disk().create(name, reserve_bytes)
    }
    fn write(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.disk().write(name, offset, bytes)
    }
    fn read(&mut self, name: &str, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        self.disk().read(name, offset, buffer)
    }
    fn truncate(&mut self, name: &str, len: u64) -> io::Result<()> {
        self.disk().truncate(name, len)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.disk().sync(name)
    }
    fn sync_names(&mut self) -> io::Result<()> {
        self.disk().sync_names()
    }
    fn remove(&mut self, name: &str, removal: Removal) -> io::Result<()> {
        self.disk().remove(name, removal)
    }
}

fn stall(seconds: u64) {
    let directory = scratch();
    let is_stalled = Arc::new(AtomicBool::new(false));
    let (path, flag) = (directory.path().to_owned(), Arc::clone(&is_stalled));
    let opener = move || Ok(Stalling { disk: Disk::open(&path, 0)?, is_stalled: Arc::clone(&flag) });
    let mut settings = config(true);
    settings.default_policy.when_full = zastava_buffer::WhenFull::DropOldest;
    let (producer, _consumer, _) = Buffer::open_store(opener, settings).expect("opened");
    let payload = vec![7; 1024];
    is_stalled.store(true, Ordering::Relaxed);
    let (end, mut times) = (Instant::now() + Duration::from_secs(seconds), Vec::new());
    while Instant::now() < end {
        let began = Instant::now();
        let _ = producer.push(Kind(1), &payload);
        times.push(began.elapsed());
        std::thread::sleep(Duration::from_micros(50));
    }
    let began = Instant::now();
    let (is_done, _) = producer.close(Duration::from_millis(200));
    println!("\ndisk stalled for {seconds} s: {} pushes, ring of 4 MiB, drop oldest", times.len());
    times.sort();
    let at = |part: f64| times[((times.len() - 1) as f64 * part) as usize].as_secs_f64() * 1e6;
    println!(
        "push p50 {:.1} us, p99 {:.1} us, p99.9 {:.1} us, worst {:.0} us",
        at(0.5),
        at(0.99),
        at(0.999),
        at(1.0)
    );
    println!("close with 200 ms returned after {} ms, done: {is_done}", began.elapsed().as_millis());
    is_stalled.store(false, Ordering::Relaxed);
    producer.close(Duration::from_secs(60));
    let stats = producer.stats();
    assert!(stats.is_balanced());
    println!("{stats}");
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
