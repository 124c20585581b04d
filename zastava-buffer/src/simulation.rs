//! Tests of the whole buffer on a simulated disk that can lose power, one step at a time in one thread.
//!
//! All randomness comes from a seed, so a failure is reproduced by its number: `ZASTAVA_BUFFER_SEED=17`.

mod commit;
mod corners;
mod crash;
mod disk;
mod faults;
mod interleave;
mod probe;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use self::disk::SimDisk;
use crate::buffer::start;
use crate::consumer::Consumer;
use crate::drop_reason::DropReason;
use crate::entry::{Durability, Entry};
use crate::kind::Kind;
use crate::options::{BufferOptions, Commit, KindPolicy, WhenFull};
use crate::producer::Producer;
use crate::queue::QueueHandle;
use crate::worker::{Next, Worker};

/// Prints the figures of a run.
fn report(what: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stdout(), "{what}");
}

/// A small generator (xorshift) that gives the same numbers everywhere.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..4 {
            let _ = random.next();
        }
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }

    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    pub(super) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// An open buffer, and what its user knows.
struct Session {
    pub(super) producer: Producer,
    pub(super) consumer: Consumer,
    worker: Worker,
    disk: SimDisk,
    now: Instant,
    /// Ids of the records pushed in this session, by class and number.
    given: BTreeMap<(u8, u64), u64>,
}

/// What must be true over all sessions of a directory.
#[derive(Default)]
pub(super) struct Oracle {
    next_id: u64,
    /// Kind and payload of each record, by its id.
    pub(super) records: BTreeMap<u64, (Kind, Vec<u8>)>,
    /// Class, number and id of records that were reported to survive a power cut.
    safe: BTreeSet<(u8, u64, u64)>,
    /// Classes and numbers that the consumer settled.
    pub(super) done: BTreeSet<(u8, u64)>,
    /// Those of them that were durable when they were acknowledged. An unsynced record can be torn later, together with
    /// its acknowledgement.
    done_safely: BTreeSet<(u8, u64)>,
    /// The record that each (class, epoch, number) names.
    names: BTreeMap<(u8, u32, u64), u64>,
}

pub(super) fn options(random: &mut Random) -> BufferOptions {
    let mut options = BufferOptions::new(64 << 10);
    options.segment_bytes = 4096;
    options.ring_bytes = 4096 << random.below(3);
    options.record_bytes_max = 1000;
    options.commit =
        Commit::Group { records_max: 1 + random.below(20) as u32, interval: Duration::from_millis(10) };
    if random.chance(30) {
        options.bytes_max *= 2;
        options.policies.insert(Kind(1), KindPolicy { when_full: WhenFull::DropOldest, class: 1 });
    }
    options.policies.insert(Kind(2), KindPolicy { when_full: WhenFull::Refuse, class: 0 });
    options
}

impl Session {
    /// Opens the buffer. `None` if the disk failed.
    fn begin(disk: &SimDisk, options: &BufferOptions) -> Option<Self> {
        let store = disk.clone();
        let (worker, handle, _) =
            start(Box::new(move || Ok(Box::new(store.clone()))), options.clone()).ok()?;
        Some(Self::with(worker, &handle, disk))
    }

    fn with(worker: Worker, handle: &Arc<QueueHandle>, disk: &SimDisk) -> Self {
        Self {
            producer: Producer::new(Arc::clone(handle)),
            consumer: Consumer::new(Arc::clone(handle)),
            worker,
            disk: disk.clone(),
            now: Instant::now(),
            given: BTreeMap::new(),
        }
    }

    pub(super) fn step(&mut self) -> Next {
        let next = self.worker.step(self.now);
        let stats = self.producer.stats();
        assert!(stats.is_balanced(), "{stats:?}");
        self.producer.check_lanes();
        next
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    /// Returns true if a sleeping worker would stay asleep.
    fn is_worker_idle(&self) -> bool {
        self.producer.is_worker_idle()
    }

    /// Steps until the worker has nothing to do, and lets time pass as needed.
    pub(super) fn settle(&mut self) {
        for _ in 0..10_000 {
            match self.step() {
                Next::Step => {}
                Next::Wait(Some(until)) => self.now = self.now.max(until),
                Next::Wait(None) | Next::End => return,
            }
        }
        panic!("the worker never rests");
    }

    pub(super) fn push(&mut self, oracle: &mut Oracle, kind: Kind, bytes: usize) {
        let id = oracle.next_id;
        let text = format!("{id};");
        let payload: Vec<u8> = text.bytes().cycle().take(text.len() + bytes).collect();
        if let Some(seq) = self.producer.push(kind, &payload).seq() {
            oracle.next_id += 1;
            oracle.records.insert(id, (kind, payload));
            self.given.insert((class(kind), seq), id);
        }
    }

    /// Notes the records that are reported to be durable now.
    pub(super) fn note_safe(&self, oracle: &mut Oracle) {
        for (&(class, seq), &id) in &self.given {
            let kind = oracle.records[&id].0;
            let untouched = !oracle.done.contains(&(class, seq));
            if untouched && self.producer.durability(kind, seq) == Some(Durability::Power) {
                oracle.safe.insert((class, seq, id));
            }
        }
    }

    /// Takes a batch and checks it. Acknowledges it or drops it.
    pub(super) fn consume(&mut self, oracle: &mut Oracle, records_max: usize, ack: bool) -> bool {
        let Some(batch) = self.consumer.try_next_batch(records_max, 4000) else { return false };
        let class = batch.class();
        let mut last = 0;
        for entry in batch.entries() {
            assert!(entry.first_seq() > last, "in order");
            last = entry.last_seq();
            oracle.check(class, entry);
        }
        let first = batch.entries()[0].first_seq();
        if ack {
            let lanes = self.producer.safe_through();
            let records = batch.entries().iter().filter(|entry| matches!(entry, Entry::Record(_)));
            let safe = records
                .map(Entry::last_seq)
                .filter(|seq| *seq < lanes[usize::from(class)] && self.given.contains_key(&(class, *seq)));
            oracle.done_safely.extend(safe.map(|seq| (class, seq)));
            batch.ack();
            oracle.done.extend((first..=last).map(|seq| (class, seq)));
        }
        true
    }

    /// Takes and acknowledges everything that is left.
    pub(super) fn drain(&mut self, oracle: &mut Oracle) {
        for _ in 0..100_000 {
            if !self.consume(oracle, 50, true) {
                self.settle();
                if self.consumer.is_drained() {
                    return;
                }
            }
        }
        panic!("it never drains: {:?}", self.producer.stats());
    }

    /// Closes the buffer.
    pub(super) fn end(mut self) {
        self.producer.close(Duration::ZERO);
        while self.step() != Next::End {}
    }
}

pub(super) fn class(kind: Kind) -> u8 {
    u8::from(kind == Kind(1) && CLASSES.get() == 2)
}

thread_local! {
    static CLASSES: std::cell::Cell<usize> = const { std::cell::Cell::new(1) };
}

/// Sets how many classes [`class`] knows of.
pub(super) fn remember_classes(options: &BufferOptions) {
    CLASSES.set(options.classes());
}

impl Oracle {
    fn check(&mut self, class: u8, entry: &Entry) {
        match entry {
            Entry::Record(record) => {
                let text = std::str::from_utf8(&record.bytes).expect("as pushed");
                let id: u64 = text.split(';').next().and_then(|id| id.parse().ok()).expect("as pushed");
                let (kind, bytes) = &self.records[&id];
                assert_eq!((record.kind, &record.bytes[..]), (*kind, &bytes[..]));
                let named = *self.names.entry((class, record.epoch, record.seq)).or_insert(id);
                assert_eq!(named, id, "epoch {} and number {} name two records", record.epoch, record.seq);
                self.safe.remove(&(class, record.seq, id));
            }
            Entry::Gap(gap) => {
                assert_eq!(gap.counts.total(), gap.records(), "{gap:?}");
                let fair = |reason| {
                    matches!(reason, DropReason::Evicted | DropReason::MemoryFull | DropReason::CapLowered)
                };
                let fairly: u64 = gap.counts.iter().filter(|count| fair(count.1)).map(|count| count.2).sum();
                let covered =
                    |(of, seq): (u8, u64)| of == class && (gap.first_seq..=gap.last_seq).contains(&seq);
                let safe = self.safe.iter().filter(|(of, seq, _)| covered((*of, *seq))).count() as u64;
                assert!(safe <= fairly, "{safe} records were safe, and are reported as lost: {gap:?}");
                let done = self.done_safely.iter().filter(|number| covered(**number)).count() as u64;
                assert!(done <= fairly, "{done} records were done with, and are reported as lost: {gap:?}");
                self.safe.retain(|(of, seq, _)| !covered((*of, *seq)));
            }
        }
    }

    /// Checks that every durable record was delivered, once the buffer is drained.
    pub(super) fn check_nothing_missing(&self) {
        let missing = self.safe.iter().find(|(class, seq, _)| !self.done.contains(&(*class, *seq)));
        assert!(missing.is_none(), "{missing:?} was safe and never came");
    }

    /// Forgets numbers above the last ones: after a power cut, numbers of unsynced records are assigned again.
    pub(super) fn forget_numbers_above(&mut self, last: &BTreeMap<u8, u64>) {
        let is_given = |(class, seq): &(u8, u64)| last.get(class).is_some_and(|last| seq <= last);
        self.done.retain(is_given);
        self.done_safely.retain(is_given);
    }
}
