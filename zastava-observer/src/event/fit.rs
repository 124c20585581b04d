//! Keeps an event within the bytes that the buffer and Scanner take.

use zastava_core::contract::{Evidence, KindStyle, RuntimeEvent, RuntimeEventEnvelope};
use zastava_core::vocabulary::{Annotation, Signal};

/// The event's envelope as JSON of at most `bytes_max` bytes. A workload controls how long some facts
/// are. First libraries are left out, half of them at a time, then the entry trace, the entrypoint and drifted files; the evidence
/// says what was left out.
///
/// `None` if even that is too long, which takes absurd names of the node or tenant.
pub(crate) fn encode(event: RuntimeEvent, style: KindStyle, bytes_max: usize) -> Option<Vec<u8>> {
    let libraries = event.loaded_libs.len();
    let mut envelope = RuntimeEventEnvelope::new(event);
    loop {
        // An event holds only text and numbers, which can always be encoded.
        let json = envelope.encode(style).ok()?;
        if json.len() <= bytes_max {
            return Some(json);
        }
        let left_out = leave_out(&mut envelope.event, libraries)?;
        envelope.event.evidence.retain(|evidence| evidence.signal != Signal::EventSize);
        envelope.event.evidence.push(Evidence::new(Signal::EventSize, left_out));
    }
}

/// Takes the next part out of the event and says what is missing by now; `None` if nothing is left.
fn leave_out(event: &mut RuntimeEvent, libraries: usize) -> Option<String> {
    if event.loaded_libs.is_empty() {
        let process = event.process.as_mut()?;
        if !process.entry_trace.is_empty() {
            process.entry_trace.clear();
            return Some("libraries and entry trace are left out".to_owned());
        }
        if process.entrypoint.is_empty() {
            let left_out = "libraries, entry trace, entrypoint and drifted files are left out";
            return event.delta.take().map(|_| left_out.to_owned());
        }
        process.entrypoint.clear();
        for annotation in [Annotation::ImageEntrypoint, Annotation::ObservedEntrypoint] {
            event.annotations.remove(annotation.as_str());
        }
        return Some("libraries, entry trace and entrypoint are left out".to_owned());
    }
    event.loaded_libs.truncate(event.loaded_libs.len() / 2);
    Some(format!("{} libraries are left out", libraries - event.loaded_libs.len()))
}

#[cfg(test)]
mod tests {
    use zastava_core::clock::Timestamp;
    use zastava_core::contract::{EngineIdentity, EntryTrace, EventKind, LoadedLibrary, Process, Workload};
    use zastava_core::vocabulary::{Engine, Platform};

    use super::*;

    fn event() -> RuntimeEvent {
        let (id, at) = ("id".to_owned(), Timestamp::UNIX_EPOCH);
        let (tenant, node) = ("acme".to_owned(), "node-1".to_owned());
        let engine = EngineIdentity::new(Engine::Host);
        let workload = Workload::new(Platform::Vm);
        let mut event = RuntimeEvent::new(id, at, EventKind::ContainerStart, tenant, node, engine, workload);
        event.process = Some(Process { entrypoint: vec!["api".repeat(100)], ..Process::default() });
        event
    }

    #[test]
    fn a_long_event_loses_libraries_first_and_says_so() {
        let library = |n| LoadedLibrary { path: format!("/{n}{}", "x".repeat(100)), ..Default::default() };
        let event = RuntimeEvent { loaded_libs: (0..64).map(library).collect(), ..event() };
        let json = encode(event.clone(), KindStyle::Pascal, 4096).expect("fits");
        let read: RuntimeEventEnvelope = serde_json::from_slice(&json).expect("is an envelope");
        assert_eq!(read.event.loaded_libs.len(), 16);
        assert_eq!(read.event.evidence, [Evidence::new(Signal::EventSize, "48 libraries are left out")]);
        assert!(encode(event, KindStyle::Pascal, 100).is_none());
    }

    #[test]
    fn the_entrypoint_is_left_out_last() {
        let step = EntryTrace { target: Some("t".repeat(300)), ..EntryTrace::default() };
        let mut event = event();
        event.process.as_mut().expect("has one").entry_trace = vec![step];
        for (bytes_max, steps, words) in [(1_000, 1, 1), (800, 0, 1), (500, 0, 0)] {
            let json = encode(event.clone(), KindStyle::Pascal, bytes_max).expect("fits");
            let read: RuntimeEventEnvelope = serde_json::from_slice(&json).expect("is an envelope");
            let process = read.event.process.expect("has one");
            assert_eq!((process.entry_trace.len(), process.entrypoint.len()), (steps, words), "{bytes_max}");
        }
    }
}
