//! What one inspection takes.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use zastava_observer::{CollectOptions, ProcTree, ProcessFacts, ProcessInspector, ProcessTarget};

use super::percentile;

/// Maps every file below a directory as code, says so, and waits.
const MAPPER: &str = "
import mmap, os, sys
held = []
for name in sorted(os.listdir(sys.argv[1])):
    with open(os.path.join(sys.argv[1], name), 'rb') as file:
        held.append(mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_EXEC))
print('mapped', flush=True)
sys.stdin.read()
";
/// What is copied to make libraries: it has a build-id, as every library of a distribution does.
const LIBRARY: &str = "/lib/x86_64-linux-gnu/libc.so.6";
/// A cold round reads every file anew.
const COLD_ROUNDS: usize = 100;

pub(crate) fn inspect(libraries: usize, rounds: usize) {
    let directory = tempfile::tempdir().expect("a directory");
    for number in 0..libraries {
        let to = directory.path().join(format!("lib{number:04}.so"));
        fs::copy(LIBRARY, to).expect("this machine has glibc");
    }
    let mut process = mapper(directory.path());
    let target = ProcessTarget { pid: process.id(), ..ProcessTarget::default() };
    let mut without_hashes = CollectOptions::default();
    (without_hashes.hash_bytes_max, without_hashes.libraries_max) = (0, 4096);
    let inspector =
        || ProcessInspector::new(ProcTree::open("/proc").expect("is mounted"), without_hashes.clone());

    let mut cold: Vec<f64> = (0..COLD_ROUNDS).map(|_| time(&inspector(), &target).0).collect();
    let warm_inspector = inspector();
    let (_, facts) = time(&warm_inspector, &target);
    let mut warm: Vec<f64> = (0..rounds).map(|_| time(&warm_inspector, &target).0).collect();
    println!("{} libraries, without hashes, in ms, p50 and p99:", facts.libraries.len());
    println!(
        "  nothing known about their files {:8.3} {:8.3}",
        percentile(&mut cold, 50),
        percentile(&mut cold, 99)
    );
    println!(
        "  all files known                 {:8.3} {:8.3}",
        percentile(&mut warm, 50),
        percentile(&mut warm, 99)
    );
    assert!(facts.libraries.iter().all(|library| library.build_id.is_some()), "{:?}", facts.evidence);
    process.kill().expect("runs");
    process.wait().expect("can be waited for");

    let mut plain = Command::new("sleep").arg("1000").spawn().expect("can be started");
    let target = ProcessTarget { pid: plain.id(), ..ProcessTarget::default() };
    std::thread::sleep(std::time::Duration::from_millis(100));
    let inspector =
        ProcessInspector::new(ProcTree::open("/proc").expect("is mounted"), CollectOptions::default());
    let (_, facts) = time(&inspector, &target);
    let mut warm: Vec<f64> = (0..rounds).map(|_| time(&inspector, &target).0).collect();
    println!(
        "`sleep` with {} libraries, all files known, in ms, p50 and p99: {:.3} {:.3}",
        facts.libraries.len(),
        percentile(&mut warm, 50),
        percentile(&mut warm, 99)
    );
    plain.kill().expect("runs");
    plain.wait().expect("can be waited for");
}

fn mapper(directory: &Path) -> Child {
    let mut child = Command::new("python3")
        .args(["-c", MAPPER])
        .arg(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is there");
    let mut line = String::new();
    BufReader::new(child.stdout.take().expect("is piped")).read_line(&mut line).expect("can be read");
    assert_eq!(line.trim(), "mapped");
    child
}

/// Milliseconds, and what was read.
fn time(inspector: &ProcessInspector, target: &ProcessTarget) -> (f64, ProcessFacts) {
    let start = Instant::now();
    let facts = inspector.inspect(target).expect("the process runs");
    (start.elapsed().as_secs_f64() * 1000.0, facts)
}
