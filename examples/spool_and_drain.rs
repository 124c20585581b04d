//! Records that survive their process: a child process appends a thousand of them and crashes; this one recovers and drains them.
//!
//! ```sh
//! cargo run --example spool_and_drain
//! ```
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::error::Error;
use std::path::Path;
use std::process::{Command, abort};
use std::time::Duration;

use zastava_buffer::{Buffer, BufferOptions, Durability, Kind, block_on};

fn main() -> Result<(), Box<dyn Error>> {
    if let Some(directory) = std::env::args_os().nth(1) {
        return append_and_crash(Path::new(&directory));
    }
    let directory = tempfile::tempdir()?;
    let crashed = Command::new(std::env::current_exe()?).arg(directory.path()).status()?;

    let (producer, mut consumer, report) = Buffer::open(directory.path(), options())?;
    println!("the child ended with {crashed}; {} records recovered, {} lost", report.pending, report.lost);
    while !consumer.is_drained() {
        // A service sends the batch here. It acknowledges after the answer, so that a crash in between repeats it.
        block_on(consumer.next_batch(100, 1 << 20)).ok_or("the buffer is closed")?.ack();
    }
    producer.close(Duration::from_secs(5));
    println!("{}", producer.stats());
    Ok(())
}

/// The child: 999 records that are only pushed, then one that waits until all of them survive a crash.
fn append_and_crash(directory: &Path) -> Result<(), Box<dyn Error>> {
    let (producer, _consumer, _) = Buffer::open(directory, options())?;
    for number in 1..1000 {
        let _ = producer.push(Kind(1), format!("event {number}").as_bytes());
    }
    block_on(producer.push_durable(Kind(2), b"the last one", Durability::Process))?;
    abort()
}

/// At most 8 MiB on disk. A service would keep the default, which leaves 12 % of the file system free.
fn options() -> BufferOptions {
    let mut options = BufferOptions::new(8 << 20);
    options.free_percent_min = 0;
    options
}
