//! Sends events from the outbox to Scanner: batch, send, back off, acknowledge.
//!
//! An event leaves the outbox only after Scanner took it or refused it for good. A batch that is
//! refused is halved until the refused event is found; that one becomes a dead letter.
//!
//! Live events are sent once a batch is full or the flush interval has passed, the backlog at once, in larger batches
//! and in between. [`Pace`] follows Scanner's answers.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::StatusCode;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventsAccepted, encode_batch};
use zastava_core::program::Shutdown;
use zastava_core::scanner::{ScannerClient, ScannerError};

use super::batch_size::BatchSize;
use super::dead_letters::DeadLetters;
use super::outbox::{BATCH_OVERHEAD_BYTES, Batch, Outbox, Outcome};
use super::pace::Pace;
use super::scanner_health::ScannerHealth;
use crate::backoff::Backoff;
use crate::blocking::blocking;
use crate::hash::short_hash;
use crate::options::PublishOptions;

/// The longest wait that Scanner may ask for.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);

/// Sends what waits in the outbox.
#[derive(Debug)]
pub(crate) struct Shipper {
    outbox: Arc<Outbox>,
    scanner: ScannerClient,
    options: PublishOptions,
    pace: Pace,
    backoff: Backoff,
    dead_letters: DeadLetters,
    batch_size: BatchSize,
    health: ScannerHealth,
}

impl Shipper {
    pub(crate) fn new(
        outbox: Arc<Outbox>,
        scanner: ScannerClient,
        options: PublishOptions,
        health: ScannerHealth,
    ) -> Self {
        Self {
            pace: Pace::new(
                options.events_per_second,
                options.events_per_second_max,
                options.burst,
                Instant::now(),
            ),
            backoff: Backoff::new(options.backoff_initial, options.backoff_max),
            dead_letters: DeadLetters::new(options.dead_letter_path.clone(), options.dead_letter_bytes_max),
            batch_size: BatchSize::new(options.backlog_batch_events_max.max(options.batch_events_max)),
            outbox,
            scanner,
            options,
            health,
        }
    }

    /// Sends until the shutdown begins, then sends what waits until Scanner fails. The rest stays on
    /// disk.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            self.fill(&shutdown).await;
            match self.ship().await {
                Ok(0) if shutdown.has_begun() => return,
                Ok(_) => {}
                Err(_) if shutdown.has_begun() => return,
                Err(error) => {
                    self.slow_down(&error);
                    // Adds jitter to Retry-After, so that a fleet does not retry in step.
                    let wait = retry_after(&error) + self.backoff.next();
                    self.health.failed(&error, wait);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shutdown.begun() => return,
                    }
                }
            }
        }
    }

    /// Waits for a backlog, for a full batch of live events, or until the flush interval after the first of them.
    async fn fill(&self, shutdown: &Shutdown) {
        let full = self.live_events_max() as u64;
        let mut deadline = None;
        while !shutdown.has_begun() {
            let waiting = self.outbox.waiting();
            if waiting.backlog > 0 || waiting.live >= full {
                return;
            }
            if waiting.live > 0 && deadline.is_none() {
                deadline = Some(tokio::time::Instant::now() + self.options.flush_interval);
            }
            let flush = async {
                match deadline {
                    Some(deadline) => tokio::time::sleep_until(deadline).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.outbox.arrived() => {}
                () = flush => return,
                () = shutdown.begun() => return,
            }
        }
    }

    /// Sends one batch and returns how many events it held; 0 if nothing waits.
    async fn ship(&mut self) -> Result<usize, ScannerError> {
        let bytes_max = self.options.batch_bytes_max - BATCH_OVERHEAD_BYTES;
        let waiting = self.outbox.waiting();
        let events_max = match waiting.live {
            0 => self.backlog_events_max(),
            _ => self.live_events_max(),
        };
        let expected = events_max.min(usize::try_from(waiting.total()).unwrap_or(usize::MAX));
        // The batch is chosen after the wait: what is live by then goes first.
        tokio::time::sleep(self.pace.ready_in(expected, Instant::now())).await;
        let Some(batch) = self.outbox.next_batch(events_max, bytes_max).await else {
            return Ok(0);
        };
        self.ship_batch(&batch).await?;
        // A batch that holds only lost events is progress too.
        Ok(batch.events.len().max(1))
    }

    /// Sends the batch in order, in halves where Scanner does not take it whole.
    async fn ship_batch(&mut self, batch: &Batch) -> Result<(), ScannerError> {
        let whole = 0..batch.events.len();
        let mut parts = VecDeque::from_iter([whole]);
        while let Some(part) = parts.pop_front() {
            let outcome =
                if part.is_empty() { Ok(EventsAccepted::default()) } else { self.send(batch, &part).await };
            match outcome {
                Ok(answer) => {
                    self.outbox.acknowledge(batch, part.end, &batch.events[part], Outcome::Taken(answer))
                }
                Err(error) if part.len() > 1 && is_refused(&error) => {
                    if error.is_too_large() {
                        self.batch_size.refused(part.len());
                    }
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                }
                Err(error) if is_refused(&error) => {
                    self.set_aside(batch, part.start, &error).await;
                    self.outbox.acknowledge(batch, part.end, &batch.events[part], Outcome::DeadLettered);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    async fn send(&mut self, batch: &Batch, part: &Range<usize>) -> Result<EventsAccepted, ScannerError> {
        tokio::time::sleep(self.pace.take(part.len(), Instant::now())).await;
        let envelopes = batch.events[part.clone()].iter().map(|event| &event.json[..]);
        // Equal events make an equal id, by which Scanner recognises a repeated batch.
        let body = encode_batch(&short_hash(envelopes.clone()), envelopes);
        let answer = self.scanner.send_events(Bytes::from(body)).await?;
        self.backoff.reset();
        self.pace.acknowledged(part.len(), Instant::now());
        self.outbox.paced(self.pace.per_second());
        self.batch_size.taken();
        self.health.works();
        Ok(answer)
    }

    fn live_events_max(&self) -> usize {
        self.batch_size.now().min(self.options.batch_events_max)
    }

    /// At most what is sent in a second, so that a live event does not wait longer for its turn.
    fn backlog_events_max(&self) -> usize {
        self.batch_size.now().min(self.pace.per_second() as usize).max(1)
    }

    fn slow_down(&mut self, error: &ScannerError) {
        match error.status() {
            Some(StatusCode::TOO_MANY_REQUESTS) => self.pace.throttled(Instant::now()),
            _ => self.pace.failed(Instant::now()),
        }
        self.outbox.paced(self.pace.per_second());
    }

    async fn set_aside(&self, batch: &Batch, index: usize, error: &ScannerError) {
        let reason = error.to_string();
        tracing::error!(reason, "scanner refuses an event for good; it is set aside");
        let (letters, json) = (self.dead_letters.clone(), batch.events[index].json.clone());
        let written = blocking(move || letters.write(&json, &reason, Timestamp::now())).await;
        let dropped = written.unwrap_or_else(|error| {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, path = %self.dead_letters.path().display(), "a refused event cannot be set aside and is lost");
            1
        });
        self.outbox.letters_dropped(dropped);
    }
}

/// Whether Scanner will never take this request, however often it is sent.
fn is_refused(error: &ScannerError) -> bool {
    error.is_too_large() || error.is_rejected_content()
}

fn retry_after(error: &ScannerError) -> Duration {
    error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX)
}
