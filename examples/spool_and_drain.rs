//! Pushes records into a spool, goes away without a goodbye, comes back, drains and acknowledges.
//!
//! `cargo run --example spool_and_drain [directory]`; run it twice on one directory to see it go on.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use zastava_buffer::{Buffer, Entry, Kind, Options};

const HEARTBEAT: Kind = Kind(0);
const STARTED: Kind = Kind(1);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let directory =
        std::env::args_os().nth(1).map_or_else(|| scratch.path().into(), std::path::PathBuf::from);

    let (buffer, report) = Buffer::open(&directory, Options::new(8 << 20))?;
    println!("opened, {} records from before", report.pending);
    for number in 0..5 {
        let kind = if number == 0 { HEARTBEAT } else { STARTED };
        let admission = buffer.push(kind, format!("event {number}").as_bytes())?;
        println!("record {} is safe from kill -9", admission.seq);
    }
    drop(buffer); // Nothing synced, nothing acknowledged, as a crash would leave it.

    let (buffer, report) = Buffer::open(&directory, Options::new(8 << 20))?;
    println!("opened again, {} records to deliver", report.pending);
    while let batch @ [_, ..] = &buffer.next_batch(3, 1 << 20)?[..] {
        for entry in batch {
            match entry {
                Entry::Record(record) => println!("{}: {}", record.seq, record.bytes.escape_ascii()),
                Entry::Gap(gap) => println!("{} records lost: {:?}", gap.records(), gap.reason),
                _ => {}
            }
        }
        buffer.ack_through(batch[batch.len() - 1].last_seq())?;
    }
    let stats = buffer.stats();
    println!(
        "accepted {} = acked {} + pending {} + dropped {}",
        stats.accepted,
        stats.acked,
        stats.pending,
        stats.dropped.total()
    );
    Ok(())
}
