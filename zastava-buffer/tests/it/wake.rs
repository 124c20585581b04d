//! Waiting for records without polling.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use zastava_buffer::Kind;

use crate::support::{drain, fill, open, scratch, small};

const LONG: Duration = Duration::from_secs(600);

#[test]
fn a_waiting_consumer_is_woken_by_a_push() {
    let directory = scratch();
    let buffer = Arc::new(open(directory.path(), small()).0);
    let (started, ready) = mpsc::channel();
    let consumer = thread::spawn({
        let buffer = Arc::clone(&buffer);
        move || {
            started.send(()).expect("test is there");
            buffer.wait_for_records(LONG)
        }
    });
    ready.recv().expect("consumer is there");
    fill(&buffer, 1);
    assert!(consumer.join().expect("consumer"));
}

#[test]
fn waiting_ends_at_once_while_something_is_unacknowledged_and_times_out_otherwise() {
    let directory = scratch();
    let (buffer, _) = open(directory.path(), small());
    assert!(!buffer.wait_for_records(Duration::ZERO));
    fill(&buffer, 1);
    buffer.next_batch(1, 100).expect("batch");
    assert!(buffer.wait_for_records(LONG));
    drain(&buffer);
    assert!(!buffer.wait_for_records(Duration::ZERO));
}

#[test]
fn the_subscriber_is_called_per_stored_record_and_may_use_the_buffer() {
    let directory = scratch();
    let buffer = Arc::new(open(directory.path(), small()).0);
    let seen = Arc::new(AtomicU64::new(0));
    buffer.subscribe(|| panic!("replaced before the first push"));
    buffer.subscribe({
        let (seen, buffer) = (Arc::clone(&seen), Arc::downgrade(&buffer));
        move || {
            let pending = buffer.upgrade().map_or(0, |buffer| buffer.stats().pending);
            seen.store(pending, Ordering::SeqCst);
        }
    });
    fill(&buffer, 5);
    assert_eq!(seen.load(Ordering::SeqCst), 5);
    buffer.push(Kind(0), &[0; 9000]).expect_err("too large");
    assert_eq!(seen.load(Ordering::SeqCst), 5);
}
