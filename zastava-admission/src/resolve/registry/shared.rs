//! One call for each thing that is asked of a registry, however many reviews want it at once.
//!
//! A call belongs to no review, and what it brings is not remembered: the next review gets what the registry says then.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// Calls that are under way or wait for their turn.
const CALLS_MAX: usize = 1024;

/// The calls under way, by what they ask.
pub(super) struct Shared<T>(Arc<Mutex<HashMap<String, watch::Receiver<Option<T>>>>>);

/// Where the answer of a call appears.
#[derive(Debug)]
pub(super) struct Landing<T>(watch::Receiver<Option<T>>);

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl<T: Clone + Send + Sync + 'static> Shared<T> {
    /// The call that asks this, begun if there is none. `None` when too many are under way.
    pub(super) fn call<F>(&self, what: String, begin: impl FnOnce() -> F) -> Option<Landing<T>>
    where
        F: Future<Output = T> + Send + 'static,
    {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(landing) = calls.get(&what) {
            return Some(Landing(landing.clone()));
        }
        if calls.len() >= CALLS_MAX {
            return None;
        }
        let (landed, landing) = watch::channel(None);
        calls.insert(what.clone(), landing.clone());
        drop(calls);
        let (call, asking) = (Call { what, calls: Self(Arc::clone(&self.0)) }, begin());
        tokio::spawn(async move {
            let answer = asking.await;
            // First of all, so that whoever asks after an answer finds no old call.
            drop(call);
            // Perhaps nobody waits any more.
            let _ = landed.send(Some(answer));
        });
        Some(Landing(landing))
    }
}

impl<T: Clone> Landing<T> {
    /// The answer; none when it does not come in time.
    pub(super) async fn wait(mut self, deadline: Instant) -> Option<T> {
        timeout_at(deadline, self.0.wait_for(Option::is_some)).await.ok()?.ok()?.clone()
    }
}

/// A call under way. However it ends, nobody joins it any more.
struct Call<T> {
    what: String,
    calls: Shared<T>,
}

impl<T> Drop for Call<T> {
    fn drop(&mut self) {
        self.calls.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.what);
    }
}
