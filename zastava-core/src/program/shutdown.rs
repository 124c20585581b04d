//! The end of a program, told to every task.

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

/// Tells tasks to end. Cheap to clone; every clone hears the one call.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Sender<bool>);

impl Default for Shutdown {
    fn default() -> Self {
        Self(watch::Sender::new(false))
    }
}

impl Shutdown {
    /// Nobody has asked to end yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every task to end.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether the end was asked for.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the end is asked for.
    pub async fn begun(&self) {
        // The sender lives in `self`, so that the wait cannot fail.
        let _ = self.0.subscribe().wait_for(|begun| *begun).await;
    }
}

/// The status of a program that a second signal cut short.
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
