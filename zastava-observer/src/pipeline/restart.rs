//! What the pipeline does with the workloads of an earlier run, before anything else.

use std::sync::Arc;
use std::time::Instant;

use zastava_core::clock::Timestamp;
use zastava_core::contract::RuntimeEvent;
use zastava_core::vocabulary::Annotation;

use super::Pipeline;
use crate::event::Node;
use crate::inspect::{InspectError, Seen};
use crate::tracker::Restored;
use crate::workload::Noted;

impl Pipeline {
    /// Takes up the workloads of an earlier run. In the same boot the first list of their engine says what became of
    /// them. With another boot all of them have stopped.
    pub(super) async fn take_up(&mut self) {
        let earlier = std::mem::take(&mut self.earlier);
        if earlier.boot_id.is_empty() || self.teller.node.boot_id.is_empty() {
            // Without a boot nothing can be said of what ran: the line is damaged, or there is no /proc now.
            tracing::debug!(
                workloads = earlier.workloads.len(),
                "no boot is known, so no workload is taken up"
            );
        } else if earlier.boot_id == self.teller.node.boot_id {
            // What was told of them is not known. Drift that is told again has the id that it had.
            for restored in earlier.workloads.iter().filter(|restored| restored.is_told) {
                self.looks.told(Noted::run_of(&restored.workload), 0, Seen::default(), Instant::now());
            }
            self.schedule.restore(earlier.workloads);
        } else if !self.tell_stopped(&earlier.boot_id, &earlier.workloads).await {
            // The file stays as it is, so that the next start tells them.
            return;
        }
        let tracker = self.schedule.tracker();
        self.live.replace(tracker.workloads(), tracker.restored());
    }

    /// Tells that workloads of an earlier boot have stopped. Returns whether all of these events survive this process.
    async fn tell_stopped(&self, boot_id: &str, workloads: &[Restored]) -> bool {
        let node = Node { boot_id: boot_id.to_owned(), ..self.teller.node.clone() };
        let (now, mut are_on_disk) = (Timestamp::now(), true);
        for Restored { workload, is_told } in workloads {
            let mut events = vec![node.stop_event(workload, now, None)];
            if !is_told {
                let at = workload.started_at.unwrap_or(now);
                events.insert(0, node.start_event(workload, at, Err(&InspectError::Ended)));
            }
            for mut event in events {
                event.annotate(Annotation::Reconciled, "true");
                let event: Arc<RuntimeEvent> = Arc::new(event);
                are_on_disk &= self.offer(&event).await;
                let _ = self.listeners.send(event);
            }
        }
        if !workloads.is_empty() {
            tracing::info!(
                workloads = workloads.len(),
                "the node was started anew; what ran before has stopped"
            );
        }
        are_on_disk
    }
}
