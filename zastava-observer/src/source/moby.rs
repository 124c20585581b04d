//! Who tells the containers that Docker Engine runs in a containerd which others use too.
//!
//! Docker's API knows their image, name and labels; containerd's namespace `moby` has none of these. So Docker's source tells
//! them once it is followed, and containerd's source only hands over what it reads at their creation: Docker announces nothing
//! before the program runs. Without Docker's socket, containerd's source
//! tells them, and its evidence says what is missing
//! (docs/design/observer.md#who-tells-a-container-of-docker-behind-a-shared-containerd).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

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
/// How long Docker's source waits for what is being read.
const WAIT_MAX: Duration = Duration::from_millis(250);

/// What the sources of containerd and of Docker share. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Moby {
    /// Whether Docker's own API is followed.
    docker: watch::Receiver<bool>,
    /// By the id of the container.
    captures: Arc<watch::Sender<HashMap<String, Capture>>>,
}

/// A container that was created.
#[derive(Clone, Debug)]
struct Capture {
    at: Timestamp,
    /// `None` while it is read.
    found: Option<Captured>,
}

/// What containerd's source read when a container was created, which Docker does not announce.
#[derive(Clone, Debug)]
pub(super) struct Captured {
    pub(super) pid: u32,
    pub(super) start_ticks: Option<u64>,
    pub(super) prepared: Option<Arc<PreparedProgram>>,
}

impl Moby {
    pub(super) fn channel() -> (watch::Sender<bool>, Self) {
        let (sender, docker) = watch::channel(false);
        (sender, Self { docker, captures: Arc::default() })
    }

    /// Waits until Docker's source tells the containers.
    pub(super) async fn docker_tells(&mut self) {
        if self.docker.wait_for(|is_followed| *is_followed).await.is_err() {
            std::future::pending().await
        }
    }

    /// containerd's source reads a container that was created then.
    pub(super) fn reads(&self, id: &str, at: Timestamp) {
        self.put(id, Capture { at, found: None });
    }

    /// containerd's source has read a container. Nobody takes what was read for another reason than its creation.
    pub(super) fn captured(&self, id: &str, found: &Workload) {
        let Some(at) = self.captures.borrow().get(id).map(|capture| capture.at) else { return };
        let Workload { pid, start_ticks, prepared, .. } = found.clone();
        self.put(id, Capture { at, found: Some(Captured { pid, start_ticks, prepared }) });
    }

    /// Kept only while Docker's source takes it.
    fn put(&self, id: &str, capture: Capture) {
        if !*self.docker.borrow() {
            return;
        }
        self.captures.send_modify(|captures| {
            if captures.len() >= CAPTURED_MAX
                && let Some(oldest) = captures.iter().min_by_key(|(_, one)| one.at).map(|(id, _)| id.clone())
            {
                captures.remove(&oldest);
            }
            captures.insert(id.to_owned(), capture);
        });
    }

    /// What was captured of the container for a start at this time, as soon as it is read. What is younger belongs to its next
    /// run.
    pub(super) async fn take(&self, id: &str, started: Timestamp) -> Option<Captured> {
        let is_reading = |captures: &HashMap<String, Capture>| {
            captures.get(id).is_some_and(|one| one.at <= started && one.found.is_none())
        };
        let mut changes = self.captures.subscribe();
        // What is not there by then is not waited for.
        let _ = tokio::time::timeout(WAIT_MAX, changes.wait_for(|captures| !is_reading(captures))).await;
        let mut taken = None;
        self.captures.send_modify(|captures| {
            if captures.get(id).is_some_and(|one| one.at <= started) {
                taken = captures.remove(id);
            }
        });
        taken?.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::workload;

    #[tokio::test]
    async fn only_what_is_read_at_a_creation_waits_for_its_start() {
        let (docker, moby) = Moby::channel();
        docker.send_replace(true);
        moby.captured("listed", &workload("moby/listed", 7));
        assert!(moby.captures.borrow().is_empty());
        moby.reads("created", Timestamp::UNIX_EPOCH);
        moby.captured("created", &workload("moby/created", 8));
        let taken = moby.take("created", Timestamp::now()).await;
        assert_eq!(taken.map(|captured| captured.pid), Some(8));
        // It comes after somebody gave up waiting for it.
        moby.captured("created", &workload("moby/created", 8));
        assert!(moby.take("created", Timestamp::now()).await.is_none());
    }
}
