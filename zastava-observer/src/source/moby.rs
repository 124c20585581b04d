//! Who tells the containers that Docker Engine runs in a containerd which others use too.
//!
//! Docker's API knows their image, name and labels; containerd's namespace `moby` has none of these. So Docker's source tells
//! them once it is followed, and containerd's source only hands over what it reads at their creation: Docker announces nothing
//! before the program runs. Without Docker's socket, containerd's source
//! tells them, and its evidence says what is missing
//! (docs/design/observer.md#who-tells-a-container-of-docker-behind-a-shared-containerd).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;
use zastava_core::clock::Timestamp;

use crate::inspect::PreparedProgram;
use crate::workload::Workload;

/// The namespace that Docker Engine uses in its containerd.
pub(super) const NAMESPACE: &str = "moby";

/// Why a container of this namespace has no image.
pub(super) const WITHOUT_IMAGE: &str =
    "Docker records no image in its containerd, and Docker's own socket is not there or not followed";

/// The most containers whose program is kept for Docker's source.
const CAPTURED_MAX: usize = 1024;

/// What the sources of containerd and of Docker share. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Moby {
    /// Whether Docker's own API is followed.
    docker: watch::Receiver<bool>,
    captured: Arc<Mutex<HashMap<String, Captured>>>,
}

/// What containerd's source read when a container was created, which Docker does not announce.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    pub(super) pid: u32,
    pub(super) start_ticks: Option<u64>,
    pub(super) prepared: Option<Arc<PreparedProgram>>,
    at: Timestamp,
}

impl Moby {
    pub(super) fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, docker) = watch::channel(false);
        (sender, Self { docker, captured: Arc::default() })
    }

    /// Waits until Docker's source tells the containers.
    pub(super) async fn docker_tells(&mut self) {
        if self.docker.wait_for(|is_followed| *is_followed).await.is_err() {
            std::future::pending().await
        }
    }

    /// containerd's source has read a container. Kept only while Docker's source takes it.
    pub(super) fn captured(&self, id: &str, found: &Workload) {
        if !*self.docker.borrow() {
            return;
        }
        let Workload { pid, start_ticks, prepared, .. } = found.clone();
        let mut captured = self.lock();
        if captured.len() >= CAPTURED_MAX
            && let Some(oldest) = captured.iter().min_by_key(|(_, one)| one.at).map(|(id, _)| id.clone())
        {
            captured.remove(&oldest);
        }
        captured.insert(id.to_owned(), Captured { pid, start_ticks, prepared, at: Timestamp::now() });
    }

    /// What was captured of the container for a start at this time. What is younger belongs to its next run.
    pub(super) fn take(&self, id: &str, started: Timestamp) -> Option<Captured> {
        let mut captured = self.lock();
        let is_of_this_run = captured.get(id).is_some_and(|one| one.at <= started);
        if is_of_this_run { captured.remove(id) } else { None }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Captured>> {
        self.captured.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
