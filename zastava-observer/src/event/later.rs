//! Events of a workload between its start and its stop.
//!
//! `Drift` tells what differs from the image. Libraries that were loaded later differ from nothing: they complete the start
//! (docs/design/observer.md#how-is-it-told-what-a-later-look-found).

use zastava_core::clock::Timestamp;
use zastava_core::contract::{Delta, EventKind, Evidence, LoadedLibrary, NewBinary, Process, RuntimeEvent};
use zastava_core::vocabulary::{Annotation, Provenance, Signal};

use super::{Node, annotate_words, with_cause};
use crate::inspect::{Drift, InspectError, ProcessFacts, Verdict};
use crate::workload::{ExecSession, Workload};

/// The most files that one event says to have drifted.
const DRIFT_MAX: usize = 64;

impl Node {
    /// The event of files that a process of the workload runs and that are not the image's: those of `facts`; `None` if there
    /// are none. One container, path and content give one event, however often it is started.
    #[must_use]
    pub fn drift_event(
        &self,
        workload: &Workload,
        at: Timestamp,
        facts: &ProcessFacts,
    ) -> Option<RuntimeEvent> {
        let drifted: Vec<&Drift> = facts.drift.iter().filter(|drift| drift.verdict.is_drift()).collect();
        if drifted.is_empty() {
            return None;
        }
        let told = &drifted[..drifted.len().min(DRIFT_MAX)];
        let mut event = self.event(EventKind::Drift, workload, at);
        event.event_id = self.id(workload, EventKind::Drift, &identity(told));
        event.process = Some(process(workload, facts));
        event.evidence = told.iter().map(|drift| evidence_of(drift)).collect();
        if drifted.len() > told.len() {
            let left_out = format!("{} drifted files are left out", drifted.len() - told.len());
            event.evidence.push(Evidence::new(Signal::EventSize, left_out));
        }
        event.delta = Some(delta(workload, told));
        Some(event)
    }

    /// The event of a process that was started in the workload's container from outside. If it was not inspected, the evidence
    /// holds the reason.
    #[must_use]
    pub(crate) fn exec_event(
        &self,
        workload: &Workload,
        exec: &ExecSession,
        inspected: Result<&ProcessFacts, &InspectError>,
    ) -> RuntimeEvent {
        let mut event = self.event(EventKind::Drift, workload, exec.at);
        let session = format!("{}\0exec\0{}\0{}", self.run(workload), exec.id, exec.pid);
        event.event_id = self.id(workload, EventKind::Drift, &session);
        event.annotate(Annotation::ExecId, &exec.id);
        event.process = Some(Process { pid: exec.pid, ..Process::default() });
        match inspected {
            Ok(facts) => {
                event.annotate(Annotation::Provenance, Provenance::Observed.as_str());
                event.process = Some(process(workload, facts));
                event.evidence.extend_from_slice(&facts.evidence);
                let drifted: Vec<&Drift> =
                    facts.drift.iter().filter(|drift| drift.verdict.is_drift()).take(DRIFT_MAX).collect();
                event.evidence.extend(drifted.iter().map(|drift| evidence_of(drift)));
                event.delta = (!drifted.is_empty()).then(|| delta(workload, &drifted));
            }
            Err(error) => event.evidence.push(Evidence::new(Signal::Proc, with_cause(error))),
        }
        event
    }

    /// The event of libraries that the main process has loaded since its start was told: those of `facts`. It names the event
    /// that it completes.
    #[must_use]
    pub fn later_event(&self, workload: &Workload, at: Timestamp, facts: &ProcessFacts) -> RuntimeEvent {
        let mut event = self.event(EventKind::ContainerStart, workload, at);
        let of_run = format!("{}\0{}", self.run(workload), identity_of_libraries(&facts.libraries));
        let start =
            std::mem::replace(&mut event.event_id, self.id(workload, EventKind::ContainerStart, &of_run));
        event.annotate(Annotation::Amends, start);
        event.annotate(Annotation::Provenance, Provenance::Observed.as_str());
        annotate_words(&mut event, Annotation::ObservedEntrypoint, &facts.arguments);
        event.process = Some(process(workload, facts));
        event.loaded_libs.clone_from(&facts.libraries);
        event.evidence.extend_from_slice(&facts.evidence);
        event
    }
}

/// The process that the facts are about. What the specification says counts for the main process alone.
fn process(workload: &Workload, facts: &ProcessFacts) -> Process {
    let is_main = facts.pid == workload.pid && !workload.entrypoint.is_empty();
    let entrypoint = if is_main { &workload.entrypoint } else { &facts.arguments };
    Process {
        pid: facts.pid,
        entrypoint: entrypoint.clone(),
        build_id: facts.build_id.clone(),
        ..Process::default()
    }
}

/// What tells files that drifted from others.
fn identity(found: &[&Drift]) -> String {
    let one = |drift: &&Drift| {
        format!("{}\0{}\0{}", drift.path, drift.verdict.as_str(), drift.sha256.as_deref().unwrap_or(""))
    };
    sorted(found.iter().map(one))
}

/// What tells libraries from others. Hashes are left out: whether a file is hashed depends on what else is.
fn identity_of_libraries(found: &[LoadedLibrary]) -> String {
    sorted(found.iter().map(|library| format!("{}\0{}", library.path, library.inode.unwrap_or(0))))
}

fn sorted(parts: impl Iterator<Item = String>) -> String {
    let mut parts: Vec<String> = parts.collect();
    parts.sort_unstable();
    parts.join("\0\0")
}

fn evidence_of(drift: &Drift) -> Evidence {
    Evidence::new(drift.method, format!("{}: {}", drift.verdict.as_str(), drift.path))
}

fn delta(workload: &Workload, found: &[&Drift]) -> Delta {
    let image = workload.description.image_ref.as_deref();
    let baseline_image_digest =
        image.and_then(|image| image.split_once('@')).map(|(_, digest)| digest.to_owned());
    let (mut changed_files, mut new_binaries) = (Vec::new(), Vec::new());
    // An image may hold the program that runs instead of the one that is declared.
    for drift in found.iter().filter(|drift| drift.verdict != Verdict::EntrypointDiffers) {
        match &drift.sha256 {
            Some(sha256) if drift.verdict != Verdict::Modified => {
                new_binaries.push(NewBinary { path: drift.path.clone(), sha256: sha256.clone() });
            }
            _ => changed_files.push(drift.path.clone()),
        }
    }
    Delta { baseline_image_digest, changed_files, new_binaries }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::node;
    use crate::workload::tests::workload;

    #[test]
    fn drift_is_told_once_for_a_container_path_and_content() {
        let node = node("b");
        let drift = |path: &str, verdict, sha256: Option<&str>| Drift {
            path: path.to_owned(),
            verdict,
            method: Signal::OverlayUpper,
            sha256: sha256.map(str::to_owned),
        };
        let tell = |workload: &Workload, found: &[Drift]| {
            let facts = ProcessFacts { drift: found.to_vec(), ..ProcessFacts::default() };
            node.drift_event(workload, Timestamp::UNIX_EPOCH, &facts)
        };
        let mut known = workload("a", 7);
        known.description.image_ref = Some("app@sha256:abc".to_owned());
        let (new, other) =
            (drift("/x", Verdict::New, Some("11")), drift("/y", Verdict::Modified, Some("22")));
        let metadata = drift("/z", Verdict::MetadataOnly, None);
        assert_eq!(tell(&known, std::slice::from_ref(&metadata)), None);
        let event = tell(&known, &[new.clone(), metadata, other.clone()]).expect("is told");
        assert_eq!(event.kind, EventKind::Drift);
        let delta = event.delta.expect("has one");
        assert_eq!(delta.baseline_image_digest.as_deref(), Some("sha256:abc"));
        assert_eq!(delta.changed_files, ["/y"]);
        assert_eq!(delta.new_binaries, [NewBinary { path: "/x".to_owned(), sha256: "11".to_owned() }]);
        let wanted = [("new: /x"), ("modified: /y")].map(|value| Evidence::new(Signal::OverlayUpper, value));
        assert_eq!(event.evidence, wanted);
        // Another run of the container, and another order.
        let again =
            tell(&Workload { pid: 8, ..known.clone() }, &[other.clone(), new.clone()]).expect("is told");
        assert_eq!(again.event_id, event.event_id);
        let changed = drift("/x", Verdict::New, Some("33"));
        assert_ne!(tell(&known, &[changed, other.clone()]).expect("is told").event_id, event.event_id);
        assert_ne!(tell(&workload("b", 7), &[new, other]).expect("is told").event_id, event.event_id);
    }

    #[test]
    fn what_was_loaded_later_completes_the_start() {
        let (node, known) = (node("b"), workload("a", 7));
        let start = node.start_event(&known, Timestamp::UNIX_EPOCH, Ok(&ProcessFacts::default()));
        let library = |path: &str, inode| LoadedLibrary {
            path: path.to_owned(),
            inode: Some(inode),
            ..LoadedLibrary::default()
        };
        let tell = |libraries: Vec<LoadedLibrary>| {
            let facts = ProcessFacts { pid: 7, libraries, ..ProcessFacts::default() };
            node.later_event(&known, Timestamp::now(), &facts)
        };
        let event = tell(vec![library("/a.so", 1), library("/b.so", 2)]);
        assert_eq!(event.annotations["amends"], start.event_id);
        assert_eq!((event.kind, event.loaded_libs.len()), (EventKind::ContainerStart, 2));
        let again = tell(vec![library("/b.so", 2), library("/a.so", 1)]);
        assert_eq!(again.event_id, event.event_id);
        let replaced = tell(vec![library("/a.so", 3), library("/b.so", 2)]);
        assert!(![&start.event_id, &event.event_id].contains(&&replaced.event_id));
    }

    #[test]
    fn the_process_that_runs_a_file_is_told_with_it() {
        let known = Workload { entrypoint: vec!["declared".to_owned()], ..workload("a", 7) };
        let drift = Drift {
            path: "/x".to_owned(),
            verdict: Verdict::New,
            method: Signal::OverlayUpper,
            sha256: None,
        };
        for (pid, program) in [(7, "declared"), (8, "/x")] {
            let facts = ProcessFacts {
                pid,
                arguments: vec!["/x".to_owned()],
                drift: vec![drift.clone()],
                ..ProcessFacts::default()
            };
            let event = node("b").drift_event(&known, Timestamp::UNIX_EPOCH, &facts).expect("is told");
            let process = event.process.expect("has one");
            assert_eq!((process.pid, process.entrypoint), (pid, vec![program.to_owned()]));
        }
    }

    #[test]
    fn a_session_is_told_with_its_program_or_with_the_reason_why_that_is_missing() {
        let (node, known) = (node("b"), workload("a", 7));
        let exec = |id: &str| ExecSession { id: id.to_owned(), pid: 9, at: Timestamp::UNIX_EPOCH };
        let facts = ProcessFacts {
            pid: 9,
            arguments: vec!["/bin/sh".to_owned()],
            build_id: Some("aa".to_owned()),
            ..ProcessFacts::default()
        };
        let seen = node.exec_event(&known, &exec("e1"), Ok(&facts));
        assert_eq!((seen.kind, seen.annotations["execId"].as_str()), (EventKind::Drift, "e1"));
        let process = seen.process.expect("has one");
        assert_eq!((process.pid, process.build_id.as_deref()), (9, Some("aa")));
        assert_eq!((process.entrypoint, seen.delta), (vec!["/bin/sh".to_owned()], None));
        let unseen = node.exec_event(&known, &exec("e1"), Err(&InspectError::Ended));
        assert_eq!(unseen.event_id, seen.event_id);
        assert_eq!(unseen.process.map(|process| process.pid), Some(9));
        assert_eq!(unseen.evidence.last().map(|evidence| evidence.signal.clone()), Some(Signal::Proc.into()));
        assert_ne!(node.exec_event(&known, &exec("e2"), Ok(&facts)).event_id, seen.event_id);
    }
}
