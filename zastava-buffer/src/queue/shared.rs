//! The lock around the queue, and how the threads wait for each other.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};
use std::time::{Duration, Instant};

use super::Queue;
use crate::options::BufferOptions;

#[derive(Debug, Default)]
pub(crate) struct SharedQueue {
    queue: Mutex<Queue>,
    /// The worker waits here for work.
    work: Condvar,
    /// `close` waits here for the end of the worker.
    pub(crate) ended: Condvar,
}

/// What producers, the consumer and batches hold. When the last one is dropped, the worker writes what is in memory
/// and ends; nobody waits for it.
#[derive(Debug)]
pub(crate) struct QueueHandle {
    pub(crate) shared: Arc<SharedQueue>,
}

impl Drop for QueueHandle {
    fn drop(&mut self) {
        self.shared.update(|queue| (queue.is_closing, queue.has_work) = (true, true));
    }
}

impl SharedQueue {
    pub(crate) fn new(options: BufferOptions) -> Self {
        Self { queue: Mutex::new(Queue::new(options)), ..Self::default() }
    }

    /// Ignores poisoning: no foreign code runs under the lock, so only a bug of this crate can poison it, and its
    /// panic was reported.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs one step under the lock. Wakers are foreign code and run after the lock is released.
    pub(crate) fn update<R>(&self, step: impl FnOnce(&mut Queue) -> R) -> R {
        let mut queue = self.lock();
        let result = step(&mut queue);
        let to_wake = std::mem::take(&mut queue.to_wake);
        let wake_worker = queue.has_work && queue.is_worker_waiting;
        drop(queue);
        if wake_worker {
            self.work.notify_one();
        }
        to_wake.into_iter().for_each(Waker::wake);
        result
    }

    /// Repeats the step whenever something changed, until it returns a result. Dropping the future removes its
    /// waiter.
    pub(crate) async fn wait<R>(&self, mut step: impl FnMut(&mut Queue, u64) -> Option<R>) -> R {
        struct Registration<'a>(&'a SharedQueue, Option<u64>);
        impl Drop for Registration<'_> {
            fn drop(&mut self) {
                self.0.update(|queue| self.1.map(|id| queue.waiters.remove(&id)));
            }
        }
        let mut registration = Registration(self, None);
        std::future::poll_fn(|context| {
            self.update(|queue| {
                let id = *registration.1.get_or_insert_with(|| {
                    queue.waiters_so_far += 1;
                    queue.waiters_so_far
                });
                let Some(result) = step(queue, id) else {
                    queue.waiters.entry(id).or_default().waker = Some(context.waker().clone());
                    return Poll::Pending;
                };
                Poll::Ready(result)
            })
        })
        .await
    }

    /// Blocks the worker until there is work, at most until the given time.
    pub(crate) fn wait_for_work(&self, until: Option<Instant>) {
        let mut queue = self.lock();
        if !queue.has_work {
            queue.is_worker_waiting = true;
            let left = |until: Instant| until.saturating_duration_since(Instant::now());
            let waited = self.work.wait_timeout(queue, until.map_or(Duration::MAX, left));
            waited.unwrap_or_else(PoisonError::into_inner).0.is_worker_waiting = false;
        }
    }

    /// Blocks until the worker has ended. Returns false if it did not end in time.
    pub(crate) fn wait_for_end(&self, timeout: Duration) -> bool {
        let ended = self.ended.wait_timeout_while(self.lock(), timeout, |queue| !queue.has_ended);
        ended.unwrap_or_else(PoisonError::into_inner).0.has_ended
    }
}
