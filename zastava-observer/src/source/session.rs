//! Keeps a source connected to its engine: one way for every engine that has a socket.

use std::time::Duration;

use async_trait::async_trait;
use tokio::time::Instant;
use zastava_core::vocabulary::Engine;

use super::socket::{Socket, Sockets};
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

/// A connection to an engine.
#[async_trait]
pub(super) trait Client: Sized + Send {
    /// Which engine it is.
    const ENGINE: Engine;
    /// Why a call failed.
    type Error: CallError;

    /// Connects, and returns the engine's version. Another engine that answers there is refused.
    async fn connect(socket: Socket) -> Result<(Self, String), Self::Error>;
}

/// What follows an engine and outlives its connections.
#[async_trait]
pub(super) trait Follow {
    type Client: Client;

    /// Reports changes until the connection ends.
    async fn session(&mut self, client: Self::Client, version: String, health: &mut SourceHealth) -> Ended;
}

/// The error of a call of an engine.
pub(super) trait CallError: std::error::Error + Send + Sync + 'static {}

/// Why a session failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SessionError {
    #[error(transparent)]
    Call(Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} ended the stream of events")]
    StreamEnded(Engine),
    #[error("more than {0} events wait; the connection is dropped and everything is listed again")]
    Overflow(usize),
    #[error("no socket of {0} is configured")]
    NoSocket(Engine),
}

/// Why a session ended.
#[derive(Debug)]
pub(super) enum Ended {
    Failed(SessionError),
    /// Nobody listens to the changes any more.
    Closed,
}

impl<E: CallError> From<E> for SessionError {
    fn from(error: E) -> Self {
        Self::Call(Box::new(error))
    }
}

impl<E: CallError> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl From<SessionError> for Ended {
    fn from(error: SessionError) -> Self {
        Self::Failed(error)
    }
}

impl From<Closed> for Ended {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Runs one session after another until nobody listens.
pub(super) async fn keep_connected<F: Follow>(
    followed: &mut F,
    sockets: &Sockets,
    health: &mut SourceHealth,
) {
    let mut quick = Backoff::new(BACKOFF_INITIAL, QUICK_MAX);
    let mut patient = Backoff::new(BACKOFF_INITIAL, PATIENT_MAX);
    let mut lost = Instant::now();
    let mut was_connected = false;
    loop {
        let started = Instant::now();
        let ended = match sockets.connect::<F::Client>().await {
            Ok((client, version)) => {
                if std::mem::replace(&mut was_connected, true) {
                    health.metrics().resubscribed(F::Client::ENGINE);
                }
                followed.session(client, version, health).await
            }
            Err(error) => error.into(),
        };
        match ended {
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
