//! Sends dead letters again that an operator chose, and shows how many there are.

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use zastava_core::telemetry::{Counter, DEAD_LETTERS, DEAD_LETTERS_RESENT, Gauge, Telemetry};

use super::Outbox;
use super::dead_letters::{DeadLetter, DeadLetters, Stamp};
use super::stored::Facts;
use crate::blocking::blocking;

/// Brings the dead letters in the files and the outbox together.
#[derive(Clone, Debug)]
pub(crate) struct Resend {
    letters: DeadLetters,
    outbox: Arc<Outbox>,
    waiting: Gauge,
    resent: Counter,
    counted: Arc<Mutex<Counted>>,
}

/// What the files held when they last changed.
#[derive(Debug, Default)]
struct Counted {
    of: Stamp,
    letters: u64,
    bytes: u64,
}

impl Resend {
    pub(crate) fn new(letters: DeadLetters, outbox: Arc<Outbox>, telemetry: &Telemetry) -> Self {
        let (waiting, resent) = (telemetry.gauge(DEAD_LETTERS), telemetry.counter(DEAD_LETTERS_RESENT));
        waiting.set(&[], 0.0);
        resent.add(&[], 0);
        Self { letters, outbox, waiting, resent, counted: Arc::default() }
    }

    /// The letters that wait for an operator, for `/status`.
    pub(crate) fn status(&self) -> Value {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        json!({"count": counted.letters, "bytes": counted.bytes, "path": self.letters.path()})
    }

    /// Puts what is to be sent again into the buffer. A crash on the way repeats an event, which Scanner then counts
    /// as a duplicate.
    pub(crate) async fn turn(&self) {
        let letters = self.clone();
        let found = blocking(move || {
            letters.count();
            letters.letters.to_resend()
        });
        let again = match found.await {
            Ok(again) if again.is_empty() => return,
            // What is in memory only would be lost with the process, and is still in the file.
            Ok(_) if !self.outbox.is_on_disk() => return,
            Ok(again) => again,
            Err(error) => {
                let error: &dyn std::error::Error = &error;
                let path = self.letters.path().display();
                tracing::warn!(error, %path, "dead letters that are to be sent again cannot be read; it is tried again");
                return;
            }
        };
        for letter in &again {
            self.offer(letter).await;
        }
        self.resent.add(&[], again.len() as u64);
        tracing::info!(events = again.len(), "dead letters are sent again");
        let letters = self.letters.clone();
        if let Err(error) = blocking(move || letters.resent()).await {
            let error: &dyn std::error::Error = &error;
            tracing::warn!(
                error,
                "dead letters that were sent again cannot be removed; scanner gets them twice"
            );
        }
    }

    /// Counts the letters, if the files have changed since the last time.
    fn count(&self) {
        let of = self.letters.stamp();
        if self.counted.lock().unwrap_or_else(PoisonError::into_inner).of == of {
            return;
        }
        if let Ok((letters, bytes)) = self.letters.size() {
            self.waiting.set(&[], letters as f64);
            *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Counted { of, letters, bytes };
        }
    }

    async fn offer(&self, letter: &DeadLetter) {
        let json = letter.event.get().as_bytes();
        let Facts { kind, workload, .. } = Facts::of(json);
        self.outbox.offer(kind, &workload, Some(json.to_owned())).await;
    }
}
