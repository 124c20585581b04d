//! The accounting identity, with a real buffer on a real disk.

use std::path::Path;

use zastava_core::config::Configuration;

use super::*;

fn outbox(directory: &Path, memory_events_max: usize) -> (Outbox, Telemetry) {
    let text = format!(
        "zastava:\n  runtime: {{tenant: acme, authority: {{issuer: \"https://a.example\", requireMutualTls: false}}}}\n  \
         observer: {{eventBufferPath: {}, backend: {{baseAddress: \"https://s.example\"}}}}\n",
        directory.display()
    );
    let config = Configuration::from_yaml(&text, Path::new("test.yaml"));
    let (mut options, _) = config.read(ObserverOptions::read).unwrap_or_else(|faults| panic!("{faults}"));
    options.buffer.disk_bytes_max = 64 << 10;
    options.buffer.memory_events_max = memory_events_max;
    let telemetry = Telemetry::detached();
    (Outbox::open(&options, &telemetry).expect("can be opened"), telemetry)
}

async fn offer(outbox: &Outbox, count: usize) {
    for _ in 0..count {
        outbox.offer(EventKind::ContainerStart, Some(vec![b'x'; 1000])).await;
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
    outbox.offer(EventKind::Drift, None).await;
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
