//! From the buffer to Scanner. The source is a socket on which nobody listens, so that the only events are
//! those that an earlier run left behind.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use zastava_buffer::{Buffer, BufferOptions, Kind};
use zastava_core::clock::Timestamp;
use zastava_core::contract::{
    EngineIdentity, EventKind, KindStyle, RuntimeEvent, RuntimeEventEnvelope, Workload,
};
use zastava_core::vocabulary::{Engine, Platform};
use zastava_observer::{Accounting, ObserverOptions};
use zastava_sandbox::{Fault, FaultKind, Route};

use crate::support::{Process, Running, Stage, sleep_path, within};

fn without_source(stage: &Stage, settings: &[(&str, &str)]) -> ObserverOptions {
    let containerd = ("zastava.observer.engine", "containerd");
    let settings: Vec<_> = std::iter::once(containerd).chain(settings.iter().copied()).collect();
    stage.options_at(Path::new("/nobody/listens.sock"), &settings)
}

pub(crate) fn event(number: usize) -> Vec<u8> {
    let workload = Workload::new(Platform::Vm);
    let engine = EngineIdentity::new(Engine::Host);
    let (tenant, node) = ("acme".to_owned(), "node-1".to_owned());
    let kind = EventKind::ContainerStart;
    let event =
        RuntimeEvent::new(format!("event-{number}"), Timestamp::now(), kind, tenant, node, engine, workload);
    RuntimeEventEnvelope::new(event).encode(KindStyle::Pascal).expect("can be written")
}

/// Puts events into the buffer, as an earlier run leaves them.
fn left_behind(options: &ObserverOptions, events: impl IntoIterator<Item = Vec<u8>>) {
    let mut settings = BufferOptions::new(options.buffer.disk_bytes_max);
    settings.free_percent_min = 0;
    let (producer, _, _) = Buffer::open(&options.buffer.path, settings).expect("can be opened");
    for event in events {
        assert!(producer.push(Kind(0), &event).seq().is_some(), "has room");
    }
    assert!(producer.close(Duration::from_secs(60)).0);
}

/// The same, for a program with the stage's configuration.
pub(crate) fn left_behind_at(stage: &Stage, events: impl IntoIterator<Item = Vec<u8>>) {
    left_behind(&stage.options(&[]), events);
}

/// Sends ten events while Scanner has these faults. All arrive, each once.
async fn check_delivery(faults: &[FaultKind]) -> Accounting {
    let stage = Stage::start().await;
    for kind in faults {
        stage.sandbox.misbehave(Fault { route: Route::Events, kind: kind.clone(), times: 1 });
    }
    let options = without_source(&stage, &[]);
    left_behind(&options, (0..10).map(event));
    let running = Running::start(options);
    within(stage.sandbox.wait_until(|counts, _| counts.events_accepted == 10)).await;
    let metrics = running.telemetry.clone();
    let accounting = running.end().await;
    assert_eq!((accounting.observed, accounting.buffered), (10, 0), "{accounting:?}");
    let ids: BTreeSet<String> =
        stage.sandbox.accepted().into_iter().map(|found| found.event.event_id).collect();
    assert_eq!(ids.len(), 10);
    let line = r#"zastava_runtime_events_total{tenant="acme",component="observer",kind="ContainerStart"} 10"#;
    assert!(metrics.render().contains(line), "{}", metrics.render());
    accounting
}

fn status(status: u16) -> FaultKind {
    FaultKind::Status { status, retry_after: None }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_on_the_way_lose_nothing() {
    let accounting =
        check_delivery(&[status(503), FaultKind::Reset, FaultKind::WrongContent, status(500), status(404)])
            .await;
    assert_eq!(accounting.delivered, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn scanner_is_not_asked_again_before_retry_after() {
    let stage = Stage::start().await;
    let kind = FaultKind::Status { status: 429, retry_after: Some(600) };
    stage.sandbox.misbehave(Fault { route: Route::Events, kind, times: 1 });
    let options = without_source(&stage, &[]);
    let backoff_max = options.publish.backoff_max;
    left_behind(&options, (0..10).map(event));
    let running = Running::start(options);
    within(stage.sandbox.wait_until(|counts, _| counts.faults_shown == 1)).await;
    // Without the header the next request would come within this time.
    tokio::time::sleep(10 * backoff_max).await;
    let accounting = running.end().await;
    assert_eq!((accounting.delivered, accounting.buffered), (0, 10));
    assert_eq!(stage.sandbox.counts().events_accepted, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_status_means_what_the_contract_says() {
    // One event meets the status once. Whatever is about the event makes it a dead letter; all else passes.
    let rows = [
        (400, "dead"),
        (422, "dead"),
        (413, "dead"),
        (401, "sent"),
        (403, "sent"),
        (404, "sent"),
        (408, "sent"),
        (429, "sent"),
        (500, "sent"),
        (502, "sent"),
        (503, "sent"),
        (504, "sent"),
    ];
    for (number, wanted) in rows {
        let stage = Stage::start().await;
        stage.sandbox.misbehave(Fault { route: Route::Events, kind: status(number), times: 1 });
        let options = without_source(&stage, &[]);
        left_behind(&options, [event(0)]);
        let running = Running::start(options);
        let end = within(async {
            loop {
                let accounting = running.accounting.current();
                assert!(accounting.is_balanced(), "{accounting:?}");
                if accounting.observed == 1 && accounting.buffered == 0 {
                    return accounting;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
        let found = if end.dropped.get("dead_letter") == Some(&1) { "dead" } else { "sent" };
        assert_eq!(found, wanted, "{number}: {end:?}");
        assert_eq!(stage.sandbox.counts().events_accepted, u64::from(wanted == "sent"), "{number}");
        running.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_is_too_large_is_halved_until_it_fits() {
    let accounting = check_delivery(&[status(413), status(413), status(413)]).await;
    assert_eq!(accounting.delivered, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_is_lost_leads_to_duplicates_and_not_to_doubles() {
    let stage = Stage::start().await;
    let options = without_source(&stage, &[("zastava.observer.backend.requestTimeoutSeconds", "200ms")]);
    let late = FaultKind::Delay(Duration::from_secs(1));
    stage.sandbox.misbehave(Fault { route: Route::Events, kind: late, times: 1 });
    left_behind(&options, (0..10).map(event));
    let running = Running::start(options);
    within(stage.sandbox.wait_until(|counts, _| counts.events_accepted == 10)).await;
    let accounting = running.end().await;
    assert_eq!(accounting.delivered + accounting.duplicate, 10);
    assert_eq!(stage.sandbox.accepted().len(), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_one_event_that_scanner_refuses_is_set_aside_with_its_reason() {
    let stage = Stage::start().await;
    let options = without_source(&stage, &[]);
    let dead_letters = options.publish.dead_letter_path.clone();
    let faulty = br#"{"schemaVersion":"zastava.runtime.event@v9.0","event":{"eventId":"odd"}}"#.to_vec();
    let events = (0..5).map(event).chain([faulty]).chain((5..10).map(event));
    left_behind(&options, events);
    let running = Running::start(options);
    within(stage.sandbox.wait_until(|counts, _| counts.events_accepted == 10)).await;
    let metrics = running.telemetry.clone();
    let accounting = running.end().await;
    assert_eq!((accounting.observed, accounting.delivered, accounting.dropped["dead_letter"]), (11, 10, 1));
    let letters = std::fs::read_to_string(dead_letters).expect("is written");
    let letter: serde_json::Value = serde_json::from_str(letters.trim()).expect("is one line of JSON");
    assert_eq!(letter["event"]["event"]["eventId"], "odd");
    assert!(letter["reason"].as_str().is_some_and(|reason| reason.contains("400")), "{letter}");
    assert!(metrics.render().contains("zastava_runtime_events_dead_lettered_total 1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_survived_on_disk() {
    let stage = Stage::start().await;
    stage.sandbox.scanner_offline().await;
    let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
    let children: Vec<Process> = (0..3).map(|_| Process::sleep(sleep_path())).collect();
    for child in &children {
        running.event_again(EventKind::ContainerStart, child.pid()).await;
    }
    let during = running.accounting.current();
    assert!(during.is_balanced() && during.buffered >= 3 && during.delivered == 0, "{during:?}");

    stage.sandbox.scanner_online().await.expect("the port is still ours");
    let pids: Vec<u32> = children.iter().map(Process::pid).collect();
    within(stage.sandbox.wait_until(|_, events| {
        let seen = |pid: &u32| {
            events
                .iter()
                .filter(|found| found.event.process.as_ref().is_some_and(|process| process.pid == *pid))
                .count()
        };
        pids.iter().all(|pid| seen(pid) == 1)
    }))
    .await;
    let accounting = running.end().await;
    assert_eq!(accounting.buffered, 0, "{accounting:?}");
    assert!(accounting.dropped.is_empty(), "{accounting:?}");
}
