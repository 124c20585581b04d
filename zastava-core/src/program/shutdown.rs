//! The graceful end of a program.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Signals all tasks to end. Cheap to clone; clones share the signal.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// A shutdown that has not begun.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins the shutdown.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the shutdown has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the shutdown begins.
    pub async fn begun(&self) {
        // The wait fails only without a sender, and `self` is one.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// The exit status after a second signal.
const CUT_SHORT: i32 = 1;

/// Begins the shutdown at SIGTERM or SIGINT. A second signal ends the process at once.
///
/// # Errors
/// When the signals cannot be caught.
pub fn shutdown_on_signal(shutdown: &Shutdown) -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let shutdown = shutdown.clone();
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => tracing::info!(signal = "SIGTERM", "shutting down"),
            _ = interrupt.recv() => tracing::info!(signal = "SIGINT", "shutting down"),
        }
        shutdown.begin();
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        std::process::exit(CUT_SHORT);
    });
    Ok(())
}
