//! Keeps a source connected to its engine.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;

use super::{Changes, Closed, SourceHealth};
use crate::backoff::Backoff;

const BACKOFF_INITIAL: Duration = Duration::from_millis(200);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// A connection that lasted so long was a good one. The next failure starts with the shortest wait.
const GOOD_CONNECTION: Duration = Duration::from_secs(30);

/// One way to connect to an engine.
#[async_trait]
pub(super) trait Connect: Sync {
    /// Why a connection failed or ended.
    type Error: std::error::Error + Send + 'static;

    /// Connects, and reports changes until the connection ends.
    async fn session(&self, changes: &Changes, health: &mut SourceHealth) -> Ended<Self::Error>;
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
pub(super) async fn keep_connected(engine: &impl Connect, changes: &Changes, health: &mut SourceHealth) {
    let mut backoff = Backoff::new(BACKOFF_INITIAL, BACKOFF_MAX);
    loop {
        let started = Instant::now();
        match engine.session(changes, health).await {
            Ended::Closed => return,
            Ended::Failed(error) => health.failed(&error),
        }
        if started.elapsed() >= GOOD_CONNECTION {
            backoff.reset();
        }
        tokio::time::sleep(backoff.next()).await;
    }
}
