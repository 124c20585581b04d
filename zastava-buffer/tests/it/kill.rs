//! `kill -9` in the middle of pushing, acknowledging and removing files.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zastava_buffer::{CursorCondition, Entry, Options};

use crate::support::{check_books, drain, kind, open, payload, scratch};

const DIRECTORY: &str = "ZASTAVA_BUFFER_KILL_DIRECTORY";
const ROUNDS: usize = 20;

/// Large enough that nothing is evicted, with segments small enough that many are removed.
fn options() -> Options {
    let mut options = Options::new(64 << 20);
    options.segment_bytes = 8192;
    options.record_bytes_max = 4096;
    options
}

/// Not a test of its own: the process that is killed. It reports only what has returned.
#[test]
fn child_that_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let (buffer, _) = open(Path::new(&directory), options());
    let mut report = std::io::stdout();
    for count in 1_u64.. {
        let seq = buffer.stats().next_seq;
        let _ = buffer.push(kind(seq), &payload(seq)).expect("push");
        writeln!(report, "pushed {seq}").expect("parent is there");
        if count.is_multiple_of(50) {
            let batch = buffer.next_batch(40, 1 << 20).expect("batch");
            let seq = batch.last().map(Entry::last_seq).expect("records are there");
            buffer.ack_through(seq).expect("ack");
            writeln!(report, "acked {seq}").expect("parent is there");
        }
    }
}

#[test]
fn nothing_reported_is_lost_when_the_process_is_killed() {
    let directory = scratch();
    let (mut pushed, mut acked) = (0, 0);
    for round in 0..ROUNDS {
        let mut child = spawn(directory.path());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut note = |line: std::io::Result<String>| {
            let line = line.expect("text");
            let number = |word| line.split_once(word).and_then(|(_, seq)| seq.parse().ok());
            pushed = number("pushed ").unwrap_or(pushed);
            acked = number("acked ").unwrap_or(acked);
        };
        // A different moment in each round.
        lines.by_ref().take(60 + round * 37 % 500).for_each(&mut note);
        child.kill().expect("kill");
        // What is still in the pipe was reported too; its last line may be cut.
        lines.for_each(&mut note);
        child.wait().expect("wait");
        check(directory.path(), pushed, acked);
    }
    assert!(acked > 500, "{acked}");
    let (buffer, _) = open(directory.path(), options());
    let drained = drain(&buffer);
    drained.assert_genuine();
    assert_eq!(drained.lost(), 0);
}

fn spawn(directory: &Path) -> Child {
    Command::new(env::current_exe().expect("this test"))
        .args(["kill::child_that_is_killed", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary runs itself")
}

fn check(directory: &Path, pushed: u64, acked: u64) {
    let (buffer, report) = open(directory, options());
    assert_eq!((report.lost, report.cursor), (0, CursorCondition::Intact));
    let stats = buffer.stats();
    check_books(&stats);
    assert_eq!(stats.dropped.total(), 0);
    assert!(stats.accepted >= pushed, "record {pushed} was reported: {stats:?}");
    assert!(stats.acked >= acked, "acknowledgement {acked} was reported: {stats:?}");
    let batch = buffer.next_batch(usize::MAX, usize::MAX).expect("batch");
    let expected: Vec<_> = (stats.acked + 1..=stats.accepted).collect();
    let found: Vec<_> = batch
        .iter()
        .map(|entry| match entry {
            Entry::Record(record) => {
                assert_eq!((record.kind, &record.bytes), (kind(record.seq), &payload(record.seq)));
                record.seq
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(found, expected);
}
