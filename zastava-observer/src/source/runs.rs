//! The runs of containers that are told, and those that have ended. Pure.

use std::collections::{HashMap, HashSet, VecDeque};

use crate::workload::Workload;

/// The most containers that are remembered: twice as many as the tracker follows. A node has hundreds.
const RUNS_MAX: usize = 16_384;
/// The most ended containers that are remembered, so that a late event does not tell one again.
const ENDED_MAX: usize = 4096;

/// By container id.
#[derive(Debug, Default)]
pub(super) struct Runs {
    live: HashMap<String, Run>,
    ended: HashSet<String>,
    ended_order: VecDeque<String>,
}

/// One run of a container. Docker's container that is started again has another one.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) workload: Workload,
    /// The engine did not know the container when it was missing from the last list. Its end may be among the events that wait.
    pub(super) is_missing: bool,
}

impl Runs {
    pub(super) fn get(&self, id: &str) -> Option<&Run> {
        self.live.get(id)
    }

    /// The ids of the containers that are told and have not ended.
    pub(super) fn ids(&self) -> Vec<String> {
        self.live.keys().cloned().collect()
    }

    pub(super) fn workloads(&self) -> Vec<Workload> {
        self.live.values().map(|run| run.workload.clone()).collect()
    }

    pub(super) fn begin(&mut self, id: &str, workload: Workload) {
        if self.live.len() < RUNS_MAX {
            self.live.insert(id.to_owned(), Run { workload, is_missing: false });
        }
    }

    /// Whether the container's last run has ended and is told.
    pub(super) fn has_ended(&self, id: &str) -> bool {
        self.ended.contains(id)
    }

    /// The container starts again.
    pub(super) fn starts(&mut self, id: &str) {
        if self.ended.remove(id) {
            self.ended_order.retain(|ended| ended != id);
        }
    }

    pub(super) fn end(&mut self, id: &str) -> Option<Workload> {
        let run = self.live.remove(id);
        if self.ended.insert(id.to_owned()) {
            self.ended_order.push_back(id.to_owned());
        }
        if self.ended_order.len() > ENDED_MAX
            && let Some(oldest) = self.ended_order.pop_front()
        {
            self.ended.remove(&oldest);
        }
        run.map(|run| run.workload)
    }

    /// The engine does not know the container. The second time in a row its run has ended, and is returned.
    pub(super) fn miss(&mut self, id: &str) -> Option<Workload> {
        let run = self.live.get_mut(id)?;
        if !std::mem::replace(&mut run.is_missing, true) {
            return None;
        }
        self.end(id)
    }

    pub(super) fn found(&mut self, id: &str) {
        if let Some(run) = self.live.get_mut(id) {
            run.is_missing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workload::tests::workload;

    #[test]
    fn a_container_that_is_missing_twice_in_a_row_has_ended() {
        let mut runs = Runs::default();
        runs.begin("a", workload("a", 1));
        assert_eq!(runs.miss("a"), None);
        runs.found("a");
        assert_eq!((runs.miss("a"), runs.miss("a")), (None, Some(workload("a", 1))));
        assert!(runs.get("a").is_none() && runs.has_ended("a"));
        runs.starts("a");
        assert!(!runs.has_ended("a"));
    }

    #[test]
    fn tables_stay_within_their_bounds() {
        let mut runs = Runs::default();
        for id in 0..=RUNS_MAX {
            runs.begin(&id.to_string(), workload("w", 1));
        }
        assert_eq!(runs.ids().len(), RUNS_MAX);
        for id in 0..=ENDED_MAX {
            runs.end(&id.to_string());
        }
        assert!(!runs.has_ended("0") && runs.has_ended("1"));
        assert_eq!((runs.ended.len(), runs.ended_order.len()), (ENDED_MAX, ENDED_MAX));
    }
}
