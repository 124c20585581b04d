//! What the consumer sees: batches, acknowledgements, redelivery.

use zastava_buffer::{Durability, Entry, Kind, block_on};

use crate::support::{close, drain, fill, flush, open, scratch, small};

fn seqs(batch: &zastava_buffer::Batch) -> Vec<u64> {
    batch.entries().iter().map(Entry::last_seq).collect()
}

#[test]
fn records_come_once_in_order_over_several_openings() {
    let directory = scratch();
    for session in 0..5 {
        let (producer, mut consumer, report) = open(directory.path(), small());
        assert_eq!(
            (report.pending, report.lost, report.unclean),
            (if session > 0 { 30 } else { 0 }, 0, false)
        );
        fill(&producer, session * 60 + 1..=session * 60 + 60);
        let (mut taken, goal) = (0, if session > 0 { 60 } else { 30 });
        while taken < goal {
            let batch = block_on(consumer.next_batch((goal - taken).min(10), 1 << 20)).expect("open");
            let entries = batch.entries().len();
            assert!(entries <= 10);
            assert_eq!(batch.ack() as usize, entries);
            taken += entries;
        }
        assert_eq!(close(&producer).pending, 30);
    }
}

#[test]
fn a_batch_that_is_let_go_comes_again_and_says_so() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    fill(&producer, 1..=9);
    let attempts = |batch: &zastava_buffer::Batch| -> Vec<u32> {
        batch
            .entries()
            .iter()
            .filter_map(|entry| match entry {
                Entry::Record(record) => Some(record.attempt),
                _ => None,
            })
            .collect()
    };
    let batch = block_on(consumer.next_batch(4, 1 << 20)).expect("open");
    assert_eq!((seqs(&batch), attempts(&batch)), (vec![1, 2, 3, 4], vec![1; 4]));
    assert_eq!(batch.ack_through(2), 2);
    drop(batch);
    let batch = block_on(consumer.next_batch(3, 1 << 20)).expect("open");
    assert_eq!((seqs(&batch), attempts(&batch)), (vec![3, 4, 5], vec![2, 2, 1]));
    drop(batch);
    let batch = block_on(consumer.next_batch(9, 1 << 20)).expect("open");
    assert_eq!(attempts(&batch)[..2], [3, 3]);
    assert_eq!((batch.ack(), producer.stats().acked), (7, 9));
    close(&producer);
}

#[test]
fn batches_out_are_acknowledged_in_order() {
    let directory = scratch();
    let mut options = small();
    options.batches_max = 3;
    let (producer, mut consumer, _) = open(directory.path(), options);
    fill(&producer, 1..=10);
    let mut batches: Vec<_> =
        (0..3).map(|_| block_on(consumer.next_batch(2, 1 << 20)).expect("open")).collect();
    assert!(consumer.try_next_batch(2, 1 << 20).is_none(), "three are out");
    assert_eq!(batches.remove(1).ack(), 0, "the one before is not");
    assert_eq!(producer.stats().acked, 0);
    assert_eq!(batches.remove(0).ack(), 4, "now both");
    drop(batches);
    assert_eq!(drain(&mut consumer).seqs(), vec![5, 6, 7, 8, 9, 10]);
    close(&producer);
}

#[test]
fn limits_of_a_batch_are_kept_but_for_one_long_record() {
    let directory = scratch();
    let (producer, mut consumer, _) = open(directory.path(), small());
    for bytes in [10, 2000, 10, 10] {
        assert!(producer.push(Kind(1), &vec![b'x'; bytes]).seq().is_some());
    }
    let mut sizes = Vec::new();
    while !consumer.is_drained() {
        let batch = block_on(consumer.next_batch(100, 25)).expect("open");
        sizes.push(batch.entries().len());
        batch.ack();
    }
    assert_eq!(sizes, [1, 1, 2]);
    close(&producer);
}

#[test]
fn a_durable_push_says_what_it_reached() {
    let directory = scratch();
    let (producer, _consumer, _) = open(directory.path(), small());
    for level in [Durability::Memory, Durability::Process, Durability::Power] {
        let seq = block_on(producer.push_durable(Kind(1), b"x", level)).expect("the disk works");
        assert!(producer.durability(Kind(1), seq) >= Some(level));
    }
    flush(&producer);
    assert_eq!(producer.stats().in_memory, 0);
    close(&producer);
}

#[test]
fn after_a_full_drain_a_segment_is_left_at_most() {
    let directory = scratch();
    let mut options = small();
    options.bytes_max = 1 << 20;
    let (producer, mut consumer, _) = open(directory.path(), options);
    fill(&producer, 1..=2000);
    drain(&mut consumer).assert_genuine();
    assert_eq!(close(&producer).disk_bytes, 8192, "the cursor");
}
