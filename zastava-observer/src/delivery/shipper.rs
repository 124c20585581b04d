//! Sends events from the outbox to Scanner: batch, send, back off, acknowledge.
//!
//! An event leaves the outbox only after Scanner took it or refused it for good. A batch that is
//! refused is halved until the refused event is found; that one becomes a dead letter.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use zastava_core::clock::Timestamp;
use zastava_core::contract::{EventsAccepted, encode_batch};
use zastava_core::program::Shutdown;
use zastava_core::scanner::{ScannerClient, ScannerError};

use super::batch_size::BatchSize;
use super::dead_letters::DeadLetters;
use super::outbox::{BATCH_OVERHEAD_BYTES, Batch, Outbox, Outcome};
use super::scanner_health::ScannerHealth;
use super::token_bucket::TokenBucket;
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
    bucket: TokenBucket,
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
            bucket: TokenBucket::new(options.events_per_second, options.burst, Instant::now()),
            backoff: Backoff::new(options.backoff_initial, options.backoff_max),
            dead_letters: DeadLetters::new(options.dead_letter_path.clone(), options.dead_letter_bytes_max),
            batch_size: BatchSize::new(options.batch_events_max),
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

    /// Waits for a full batch, or until the flush interval after the first event has passed.
    async fn fill(&self, shutdown: &Shutdown) {
        let full = self.batch_size.now() as u64;
        let mut deadline = None;
        while !shutdown.has_begun() {
            let pending = self.outbox.pending();
            if pending >= full {
                return;
            }
            if pending > 0 && deadline.is_none() {
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
        let Some(batch) = self.outbox.next_batch(self.batch_size.now(), bytes_max).await else {
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
        tokio::time::sleep(self.bucket.take(part.len(), Instant::now())).await;
        let envelopes = batch.events[part.clone()].iter().map(|event| &event.json[..]);
        // Equal events make an equal id, by which Scanner recognises a repeated batch.
        let body = encode_batch(&short_hash(envelopes.clone()), envelopes);
        let answer = self.scanner.send_events(Bytes::from(body)).await?;
        self.backoff.reset();
        self.batch_size.taken();
        self.health.works();
        Ok(answer)
    }

    async fn set_aside(&self, batch: &Batch, index: usize, error: &ScannerError) {
        let reason = error.to_string();
        tracing::error!(reason, "scanner refuses an event for good; it is set aside");
        let (letters, json) = (self.dead_letters.clone(), batch.events[index].json.clone());
        let written = blocking(move || letters.write(&json, &reason, Timestamp::now())).await;
        if let Err(error) = written {
            let error: &dyn std::error::Error = &error;
            tracing::error!(error, path = %self.dead_letters.path().display(), "a refused event cannot be set aside and is lost");
        }
    }
}

/// Whether Scanner will never take this request, however often it is sent.
fn is_refused(error: &ScannerError) -> bool {
    error.is_too_large() || error.is_rejected_content()
}

fn retry_after(error: &ScannerError) -> Duration {
    error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX)
}
