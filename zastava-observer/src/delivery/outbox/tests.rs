//! The accounting identity, with a real buffer on a real disk.

use std::path::Path;

use zastava_core::config::Configuration;

use super::*;

/// A buffer of the least size holds some eighty of these.
const EVENT_BYTES: usize = 50_000;

fn outbox(directory: &Path, memory_events_max: usize) -> (Outbox, Telemetry) {
    let text = format!(
        "zastava:\n  runtime: {{tenant: acme, authority: {{issuer: \"https://a.example\", requireMutualTls: false}}}}\n  \
         observer: {{eventBufferPath: {}, backend: {{baseAddress: \"https://s.example\"}}}}\n",
        directory.display()
    );
    let config = Configuration::from_yaml(&text, Path::new("test.yaml"));
    let (mut options, _) = config.read(ObserverOptions::read).unwrap_or_else(|faults| panic!("{faults}"));
    options.buffer.disk_bytes_max = 4 << 20;
    options.buffer.memory_events_max = memory_events_max;
    let telemetry = Telemetry::detached();
    (Outbox::open(&options, &telemetry).expect("can be opened"), telemetry)
}

async fn offer(outbox: &Outbox, count: usize) {
    for _ in 0..count {
        outbox.offer(EventKind::ContainerStart, "", Some(vec![b'x'; EVENT_BYTES])).await;
        assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
    }
}

/// Takes everything in batches of at most seven. Scanner knows one event of each. Returns the number of
/// batches.
async fn drain(outbox: &Outbox) -> u64 {
    let mut batches = 0;
    while let Some(batch) = outbox.next_batch(7, 1 << 20).await {
        let outcome = Outcome::Taken(EventsAccepted { accepted: 6, duplicates: 1 });
        outbox.acknowledge(&batch, batch.events.len(), &batch.events, outcome);
        assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
        batches += 1;
    }
    batches
}

#[tokio::test]
async fn what_does_not_fit_on_disk_is_dropped_and_counted() {
    let directory = tempfile::tempdir().expect("a directory");
    let (outbox, telemetry) = outbox(directory.path(), 100);
    offer(&outbox, 200).await;
    outbox.offer(EventKind::Drift, "", None).await;
    drain(&outbox).await;
    let accounting = outbox.accounting();
    assert_eq!((accounting.observed, accounting.buffered, accounting.dropped["too_large"]), (201, 0, 1));
    let evicted = accounting.dropped["evicted"];
    assert!(evicted > 100, "{accounting:?}");
    outbox.report();
    outbox.report();
    let text = telemetry.render();
    let line =
        format!("zastava_buffer_drops_total{{reason=\"evicted\",kind=\"ContainerStart\"}} {evicted}\n");
    assert!(text.contains(&line), "{text}");
    assert!(text.contains("zastava_buffer_drops_total{reason=\"too_large\",kind=\"Drift\"} 1\n"), "{text}");
    assert_eq!(outbox.reported(), accounting);
}

#[tokio::test]
async fn events_of_an_earlier_run_are_observed_by_this_one() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, _) = outbox(directory.path(), 100);
    offer(&first, 9).await;
    first.close();
    let (second, _) = outbox(directory.path(), 100);
    offer(&second, 1).await;
    // What is on disk and what is in memory may come apart.
    let batches = drain(&second).await;
    let accounting = second.accounting();
    assert_eq!(
        (accounting.observed, accounting.delivered, accounting.duplicate),
        (10, 10 - batches, batches)
    );
}

#[tokio::test]
async fn while_the_disk_refuses_events_they_wait_in_memory() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("events");
    // A file where the directory should be: it can be neither made nor opened.
    std::fs::write(&path, "in the way").expect("can be written");
    let (outbox, _) = outbox(&path, 20);
    offer(&outbox, 100).await;
    let accounting = outbox.accounting();
    assert!(accounting.dropped["memory_full"] >= 80 && accounting.buffered > 0, "{accounting:?}");
    assert_eq!(accounting.observed, 100);
    let batch = outbox.next_batch(5, 1 << 20).await.expect("in memory");
    // What was dropped comes as a gap, which has no event.
    let taken = batch.events.len();
    let outcome = Outcome::Taken(EventsAccepted { accepted: taken as u64, duplicates: 0 });
    outbox.acknowledge(&batch, taken, &batch.events, outcome);
    let accounting = outbox.accounting();
    assert!(accounting.is_balanced() && accounting.delivered == taken as u64 && taken >= 4, "{accounting:?}");

    std::fs::remove_file(&path).expect("is ours");
    let mut seen = outbox.producer.health();
    while seen != StorageHealth::Ok {
        seen = outbox.producer.health_changed(seen).await;
    }
    drain(&outbox).await;
    let accounting = outbox.accounting();
    assert!(
        accounting.is_balanced() && accounting.buffered == 0 && accounting.observed == 100,
        "{accounting:?}"
    );
    assert!(path.join("lock").exists());
}

#[tokio::test]
async fn a_successor_works_in_memory_until_its_predecessor_is_gone() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, _) = outbox(directory.path(), 100);
    offer(&first, 5).await;
    let (second, _) = outbox(directory.path(), 100);
    offer(&second, 3).await;
    assert_eq!(second.accounting().observed, 3);
    let locked = second.producer.health();
    assert!(matches!(locked, StorageHealth::Degraded { .. }));
    first.close();
    assert_eq!(second.producer.health_changed(locked).await, StorageHealth::Ok);
    drain(&second).await;
    let accounting = second.accounting();
    assert_eq!((accounting.observed, accounting.delivered + accounting.duplicate), (8, 8), "{accounting:?}");
}

/// Offers the start (`+a`) or stop (`-a`) of a workload.
async fn offer_of(outbox: &Outbox, wanted: &str) {
    let (kind, workload) = match wanted.split_at(1) {
        ("+", workload) => (EventKind::ContainerStart, workload),
        (_, workload) => (EventKind::ContainerStop, workload),
    };
    let at = Timestamp::now();
    let json =
        serde_json::json!({"event": {"when": at, "workload": {"containerId": workload}}, "text": wanted});
    outbox.offer(kind, workload, Some(json.to_string().into())).await;
    assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
}

/// Takes one batch, and returns what was in it.
async fn send(outbox: &Outbox, events_max: usize) -> Vec<String> {
    let Some(batch) = outbox.next_batch(events_max, 1 << 20).await else { return Vec::new() };
    let text = |event: &StoredEvent| {
        let json: serde_json::Value = serde_json::from_slice(&event.json).expect("is JSON");
        json["text"].as_str().expect("has its text").to_owned()
    };
    let sent = batch.events.iter().map(text).collect();
    let outcome = Outcome::Taken(EventsAccepted { accepted: batch.events.len() as u64, duplicates: 0 });
    outbox.acknowledge(&batch, batch.events.len(), &batch.events, outcome);
    assert!(outbox.accounting().is_balanced(), "{:?}", outbox.accounting());
    sent
}

#[tokio::test]
async fn live_events_overtake_the_backlog_and_each_workload_keeps_its_order() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, _) = outbox(directory.path(), 4096);
    for number in 0..300 {
        offer_of(&first, &format!("+w{number}")).await;
    }
    assert_eq!(first.waiting(), Waiting { live: 128, backlog: 172 });
    let mut sent = send(&first, 100).await;
    assert_eq!((sent[0].as_str(), sent.len()), ("+w0", 100));
    // One is new; one has its start in the backlog, one in the live lane.
    for wanted in ["+new", "-w200", "-w110"] {
        offer_of(&first, wanted).await;
    }
    sent.extend(send(&first, 100).await);
    assert_eq!(sent[sent.len() - 3..], ["+w127", "+new", "-w110"]);
    sent.extend(send(&first, 10).await);
    assert_eq!(sent.last().map(String::as_str), Some("+w137"));
    first.close();

    // The next run learns from the directory which workloads have events there.
    let (second, _) = outbox(directory.path(), 4096);
    assert_eq!(second.waiting(), Waiting { live: 0, backlog: 163 });
    for wanted in ["-w250", "-w0", "+again", "-again"] {
        offer_of(&second, wanted).await;
    }
    let sent_first = send(&second, 100).await;
    assert_eq!(sent_first, ["-w0", "+again", "-again"]);
    sent.extend(sent_first);
    loop {
        match send(&second, 50).await {
            last if last.is_empty() => break,
            more => sent.extend(more),
        }
    }
    let at = |wanted: &str| {
        let mut found = sent.iter().enumerate().filter(|(_, text)| *text == wanted).map(|(at, _)| at);
        let at = found.next().unwrap_or_else(|| panic!("{wanted} is missing"));
        assert_eq!(found.next(), None, "{wanted} is sent once");
        at
    };
    for workload in ["w0", "w110", "w200", "w250"] {
        assert!(at(&format!("+{workload}")) < at(&format!("-{workload}")), "{workload}");
    }
    assert_eq!(sent.len(), 300 + 3 + 4);
    assert_eq!(second.waiting(), Waiting::default());
}

#[tokio::test]
async fn events_that_a_predecessor_leaves_are_not_overtaken_by_their_workloads() {
    let directory = tempfile::tempdir().expect("a directory");
    let (first, _) = outbox(directory.path(), 4096);
    for number in 0..200 {
        offer_of(&first, &format!("+w{number}")).await;
    }
    let (second, _) = outbox(directory.path(), 4096);
    let locked = second.producer.health();
    offer_of(&second, "+new").await;
    first.close();
    assert_eq!(second.producer.health_changed(locked).await, StorageHealth::Ok);
    offer_of(&second, "-w199").await;
    let mut sent = Vec::new();
    while sent.len() < 202 {
        sent.extend(send(&second, 50).await);
    }
    let at = |wanted: &str| sent.iter().position(|text| text == wanted).expect("is sent");
    assert!(at("+new") < at("+w150") && at("+w199") < at("-w199"), "{sent:?}");
}
