//! Containers that live for milliseconds, and what is known of them.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal as Kill, kill_process};
use zastava_core::contract::{EventKind, RuntimeEvent, RuntimeEventEnvelope};
use zastava_core::vocabulary::{Provenance, Signal};

use super::cri::Pod;
use super::harness::{BUSYBOX, Containerd, begin, container_name, is_possible};
use super::{FIRST, SLEEP, kill, observe};
use crate::support::{Running, Stage, note, readelf_build_id, skip, within};

const STORM: usize = 60;
const STORM_IN_POD: usize = 20;
pub(super) const TRUE: [&str; 2] = [BUSYBOX, "true"];

/// An observer that is subscribed to the events of this containerd.
pub(super) async fn subscribed(stage: &Stage, containerd: &Containerd) -> Running {
    let running = observe(stage, &containerd.socket());
    within(async {
        while !running.telemetry.render().contains("zastava_observer_source_up{engine=\"containerd\"} 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    running
}

/// The start events of these containers, by name.
pub(super) async fn starts(running: &mut Running, names: &[String]) -> BTreeMap<String, Arc<RuntimeEvent>> {
    let mut found = BTreeMap::new();
    within(async {
        while found.len() < names.len() {
            let event = running.events.next().await.expect("the observer runs");
            let id = event.workload.container_id.as_deref().and_then(|id| id.strip_prefix("containerd://"));
            let id = id.unwrap_or_default().to_owned();
            if event.kind == EventKind::ContainerStart && names.contains(&id) {
                found.insert(id, event);
            }
        }
    })
    .await;
    found
}

fn build_id(event: &RuntimeEvent) -> Option<&str> {
    event.process.as_ref()?.build_id.as_deref()
}

/// Nearly every one has its program and the build-id of that. Says how they were obtained.
pub(super) fn check_storm(found: &BTreeMap<String, Arc<RuntimeEvent>>) {
    let Some(wanted) = readelf_build_id(BUSYBOX) else { return };
    let complete = |event: &&Arc<RuntimeEvent>| {
        let process = event.process.as_ref();
        build_id(event) == Some(wanted.as_str()) && process.is_some_and(|process| process.entrypoint == TRUE)
    };
    let from = |provenance: Provenance| {
        let is_from = |event: &&Arc<RuntimeEvent>| {
            event.annotations.get("provenance").is_some_and(|from| from == provenance.as_str())
        };
        found.values().filter(is_from).count()
    };
    let (all, read) = (found.len(), found.values().filter(complete).count());
    let (before, observed) = (from(Provenance::ResolvedBeforeExec), from(Provenance::Observed));
    note(&format!(
        "MEASURED: entrypoint and build-id of {read} of {all} containers of `true`: {before} from before their start, {observed} from while they ran"
    ));
    for event in found.values().filter(|event| !complete(event)) {
        let process = event.process.as_ref();
        note(&format!("incomplete: {process:?} {:?} {:?}", event.annotations, event.evidence));
    }
    assert!(read * 100 >= all * 99, "{read} of {all} are complete");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_of_containers_that_end_at_once_has_entrypoints_and_build_ids() {
    let Some((stage, mut containerd)) = begin(FIRST).await else { return };
    let mut running = subscribed(&stage, &containerd).await;
    let names: Vec<_> = (0..STORM).map(|number| container_name(&format!("storm-{number}"))).collect();
    for name in &names {
        containerd.start_only(name, &[], &TRUE);
    }
    check_storm(&starts(&mut running, &names).await);
    let metrics = running.telemetry.render();
    metrics.lines().filter(|line| line.contains("start_to_buffer_seconds_bucket")).for_each(note);
    let accounting = running.end().await;
    assert!(accounting.dropped.is_empty(), "{accounting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_containers_that_end_at_once_have_entrypoints_and_build_ids() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let containerd = Containerd::start_with_cri(&stage.directory.path().join("containerd")).await;
    containerd.import(FIRST);
    let pod = Pod::run(&containerd.socket()).await;
    let mut running = subscribed(&stage, &containerd).await;
    let mut ids = Vec::new();
    for number in 0..STORM_IN_POD {
        ids.push(pod.run_container(&format!("storm-{number}"), &TRUE).await);
    }
    let found = starts(&mut running, &ids).await;
    check_storm(&found);
    assert!(found.values().all(|event| event.workload.pod.as_deref() == Some("api-7d")));
    pod.remove().await;
    running.end().await;
}

/// runc under another name, which it also gives itself in its arguments.
fn renamed_runc(directory: &Path) -> Option<PathBuf> {
    let found = Command::new("sh").args(["-c", "command -v runc"]).output().expect("sh runs");
    let path = String::from_utf8_lossy(&found.stdout).trim().to_owned();
    let renamed = directory.join("oci-starter");
    fs::copy(&path, &renamed).ok().map(|_| renamed)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_oci_runtime_of_another_name_is_not_taken_for_the_workload() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let Some(runc) = renamed_runc(stage.directory.path()) else {
        return skip("runc cannot be copied");
    };
    let wanted = readelf_build_id(BUSYBOX);
    let mut containerd = Containerd::start(&stage.directory.path().join("containerd")).await;
    containerd.import(FIRST);
    let mut running = subscribed(&stage, &containerd).await;
    let runc = runc.display().to_string();
    let options = ["--runc-binary", runc.as_str()];
    let names: Vec<_> = (0..10).map(|number| container_name(&format!("renamed-{number}"))).collect();
    for (number, name) in names.iter().enumerate() {
        let arguments = if number % 2 == 0 { &SLEEP[..] } else { &TRUE[..] };
        containerd.start_only(name, &options, arguments);
    }
    for event in starts(&mut running, &names).await.values() {
        assert_eq!(build_id(event), wanted.as_deref(), "{event:#?}");
        // busybox is static: a library would be the runtime's.
        assert!(event.loaded_libs.is_empty(), "{event:#?}");
        let shown = event.evidence.iter().filter(|evidence| evidence.signal == Signal::ProcExe);
        assert!(shown.map(|evidence| evidence.value.as_str()).all(|path| path == BUSYBOX), "{event:#?}");
    }
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_and_ends_while_containerd_restarts_is_told_once() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let mut containerd = Containerd::start(&directory).await;
    containerd.import(FIRST);
    let mut running = subscribed(&stage, &containerd).await;
    let names = ["ends", "stays"].map(container_name);
    let pids = [containerd.run(&names[0], &SLEEP), containerd.run(&names[1], &SLEEP)];
    for pid in pids {
        let start = running.event_again(EventKind::ContainerStart, pid).await;
        assert!(!start.annotations.contains_key("reconciled"), "{start:#?}");
    }
    let mut containerd = containerd.restart_after(|| kill(pids[0])).await;
    let stop = running.event_again(EventKind::ContainerStop, pids[0]).await;
    assert_eq!(stop.annotations.get("exitStatus").map(String::as_str), Some("137"), "{stop:#?}");
    // A start that is reported again is ordinary.
    let after = containerd.run(&container_name("after"), &SLEEP);
    running.event_again(EventKind::ContainerStart, after).await;
    let starts_and_stops = |events: &[Arc<RuntimeEvent>], pid: u32| {
        let of_pid =
            events.iter().filter(|event| event.process.as_ref().is_some_and(|process| process.pid == pid));
        of_pid.map(|event| event.kind).collect::<Vec<_>>()
    };
    let told = running.seen();
    let (start, stop) = (EventKind::ContainerStart, EventKind::ContainerStop);
    assert_eq!(starts_and_stops(told, pids[0]), [start, stop]);
    assert_eq!(starts_and_stops(told, pids[1]), [start]);
    assert_eq!(starts_and_stops(told, after), [start]);
    assert!(
        running
            .telemetry
            .render()
            .contains("zastava_observer_source_resubscriptions_total{engine=\"containerd\"} 1")
    );
    let accounting = running.end().await;
    assert_eq!(accounting.observed, accounting.delivered, "{accounting:?}");
}

/// What Scanner was told of a container, in the order of acceptance.
fn told<'e>(accepted: &'e [RuntimeEventEnvelope], name: &str) -> Vec<&'e RuntimeEvent> {
    let id = Some(format!("containerd://{name}"));
    accepted.iter().map(|found| &found.event).filter(|event| event.workload.container_id == id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_begins_and_ends_while_the_observer_is_away_is_told_once() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let mut containerd = Containerd::start(&directory).await;
    containerd.import(FIRST);
    let [old, stays, stops, away] = ["away-old", "away-stays", "away-stops", "away-true"].map(container_name);
    // It ended before anybody watched. Nobody knows when the node was watched last, so nothing is said of it.
    containerd.run(&old, &TRUE);
    let mut first = subscribed(&stage, &containerd).await;
    for name in [&stays, &stops] {
        let pid = containerd.run(name, &SLEEP);
        first.event_again(EventKind::ContainerStart, pid).await;
    }
    first.end().await;

    containerd.ctr(&["task", "kill", "-s", "KILL", &stops]);
    containerd.run(&away, &TRUE);
    let second = observe(&stage, &containerd.socket());
    within(
        stage
            .sandbox
            .wait_until(|_, events| told(events, &stops).len() == 2 && told(events, &away).len() == 2),
    )
    .await;
    second.end().await;
    let third = subscribed(&stage, &containerd).await;
    let later = container_name("away-later");
    containerd.run(&later, &TRUE);
    within(stage.sandbox.wait_until(|_, events| told(events, &later).len() == 2)).await;
    third.end().await;

    let accepted = stage.sandbox.accepted();
    let (start, stop) = (EventKind::ContainerStart, EventKind::ContainerStop);
    for (name, kinds, status) in [
        (&old, vec![], ""),
        (&stays, vec![start], ""),
        (&stops, vec![start, stop], "137"),
        (&away, vec![start, stop], "0"),
    ] {
        let events = told(&accepted, name);
        assert_eq!(events.iter().map(|event| event.kind).collect::<Vec<_>>(), kinds, "{name}: {events:#?}");
        if let [.., last] = &events[..]
            && last.kind == stop
        {
            assert_eq!(last.annotations.get("exitStatus").map(String::as_str), Some(status), "{last:#?}");
            assert!(last.annotations.contains_key("reconciled"), "{last:#?}");
        }
    }
}

/// The shim of a container, which does not run until this is dropped.
struct StoppedShim(Pid);

impl StoppedShim {
    fn of(container: u32) -> Self {
        let stat = fs::read_to_string(format!("/proc/{container}/stat")).expect("runs");
        let parent = stat.rsplit(')').next().and_then(|fields| fields.split_ascii_whitespace().nth(1));
        let shim = parent.and_then(|pid| Pid::from_raw(pid.parse().ok()?)).expect("has a parent");
        kill_process(shim, Kill::STOP).expect("runs");
        Self(shim)
    }
}

impl Drop for StoppedShim {
    fn drop(&mut self) {
        // It may have ended.
        let _ = kill_process(self.0, Kill::CONT);
    }
}

/// How many lists containerd has answered.
fn lists(running: &Running) -> u64 {
    let metrics = running.telemetry.render();
    let count = metrics.lines().find_map(|line| {
        line.strip_prefix("zastava_observer_source_list_seconds_count{engine=\"containerd\"} ")?.parse().ok()
    });
    count.unwrap_or(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shim_that_hangs_ends_no_container_and_holds_up_no_other() {
    let Some((stage, mut containerd)) = begin(FIRST).await else { return };
    let mut running = subscribed(&stage, &containerd).await;
    let slow = containerd.run(&container_name("slow"), &SLEEP);
    running.event_again(EventKind::ContainerStart, slow).await;

    let shim = StoppedShim::of(slow);
    let before = lists(&running);
    let names: Vec<_> = (0..5).map(|number| container_name(&format!("beside-{number}"))).collect();
    for name in &names {
        containerd.start_only(name, &[], &TRUE);
    }
    check_storm(&starts(&mut running, &names).await);
    within(async {
        while lists(&running) < before + 2 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;

    drop(shim);
    kill(slow);
    // The first stop that is told is the real one.
    let stop = running.event(EventKind::ContainerStop, slow).await;
    assert_eq!(stop.annotations.get("exitStatus").map(String::as_str), Some("137"), "{stop:#?}");
    assert!(!stop.annotations.contains_key("reconciled"), "{stop:#?}");
    running.end().await;
}

/// What following 100 sleeping containers costs containerd itself.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a measurement of five minutes"]
async fn following_containers_that_sleep_costs_containerd_little() {
    const PART: Duration = Duration::from_secs(90);
    let Some((stage, mut containerd)) = begin(FIRST).await else { return };
    for number in 0..100 {
        containerd.start_only(&container_name(&format!("asleep-{number}")), &[], &SLEEP);
    }
    let used = async |what: &str| {
        let before = containerd.processor_time();
        tokio::time::sleep(PART).await;
        let share = (containerd.processor_time() - before).as_secs_f64() / PART.as_secs_f64();
        note(&format!("MEASURED: containerd uses {:.2} % of a processor {what}", share * 100.0));
    };
    used("alone").await;
    let settings = [("zastava.observer.engine", "containerd"), ("zastava.observer.pollInterval", "2s")];
    let running = Running::start(stage.options_at(&containerd.socket(), &settings));
    used("in the first 90 s of an observer").await;
    used("in the next 90 s").await;
    running.end().await;
}
