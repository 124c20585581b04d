//! Events that wait for Scanner, and the books about them.
//!
//! Events go to the buffer on disk. While the disk refuses them, or a predecessor still holds it, they wait in
//! memory, within a bound, and are sent from there. At every moment
//! `observed = delivered + duplicate + buffered + dropped`.

mod ledger;
mod metrics;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use zastava_buffer::{
    Buffer, BufferOptions, Consumer, Durability, Entry, Kind, OnUnavailable, Producer, PushOutcome,
    RefusalReason, StorageHealth,
};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, EventsAccepted, KindStyle};
use zastava_core::telemetry::{Telemetry, scope};

pub use self::ledger::Accounting;
use self::ledger::Ledger;
use self::metrics::Metrics;
use crate::Error;
use crate::options::ObserverOptions;

/// Room for `{"batchId":"…","events":[…]}` and the commas around 256 events.
pub(crate) const BATCH_OVERHEAD_BYTES: usize = 512;
/// Memory for events that are not on disk, whatever their number.
const MEMORY_BYTES_MAX: usize = 16 << 20;
/// A disk that takes longer than this for one event stops no observation: the event is in memory.
const SAFE_WAIT_MAX: Duration = Duration::from_secs(1);
/// At the end, for what is in memory.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// An event on its way.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// `None` for a kind that only a newer release knows.
    pub(crate) kind: Option<EventKind>,
    pub(crate) json: Bytes,
    seq: u64,
}

/// The oldest events, in order. What is not acknowledged when it is dropped comes again.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Waiting>,
    taken: zastava_buffer::Batch,
}

impl Batch {
    /// The number that covers the first `count` events; for all of them also what stands behind them, and
    /// that can be events which can no longer be read.
    fn through(&self, count: usize) -> Option<u64> {
        if count >= self.events.len() { Some(u64::MAX) } else { Some(self.events[count.checked_sub(1)?].seq) }
    }
}

/// What became of events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Taken(EventsAccepted),
    DeadLettered,
}

/// The buffer and its books. No call waits for the disk, but [`Outbox::offer`] for a while and
/// [`Outbox::close`].
#[derive(Debug)]
pub(crate) struct Outbox {
    producer: Producer,
    consumer: tokio::sync::Mutex<Consumer>,
    state: Mutex<State>,
    settled: Mutex<Accounting>,
    arrived: Notify,
    event_bytes_max: usize,
    kind_style: KindStyle,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    ledger: Ledger,
    /// When the oldest event that is on its way happened.
    oldest: Option<Timestamp>,
    health: StorageHealth,
}

impl Outbox {
    pub(crate) fn open(options: &ObserverOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        let path = &options.buffer.path;
        let mut config = BufferOptions::new(options.buffer.disk_bytes_max);
        config.ring_bytes = MEMORY_BYTES_MAX;
        config.ring_records = options.buffer.memory_events_max as u64;
        config.on_unavailable = OnUnavailable::MemoryOnly;
        // The cap is small beside any node's disk, so only the last per cent is left to others.
        config.free_percent_min = 1;
        let event_bytes_max =
            config.record_bytes_max.min(options.publish.batch_bytes_max - BATCH_OVERHEAD_BYTES);
        let opened = Buffer::open(path, config);
        let (producer, consumer, report) =
            opened.map_err(|source| Error::Buffer { path: path.clone(), source })?;
        match report.unavailable {
            None => tracing::info!(
                path = %path.display(), pending = report.pending, lost = report.lost, torn_tail = report.torn_tail,
                set_aside_files = report.set_aside_files, foreign_files = report.foreign_files, "opened the event buffer"
            ),
            // Its end is told as that of any other trouble with the disk.
            Some(cause) => tracing::warn!(
                path = %path.display(), ?cause, "the event buffer cannot be opened yet; events wait in memory"
            ),
        }
        let state = State { ledger: Ledger::default(), oldest: None, health: producer.health() };
        let outbox = Self {
            producer,
            consumer: tokio::sync::Mutex::new(consumer),
            state: Mutex::new(state),
            settled: Mutex::default(),
            arrived: Notify::new(),
            event_bytes_max,
            kind_style: options.publish.kind_style,
            metrics: Metrics::new(options, telemetry),
        };
        outbox.settle();
        Ok(outbox)
    }

    /// The longest event that can be stored and sent.
    pub(crate) fn event_bytes_max(&self) -> usize {
        self.event_bytes_max
    }

    /// How kinds are spelled in stored events.
    pub(crate) fn kind_style(&self) -> KindStyle {
        self.kind_style
    }

    /// Takes an event over; `None` stands for one that is too long. From here on it is accounted for. Returns when
    /// it survives the end of this process, or the disk cannot be used, or is slow.
    pub(crate) async fn offer(&self, kind: EventKind, json: Option<Vec<u8>>) {
        self.keep(kind, json);
        self.arrived.notify_one();
        // Events that stay in memory are told by `settle`.
        let _ = tokio::time::timeout(SAFE_WAIT_MAX, self.producer.flush(Durability::Process)).await;
    }

    fn keep(&self, kind: EventKind, json: Option<Vec<u8>>) {
        let mut state = self.lock();
        let admission = match &json {
            Some(json) => self.producer.push(to_number(kind), json),
            None => PushOutcome::Refused(RefusalReason::TooLarge),
        };
        // What was dropped to make room is told by `settle`, with all other losses.
        if let PushOutcome::Refused(refusal) = admission {
            let reason = if refusal == RefusalReason::TooLarge { "too_large" } else { "memory_full" };
            state.ledger.lose(reason, Some(kind), 1);
        }
    }

    /// Waits until an event was offered since the last wait.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How many events wait.
    pub(crate) fn pending(&self) -> u64 {
        self.producer.stats().pending
    }

    /// The oldest events: at most `events_max`, with at most `bytes_max` bytes, but one at least. `None` if nothing
    /// waits.
    pub(crate) async fn next_batch(&self, events_max: usize, bytes_max: usize) -> Option<Batch> {
        let mut consumer = self.consumer.lock().await;
        if consumer.is_drained() {
            return None;
        }
        let taken = consumer.next_batch(events_max, bytes_max).await?;
        let records = taken.entries().iter().filter_map(|entry| match entry {
            Entry::Record(record) => Some(record),
            _ => None,
        });
        let waiting = records.map(|record| Waiting {
            kind: from_number(record.kind),
            json: record.bytes.clone(),
            seq: record.seq,
        });
        let events: Vec<Waiting> = waiting.collect();
        self.lock().oldest = events.first().and_then(|event| happened(&event.json));
        Some(Batch { events, taken })
    }

    /// The first `count` events of the batch are done; `events` are those that the fate is about.
    pub(crate) fn acknowledge(&self, batch: &Batch, count: usize, events: &[Waiting], fate: Fate) {
        let Some(through) = batch.through(count) else { return };
        let mut state = self.lock();
        // What was dropped on its way is counted as lost, and not settled here.
        let settled = batch.taken.ack_through(through);
        state.oldest = None;
        match fate {
            Fate::Taken(answer) => {
                let duplicate = answer.duplicates.min(settled);
                state.ledger.duplicate += duplicate;
                state.ledger.delivered += settled - duplicate;
                self.metrics.taken(events.iter().map(|event| event.kind), duplicate);
            }
            Fate::DeadLettered => {
                let kind = events.first().and_then(|event| event.kind);
                state.ledger.lose(ledger::DEAD_LETTER, kind, settled);
                self.metrics.dead_lettered(settled);
            }
        }
    }

    /// What became of every event.
    pub(crate) fn accounting(&self) -> Accounting {
        let state = self.lock();
        state.ledger.accounting(&self.producer.stats())
    }

    /// The same when the books were last brought up to date.
    pub(crate) fn settled(&self) -> Accounting {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings metrics and log up to date. Called about once a second.
    pub(crate) fn settle(&self) {
        let mut state = self.lock();
        let (stats, health) = (self.producer.stats(), self.producer.health());
        if health != state.health {
            state.health = health;
            match health {
                StorageHealth::Degraded { cause, .. } => {
                    tracing::warn!(?cause, "the event buffer cannot use its disk; events wait in memory");
                }
                _ => tracing::info!("the event buffer uses its disk again"),
            }
        }
        let accounting = state.ledger.accounting(&stats);
        let age = state.oldest.map_or(Duration::ZERO, |oldest| Timestamp::now().saturating_since(oldest));
        self.metrics.waiting(accounting.buffered, stats.disk_bytes, age);
        for (reason, kind, count) in state.ledger.new_losses(&stats) {
            self.metrics.dropped(&reason, kind, count);
            tracing::warn!(scope = scope::BUFFER_DROPS, reason, kind, count, "events were dropped");
        }
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = accounting;
    }

    /// Writes what is in memory and lets go of the directory. Blocks, for a few seconds at most.
    pub(crate) fn close(&self) {
        let (is_done, stats) = self.producer.close(CLOSE_MAX);
        if !is_done || stats.in_memory > 0 {
            tracing::error!(events = stats.in_memory, "events in memory could not be written and are lost");
        }
        self.settle();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When the event happened.
fn happened(json: &[u8]) -> Option<Timestamp> {
    #[derive(serde::Deserialize)]
    struct Envelope {
        event: Event,
    }
    #[derive(serde::Deserialize)]
    struct Event {
        when: Timestamp,
    }
    serde_json::from_slice::<Envelope>(json).ok().map(|envelope| envelope.event.when)
}

/// The kind's number in the buffer: its place in [`EventKind::ALL`], which only grows at its end.
fn to_number(kind: EventKind) -> Kind {
    let place = EventKind::ALL.iter().position(|known| *known == kind);
    Kind(place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX))
}

fn from_number(kind: Kind) -> Option<EventKind> {
    EventKind::ALL.get(usize::from(kind.0)).copied()
}

fn kind_name(kind: Option<EventKind>) -> &'static str {
    kind.map_or("unknown", |kind| kind.name(KindStyle::Pascal))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use zastava_core::config::Configuration;

    use super::*;

    fn outbox(directory: &Path, memory_events_max: usize) -> (Outbox, Telemetry) {
        let text = format!(
            "zastava:\n  runtime: {{tenant: acme, authority: {{issuer: \"https://a.example\", requireMutualTls: false}}}}\n  \
             observer: {{eventBufferPath: {}, backend: {{baseAddress: \"https://s.example\"}}}}\n",
            directory.display()
        );
        let config = Configuration::from_yaml(&text, Path::new("test.yaml"));
        let (mut options, _) = config.read(ObserverOptions::read).unwrap_or_else(|faults| panic!("{faults}"));
        options.buffer.disk_bytes_max = 64 << 10;
        options.buffer.memory_events_max = memory_events_max;
        let telemetry = Telemetry::detached();
        (Outbox::open(&options, &telemetry).expect("can be opened"), telemetry)
    }

    async fn offer(outbox: &Outbox, count: usize) {
        for _ in 0..count {
            outbox.offer(EventKind::ContainerStart, Some(vec![b'x'; 1000])).await;
            assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
        }
    }

    /// Takes everything in batches of seven at most, in each of which one was known; how many batches.
    async fn drain(outbox: &Outbox) -> u64 {
        let mut batches = 0;
        while let Some(batch) = outbox.next_batch(7, 1 << 20).await {
            let fate = Fate::Taken(EventsAccepted { accepted: 6, duplicates: 1 });
            outbox.acknowledge(&batch, batch.events.len(), &batch.events, fate);
            assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
            batches += 1;
        }
        batches
    }

    #[tokio::test]
    async fn what_does_not_fit_on_disk_is_dropped_and_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let (outbox, telemetry) = outbox(directory.path(), 100);
        offer(&outbox, 200).await;
        outbox.offer(EventKind::Drift, None).await;
        drain(&outbox).await;
        let books = outbox.accounting();
        assert_eq!((books.observed, books.buffered, books.dropped["too_large"]), (201, 0, 1));
        let evicted = books.dropped["evicted"];
        assert!(evicted > 100, "{books:?}");
        outbox.settle();
        outbox.settle();
        let text = telemetry.render();
        let line =
            format!("zastava_buffer_drops_total{{reason=\"evicted\",kind=\"ContainerStart\"}} {evicted}\n");
        assert!(text.contains(&line), "{text}");
        assert!(
            text.contains("zastava_buffer_drops_total{reason=\"too_large\",kind=\"Drift\"} 1\n"),
            "{text}"
        );
        assert_eq!(outbox.settled(), books);
    }

    #[tokio::test]
    async fn events_of_an_earlier_run_are_observed_by_this_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, _) = outbox(directory.path(), 100);
        offer(&first, 9).await;
        first.close();
        let (second, _) = outbox(directory.path(), 100);
        offer(&second, 1).await;
        // What is on disk and what is in memory may come apart.
        let batches = drain(&second).await;
        let books = second.accounting();
        assert_eq!((books.observed, books.delivered, books.duplicate), (10, 10 - batches, batches));
    }

    #[tokio::test]
    async fn while_the_disk_refuses_events_they_wait_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events");
        // A file where the directory should be: it can be neither made nor opened.
        std::fs::write(&path, "in the way").expect("can be written");
        let (outbox, _) = outbox(&path, 20);
        offer(&outbox, 100).await;
        let books = outbox.accounting();
        assert!(books.dropped["memory_full"] >= 80 && books.buffered > 0, "{books:?}");
        assert_eq!(books.observed, 100);
        let batch = outbox.next_batch(5, 1 << 20).await.expect("in memory");
        // What was dropped comes as a gap, which has no event.
        let taken = batch.events.len();
        let fate = Fate::Taken(EventsAccepted { accepted: taken as u64, duplicates: 0 });
        outbox.acknowledge(&batch, taken, &batch.events, fate);
        let books = outbox.accounting();
        assert!(books.is_balanced() && books.delivered == taken as u64 && taken >= 4, "{books:?}");

        std::fs::remove_file(&path).expect("is ours");
        let mut seen = outbox.producer.health();
        while seen != StorageHealth::Ok {
            seen = outbox.producer.health_changed(seen).await;
        }
        drain(&outbox).await;
        let books = outbox.accounting();
        assert!(books.is_balanced() && books.buffered == 0 && books.observed == 100, "{books:?}");
        assert!(path.join("lock").exists());
    }

    #[tokio::test]
    async fn a_successor_works_in_memory_until_its_predecessor_is_gone() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, _) = outbox(directory.path(), 100);
        offer(&first, 5).await;
        let (second, _) = outbox(directory.path(), 100);
        offer(&second, 3).await;
        assert_eq!(second.accounting().observed, 3);
        let locked = second.producer.health();
        assert!(matches!(locked, StorageHealth::Degraded { .. }));
        first.close();
        assert_eq!(second.producer.health_changed(locked).await, StorageHealth::Ok);
        drain(&second).await;
        let books = second.accounting();
        assert_eq!((books.observed, books.delivered + books.duplicate), (8, 8), "{books:?}");
    }
}
