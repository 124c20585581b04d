//! The last events, for `/status`.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use tokio::sync::broadcast::{Receiver, error::TryRecvError};
use zastava_core::contract::{KindStyle, RuntimeEvent};

/// Enough to see whether the observer sees what runs.
const KEPT_MAX: usize = 10;

/// Keeps the last events in a few words each. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub(super) struct RecentEvents(Arc<Mutex<VecDeque<Value>>>);

impl RecentEvents {
    /// Newest first.
    pub(super) fn status(&self) -> Value {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().rev().cloned().collect()
    }

    /// Takes what came since the last call.
    pub(super) fn update(&self, events: &mut Receiver<Arc<RuntimeEvent>>) {
        loop {
            match events.try_recv() {
                Ok(event) => self.keep(&event),
                Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn keep(&self, event: &RuntimeEvent) {
        let program = event.process.as_ref().and_then(|process| process.entrypoint.first());
        let words = json!({
            "at": event.when,
            "kind": event.kind.name(KindStyle::Pascal),
            "workload": event.workload.container_id,
            "what": event.workload.image_ref.as_ref().or(program),
        });
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(words);
        if kept.len() > KEPT_MAX {
            kept.pop_front();
        }
    }
}
