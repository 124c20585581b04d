//! Later looks at a workload: what its processes have loaded since, and which files they run that are not the image's.
//!
//! A look tells only what no earlier one has told.

use std::collections::BTreeSet;

use zastava_core::contract::LoadedLibrary;
use zastava_core::vocabulary::Engine;

use super::Inspector;
use super::drift::Drift;
use super::process::{InspectError, ProcessFacts, ProcessTarget, Stage};
use crate::blocking::blocking;
use crate::hash::fingerprint;
use crate::workload::Workload;

/// What was told of a workload's processes by now, as hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// The libraries of the main process; `None` if they are not known, since an earlier run of the observer told them.
    libraries: Option<BTreeSet<u64>>,
    drift: BTreeSet<u64>,
}

/// What a look found that is new.
#[derive(Debug, Default)]
pub(crate) struct Looked {
    /// The main process, with the libraries that it has loaded since.
    pub(crate) main: Option<ProcessFacts>,
    /// Processes that run files that are not the image's, with these files.
    pub(crate) drifted: Vec<ProcessFacts>,
    /// What is told with this.
    pub(crate) seen: Seen,
}

impl Seen {
    /// Nothing: the process could not be read. The OCI runtime may have been slow to execute the program.
    pub(crate) fn nothing() -> Self {
        Self { libraries: Some(BTreeSet::new()), drift: BTreeSet::new() }
    }

    /// What the first inspection tells.
    pub(crate) fn of(facts: &ProcessFacts) -> Self {
        let mut seen = Self::nothing();
        seen.new_libraries(&facts.libraries);
        seen.new_drift(&facts.drift);
        seen
    }

    /// The libraries that were not seen before. They count as seen from now on.
    fn new_libraries(&mut self, found: &[LoadedLibrary]) -> Vec<LoadedLibrary> {
        let Some(known) = &mut self.libraries else { return Vec::new() };
        // A file that was replaced under its path is another library.
        let is_new = |library: &&LoadedLibrary| known.insert(fingerprint(&(&library.path, library.inode)));
        found.iter().filter(is_new).cloned().collect()
    }

    /// The files that drifted and were not seen before. They count as seen from now on.
    fn new_drift(&mut self, found: &[Drift]) -> Vec<Drift> {
        let mut is_new = |drift: &&Drift| {
            self.drift.insert(fingerprint(&(&drift.path, drift.verdict.as_str(), &drift.sha256)))
        };
        found.iter().filter(|drift| drift.verdict.is_drift()).filter(|drift| is_new(drift)).cloned().collect()
    }
}

impl Inspector {
    /// Looks at a workload's main process and at the processes that it has started.
    pub(crate) async fn look_again(&self, workload: &Workload, seen: &Seen) -> Result<Looked, InspectError> {
        let mut looked = Looked { seen: seen.clone(), ..Looked::default() };
        let target = ProcessTarget {
            pid: workload.pid,
            start_ticks: workload.start_ticks,
            cgroup: workload.cgroup.clone(),
        };
        let mut main = self.read(Stage::Any, &target).await?;
        let (pid, made_ticks) = (main.pid, main.start_ticks);
        if workload.engine != Engine::Host {
            self.look_for_drift(&mut main, made_ticks, &mut looked).await;
            let processes = self.processes.clone();
            for target in blocking(move || processes.descendants(pid)).await {
                let target = ProcessTarget { cgroup: workload.cgroup.clone(), ..target };
                // It may have ended meanwhile.
                let Ok(mut facts) = self.read(Stage::Any, &target).await else { continue };
                self.look_for_drift(&mut facts, made_ticks, &mut looked).await;
            }
        }
        main.libraries = looked.seen.new_libraries(&main.libraries);
        looked.main = Some(main).filter(|main| !main.libraries.is_empty());
        Ok(looked)
    }

    /// Reads a process that was started in a workload's container from outside.
    pub(crate) async fn inspect_exec(
        &self,
        workload: &Workload,
        pid: u32,
    ) -> Result<ProcessFacts, InspectError> {
        let target = ProcessTarget { pid, start_ticks: None, cgroup: workload.cgroup.clone() };
        let found = self.read_when_started(&target, None).await;
        self.count(&found);
        let mut facts = found?;
        let made_ticks = workload.start_ticks.unwrap_or(facts.start_ticks);
        self.add_drift(&mut facts, made_ticks).await;
        Ok(facts)
    }

    async fn look_for_drift(&self, facts: &mut ProcessFacts, made_ticks: u64, looked: &mut Looked) {
        self.add_drift(facts, made_ticks).await;
        facts.drift = looked.seen.new_drift(&facts.drift);
        if !facts.drift.is_empty() {
            looked.drifted.push(facts.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::vocabulary::Signal;

    use super::*;
    use crate::inspect::Verdict;

    fn library(path: &str, inode: u64) -> LoadedLibrary {
        LoadedLibrary { path: path.to_owned(), inode: Some(inode), ..LoadedLibrary::default() }
    }

    fn drift(path: &str, verdict: Verdict, sha256: &str) -> Drift {
        let (path, sha256) = (path.to_owned(), Some(sha256.to_owned()));
        Drift { path, verdict, method: Signal::OverlayUpper, sha256 }
    }

    #[test]
    fn what_was_seen_is_not_new() {
        let known = drift("/x", Verdict::New, "1");
        let mut seen = Seen::of(&ProcessFacts {
            libraries: vec![library("/a.so", 1)],
            drift: vec![known.clone()],
            ..ProcessFacts::default()
        });
        assert!(seen.new_libraries(&[library("/a.so", 1)]).is_empty());
        let replaced = library("/a.so", 2);
        assert_eq!(
            seen.new_libraries(&[library("/a.so", 1), replaced.clone()]),
            std::slice::from_ref(&replaced)
        );
        assert!(seen.new_libraries(&[replaced]).is_empty());
        let changed = drift("/x", Verdict::New, "2");
        let metadata = drift("/y", Verdict::MetadataOnly, "3");
        assert_eq!(
            seen.new_drift(&[known.clone(), metadata, changed.clone()]),
            std::slice::from_ref(&changed)
        );
        assert!(seen.new_drift(&[known, changed]).is_empty());
    }

    #[test]
    fn everything_is_new_after_a_start_that_could_not_be_read() {
        let mut seen = Seen::nothing();
        assert_eq!(seen.new_libraries(&[library("/a.so", 1)]), [library("/a.so", 1)]);
        assert!(seen.new_libraries(&[library("/a.so", 1)]).is_empty());
    }

    #[test]
    fn libraries_are_not_told_if_it_is_not_known_which_were() {
        let mut seen = Seen::default();
        assert!(seen.new_libraries(&[library("/a.so", 1)]).is_empty());
        assert_eq!(seen.new_drift(&[drift("/x", Verdict::New, "1")]).len(), 1);
    }
}
