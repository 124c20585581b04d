//! From the buffer to Scanner: batch, send, back off, acknowledge.
//!
//! An event leaves the buffer only after Scanner said that it took it, or refused it for good. What
//! is refused for good is found by halving the batch and set aside with its reason.

mod bucket;
mod dead_letter;

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use zastava_core::clock::Timestamp;
use zastava_core::contract::encode_batch;
use zastava_core::program::Shutdown;
use zastava_core::scanner::{ScannerClient, ScannerError};

use self::bucket::TokenBucket;
use self::dead_letter::DeadLetters;
use crate::backoff::Backoff;
use crate::options::PublishOptions;
use crate::outbox::{BATCH_OVERHEAD_BYTES, Batch, Fate, Outbox};

/// Scanner may ask to wait for longer; it is asked again after this.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(15 * 60);
/// After a batch that was too large, as many good ones let batches grow by one event.
const GOOD_BATCHES_TO_GROW: u32 = 4;

/// Sends what waits in the outbox until told to end.
#[derive(Debug)]
pub(crate) struct Shipper {
    outbox: Arc<Outbox>,
    scanner: ScannerClient,
    options: PublishOptions,
    bucket: TokenBucket,
    backoff: Backoff,
    dead_letters: DeadLetters,
    batch_size: BatchSize,
    condition: Condition,
}

/// Why shipping stops for a while.
#[derive(Debug, thiserror::Error)]
enum Pause {
    #[error(transparent)]
    Scanner(#[from] ScannerError),
}

impl Pause {
    fn retry_after(&self) -> Duration {
        let Self::Scanner(error) = self;
        error.retry_after().unwrap_or_default().min(RETRY_AFTER_MAX)
    }
}

impl Shipper {
    pub(crate) fn new(
        outbox: Arc<Outbox>,
        scanner: ScannerClient,
        options: PublishOptions,
        condition: Condition,
    ) -> Self {
        Self {
            bucket: TokenBucket::new(options.events_per_second, options.burst, Instant::now()),
            backoff: Backoff::new(options.backoff_initial, options.backoff_max),
            dead_letters: DeadLetters::new(options.dead_letter_path.clone(), options.dead_letter_bytes_max),
            batch_size: BatchSize::new(options.batch_events_max),
            outbox,
            scanner,
            options,
            condition,
        }
    }

    /// Sends until the end begins, then once more what waits; what Scanner does not take then stays
    /// on disk.
    pub(crate) async fn run(mut self, shutdown: Shutdown) {
        loop {
            self.fill(&shutdown).await;
            match self.ship().await {
                Ok(0) if shutdown.has_begun() => return,
                Ok(_) => {}
                Err(_) if shutdown.has_begun() => return,
                Err(pause) => {
                    // On top, so that a fleet that was told the same time does not come back together.
                    let wait = pause.retry_after() + self.backoff.next();
                    self.condition.failed(&pause, wait);
                    tokio::select! {
                        () = tokio::time::sleep(wait) => {}
                        () = shutdown.begun() => return,
                    }
                }
            }
        }
    }

    /// Waits for a full batch, or the flush interval after the first event.
    async fn fill(&self, shutdown: &Shutdown) {
        let full = self.batch_size.now as u64;
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

    /// Sends one batch; how many events it held.
    async fn ship(&mut self) -> Result<usize, Pause> {
        let bytes_max = self.options.batch_bytes_max - BATCH_OVERHEAD_BYTES;
        let Some(batch) = self.outbox.next_batch(self.batch_size.now, bytes_max).await else { return Ok(0) };
        self.ship_batch(&batch).await?;
        // A batch of nothing but lost events is progress too.
        Ok(batch.events.len().max(1))
    }

    /// Sends the batch in order, in halves where Scanner takes no whole.
    async fn ship_batch(&mut self, batch: &Batch) -> Result<(), Pause> {
        let whole = 0..batch.events.len();
        let mut parts = VecDeque::from_iter([whole]);
        while let Some(part) = parts.pop_front() {
            let fate = if part.is_empty() {
                Ok(Fate::Taken(Default::default()))
            } else {
                self.send(batch, &part).await
            };
            match fate {
                Ok(fate) => self.outbox.acknowledge(batch, part.end, &batch.events[part], fate),
                Err(error) if part.len() > 1 && (error.is_too_large() || error.is_rejected_content()) => {
                    if error.is_too_large() {
                        self.batch_size.shrink(part.len());
                    }
                    let middle = part.start + part.len() / 2;
                    parts.push_front(middle..part.end);
                    parts.push_front(part.start..middle);
                }
                Err(error) if error.is_too_large() || error.is_rejected_content() => {
                    self.set_aside(batch, part.start, &error).await;
                    self.outbox.acknowledge(batch, part.end, &batch.events[part], Fate::DeadLettered);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    async fn send(&mut self, batch: &Batch, part: &Range<usize>) -> Result<Fate, ScannerError> {
        tokio::time::sleep(self.bucket.take(part.len(), Instant::now())).await;
        let envelopes = batch.events[part.clone()].iter().map(|event| &event.json[..]);
        let body = encode_batch(&batch_id(envelopes.clone()), envelopes);
        let answer = self.scanner.send_events(Bytes::from(body)).await?;
        self.backoff.reset();
        self.batch_size.took();
        self.condition.works();
        Ok(Fate::Taken(answer))
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

/// Runs what waits for the disk where waiting is allowed.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only cancelled with the whole runtime, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

/// The same events make the same id, so that a repeated batch is known as one.
fn batch_id<'a>(envelopes: impl Iterator<Item = &'a [u8]>) -> String {
    let mut hash = Sha256::new();
    for envelope in envelopes {
        hash.update((envelope.len() as u64).to_be_bytes());
        hash.update(envelope);
    }
    hash.finalize()[..16].iter().fold(String::new(), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

/// How many events go into a batch: as configured, fewer after Scanner found one too large.
#[derive(Debug)]
struct BatchSize {
    now: usize,
    max: usize,
    good: u32,
}

impl BatchSize {
    fn new(max: usize) -> Self {
        Self { now: max, max, good: 0 }
    }

    fn shrink(&mut self, refused: usize) {
        self.now = self.now.min(refused / 2).max(1);
        self.good = 0;
    }

    fn took(&mut self) {
        self.good += 1;
        if self.good >= GOOD_BATCHES_TO_GROW {
            self.good = 0;
            self.now = self.max.min(self.now + 1);
        }
    }
}

/// How Scanner answers, for `/status` and the log: each change is one line.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition(Arc<Mutex<Option<String>>>);

impl Condition {
    fn works(&self) {
        if self.lock().take().is_some() {
            tracing::info!("scanner takes events again");
        }
    }

    fn failed(&self, pause: &Pause, wait: Duration) {
        let causes = std::iter::successors(Some(pause as &dyn std::error::Error), |error| error.source());
        let text = causes.map(ToString::to_string).collect::<Vec<_>>().join(": ");
        let before = self.lock().replace(text.clone());
        if before.as_ref() != Some(&text) {
            let wait_ms = wait.as_millis() as u64;
            tracing::warn!(error = text, wait_ms, "events are not delivered; they wait in the buffer");
        }
    }

    /// `null` while all is well.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
