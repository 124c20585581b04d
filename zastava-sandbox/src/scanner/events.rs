//! Batches of runtime events: a batch is accepted as a whole or refused.

use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use zastava_core::contract::{EventsAccepted, RuntimeEvent, RuntimeEventEnvelope, SchemaVersion};

use super::{invalid, shown};
use crate::answer::{Answer, json, problem, problem_with};
use crate::platform::Platform;

/// The largest batch, as servers in the field have it.
const EVENTS_MAX: usize = 256;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RawBatch {
    #[serde(default)]
    batch_id: Option<String>,
    events: Vec<Value>,
}

pub(super) fn take_batch(platform: &Platform, body: &[u8]) -> Answer {
    let batch: RawBatch = match serde_json::from_slice(body) {
        Ok(batch) => batch,
        Err(error) => return refuse(platform, invalid(&shown(&error.to_string()))),
    };
    if batch.events.is_empty() {
        return refuse(platform, invalid("a batch holds at least one event"));
    }
    if batch.events.len() > EVENTS_MAX {
        return too_large(platform, "a batch holds at most 256 events");
    }
    // What an event weighs in memory is its share of the batch, near enough for a bound.
    let size = body.len().div_ceil(batch.events.len());
    let mut envelopes = Vec::with_capacity(batch.events.len());
    let mut faults = Vec::new();
    for (index, event) in batch.events.into_iter().enumerate() {
        match read_envelope(event) {
            Ok(envelope) => envelopes.push(envelope),
            Err(reason) => faults.push((format!("events[{index}]"), reason)),
        }
    }
    if !faults.is_empty() {
        return refuse(platform, name_faults(&faults));
    }
    let accepted = platform.activity.update(|record| {
        let mut answer = EventsAccepted::default();
        for envelope in envelopes {
            match record.events.accept(envelope, size) {
                true => answer.accepted += 1,
                false => answer.duplicates += 1,
            }
        }
        record.counts.batches += 1;
        record.counts.events_accepted += answer.accepted;
        record.counts.events_duplicate += answer.duplicates;
        answer
    });
    tracing::debug!(batch = batch.batch_id, accepted.accepted, accepted.duplicates, "took a batch");
    json(StatusCode::ACCEPTED, &accepted)
}

pub(super) fn too_large(platform: &Platform, detail: &str) -> Answer {
    refuse(platform, problem(StatusCode::PAYLOAD_TOO_LARGE, "payload-too-large", detail))
}

fn refuse(platform: &Platform, answer: Answer) -> Answer {
    tracing::debug!(status = answer.status().as_u16(), "batch refused");
    platform.activity.count(|counts| counts.batches_refused += 1);
    answer
}

/// The first faulty event in words, and every one as a member of `errors`.
fn name_faults(faults: &[(String, String)]) -> Answer {
    let detail = faults.first().map(|(place, reason)| format!("{place}: {reason}")).unwrap_or_default();
    let errors: serde_json::Map<_, _> =
        faults.iter().map(|(place, reason)| (place.clone(), json!([reason]))).collect();
    let members = serde_json::Map::from_iter([("errors".to_owned(), Value::Object(errors))]);
    problem_with(StatusCode::BAD_REQUEST, "validation", &detail, members)
}

fn read_envelope(value: Value) -> Result<RuntimeEventEnvelope, String> {
    let envelope: RuntimeEventEnvelope =
        serde_json::from_value(value).map_err(|error| shown(&error.to_string()))?;
    if !SchemaVersion::RUNTIME_EVENT.is_compatible(&envelope.schema_version) {
        return Err(format!(
            "schemaVersion {} is not read here",
            shown(&envelope.schema_version.to_string())
        ));
    }
    check_event(&envelope.event).map_err(str::to_owned)?;
    Ok(envelope)
}

/// Checks what the contract demands of an event beyond its shape.
fn check_event(event: &RuntimeEvent) -> Result<(), &'static str> {
    let build_id =
        |id: &String| !id.is_empty() && id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    let process_build_id = event.process.as_ref().and_then(|process| process.build_id.as_ref());
    let mut build_ids =
        event.loaded_libs.iter().filter_map(|library| library.build_id.as_ref()).chain(process_build_id);
    let workload = &event.workload;
    let rules = [
        (!event.event_id.is_empty(), "eventId is empty"),
        (!event.tenant.is_empty(), "tenant is empty"),
        (!event.node.is_empty(), "node is empty"),
        (event.engine.name.listed().is_some(), "runtime.engine is none of containerd, cri-o, docker, host"),
        (workload.platform.listed().is_some(), "workload.platform is none of kubernetes, docker, vm"),
        (
            workload.container_id.as_ref().is_none_or(|id| id.contains("://")),
            "workload.containerId has no engine in front",
        ),
        (event.loaded_libs.iter().all(|library| !library.path.is_empty()), "a library's path is empty"),
        (build_ids.all(build_id), "a buildId is not lower-case hex"),
    ];
    rules.into_iter().find(|(holds, _)| !holds).map_or(Ok(()), |(_, broken)| Err(broken))
}
