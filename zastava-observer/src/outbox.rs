//! Events that wait for Scanner, and the books about them.
//!
//! Events go to the buffer on disk. While the disk refuses them they wait in memory, within a bound,
//! and are sent from there when nothing older is on disk. At every moment
//! `observed = delivered + duplicate + buffered + dropped`.

mod ledger;
mod memory;
mod metrics;

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use zastava_buffer::{Buffer, Entry, Kind, Options};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, EventsAccepted, KindStyle};
use zastava_core::telemetry::{Telemetry, scope};

pub use self::ledger::Accounting;
use self::ledger::Ledger;
use self::memory::Memory;
use self::metrics::Metrics;
use crate::Error;
use crate::options::ObserverOptions;

/// Room for `{"batchId":"…","events":[…]}` and the commas around 256 events.
pub(crate) const BATCH_OVERHEAD_BYTES: usize = 512;

/// An event on its way.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    /// `None` for a kind that only a newer release knows.
    pub(crate) kind: Option<EventKind>,
    pub(crate) json: Vec<u8>,
    receipt: Receipt,
}

/// What to give back when an event and all before it are done.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Receipt {
    Disk(u64),
    Memory(u64),
}

/// The oldest events, in order.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    pub(crate) events: Vec<Waiting>,
    /// Covers events that can no longer be read, too.
    last: Option<Receipt>,
}

impl Batch {
    pub(crate) fn is_empty(&self) -> bool {
        self.last.is_none()
    }

    /// The receipt for the first `count` events; for all of them it covers what stands behind them.
    pub(crate) fn receipt(&self, count: usize) -> Option<Receipt> {
        if count >= self.events.len() { self.last } else { Some(self.events[count.checked_sub(1)?].receipt) }
    }
}

/// What became of events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    Taken(EventsAccepted),
    DeadLettered,
}

/// The buffer and its books. All calls but [`Outbox::arrived`] and [`Outbox::settled`] block for as
/// long as file operations take.
#[derive(Debug)]
pub(crate) struct Outbox {
    buffer: Buffer,
    state: Mutex<State>,
    settled: Mutex<Accounting>,
    arrived: Notify,
    event_bytes_max: usize,
    kind_style: KindStyle,
    metrics: Metrics,
}

#[derive(Debug)]
struct State {
    memory: Memory,
    ledger: Ledger,
    /// When the oldest event that is on its way happened.
    oldest: Option<Timestamp>,
    unsynced: bool,
}

impl Outbox {
    pub(crate) fn open(options: &ObserverOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        let settings = Options::new(options.buffer.disk_bytes_max);
        let path = &options.buffer.path;
        let opened = Buffer::open(path, settings);
        let (buffer, report) = opened.map_err(|source| Error::Buffer { path: path.clone(), source })?;
        tracing::info!(
            path = %path.display(), pending = report.pending, lost = report.lost, torn_tail = report.torn_tail,
            set_aside_files = report.set_aside_files, "opened the event buffer"
        );
        let record_bytes_max = usize::try_from(settings.record_bytes_max).unwrap_or(usize::MAX);
        let state = State {
            memory: Memory::new(options.buffer.memory_events_max),
            ledger: Ledger::new(buffer.stats()),
            oldest: None,
            unsynced: false,
        };
        let outbox = Self {
            buffer,
            state: Mutex::new(state),
            settled: Mutex::default(),
            arrived: Notify::new(),
            event_bytes_max: record_bytes_max.min(options.publish.batch_bytes_max - BATCH_OVERHEAD_BYTES),
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

    /// Takes an event over; `None` stands for one that is too long. From here on it is accounted for.
    pub(crate) fn offer(&self, kind: EventKind, json: Option<Vec<u8>>) {
        let mut state = self.lock();
        state.ledger.offered += 1;
        match json {
            None => state.ledger.lose("too_large", Some(kind), 1),
            Some(json) => self.keep(&mut state, kind, json),
        }
        drop(state);
        self.arrived.notify_one();
    }

    fn keep(&self, state: &mut State, kind: EventKind, json: Vec<u8>) {
        self.flush_memory(state);
        if state.memory.is_empty() {
            match self.store(kind, &json) {
                Ok(()) => {
                    state.unsynced = true;
                    return;
                }
                Err(zastava_buffer::Error::TooLarge { .. }) => {
                    return state.ledger.lose("too_large", Some(kind), 1);
                }
                Err(error) => {
                    let error: &dyn std::error::Error = &error;
                    tracing::warn!(error, "the event buffer refuses events; they wait in memory");
                }
            }
        }
        if let Some(oldest) = state.memory.push(kind, json) {
            state.ledger.lose("memory_full", Some(oldest), 1);
        }
    }

    fn store(&self, kind: EventKind, json: &[u8]) -> Result<(), zastava_buffer::Error> {
        // What was evicted to make room is told by `settle`, with all other losses.
        self.buffer.push(to_number(kind), json).map(|_| ())
    }

    /// Moves to disk what waits in memory, if the disk takes it again.
    fn flush_memory(&self, state: &mut State) {
        while let Some((kind, json)) = state.memory.first_at_rest() {
            if self.store(kind, json).is_err() {
                return;
            }
            state.memory.forget_first();
            state.unsynced = true;
        }
    }

    /// Waits until an event was offered since the last wait.
    pub(crate) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How many events wait.
    pub(crate) fn pending(&self) -> u64 {
        let state = self.lock();
        self.buffer.stats().pending + state.memory.len()
    }

    /// The oldest events: at most `events_max`, with at most `bytes_max` bytes, but one at least. The
    /// batch before is done with.
    pub(crate) fn next_batch(
        &self,
        events_max: usize,
        bytes_max: usize,
    ) -> Result<Batch, zastava_buffer::Error> {
        let mut state = self.lock();
        state.memory.release();
        self.flush_memory(&mut state);
        let mut batch = Batch::default();
        for entry in self.buffer.next_batch(events_max, bytes_max)? {
            let receipt = Receipt::Disk(entry.last_seq());
            batch.last = Some(receipt);
            if let Entry::Record(record) = entry {
                batch.events.push(Waiting { kind: from_number(record.kind), json: record.bytes, receipt });
            }
        }
        if batch.is_empty() {
            batch = state.memory.batch(events_max, bytes_max);
        }
        state.oldest = batch.events.first().and_then(|event| happened(&event.json));
        Ok(batch)
    }

    /// The batch will not be acknowledged further: what it holds may go to disk.
    pub(crate) fn release(&self) {
        self.lock().memory.release();
    }

    /// The events up to the receipt are done; `events` are those that the fate is about.
    pub(crate) fn acknowledge(
        &self,
        receipt: Receipt,
        events: &[Waiting],
        fate: Fate,
    ) -> Result<(), zastava_buffer::Error> {
        let mut state = self.lock();
        // What was dropped on its way is counted as lost, and not settled here.
        let settled = match receipt {
            Receipt::Disk(seq) => self.buffer.ack_through(seq)?,
            Receipt::Memory(number) => state.memory.forget_through(number),
        };
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
        Ok(())
    }

    /// What became of every event.
    pub(crate) fn accounting(&self) -> Accounting {
        let state = self.lock();
        state.ledger.accounting(&self.buffer.stats(), state.memory.len())
    }

    /// The same when the books were last brought up to date; never waits for the disk.
    pub(crate) fn settled(&self) -> Accounting {
        self.settled.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Makes stored events survive a power cut, moves memory to disk, and brings metrics and log up
    /// to date. Called about once a second.
    pub(crate) fn settle(&self) {
        let mut state = self.lock();
        self.flush_memory(&mut state);
        if std::mem::take(&mut state.unsynced)
            && let Err(error) = self.buffer.sync()
        {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(error, "events in the buffer may not survive a power cut");
        }
        let stats = self.buffer.stats();
        let accounting = state.ledger.accounting(&stats, state.memory.len());
        let age = state
            .oldest
            .map_or(std::time::Duration::ZERO, |oldest| Timestamp::now().saturating_since(oldest));
        self.metrics.waiting(accounting.buffered, stats.disk_bytes, age);
        for (reason, kind, count) in state.ledger.new_losses(&stats.dropped) {
            self.metrics.dropped(&reason, kind, count);
            tracing::warn!(scope = scope::BUFFER_DROPS, reason, kind, count, "events were dropped");
        }
        *self.settled.lock().unwrap_or_else(PoisonError::into_inner) = accounting;
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

    use zastava_core::config::Config;

    use super::*;

    fn outbox(directory: &Path, memory_events_max: usize) -> (Outbox, Telemetry) {
        let text = format!(
            "zastava:\n  runtime: {{tenant: acme, authority: {{issuer: \"https://a.example\", requireMutualTls: false}}}}\n  \
             observer: {{eventBufferPath: {}, backend: {{baseAddress: \"https://s.example\"}}}}\n",
            directory.display()
        );
        let config = Config::from_yaml(&text, Path::new("test.yaml"));
        let (mut options, _) = config.read(ObserverOptions::read).unwrap_or_else(|faults| panic!("{faults}"));
        options.buffer.disk_bytes_max = 64 << 10;
        options.buffer.memory_events_max = memory_events_max;
        let telemetry = Telemetry::detached();
        (Outbox::open(&options, &telemetry).expect("can be opened"), telemetry)
    }

    fn offer(outbox: &Outbox, count: usize) {
        for _ in 0..count {
            outbox.offer(EventKind::ContainerStart, Some(vec![b'x'; 1000]));
            assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
        }
    }

    /// Takes everything in batches of seven, of which one was known.
    fn drain(outbox: &Outbox) {
        loop {
            let batch = outbox.next_batch(7, 1 << 20).expect("can be read");
            let Some(receipt) = batch.receipt(batch.events.len()) else { return };
            let fate = Fate::Taken(EventsAccepted { accepted: 6, duplicates: 1 });
            outbox.acknowledge(receipt, &batch.events, fate).expect("can be written");
            assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
        }
    }

    #[test]
    fn what_does_not_fit_on_disk_is_dropped_and_counted() {
        let directory = tempfile::tempdir().expect("a directory");
        let (outbox, telemetry) = outbox(directory.path(), 100);
        offer(&outbox, 200);
        outbox.offer(EventKind::Drift, None);
        drain(&outbox);
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

    #[test]
    fn events_of_an_earlier_run_are_observed_by_this_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let (first, _) = outbox(directory.path(), 100);
        offer(&first, 9);
        drop(first);
        let (second, _) = outbox(directory.path(), 100);
        offer(&second, 1);
        drain(&second);
        let books = second.accounting();
        assert_eq!((books.observed, books.delivered, books.duplicate), (10, 8, 2));
    }

    #[test]
    fn while_the_disk_refuses_events_they_wait_in_memory() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("events");
        let (outbox, _) = outbox(&path, 20);
        offer(&outbox, 1);
        // No new file can be made in a directory that is gone.
        std::fs::remove_dir_all(&path).expect("is ours");
        offer(&outbox, 100);
        let books = outbox.accounting();
        assert!(books.dropped["memory_full"] > 0, "{books:?}");
        assert_eq!(books.observed, 101);
        let waiting = outbox.state.lock().expect("nobody panicked").memory.len();
        assert_eq!(waiting, 20);
        let batch = outbox.state.lock().expect("nobody panicked").memory.batch(5, 1 << 20);
        let receipt = batch.receipt(3).expect("has three");
        let fate = Fate::Taken(EventsAccepted { accepted: 3, duplicates: 0 });
        outbox.acknowledge(receipt, &batch.events[..3], fate).expect("needs no disk");
        // The other two are still on their way: even when the disk works they stay where they are.
        assert!(outbox.state.lock().expect("nobody panicked").memory.first_at_rest().is_none());
        outbox.release();
        let books = outbox.accounting();
        assert!(books.is_balanced() && books.delivered == 3, "{books:?}");
    }
}
