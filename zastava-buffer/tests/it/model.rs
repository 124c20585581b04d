//! Random operations on a directory, compared with a few counters. The counts balance and the cap holds at every step,
//! and every accepted record is delivered or reported as lost.

use std::time::Duration;

use proptest::prelude::*;
use zastava_buffer::{BufferOptions, Durability, Entry, Kind, KindPolicy, PushOutcome, WhenFull, block_on};

use crate::support::{check_disk, close, open, roomy, rounds, scratch};

#[derive(Clone, Copy, Debug)]
enum Step {
    Push(u8, u16),
    Flush,
    Take(u8, bool),
    Reopen,
    LowerCap,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..4_u8, 0..900_u16).prop_map(|(kind, bytes)| Step::Push(kind, bytes)),
        2 => Just(Step::Flush),
        3 => (1..30_u8, any::<bool>()).prop_map(|(records, ack)| Step::Take(records, ack)),
        1 => Just(Step::Reopen),
        1 => Just(Step::LowerCap),
    ]
}

fn options(bytes_max: u64) -> BufferOptions {
    let mut options = roomy(bytes_max, 4096);
    options.ring_bytes = 16 << 10;
    options.policies.insert(Kind(1), KindPolicy { when_full: WhenFull::Refuse, class: 0 });
    options.policies.insert(Kind(2), KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
    options
}

fn run(steps: &[Step]) {
    let directory = scratch();
    let mut bytes_max = 256 << 10;
    let (mut producer, mut consumer, _) = open(directory.path(), options(bytes_max));
    let (mut accepted, mut acked, mut refused) = (0, 0, 0);
    for step in steps {
        match *step {
            Step::Push(kind, bytes) => {
                // So many that segments fill up.
                for _ in 0..20 {
                    match producer.push(Kind(kind), &vec![kind; usize::from(bytes)]) {
                        PushOutcome::Refused(_) => refused += 1,
                        _ => accepted += 1,
                    }
                }
            }
            Step::Flush => drop(block_on(producer.flush(Durability::Power))),
            Step::Take(records, ack) => {
                if let Some(batch) = consumer.try_next_batch(usize::from(records), 1 << 20) {
                    let sum = |entry: &Entry| match entry {
                        Entry::Record(record) => {
                            u64::from(record.bytes.iter().all(|byte| *byte == record.kind.0))
                        }
                        Entry::Gap(gap) => u64::from(gap.counts.total() == gap.records()),
                        _ => 0,
                    };
                    assert_eq!(batch.entries().iter().map(sum).sum::<u64>(), batch.entries().len() as u64);
                    if ack {
                        acked += batch.ack();
                    }
                }
            }
            Step::Reopen | Step::LowerCap => {
                let before = close(&producer);
                bytes_max =
                    if matches!(step, Step::LowerCap) { (bytes_max / 2).max(128 << 10) } else { bytes_max };
                (producer, consumer, _) = open(directory.path(), options(bytes_max));
                let after = producer.stats();
                assert_eq!((after.accepted, after.acked), (before.accepted, before.acked));
                assert!(after.dropped.total() >= before.dropped.total());
                refused = 0;
            }
        }
        let stats = producer.stats();
        assert!(stats.is_balanced(), "{stats}");
        assert_eq!((stats.accepted, stats.acked, stats.refused.total()), (accepted, acked, refused));
        assert!(stats.disk_bytes <= bytes_max && stats.ring_bytes <= 16 << 10, "{stats}");
        check_disk(directory.path(), bytes_max);
    }
    while !consumer.is_drained() {
        acked += block_on(consumer.next_batch(100, 1 << 20)).expect("open").ack();
    }
    let (is_done, stats) = producer.close(Duration::from_secs(600));
    assert!(is_done);
    assert_eq!(stats.accepted, acked + stats.dropped.total());
}

#[test]
fn the_books_balance_at_every_moment_of_any_life() {
    let cases = rounds("ZASTAVA_BUFFER_LIVES", 256) as u32;
    let options = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(options, |(steps in proptest::collection::vec(step(), 1..60))| run(&steps));
}
