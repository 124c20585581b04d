//! The outbox in `/status` and in readiness.

use std::time::Duration;

use serde_json::{Value, json};
use zastava_buffer::{StorageHealth, StorageProblem};

use super::Outbox;

/// From this share of its bound on, the buffer is nearly full.
const NEARLY_FULL_PERCENT: u64 = 90;
/// How long a loss is a warning.
const LOSS_SHOWN: Duration = Duration::from_secs(60);

impl Outbox {
    /// The state of the buffer at the last report. Never waits for the disk.
    pub(crate) fn status(&self) -> Value {
        let inner = self.lock();
        let waiting = self.waiting();
        let disk = match inner.health {
            StorageHealth::Degraded { cause, .. } => problem(cause),
            _ => "ok",
        };
        json!({
            "path": self.path,
            "disk": disk,
            "live": waiting.live,
            "backlog": waiting.backlog,
            "bytes": inner.disk_bytes,
            "bytesMax": self.disk_bytes_max,
            "oldestSeconds": inner.oldest_age.as_secs(),
            "eventsPerSecond": inner.events_per_second.round(),
        })
    }

    /// What an operator should know, if anything.
    pub(crate) fn warning(&self) -> Option<String> {
        let inner = self.lock();
        if let StorageHealth::Degraded { cause, .. } = inner.health {
            return Some(format!("{}; events wait in memory", problem(cause)));
        }
        if inner.lost_at.is_some_and(|lost| lost.elapsed() < LOSS_SHOWN) {
            return Some(
                "events were dropped in the last minute; zastava_buffer_drops_total has the reasons"
                    .to_owned(),
            );
        }
        let percent = inner.disk_bytes * 100 / self.disk_bytes_max;
        (percent >= NEARLY_FULL_PERCENT)
            .then(|| format!("the buffer is {percent} % full; when it is full the oldest events are dropped"))
    }
}

/// The problem in words.
pub(super) fn problem(cause: StorageProblem) -> &'static str {
    match cause {
        StorageProblem::NoSpace => "the disk is full",
        StorageProblem::ReadOnly => "the directory is not writable",
        StorageProblem::Locked => "another observer holds the directory",
        StorageProblem::Gone => "the directory was removed or replaced",
        _ => "the disk fails",
    }
}
