//! The processes that engines name.

use crate::blocking::blocking;
use crate::procfs::{self, ProcTree, is_gone};
use crate::reads::{Place, READ_TIME_MAX, Reads};

/// What a source looks up of the main process of a container. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Processes {
    pub(super) tree: ProcTree,
    pub(super) reads: Reads,
}

impl Processes {
    /// When the process started, in clock ticks since boot; `None` if it has ended.
    pub(super) async fn start_ticks(&self, pid: u32) -> Option<u64> {
        let (tree, mut reader) = (self.tree.clone(), self.reads.reader(READ_TIME_MAX));
        let read = move |_: &_| tree.process(pid).and_then(|process| procfs::stat(&process));
        let stat = blocking(move || reader.read(Place::Process { pid, file: "stat" }, read)).await;
        Some(stat.ok()?.ok()?.start_ticks)
    }

    /// Whether the process with these start ticks runs; `None` if `/proc` does not say.
    pub(super) async fn is_running(&self, pid: u32, start_ticks: Option<u64>) -> Option<bool> {
        let wanted = start_ticks?;
        let (tree, mut reader) = (self.tree.clone(), self.reads.reader(READ_TIME_MAX));
        let read = move |_: &_| tree.process(pid).and_then(|process| procfs::stat(&process));
        let stat = blocking(move || reader.read(Place::Process { pid, file: "stat" }, read)).await;
        match stat.ok()? {
            Ok(stat) => Some(stat.start_ticks == wanted && !stat.is_ended()),
            Err(error) => is_gone(&error).then_some(false),
        }
    }
}
