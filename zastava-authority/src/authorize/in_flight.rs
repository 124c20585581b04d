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

/// Nobody waits longer than this for one request that goes alone. Whoever waited so long lets everybody in: a
/// request that hangs holds up those who wait already, and nobody after them. The bounds need a timer, and hold in
/// a tokio runtime only.
#[cfg(feature = "client")]
const STANDSTILL_MAX: std::time::Duration = std::time::Duration::from_millis(500);
/// Nor for more of these times, while requests go alone one after another.
#[cfg(feature = "client")]
const STANDSTILLS_MAX: usize = 4;

/// Knows no async runtime.
#[derive(Debug, Default)]
pub(super) struct InFlight(Mutex<Requests>);

#[derive(Debug, Default)]
struct Requests {
    /// Whether the server ever answered, or is not waited for any more.
    has_answered: bool,
    count: usize,
    /// The request in flight that must be the only one.
    exclusive: Option<u64>,
    /// How many have gone alone, and how many of these have ended.
    exclusives: u64,
    exclusives_ended: u64,
    /// How many wait to go alone. Shared requests let them pass.
    exclusive_waiting: usize,
    wakers: Vec<Waker>,
}

/// Held by a request while it is in flight.
#[derive(Debug)]
pub(super) struct Permit {
    server: Arc<ResourceServer>,
    /// Its number among those that go alone.
    exclusive: Option<u64>,
    pub(super) has_waited: bool,
}

impl InFlight {
    /// Waits until the request may be sent: alone, or together with others.
    pub(super) async fn enter(server: &Arc<ResourceServer>, alone: bool) -> Permit {
        let permit = |exclusive, has_waited| Permit { server: Arc::clone(server), exclusive, has_waited };
        let entered = server.in_flight.requests().enter(alone);
        match entered {
            Some(exclusive) => permit(exclusive, false),
            None => permit(server.in_flight.wait(alone).await, true),
        }
    }

    /// Returns the number of a request that goes alone.
    async fn wait(&self, alone: bool) -> Option<u64> {
        let entered = async {
            let _waiting = alone.then(|| ExclusiveWaiting::new(self));
            poll_fn(|cx| self.poll(alone, cx.waker())).await
        };
        #[cfg(feature = "client")]
        if tokio::runtime::Handle::try_current().is_ok() {
            return self.wait_at_most(entered).await;
        }
        entered.await
    }

    /// Enters in any case when nobody who goes alone has ended for a while.
    #[cfg(feature = "client")]
    async fn wait_at_most(&self, entered: impl Future<Output = Option<u64>>) -> Option<u64> {
        let mut entered = std::pin::pin!(entered);
        let mut ended = self.requests().exclusives_ended;
        for _ in 0..STANDSTILLS_MAX {
            if let Ok(entered) = tokio::time::timeout(STANDSTILL_MAX, &mut entered).await {
                return entered;
            }
            if mem::replace(&mut ended, self.requests().exclusives_ended) == ended {
                break;
            }
        }
        self.let_everybody_in();
        None
    }

    fn poll(&self, alone: bool, waker: &Waker) -> Poll<Option<u64>> {
        let mut requests = self.requests();
        match requests.enter(alone) {
            Some(exclusive) => Poll::Ready(exclusive),
            None => {
                requests.wakers.push(waker.clone());
                Poll::Pending
            }
        }
    }

    /// After the longest wait the request goes together with whatever is in flight, and so do those that come later.
    #[cfg(feature = "client")]
    fn let_everybody_in(&self) {
        self.change(|requests| {
            (requests.exclusive, requests.has_answered) = (None, true);
            requests.count += 1;
        });
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
    /// If the request may be sent now, its number if it goes alone.
    fn enter(&mut self, alone: bool) -> Option<Option<u64>> {
        let is_free = if alone {
            self.count == 0
        } else {
            self.exclusive.is_none() && self.exclusive_waiting == 0 && (self.has_answered || self.count == 0)
        };
        is_free.then(|| {
            // The first request goes alone in any case.
            self.exclusive = (alone || !self.has_answered).then_some(self.exclusives);
            self.exclusives += u64::from(self.exclusive.is_some());
            self.count += 1;
            self.exclusive
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
            requests.exclusives_ended += u64::from(self.exclusive.is_some());
            // Another one may go alone by now.
            requests.exclusive = requests.exclusive.filter(|exclusive| Some(*exclusive) != self.exclusive);
        });
    }
}
