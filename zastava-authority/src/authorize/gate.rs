//! The first request to a server goes alone.
//!
//! A server that demands nonces sends back every request that has none. Of a hundred that start
//! together only the first needs to learn that.

use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};

use super::Terms;

/// Shut until the first answer came. Knows nothing of any async runtime.
#[derive(Debug)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug)]
enum State {
    /// Nobody went in yet.
    Cold,
    /// One is out there; these wait for it.
    Asking(Vec<Waker>),
    Open,
}

impl Default for Gate {
    fn default() -> Self {
        Self(Mutex::new(State::Cold))
    }
}

/// Held by the one who went first.
#[derive(Debug)]
pub(super) struct Pass(Arc<Terms>);

impl Gate {
    /// Returns at once for the first, with a pass, and for all when the gate is open. Others wait
    /// until the first has its answer or gave up (then one of them is the first), but no longer
    /// than a second: a slow answer must not hold up the rest. That bound needs a timer, and is
    /// there in a tokio runtime only.
    pub(super) async fn enter(terms: &Arc<Terms>) -> Option<Pass> {
        let gate = &terms.gate;
        let entered = poll_fn(|cx| gate.poll(cx.waker()));
        #[cfg(feature = "client")]
        let first = if tokio::runtime::Handle::try_current().is_ok() && !gate.is_open() {
            tokio::time::timeout(std::time::Duration::from_secs(1), entered).await.unwrap_or(false)
        } else {
            entered.await
        };
        #[cfg(not(feature = "client"))]
        let first = entered.await;
        first.then(|| Pass(Arc::clone(terms)))
    }

    /// Whether one may go, and is the first.
    fn poll(&self, waker: &Waker) -> Poll<bool> {
        let mut state = self.state();
        match &mut *state {
            State::Open => Poll::Ready(false),
            State::Cold => {
                *state = State::Asking(Vec::new());
                Poll::Ready(true)
            }
            State::Asking(waiting) => {
                waiting.push(waker.clone());
                Poll::Pending
            }
        }
    }

    #[cfg(feature = "client")]
    fn is_open(&self) -> bool {
        matches!(*self.state(), State::Open)
    }

    fn set(&self, next: State) {
        let waiting = match std::mem::replace(&mut *self.state(), next) {
            State::Asking(waiting) => waiting,
            State::Cold | State::Open => return,
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pass {
    /// An answer came: all may go, for ever.
    pub(super) fn open(self) {
        self.0.gate.set(State::Open);
    }
}

impl Drop for Pass {
    /// Without an answer the next one is the first.
    fn drop(&mut self) {
        if !matches!(*self.0.gate.state(), State::Open) {
            self.0.gate.set(State::Cold);
        }
    }
}
