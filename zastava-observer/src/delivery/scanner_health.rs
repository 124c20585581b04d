//! Shows in `/status` and in the log whether Scanner takes events. Each change is one line.

use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use zastava_core::program::with_causes;

/// Scanner's last failure, if the last attempt failed. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScannerHealth(Arc<Mutex<Option<String>>>);

impl ScannerHealth {
    /// The failure with its causes; `None` while Scanner takes events.
    pub(crate) fn failure(&self) -> Option<String> {
        self.lock().clone()
    }

    pub(super) fn works(&self) {
        if self.lock().take().is_some() {
            tracing::info!("scanner takes events again");
        }
    }

    /// The next attempt follows after `wait`.
    pub(super) fn failed(&self, error: &(dyn Error + 'static), wait: Duration) {
        let text = with_causes(error);
        let before = self.lock().replace(text.clone());
        if before.as_ref() != Some(&text) {
            let wait_ms = wait.as_millis() as u64;
            tracing::warn!(error = text, wait_ms, "events are not delivered; they wait in the buffer");
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
