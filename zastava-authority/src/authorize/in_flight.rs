//! Which requests may be in flight to a server at the same time.
//!
//! Requests share the way to the server, with two exceptions. The first request goes alone: a
//! server that demands nonces challenges every request that has none, so of a hundred that start
//! together only one needs to learn the nonce. And the last attempt of a request that was
//! challenged twice goes alone: a server may change its nonces faster than it answers under load.
//! When no other request is in flight, the newest nonce is as fresh as it can be.
//! See
//! docs/design/authority.md#why-does-the-first-request-to-a-server-go-alone-and-one-that-was-sent-back-twice.

use std::future::poll_fn;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

use super::ResourceServer;

/// Nobody waits longer than this for the first answer: a slow one must not hold up the rest. The
/// bounds need a timer, and hold in a tokio runtime only.
#[cfg(feature = "client")]
const FIRST_MAX: std::time::Duration = std::time::Duration::from_secs(1);
/// Nobody waits longer than this for requests that go alone. There may be a queue of them.
#[cfg(feature = "client")]
const ALONE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// Knows no async runtime.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Requests>);

#[derive(Debug, Default)]
struct Requests {
    /// Whether the server ever answered.
    has_answered: bool,
    count: usize,
    /// One is in flight that must be the only one.
    is_exclusive: bool,
    /// How many wait to go alone. Shared requests let them pass.
    exclusive_waiting: usize,
    wakers: Vec<Waker>,
}

/// Held by a request while it is in flight.
#[derive(Debug)]
pub(super) struct Permit {
    server: Arc<ResourceServer>,
    is_exclusive: bool,
    pub(super) has_waited: bool,
}

impl InFlight {
    /// Waits until the request may be sent: alone, or together with others.
    pub(super) async fn enter(server: &Arc<ResourceServer>, alone: bool) -> Permit {
        let permit =
            |is_exclusive, has_waited| Permit { server: Arc::clone(server), is_exclusive, has_waited };
        let entered = server.in_flight.requests().enter(alone);
        match entered {
            Some(is_exclusive) => permit(is_exclusive, false),
            None => permit(server.in_flight.wait(alone).await, true),
        }
    }

    /// Returns whether the request goes alone.
    async fn wait(&self, alone: bool) -> bool {
        let entered = async {
            let _waiting = alone.then(|| ExclusiveWaiting::new(self));
            poll_fn(|cx| self.poll(alone, cx.waker())).await
        };
        #[cfg(feature = "client")]
        if tokio::runtime::Handle::try_current().is_ok() {
            let patience = if self.requests().has_answered { ALONE_MAX } else { FIRST_MAX };
            let entered = tokio::time::timeout(patience, entered).await;
            return entered.unwrap_or_else(|_| self.enter_anyway());
        }
        entered.await
    }

    fn poll(&self, alone: bool, waker: &Waker) -> Poll<bool> {
        let mut requests = self.requests();
        match requests.enter(alone) {
            Some(is_exclusive) => Poll::Ready(is_exclusive),
            None => {
                requests.wakers.push(waker.clone());
                Poll::Pending
            }
        }
    }

    /// After the longest wait the request goes together with whatever is in flight.
    #[cfg(feature = "client")]
    fn enter_anyway(&self) -> bool {
        self.requests().count += 1;
        false
    }

    /// Makes a change, after which all that wait look again. They are woken after the lock is
    /// released, since a waker may do anything.
    fn change(&self, change: impl FnOnce(&mut Requests)) {
        let mut requests = self.requests();
        change(&mut requests);
        let wakers = mem::take(&mut requests.wakers);
        drop(requests);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn requests(&self) -> MutexGuard<'_, Requests> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Requests {
    /// If the request may be sent now, whether it goes alone.
    fn enter(&mut self, alone: bool) -> Option<bool> {
        let is_free = if alone {
            self.count == 0
        } else {
            !self.is_exclusive && self.exclusive_waiting == 0 && (self.has_answered || self.count == 0)
        };
        is_free.then(|| {
            // The first request goes alone in any case.
            self.is_exclusive = alone || !self.has_answered;
            self.count += 1;
            self.is_exclusive
        })
    }
}

/// Counts a request that waits to go alone.
struct ExclusiveWaiting<'a>(&'a InFlight);

impl<'a> ExclusiveWaiting<'a> {
    fn new(in_flight: &'a InFlight) -> Self {
        in_flight.requests().exclusive_waiting += 1;
        Self(in_flight)
    }
}

impl Drop for ExclusiveWaiting<'_> {
    fn drop(&mut self) {
        self.0.change(|requests| requests.exclusive_waiting -= 1);
    }
}

impl Permit {
    /// The server answered.
    pub(super) fn answered(self) {
        self.server.in_flight.requests().has_answered = true;
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.server.in_flight.change(|requests| {
            requests.count -= 1;
            requests.is_exclusive &= !self.is_exclusive;
        });
    }
}
