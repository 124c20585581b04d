//! Work that waits for the disk or `/proc`, off the async threads.

/// Runs `work` on a thread where it may block, and passes its panic on.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The work is cancelled only with the whole async runtime, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}
