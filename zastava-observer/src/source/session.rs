//! Keeps a source connected to its engine.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Closed, SourceHealth};
use crate::backoff::Backoff;

const BACKOFF_INITIAL: Duration = Duration::from_millis(50);
/// An engine that restarts is back in seconds, and what begins and ends before we listen again is not told. A refused
/// connection on the node costs next to nothing, so the waits are short at first.
const QUICK_MAX: Duration = Duration::from_millis(250);
const QUICK_FOR: Duration = Duration::from_secs(60);
const PATIENT_MAX: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one. The next failure starts with the shortest wait.
const GOOD_CONNECTION: Duration = Duration::from_secs(5);

/// One way to connect to an engine.
#[async_trait]
pub(super) trait Connect {
    /// Why a connection failed or ended.
    type Error: std::error::Error + Send + 'static;

    /// Connects, and reports changes until the connection ends.
    async fn session(&mut self, health: &mut SourceHealth) -> Ended<Self::Error>;
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended<E> {
    Failed(E),
    /// Nobody listens to the changes any more.
    Closed,
}

impl<E> From<Closed> for Ended<E> {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Runs one session after another until nobody listens.
pub(super) async fn keep_connected(engine: &mut impl Connect, health: &mut SourceHealth) {
    let mut quick = Backoff::new(BACKOFF_INITIAL, QUICK_MAX);
    let mut patient = Backoff::new(BACKOFF_INITIAL, PATIENT_MAX);
    let mut lost = Instant::now();
    loop {
        let started = Instant::now();
        match engine.session(health).await {
            Ended::Closed => return,
            Ended::Failed(error) => health.failed(&error),
        }
        if started.elapsed() >= GOOD_CONNECTION {
            lost = Instant::now();
            quick.reset();
            patient.reset();
        }
        let backoff = if lost.elapsed() < QUICK_FOR { &mut quick } else { &mut patient };
        tokio::time::sleep(backoff.next()).await;
    }
}
