//! Pushes records into a spool, goes away without a goodbye, comes back, drains and acknowledges.
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::path::PathBuf;

use zastava_buffer::{Buffer, Entry, Kind, Options};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let scratch = tempfile::tempdir()?;
    let directory = std::env::args_os().nth(1).map_or_else(|| scratch.path().into(), PathBuf::from);

    let (buffer, report) = Buffer::open(&directory, Options::new(8 << 20))?;
    println!("opened, {} records from before", report.pending);
    for number in 0..5 {
        let admission = buffer.push(Kind(1), format!("event {number}").as_bytes())?;
        println!("record {} is safe from kill -9", admission.seq);
    }
    drop(buffer); // Nothing synced and nothing acknowledged, as a crash would leave it.

    let (buffer, report) = Buffer::open(&directory, Options::new(8 << 20))?;
    println!("opened again, {} records to deliver", report.pending);
    while let [batch @ .., last] = &buffer.next_batch(3, 1 << 20)?[..] {
        for entry in batch.iter().chain([last]) {
            match entry {
                Entry::Record(record) => println!("{}: {}", record.seq, record.bytes.escape_ascii()),
                Entry::Gap(gap) => println!("{} records lost: {:?}", gap.records(), gap.reason),
                _ => {}
            }
        }
        buffer.ack_through(last.last_seq())?;
    }
    let stats = buffer.stats();
    println!("accepted {}, acknowledged {}, pending {}", stats.accepted, stats.acked, stats.pending);
    Ok(())
}
