//! A spool that survives its process: push, crash, recover, drain.
#![expect(clippy::print_stdout, reason = "an example talks to a person")]

use std::process::{Command, abort};
use std::time::Duration;

use zastava_buffer::{Buffer, BufferOptions, Durability, Kind, block_on};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let Some(directory) = std::env::args().nth(1) else {
        let directory = tempfile::tempdir()?;
        let crashed = Command::new(std::env::current_exe()?).arg(directory.path()).status()?;
        let (producer, mut consumer, report) = Buffer::open(directory.path(), BufferOptions::new(8 << 20))?;
        println!("{crashed}: {} events are there, {} lost", report.pending, report.lost);
        while !consumer.is_drained() {
            block_on(consumer.next_batch(100, 1 << 20)).ok_or("closed")?.ack();
        }
        producer.close(Duration::from_secs(5));
        println!("{}", producer.stats());
        return Ok(());
    };
    let (producer, _consumer, _) = Buffer::open(directory, BufferOptions::new(8 << 20))?;
    for number in 1..1000 {
        let _ = producer.push(Kind(1), format!("event {number}").as_bytes());
    }
    block_on(producer.push_durable(Kind(2), b"the last one", Durability::Process))?;
    abort()
}
