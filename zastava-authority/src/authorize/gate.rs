//! Who may be on the way to a server at the same time.
//!
//! A server that demands nonces sends back every request that has none, so the first request to a
//! server goes alone: of a hundred that start together only one needs to learn that. And a server
//! that changes its nonces faster than it answers under load would refuse a request again and
//! again, so the last attempt of one that was sent back twice goes alone as well: all others have
//! their answers then, and the newest nonce is as fresh as can be.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::Terms;

/// Nobody waits longer than this for the first answer, since a slow one must not hold up the rest.
/// The bounds need a timer, and are there in a tokio runtime only.
#[cfg(feature = "client")]
const FIRST_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// Nor longer than this for those that go alone: there may be a queue of them.
#[cfg(feature = "client")]
const ALONE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Knows nothing of any async runtime.
#[derive(Debug, Default)]
pub(super) struct Gate(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether the server ever answered.
    known: bool,
    /// How many are on the way.
    together: usize,
    /// One is on the way that must be the only one.
    alone: bool,
    /// How many wait to go alone; who would go together lets them pass.
    queued: usize,
    waiting: Vec<Waker>,
}

/// Held by one who is on the way.
#[derive(Debug)]
pub(super) struct Pass {
    terms: Arc<Terms>,
    alone: bool,
    pub(super) waited: bool,
}

impl Gate {
    /// Waits for a way to the server.
    pub(super) async fn enter(terms: &Arc<Terms>, alone: bool) -> Pass {
        let pass = |alone, waited| Pass { terms: Arc::clone(terms), alone, waited };
        let at_once = terms.gate.state().enter(alone);
        match at_once {
            Some(alone) => pass(alone, false),
            None => pass(terms.gate.wait(alone).await, true),
        }
    }

    /// Whether this one goes alone, as soon as it goes.
    async fn wait(&self, alone: bool) -> bool {
        let entered = async {
            let _queued = alone.then(|| Queued::new(self));
            poll_fn(|cx| self.poll(alone, cx.waker())).await
        };
        #[cfg(feature = "client")]
        if tokio::runtime::Handle::try_current().is_ok() {
            let patience = if self.state().known { ALONE_MAX } else { FIRST_MAX };
            let entered = tokio::time::timeout(patience, entered).await;
            // Who lost patience goes together with whoever is there.
            return entered.unwrap_or_else(|_| self.push_in());
        }
        entered.await
    }

    fn poll(&self, alone: bool, waker: &Waker) -> Poll<bool> {
        let mut state = self.state();
        match state.enter(alone) {
            Some(alone) => Poll::Ready(alone),
            None => {
                state.waiting.push(waker.clone());
                Poll::Pending
            }
        }
    }

    #[cfg(feature = "client")]
    fn push_in(&self) -> bool {
        self.state().together += 1;
        false
    }

    /// Then all who wait look again. They are woken when the lock is gone: a waker may do anything.
    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state();
        change(&mut state);
        let waiting = mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// Whether this one goes alone, if it may go now.
    fn enter(&mut self, alone: bool) -> Option<bool> {
        let free = if alone {
            self.together == 0
        } else {
            !self.alone && self.queued == 0 && (self.known || self.together == 0)
        };
        free.then(|| {
            // The first one does, whatever it wanted.
            self.alone = alone || !self.known;
            self.together += 1;
            self.alone
        })
    }
}

/// Counted while it waits.
struct Queued<'a>(&'a Gate);

impl<'a> Queued<'a> {
    fn new(gate: &'a Gate) -> Self {
        gate.state().queued += 1;
        Self(gate)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.change(|state| state.queued -= 1);
    }
}

impl Pass {
    /// The server answered.
    pub(super) fn answered(self) {
        self.terms.gate.state().known = true;
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        self.terms.gate.change(|state| {
            state.together -= 1;
            state.alone &= !self.alone;
        });
    }
}
