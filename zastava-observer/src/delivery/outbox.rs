//! Events that wait for Scanner, with their accounting.
//!
//! Events go to the buffer on disk. While the disk fails, or an earlier process still holds it, they wait
//! in memory, within a bound, and are sent from there. At every moment
//! `observed = delivered + duplicate + buffered + dropped`. [`Lanes`] decides which events are sent first.

mod status;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use zastava_buffer::{
    Buffer, BufferOptions, Consumer, Durability, Entry, KindPolicy, OnUnavailable, OpenReport, Producer,
    PushOutcome, RefusalReason, StorageHealth, StorageProblem, WhenFull,
};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventKind, EventsAccepted, KindStyle};
use zastava_core::telemetry::{Telemetry, scope};

use super::accounting::{Accounting, Counts};
use super::lanes::{Lane, Lanes, Waiting};
use super::metrics::Metrics;
use super::stored::{Facts, StoredEvent, numbers_of_backlog, to_number};
use crate::Error;
use crate::losses::{Losses, Reason};
use crate::options::{EventBufferOptions, ObserverOptions};

/// Room for `{"batchId":"…","events":[…]}` and the commas between 256 events.
pub(super) const BATCH_OVERHEAD_BYTES: usize = 512;
/// The most memory for events that are not on disk, whatever their number.
const MEMORY_BYTES_MAX: usize = 16 << 20;
/// The longest wait for the disk to take one event. After it the event is still in memory.
const STORE_WAIT_MAX: Duration = Duration::from_secs(1);
/// The longest wait for the disk at the end.
const CLOSE_MAX: Duration = Duration::from_secs(5);

/// The oldest events of one lane, in order. Events that are not acknowledged before this is dropped are delivered
/// again.
#[derive(Debug)]
pub(super) struct Batch {
    pub(super) events: Vec<StoredEvent>,
    taken: zastava_buffer::Batch,
}

impl Batch {
    /// The number up to which the first `count` events reach. All events reach to the end of the batch,
    /// where records may follow that can no longer be read.
    fn through(&self, count: usize) -> Option<u64> {
        if count >= self.events.len() { Some(u64::MAX) } else { Some(self.events[count.checked_sub(1)?].seq) }
    }
}

/// What became of sent events.
#[derive(Clone, Copy, Debug)]
pub(super) enum Outcome {
    Taken(EventsAccepted),
    DeadLettered,
}

/// The buffer and its accounting. Only [`Outbox::offer`] and [`Outbox::close`] wait for the disk.
#[derive(Debug)]
pub(crate) struct Outbox {
    producer: Producer,
    consumer: tokio::sync::Mutex<Consumer>,
    inner: Mutex<Inner>,
    reported: Mutex<Accounting>,
    arrived: Notify,
    path: PathBuf,
    disk_bytes_max: u64,
    event_bytes_max: usize,
    kind_style: KindStyle,
    metrics: Metrics,
    losses: Losses,
}

#[derive(Debug)]
struct Inner {
    counts: Counts,
    lanes: Lanes,
    /// When the oldest event of each lane happened, as far as it was seen.
    oldest: [Option<Timestamp>; 2],
    health: StorageHealth,
    /// At the last report.
    disk_bytes: u64,
    oldest_age: Duration,
    /// When the last loss was found.
    lost_at: Option<Instant>,
    /// How fast events may be sent now.
    events_per_second: f64,
}

impl Outbox {
    pub(crate) fn open(options: &ObserverOptions, telemetry: &Telemetry) -> Result<Self, Error> {
        let path = &options.buffer.path;
        let config = buffer_config(&options.buffer);
        let event_bytes_max =
            config.record_bytes_max.min(options.publish.batch_bytes_max - BATCH_OVERHEAD_BYTES);
        let lanes = Lanes::survey(path);
        let opened = Buffer::open(path, config);
        let (producer, consumer, report) =
            opened.map_err(|source| Error::Buffer { path: path.clone(), source })?;
        log_opened(path, &report);
        let losses = Losses::default();
        let inner = Inner {
            counts: Counts::new(losses.clone()),
            lanes,
            oldest: [None; 2],
            health: producer.health(),
            disk_bytes: 0,
            oldest_age: Duration::ZERO,
            lost_at: None,
            events_per_second: f64::from(options.publish.events_per_second),
        };
        let outbox = Self {
            producer,
            consumer: tokio::sync::Mutex::new(consumer),
            inner: Mutex::new(inner),
            reported: Mutex::default(),
            arrived: Notify::new(),
            path: path.clone(),
            disk_bytes_max: options.buffer.disk_bytes_max,
            event_bytes_max,
            kind_style: options.publish.kind_style,
            metrics: Metrics::new(options, telemetry),
            losses,
        };
        outbox.report();
        Ok(outbox)
    }

    /// Where changes are counted that were lost before they became events.
    pub(crate) fn losses(&self) -> Losses {
        self.losses.clone()
    }

    /// The longest event that can be stored and sent.
    pub(crate) fn event_bytes_max(&self) -> usize {
        self.event_bytes_max
    }

    /// How kinds are spelled in stored events.
    pub(crate) fn kind_style(&self) -> KindStyle {
        self.kind_style
    }

    /// Takes an event of a workload over and accounts for it. `None` stands for an event that is too long. Returns
    /// whether the event survives the end of this process; it may not if the disk fails, or the wait was too long.
    pub(crate) async fn offer(
        &self,
        kind: impl Into<Option<EventKind>>,
        workload: &str,
        json: Option<Vec<u8>>,
    ) -> bool {
        self.push(kind.into(), workload, json.as_deref());
        self.arrived.notify_one();
        // `report` shows events that stay in memory.
        let stored = tokio::time::timeout(STORE_WAIT_MAX, self.producer.flush(Durability::Process)).await;
        matches!(stored, Ok(Ok(())))
    }

    /// Whether events reach the disk.
    pub(crate) fn is_on_disk(&self) -> bool {
        self.producer.health() == StorageHealth::Ok
    }

    fn push(&self, kind: Option<EventKind>, workload: &str, json: Option<&[u8]>) {
        let mut inner = self.lock();
        let admission = match json {
            Some(json) => {
                let lane = inner.lanes.choose(workload, self.waiting());
                self.producer.push(to_number(kind, lane), json)
            }
            None => PushOutcome::Refused(RefusalReason::TooLarge),
        };
        // The buffer counts what it dropped to make room.
        if let PushOutcome::Refused(refusal) = admission {
            let reason = if refusal == RefusalReason::TooLarge { "too_large" } else { "memory_full" };
            inner.counts.refused(reason, kind);
        }
    }

    /// Waits until an event was offered since the last wait.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }

    /// How many events wait.
    pub(super) fn waiting(&self) -> Waiting {
        let waiting = |lane: Lane| self.producer.pending(lane.class());
        Waiting { live: waiting(Lane::Live), backlog: waiting(Lane::Backlog) }
    }

    /// The oldest events of the live lane, or of the backlog if nothing is live: at most `events_max` with at most
    /// `bytes_max` bytes, but at least one. `None` if nothing waits.
    pub(super) async fn next_batch(&self, events_max: usize, bytes_max: usize) -> Option<Batch> {
        let mut consumer = self.consumer.lock().await;
        if consumer.is_drained() {
            return None;
        }
        let taken = consumer.next_batch(events_max, bytes_max).await?;
        let events = taken.entries().iter().filter_map(|entry| match entry {
            Entry::Record(record) => Some(StoredEvent::of(record)),
            _ => None,
        });
        let events: Vec<StoredEvent> = events.collect();
        let oldest = events.first().and_then(|event| event.facts().at);
        self.lock().oldest[usize::from(taken.class())] = oldest;
        Some(Batch { events, taken })
    }

    /// The first `count` events of the batch are done. `events` are the events of this outcome.
    pub(super) fn acknowledge(&self, batch: &Batch, count: usize, events: &[StoredEvent], outcome: Outcome) {
        let Some(through) = batch.through(count) else { return };
        let behind = events.iter().filter(|event| event.lane == Lane::Backlog).map(StoredEvent::facts);
        let behind: Vec<Facts> = behind.collect();
        let mut inner = self.lock();
        // Events that were dropped since the batch was taken count as lost and not as done.
        let done = batch.taken.ack_through(through);
        behind.iter().for_each(|event| inner.lanes.left(&event.workload));
        match outcome {
            Outcome::Taken(answer) => {
                let duplicate = answer.duplicates.min(done);
                inner.counts.taken(done - duplicate, duplicate);
                self.metrics.taken(events.iter().map(|event| event.kind), duplicate);
            }
            Outcome::DeadLettered => {
                let kind = events.first().and_then(|event| event.kind);
                inner.counts.dead_lettered(kind, done);
                self.metrics.dead_lettered(done);
            }
        }
    }

    /// Events may be sent this fast now.
    pub(super) fn paced(&self, events_per_second: f64) {
        self.lock().events_per_second = events_per_second;
    }

    /// Dead letters that no longer have room.
    pub(super) fn letters_dropped(&self, count: u64) {
        self.metrics.letters_dropped(count);
    }

    /// What became of every event.
    pub(crate) fn accounting(&self) -> Accounting {
        let inner = self.lock();
        inner.counts.accounting(&self.producer.stats())
    }

    /// The accounting at the last [`report`](Self::report). Never waits.
    pub(crate) fn reported(&self) -> Accounting {
        self.reported.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Brings metrics and log up to date. Called about once a second.
    pub(crate) fn report(&self) {
        let mut inner = self.lock();
        let (stats, health) = (self.producer.stats(), self.producer.health());
        if health != inner.health {
            inner.health = health;
            match health {
                StorageHealth::Degraded { cause, .. } => {
                    let cause = status::problem(cause);
                    tracing::warn!(cause, "the event buffer cannot use its disk; events wait in memory");
                }
                _ => tracing::info!("the event buffer uses its disk again"),
            }
        }
        let accounting = inner.counts.accounting(&stats);
        let waiting = self.waiting();
        let oldest = [(waiting.live, inner.oldest[0]), (waiting.backlog, inner.oldest[1])];
        let oldest =
            oldest.iter().filter(|(waiting, _)| *waiting > 0).filter_map(|(_, oldest)| *oldest).min();
        let age = oldest.map_or(Duration::ZERO, |oldest| Timestamp::now().saturating_since(oldest));
        (inner.disk_bytes, inner.oldest_age) = (stats.disk_bytes, age);
        self.metrics.waiting(waiting, stats.disk_bytes, health == StorageHealth::Ok, age);
        for (reason, kind, count) in inner.counts.new_losses(&stats) {
            if Reason::is_suppression(&reason) {
                self.metrics.suppressed(&reason, kind, count);
                continue;
            }
            inner.lost_at = Some(Instant::now());
            self.metrics.dropped(&reason, kind, count);
            tracing::warn!(scope = scope::BUFFER_DROPS, reason, kind, count, "events were dropped");
        }
        *self.reported.lock().unwrap_or_else(PoisonError::into_inner) = accounting;
    }

    /// Writes what is in memory and releases the directory. Blocks for a few seconds at most.
    pub(crate) fn close(&self) {
        let (is_done, stats) = self.producer.close(CLOSE_MAX);
        if !is_done || stats.in_memory > 0 {
            tracing::error!(events = stats.in_memory, "events in memory could not be written and are lost");
        }
        self.report();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn buffer_config(options: &EventBufferOptions) -> BufferOptions {
    let mut config = BufferOptions::new(options.disk_bytes_max);
    config.ring_bytes = MEMORY_BYTES_MAX;
    config.ring_records = options.memory_events_max as u64;
    config.on_unavailable = OnUnavailable::MemoryOnly;
    let policy = KindPolicy { when_full: WhenFull::DropOldest, class: Lane::Backlog.class() };
    config.policies = numbers_of_backlog().map(|number| (number, policy)).collect();
    // The buffer is small beside any node's disk, so it leaves only the last per cent to others.
    config.free_percent_min = 1;
    config
}

fn log_opened(path: &Path, report: &OpenReport) {
    match &report.unavailable {
        None => tracing::info!(
            path = %path.display(), pending = report.pending, lost = report.lost, torn_tail = report.torn_tail,
            set_aside_files = report.set_aside_files, foreign_files = report.foreign_files, "opened the event buffer"
        ),
        // In a roll-out the new observer starts beside the old one.
        Some(StorageProblem::Locked) => tracing::info!(
            path = %path.display(), "another observer holds the event buffer; events wait in memory until it ends"
        ),
        // `report` logs when the buffer uses its disk.
        Some(cause) => tracing::warn!(
            path = %path.display(), cause = status::problem(*cause), "the event buffer cannot be opened yet; events wait in memory"
        ),
    }
}

#[cfg(test)]
mod tests;
