//! Makes events of facts. Pure: equal facts give equal events, with equal ids.

mod fit;
mod later;
mod posture;

use std::error::Error as _;

use zastava_core::clock::Timestamp;
use zastava_core::contract::{EngineIdentity, EventKind, Evidence, Process, RuntimeEvent, event_id};
use zastava_core::vocabulary::{Annotation, Provenance, Signal};

pub(crate) use self::fit::encode;
pub(crate) use self::posture::add_posture;
use crate::inspect::{InspectError, Interpreter, PreparedProgram, ProcessFacts};
use crate::tracker::Transition;
use crate::workload::Workload;

/// The node that events come from. Stands in every event and in its id.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers say which node they are")]
pub struct Node {
    /// The tenant that owns the node.
    pub tenant: String,
    /// The node's name.
    pub name: String,
    /// The kernel's random id of this boot. Pids and start ticks mean nothing beyond a boot.
    pub boot_id: String,
}

impl Node {
    /// The event of a workload that started. If its process was not inspected, the evidence holds the
    /// reason.
    #[must_use]
    pub fn start_event(
        &self,
        workload: &Workload,
        at: Timestamp,
        inspected: Result<&ProcessFacts, &InspectError>,
    ) -> RuntimeEvent {
        let mut event = self.event(EventKind::ContainerStart, workload, at);
        let mut process = Process { pid: workload.pid, ..Process::default() };
        process.entrypoint.clone_from(&workload.entrypoint);
        annotate_words(&mut event, Annotation::ImageEntrypoint, &workload.image_entrypoint);
        match inspected {
            Ok(facts) => {
                annotate_words(&mut event, Annotation::ObservedEntrypoint, &facts.arguments);
                if process.entrypoint.is_empty() {
                    process.entrypoint.clone_from(&facts.arguments);
                }
                process.build_id.clone_from(&facts.build_id);
                process.entry_trace.clone_from(&facts.entry_trace);
                event.loaded_libs.clone_from(&facts.libraries);
                event.evidence.extend_from_slice(&facts.evidence);
                event.annotate(Annotation::Provenance, Provenance::Observed.as_str());
                if let Some(interpreter) = &facts.interpreter {
                    annotate_interpreter(&mut event, interpreter);
                }
            }
            Err(error) => {
                event.evidence.push(Evidence::new(Signal::Proc, with_cause(error)));
                if !process.entrypoint.is_empty() {
                    event.annotate(Annotation::Provenance, Provenance::Declared.as_str());
                }
            }
        }
        event.process = Some(process);
        event
    }

    /// Adds to a start what was known before its program ran: how it leads to another program. Of the program itself, what
    /// was observed counts more: only a process that was never seen gets its facts from here.
    pub fn add_prepared(event: &mut RuntimeEvent, prepared: &PreparedProgram) {
        if let Some(process) = &mut event.process {
            process.entry_trace.clone_from(&prepared.entry_trace);
        }
        let provenance = event.annotations.get(Annotation::Provenance.as_str()).map(String::as_str);
        if provenance == Some(Provenance::Observed.as_str()) {
            let lacks_id = event.process.as_ref().is_some_and(|process| process.build_id.is_none());
            let why_not_found = prepared.evidence.iter().filter(|one| one.signal == Signal::SpecProgram);
            event.evidence.extend(why_not_found.filter(|_| lacks_id).cloned());
            return;
        }
        event.annotate(Annotation::Provenance, prepared.provenance().as_str());
        event.evidence.extend_from_slice(&prepared.evidence);
        if let Some(process) = &mut event.process {
            process.build_id.clone_from(&prepared.build_id);
        }
    }

    /// The event of a workload that stopped.
    #[must_use]
    pub fn stop_event(&self, workload: &Workload, at: Timestamp, exit_status: Option<u32>) -> RuntimeEvent {
        let mut event = self.event(EventKind::ContainerStop, workload, at);
        event.process = Some(Process { pid: workload.pid, ..Process::default() });
        if let Some(status) = exit_status {
            event.annotate(Annotation::ExitStatus, status.to_string());
        }
        event
    }

    fn event(&self, kind: EventKind, workload: &Workload, at: Timestamp) -> RuntimeEvent {
        let id = self.id(workload, kind, &self.run(workload));
        let mut engine = EngineIdentity::new(workload.engine);
        engine.version.clone_from(&workload.engine_version);
        let (tenant, node) = (self.tenant.clone(), self.name.clone());
        let mut event = RuntimeEvent::new(id, at, kind, tenant, node, engine, workload.description.clone());
        event.evidence.clone_from(&workload.evidence);
        event
    }

    /// What tells this run of the workload from others: its main process. If its pid was never known, the time of the start
    /// does.
    fn run(&self, workload: &Workload) -> String {
        let ticks = match (workload.pid, workload.started_at) {
            (0, Some(at)) => at.to_string(),
            _ => workload.start_ticks.map(|ticks| ticks.to_string()).unwrap_or_default(),
        };
        format!("{}/{}/{ticks}", self.boot_id, workload.pid)
    }

    fn id(&self, workload: &Workload, kind: EventKind, discriminator: &str) -> String {
        event_id(&self.tenant, &self.name, &workload.id, kind, discriminator)
    }
}

/// Annotates the event of a transition that was derived from a list.
pub(crate) fn mark_reconciled(event: &mut RuntimeEvent, transition: &Transition) {
    if transition.reconciled {
        event.annotate(Annotation::Reconciled, "true");
    }
}

/// As a JSON array, since a word may hold any separator.
fn annotate_words(event: &mut RuntimeEvent, key: Annotation, words: &[String]) {
    if !words.is_empty() {
        event.annotate(key, serde_json::Value::from(words).to_string());
    }
}

fn annotate_interpreter(event: &mut RuntimeEvent, interpreter: &Interpreter) {
    event.annotate(Annotation::Interpreter, interpreter.language);
    if let Some(version) = &interpreter.version {
        event.annotate(Annotation::InterpreterVersion, version);
    }
    if let Some(program) = &interpreter.program {
        event.annotate(Annotation::InterpretedProgram, &program.name);
    }
}

fn with_cause(error: &InspectError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use zastava_core::contract::EntryTrace;

    use super::*;
    use crate::workload::tests::workload;

    pub(crate) fn node(boot_id: &str) -> Node {
        Node { tenant: "acme".to_owned(), name: "node-1".to_owned(), boot_id: boot_id.to_owned() }
    }

    #[test]
    fn an_id_identifies_one_run_of_one_workload() {
        let start = |boot: &str, workload: &Workload| {
            node(boot).start_event(workload, Timestamp::UNIX_EPOCH, Err(&InspectError::Ended)).event_id
        };
        let known = workload("a", 7);
        let id = start("b1", &known);
        let later = node("b1").start_event(&known, Timestamp::now(), Err(&InspectError::Reused));
        assert_eq!(later.event_id, id);
        assert_ne!(start("b2", &known), id);
        assert_ne!(start("b1", &Workload { start_ticks: Some(100), ..known.clone() }), id);
        assert_ne!(start("b1", &workload("b", 7)), id);
        let unknown = |seconds| {
            let started_at = Some(Timestamp::from_unix_seconds(seconds));
            start("b1", &Workload { pid: 0, start_ticks: None, started_at, ..known.clone() })
        };
        assert_eq!(unknown(1), unknown(1));
        assert_ne!(unknown(1), unknown(2));
        assert_ne!(node("b1").stop_event(&known, Timestamp::UNIX_EPOCH, None).event_id, id);
    }

    #[test]
    fn what_was_observed_counts_more_than_what_was_prepared() {
        let workload = workload("a", 7);
        let provenance = |event: &RuntimeEvent| event.annotations.get("provenance").cloned();
        let build_id = |event: &RuntimeEvent| event.process.clone().and_then(|process| process.build_id);
        let prepared = |chain: &[&str], id: Option<&str>| PreparedProgram {
            chain: chain.iter().map(|&path| path.to_owned()).collect(),
            build_id: id.map(str::to_owned),
            entry_trace: vec![EntryTrace::default()],
            ..PreparedProgram::default()
        };
        let (at, ended) = (Timestamp::UNIX_EPOCH, Err(&InspectError::Ended));
        let facts = ProcessFacts { build_id: Some("aa".to_owned()), ..ProcessFacts::default() };
        let mut seen = node("b").start_event(&workload, at, Ok(&facts));
        Node::add_prepared(&mut seen, &prepared(&["/bin/sh"], Some("bb")));
        assert_eq!((build_id(&seen), provenance(&seen)), (Some("aa".into()), Some("observed".into())));
        assert_eq!(seen.process.as_ref().map(|process| process.entry_trace.len()), Some(1));
        let mut unseen = node("b").start_event(&workload, at, ended);
        assert_eq!(provenance(&unseen), None);
        Node::add_prepared(&mut unseen, &prepared(&["/bin/sh"], Some("bb")));
        let wanted = (Some("bb".into()), Some("resolved-before-exec".into()));
        assert_eq!((build_id(&unseen), provenance(&unseen)), wanted);
        let declared = Workload { entrypoint: vec!["app".to_owned()], ..workload };
        let mut unfound = node("b").start_event(&declared, at, ended);
        assert_eq!(provenance(&unfound), Some("declared".into()));
        Node::add_prepared(&mut unfound, &prepared(&[], None));
        assert_eq!((build_id(&unfound), provenance(&unfound)), (None, Some("declared".into())));
    }

    #[test]
    fn the_reason_why_a_process_was_not_read_is_evidence() {
        let event =
            node("b").start_event(&workload("a", 7), Timestamp::UNIX_EPOCH, Err(&InspectError::Ended));
        assert_eq!(event.process.as_ref().and_then(|process| process.build_id.as_ref()), None);
        let reason = Evidence::new(Signal::Proc, "the process ended before it could be read");
        assert_eq!(event.evidence, [reason]);
    }
}
