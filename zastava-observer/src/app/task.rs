//! A task that does not outlive its owner.

use std::time::Duration;

use tokio::task::JoinHandle;

/// Ends its task when it is dropped.
pub(super) struct Task(JoinHandle<()>);

impl Task {
    pub(super) fn start(task: impl Future<Output = ()> + Send + 'static) -> Self {
        Self(tokio::spawn(task))
    }

    /// Waits until the task ends by itself, or by a panic, which is reported by then.
    pub(super) async fn ended(&mut self) {
        let _ = (&mut self.0).await;
    }

    /// Stops the task, and waits until all that it holds is dropped.
    pub(super) async fn stop(mut self) {
        self.0.abort();
        self.ended().await;
    }

    /// Gives the task some time to finish, then stops it.
    pub(super) async fn end(mut self, patience: Duration) {
        if !self.0.is_finished() {
            let _ = tokio::time::timeout(patience, self.ended()).await;
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
