//! What is known of containers that live for milliseconds.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use zastava_core::contract::RuntimeEvent;

use crate::lab::Lab;

pub(crate) async fn storm(lab: &mut Lab, containers: usize, busy: bool) {
    lab.observe().await;
    let stop = Arc::new(AtomicBool::new(false));
    let spinners: Vec<_> = (0..if busy { 2 } else { 0 })
        .map(|_| {
            let stop = Arc::clone(&stop);
            thread::spawn(move || while !stop.load(Ordering::Relaxed) {})
        })
        .collect();
    let ids: Vec<_> = (0..containers).map(|number| format!("storm-{number}")).collect();
    for id in &ids {
        lab.containerd.run_to_end(id, &["true"]);
    }
    stop.store(true, Ordering::Relaxed);
    spinners.into_iter().for_each(|spinner| spinner.join().expect("ends"));
    lab.until(|lab| ids.iter().all(|id| lab.told().get(id).is_some_and(|told| told.stops > 0))).await;
    let starts = lab.starts();
    let (known, unknown): (Vec<_>, Vec<_>) = ids.iter().partition(|id| is_known(starts.get(*id)));
    let told = lab.told();
    let both = ids.iter().filter(|id| told.get(*id).is_some_and(|told| (told.starts, told.stops) == (1, 1)));
    println!(
        "containers {containers}: entrypoint and build-id {}, one start and one stop {}",
        known.len(),
        both.count()
    );
    for id in unknown {
        println!("  {id} is incomplete: {:?}", starts.get(id).map(|start| &start.evidence));
    }
    for line in lab.metrics().lines().filter(|line| line.contains("start_to_buffer_seconds")) {
        println!("  {line}");
    }
}

fn is_known(start: Option<&RuntimeEvent>) -> bool {
    let process = start.and_then(|start| start.process.as_ref());
    process.is_some_and(|process| !process.entrypoint.is_empty() && process.build_id.is_some())
}
