//! From facts to events. Pure: the same facts always make the same event, its id included.

use std::error::Error as _;

use zastava_core::clock::Timestamp;
use zastava_core::contract::{
    EventKind, KindStyle, LoadedLibrary, Process, RuntimeEvent, RuntimeEventEnvelope, event_id,
};
use zastava_core::vocabulary::{Annotation, Signal};

use crate::process::{CaptureError, ProcessFacts};
use crate::runtime::{Container, evidence};

/// Where events come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "callers say who they are")]
pub struct Observed {
    /// Whose node it is.
    pub tenant: String,
    /// The node's name.
    pub node: String,
    /// The kernel's random name for this boot: pids and start ticks mean nothing beyond it.
    pub boot_id: String,
}

impl Observed {
    /// A workload began to run. A process that could not be read is told with its reason.
    #[must_use]
    pub fn start(
        &self,
        container: &Container,
        at: Timestamp,
        captured: Result<&ProcessFacts, &CaptureError>,
    ) -> RuntimeEvent {
        let mut event = self.event(EventKind::ContainerStart, container, at);
        let mut process = Process { pid: container.pid, ..Process::default() };
        process.entrypoint.clone_from(&container.entrypoint);
        match captured {
            Ok(facts) => {
                if process.entrypoint.is_empty() {
                    process.entrypoint.clone_from(&facts.arguments);
                }
                process.build_id.clone_from(&facts.build_id);
                event.loaded_libs.clone_from(&facts.libraries);
                event.evidence.extend_from_slice(&facts.evidence);
            }
            Err(error) => event.evidence.push(evidence(Signal::Proc, with_cause(error))),
        }
        event.process = Some(process);
        event
    }

    /// A workload ended.
    #[must_use]
    pub fn stop(&self, container: &Container, at: Timestamp, exit_status: Option<u32>) -> RuntimeEvent {
        let mut event = self.event(EventKind::ContainerStop, container, at);
        event.process = Some(Process { pid: container.pid, ..Process::default() });
        if let Some(status) = exit_status {
            event.annotate(Annotation::ExitStatus, status.to_string());
        }
        event
    }

    fn event(&self, kind: EventKind, container: &Container, at: Timestamp) -> RuntimeEvent {
        // A run of a workload is its main process; ticks that came too late to be read are left out.
        let ticks = container.start_ticks.map(|ticks| ticks.to_string()).unwrap_or_default();
        let run = format!("{}/{}/{ticks}", self.boot_id, container.pid);
        let id = event_id(&self.tenant, &self.node, &container.id, kind, &run);
        let (runtime, workload) = (container.runtime.clone(), container.workload.clone());
        let (tenant, node) = (self.tenant.clone(), self.node.clone());
        let mut event = RuntimeEvent::new(id, at, kind, tenant, node, runtime, workload);
        event.evidence.clone_from(&container.evidence);
        event
    }
}

fn with_cause(error: &CaptureError) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

/// The event's envelope as JSON of at most `bytes_max`. What a workload controls can be long: first
/// libraries go, half of them at a time, then the entrypoint; the event says what was left out.
///
/// `None` when even that is too long, which only absurd names of the node or tenant can cause.
pub(crate) fn encode(event: RuntimeEvent, style: KindStyle, bytes_max: usize) -> Option<Vec<u8>> {
    let libraries = event.loaded_libs.len();
    let mut envelope = RuntimeEventEnvelope::new(event);
    loop {
        // Text and numbers can always be written.
        let json = envelope.encode(style).ok()?;
        if json.len() <= bytes_max {
            return Some(json);
        }
        let event = &mut envelope.event;
        event.evidence.retain(|evidence| evidence.signal != Signal::EventSize);
        if event.loaded_libs.is_empty() {
            let process = event.process.as_mut().filter(|process| !process.entrypoint.is_empty())?;
            process.entrypoint.clear();
            event.evidence.push(evidence(Signal::EventSize, "libraries and entrypoint are left out"));
        } else {
            let kept: Vec<LoadedLibrary> = event.loaded_libs.drain(..event.loaded_libs.len() / 2).collect();
            event.evidence.push(evidence(
                Signal::EventSize,
                format!("{} libraries are left out", libraries - kept.len()),
            ));
            event.loaded_libs = kept;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zastava_core::contract::{EngineIdentity, Workload};
    use zastava_core::vocabulary::{Engine, Platform};

    fn container() -> Container {
        Container {
            key: "a".to_owned(),
            id: "host://a".to_owned(),
            pid: 7,
            start_ticks: Some(99),
            started_at: None,
            cgroup: None,
            runtime: EngineIdentity::new(Engine::Host),
            workload: Workload::new(Platform::Vm),
            entrypoint: Vec::new(),
            evidence: Vec::new(),
        }
    }

    fn observed(boot_id: &str) -> Observed {
        Observed { tenant: "acme".to_owned(), node: "node-1".to_owned(), boot_id: boot_id.to_owned() }
    }

    #[test]
    fn an_id_names_one_run_of_one_workload() {
        let start = |boot: &str, container: &Container| {
            observed(boot).start(container, Timestamp::UNIX_EPOCH, Err(&CaptureError::Ended)).event_id
        };
        let id = start("b1", &container());
        assert_eq!(
            observed("b1").start(&container(), Timestamp::now(), Err(&CaptureError::Reused)).event_id,
            id
        );
        assert_ne!(start("b2", &container()), id);
        assert_ne!(start("b1", &Container { start_ticks: Some(100), ..container() }), id);
        assert_ne!(start("b1", &Container { id: "host://b".to_owned(), ..container() }), id);
        assert_ne!(observed("b1").stop(&container(), Timestamp::UNIX_EPOCH, None).event_id, id);
    }

    #[test]
    fn a_process_that_could_not_be_read_has_its_reason_in_the_event() {
        let event = observed("b").start(&container(), Timestamp::UNIX_EPOCH, Err(&CaptureError::Ended));
        assert_eq!(event.process.as_ref().and_then(|process| process.build_id.as_ref()), None);
        assert_eq!(event.evidence, [evidence(Signal::Proc, "the process ended before it could be read")]);
    }

    #[test]
    fn a_long_event_loses_libraries_first_and_says_so() {
        let mut event = observed("b").start(&container(), Timestamp::UNIX_EPOCH, Err(&CaptureError::Ended));
        event.loaded_libs = (0..64)
            .map(|n| LoadedLibrary { path: format!("/{n}{}", "x".repeat(100)), ..Default::default() })
            .collect();
        let json = encode(event.clone(), KindStyle::Pascal, 4096).expect("fits");
        let read: RuntimeEventEnvelope = serde_json::from_slice(&json).expect("is an envelope");
        assert_eq!(read.event.loaded_libs.len(), 16);
        assert!(read.event.evidence.contains(&evidence(Signal::EventSize, "48 libraries are left out")));
        assert!(encode(event, KindStyle::Pascal, 100).is_none());
    }
}
