//! `kill -9` in the middle of pushing, acknowledging and removing files.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use zastava_buffer::{BufferOptions, CursorCondition, Durability, Entry, block_on};

use crate::support::{close, kind, open, payload, roomy, rounds, scratch};

const DIRECTORY: &str = "ZASTAVA_BUFFER_KILL_DIRECTORY";

/// Large enough that nothing is evicted, with segments small enough that many are removed.
fn options() -> BufferOptions {
    roomy(64 << 20, 8192)
}

/// Not a test of its own but the process that is killed. It reports only pushes that have returned.
#[test]
fn child_that_is_killed() {
    let Some(directory) = env::var_os(DIRECTORY) else { return };
    let (producer, mut consumer, _) = open(Path::new(&directory), options());
    let mut report = std::io::stdout();
    let mut seq = producer.stats().accepted;
    loop {
        seq += 1;
        let level = if seq.is_multiple_of(7) { Durability::Power } else { Durability::Process };
        let pushed = block_on(producer.push_durable(kind(seq), &payload(seq), level));
        assert_eq!(pushed.expect("the disk works"), seq);
        writeln!(report, "pushed {seq}").expect("parent is there");
        if seq.is_multiple_of(50) {
            block_on(consumer.next_batch(40, 1 << 20)).expect("open").ack();
        }
    }
}

#[test]
fn nothing_reported_is_lost_when_the_process_is_killed() {
    let directory = scratch();
    let (mut pushed, mut acked) = (0, 0);
    let rounds = rounds("ZASTAVA_BUFFER_KILLS", 200);
    for round in 0..rounds {
        let mut child = spawn(directory.path());
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut note = |line: std::io::Result<String>| {
            let line = line.expect("text");
            // The last line may be cut.
            pushed = line
                .split_once("pushed ")
                .and_then(|(_, seq)| seq.parse().ok())
                .unwrap_or(pushed)
                .max(pushed);
        };
        // A different moment in each round.
        lines.by_ref().take(20 + round * 37 % 200).for_each(&mut note);
        child.kill().expect("kill");
        lines.for_each(&mut note);
        child.wait().expect("wait");
        acked = check(directory.path(), pushed, acked);
    }
    crate::support::report(&format!(
        "{rounds} kills, {pushed} records reported, {acked} acknowledged, 0 lost"
    ));
    assert!(pushed > rounds as u64 * 20 && acked > 0);
}

fn spawn(directory: &Path) -> Child {
    Command::new(env::current_exe().expect("this test"))
        .args(["kill::child_that_is_killed", "--exact", "--nocapture"])
        .env(DIRECTORY, directory)
        .stdout(Stdio::piped())
        .spawn()
        .expect("the test binary runs itself")
}

fn check(directory: &Path, pushed: u64, acked: u64) -> u64 {
    // The lock died with its holder.
    let (producer, mut consumer, report) = open(directory, options());
    assert_eq!((report.lost, report.unclean), (0, true));
    assert!(matches!(report.cursor, CursorCondition::Intact));
    let stats = producer.stats();
    assert_eq!((stats.is_balanced(), stats.dropped.total()), (true, 0), "{stats}");
    assert!(stats.accepted >= pushed, "record {pushed} was reported: {stats}");
    assert!(stats.acked >= acked, "{stats}");
    // A part of it is looked at each time, and most of it goes.
    let mut next = stats.acked + 1;
    while producer.stats().pending > 30 {
        let batch = block_on(consumer.next_batch(20, 1 << 20)).expect("open");
        for entry in batch.entries() {
            let Entry::Record(record) = entry else { panic!("nothing is lost: {entry:?}") };
            assert_eq!((record.seq, record.kind, &record.bytes[..]), (next, kind(next), &payload(next)[..]));
            next += 1;
        }
        batch.ack();
    }
    close(&producer).acked
}
