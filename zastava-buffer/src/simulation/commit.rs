//! Tests of when written records are synced.

use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::disk::SimDisk;
use super::{Oracle, Random, Session, options, remember_classes};
use crate::entry::Durability;
use crate::kind::Kind;

#[test]
fn a_group_waits_for_more_unless_somebody_waits_for_it() {
    let mut settings = options(&mut Random::new(4));
    settings.ring_bytes = 1 << 20;
    settings.policies.clear();
    settings.commit = crate::Commit::Group { records_max: 10, interval: Duration::from_millis(10) };
    remember_classes(&settings);
    let (disk, mut oracle) = (SimDisk::new(), Oracle::default());
    let mut session = Session::begin(&disk, &settings).expect("nothing fails");
    let mut steps = |session: &mut Session, records: u64| {
        (0..records).for_each(|_| session.push(&mut oracle, Kind(0), 10));
        (0..4).for_each(|_| _ = session.step());
        session.producer.safe_through()[0] - 1
    };

    assert_eq!(steps(&mut session, 1), 1, "at once after a quiet time");
    assert_eq!(steps(&mut session, 9), 1, "not yet");
    assert_eq!(steps(&mut session, 1), 11, "enough records");
    assert_eq!(steps(&mut session, 1), 11);
    session.pass(Duration::from_millis(10));
    assert_eq!(steps(&mut session, 0), 12, "enough time");

    let producer = session.producer.clone();
    let poll = |level, is_ready: bool| {
        let polled = pin!(producer.flush(level)).poll(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(polled, Poll::Ready(Ok(()))) == is_ready, "{polled:?}");
    };
    assert_eq!(steps(&mut session, 1), 12);
    poll(Durability::Process, true);
    assert_eq!(steps(&mut session, 0), 12, "it is written, and that was all");
    poll(Durability::Power, false);
    assert_eq!(steps(&mut session, 0), 13, "a flush");
    poll(Durability::Power, true);
    assert_eq!(steps(&mut session, 1), 13, "that is over");
}
