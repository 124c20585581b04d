//! What becomes of starts and stops when containerd's events come out of order, are lost or are garbage, and when its calls
//! fail or wait. The engine is a script; tasks have no processes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_observer::Accounting;

use crate::scripted::Step::{Delete, EndStream, Exit, Hide, Resume, Run, Send, Show, Stall, Start, Stop};
use crate::scripted::{Event, Fault, Method, ScriptedContainerd, Step};
use crate::support::{Running, Stage, within};

/// Lists only at the beginning of a connection.
const SELDOM: &str = "1h";
const OFTEN: &str = "100ms";
/// More events than the observer's queue holds.
const FLOOD: u32 = 10_000;

/// An observer of a scripted containerd.
struct Scene {
    containerd: ScriptedContainerd,
    running: Running,
    stage: Stage,
}

impl Scene {
    /// Begins with these steps played, and lists at this interval.
    async fn start(interval: &str, steps: impl IntoIterator<Item = Step>) -> Self {
        let stage = Stage::start().await;
        let mut containerd = ScriptedContainerd::start(stage.directory.path());
        containerd.play(steps);
        let no_proc = stage.directory.path().join("no-proc").display().to_string();
        let settings = [
            ("zastava.observer.engine", "containerd"),
            ("zastava.observer.pollInterval", interval),
            ("zastava.observer.procRootPath", &no_proc),
        ];
        let running = Running::start(stage.options_at(containerd.socket(), &settings));
        Self { containerd, running, stage }
    }

    /// Begins with one task, and waits until it is followed: the first list is handled then.
    async fn following(interval: &str) -> Self {
        let mut scene = Self::start(interval, [Run("first", 100)]).await;
        scene.emits(&["start first 100 reconciled"]).await;
        scene
    }

    /// Plays the steps once the observer is subscribed.
    async fn play(&mut self, steps: impl IntoIterator<Item = Step>) {
        within(self.containerd.subscribed()).await;
        self.containerd.play(steps);
    }

    /// Waits until `more` further lists are answered. All but the last one are handled by then.
    async fn listed(&self, more: u64) {
        within(self.containerd.called(Method::Tasks, more)).await;
    }

    /// The next events, as many as are expected, are these.
    async fn emits(&mut self, expected: &[&str]) {
        let mut emitted = Vec::new();
        while emitted.len() < expected.len() {
            emitted.push(text(&within(self.running.events.next()).await.expect("the observer runs")));
        }
        assert_eq!(emitted, expected);
    }

    /// The next two events are these. Lists say nothing about order.
    async fn emits_in_any_order(&mut self, expected: [&str; 2]) {
        let mut emitted = Vec::new();
        for _ in expected {
            emitted.push(text(&within(self.running.events.next()).await.expect("the observer runs")));
        }
        emitted.sort();
        assert_eq!(emitted, expected);
    }

    /// A new task is the next event, so nothing else was emitted before it. Works as long as the stream does.
    async fn emits_nothing_more(&mut self) {
        self.play([Run("last", 99), Send(Event::start("last", 99))]).await;
        let last = text(&within(self.running.events.next()).await.expect("the observer runs"));
        // A list may have been faster than the event.
        assert_eq!(last.trim_end_matches(" reconciled"), "start last 99");
    }

    /// Ends the observer. Scanner has every event that was observed, each once.
    async fn end(self) -> Accounting {
        let accounting = self.running.end().await;
        assert_eq!(accounting.observed, accounting.delivered, "{accounting:?}");
        assert_eq!(self.stage.sandbox.accepted().len() as u64, accounting.observed);
        accounting
    }
}

/// `start a 1`, `stop a 1 = 137`, `exec a 7 e1` for the process 7 that came in as `e1`, with `after 2` if two events were left
/// out before; a transition that no event of the engine reported ends with `reconciled`.
fn text(event: &Arc<RuntimeEvent>) -> String {
    let kind = match event.kind {
        EventKind::ContainerStart => "start",
        EventKind::ContainerStop => "stop",
        _ => "exec",
    };
    let id = event.workload.container_id.as_deref().and_then(|id| id.strip_prefix("containerd://"));
    let pid = event.process.as_ref().map(|process| process.pid);
    let mut text = format!("{kind} {} {}", id.unwrap_or("?"), pid.unwrap_or(0));
    if let Some(id) = event.annotations.get("execId") {
        text += &format!(" {id}");
    }
    if let Some(status) = event.annotations.get("exitStatus") {
        text += &format!(" = {status}");
    }
    if let Some(count) = event.annotations.get("suppressed") {
        text += &format!(" after {count}");
    }
    if event.annotations.contains_key("reconciled") {
        text += " reconciled";
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn events_are_emitted_in_their_order_and_once() {
    let mut scene = Scene::following(SELDOM).await;
    let (a, b) = (Event::start("a", 1), Event::start("b", 2));
    scene.play([Run("a", 1), Send(a.clone()), Send(a.clone())]).await;
    scene.emits(&["start a 1"]).await;
    // Workloads do not wait for each other; each one's own events keep their order.
    scene.play([Run("b", 2), Send(b), Send(a)]).await;
    scene.play([Send(Event::exec_exit("b", 3)), Exit("b", 137), Send(Event::exit("b", 2, 137))]).await;
    scene.emits(&["start b 2", "stop b 2 = 137"]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_in_is_told_between_its_containers_start_and_stop() {
    let mut scene = Scene::following(SELDOM).await;
    let mut held = scene.containerd.hold(Method::Container(Some("a")));
    scene.play([Run("a", 1), Send(Event::start("a", 1)), Send(Event::exec("a", "e1", 7))]).await;
    within(held.reached()).await;
    // No container has this id.
    scene.play([Send(Event::exec("b", "e2", 8)), Send(Event::with("/tasks/exec-started", [0xFF]))]).await;
    drop(held);
    scene.emits(&["start a 1", "exec a 7 e1"]).await;
    // Nothing can be read of these, so nobody knows whether they say the same: the first ones are told, of each container.
    scene.play([Run("c", 2), Send(Event::start("c", 2))]).await;
    scene.emits(&["start c 2"]).await;
    scene.play((0..9).map(|pid| Send(Event::exec("a", "e3", 20 + pid)))).await;
    scene.play([Send(Event::exec("c", "e4", 9)), Exit("a", 0), Send(Event::exit("a", 1, 0))]).await;
    scene.emits(&["exec a 20 e3", "exec a 21 e3", "exec a 22 e3", "exec a 23 e3"]).await;
    scene.emits(&["exec c 9 e4", "stop a 1 = 0 after 5"]).await;
    let telemetry = scene.running.telemetry.clone();
    let accounting = scene.running.end().await;
    assert_eq!((accounting.observed, accounting.delivered), (17, 10), "{accounting:?}");
    let lost = [("rate_limited", 5), ("undecodable", 1), ("unknown_workload", 1)];
    assert_eq!(accounting.dropped, lost.map(|(reason, count)| (reason.to_owned(), count)).into());
    let metrics = telemetry.render();
    let suppressed = "zastava_runtime_events_suppressed_total{reason=\"rate_limited\",kind=\"Drift\"} 5";
    assert!(metrics.contains(suppressed), "{metrics}");
    assert!(!metrics.contains("zastava_buffer_drops_total{reason=\"rate_limited\""), "{metrics}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_reports_the_exits_that_the_stream_lost() {
    let mut scene = Scene::start(OFTEN, [Run("a", 1)]).await;
    scene.emits(&["start a 1 reconciled"]).await;
    scene.play([Exit("a", 3)]).await;
    scene.emits(&["stop a 1 = 3 reconciled"]).await;
    scene.play([Run("b", 2)]).await;
    scene.emits(&["start b 2 reconciled"]).await;
    scene.play([Delete("b")]).await;
    scene.emits(&["stop b 2 reconciled"]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_before_its_start_leaves_nothing_running() {
    let mut scene = Scene::start(OFTEN, []).await;
    scene.play([Send(Event::exit("a", 1, 0)), Send(Event::start("a", 1))]).await;
    // The stop came too early to be understood. The next list ends the run.
    scene.emits(&["start a 1", "stop a 1 reconciled"]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_late_exit_does_not_stop_the_next_run() {
    let mut scene = Scene::start(SELDOM, [Run("a", 1)]).await;
    scene.emits(&["start a 1 reconciled"]).await;
    scene.play([Run("a", 2), Send(Event::start("a", 2))]).await;
    scene.emits(&["stop a 1 reconciled", "start a 2"]).await;
    scene.play([Send(Event::exit("a", 1, 7))]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_reports_the_starts_and_exits_of_its_gap() {
    let mut scene = Scene::start(SELDOM, [Run("stays", 1), Run("ends", 2)]).await;
    scene.emits_in_any_order(["start ends 2 reconciled", "start stays 1 reconciled"]).await;
    // `short` began and ended while containerd was away, and left nothing that a list could name.
    let gap = [Run("short", 4), Delete("short"), Exit("ends", 9), Delete("ends"), Run("begins", 3)];
    scene.play([Stop].into_iter().chain(gap).chain([Start])).await;
    scene.emits_in_any_order(["start begins 3 reconciled", "stop ends 2 reconciled"]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containerd_that_starts_later_is_followed() {
    let mut scene = Scene::start(SELDOM, [Stop]).await;
    scene.containerd.play([Run("a", 1), Start]);
    scene.emits(&["start a 1 reconciled"]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_ends_is_opened_again() {
    let mut scene = Scene::start(SELDOM, []).await;
    scene.play([EndStream, Run("a", 1)]).await;
    scene.emits(&["start a 1 reconciled"]).await;
    scene.play([Exit("a", 0), Send(Event::exit("a", 1, 0))]).await;
    scene.emits(&["stop a 1 = 0"]).await;
    assert_eq!(scene.end().await.observed, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_an_event_costs_that_event_only() {
    let mut scene = Scene::following(SELDOM).await;
    // Starts and stops that are lost are counted; nothing is known of the others.
    let garbage = ["/tasks/start", "/tasks/exit", "/tasks/create", "/tasks/unheard-of", ""]
        .into_iter()
        .flat_map(|topic| [Send(Event::with(topic, vec![0x00, 0xFF, 0xFF])), Send(Event::empty(topic))]);
    scene.play(garbage.chain([Run("a", 1), Send(Event::start("a", 1))])).await;
    scene.emits(&["start a 1"]).await;
    let accounting = scene.running.end().await;
    assert_eq!((accounting.observed, accounting.delivered), (6, 2), "{accounting:?}");
    assert_eq!(accounting.dropped, BTreeMap::from([("undecodable".to_owned(), 4)]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_fails_is_made_again() {
    use tonic::Code::{Internal, Unavailable};
    let faults = |fault: fn() -> Fault| {
        [
            Method::Version,
            Method::Namespaces,
            Method::Tasks,
            Method::Container(None),
            Method::Image,
            Method::Subscribe,
        ]
        .map(|method| Step::Fault(method, fault()))
    };
    for fault in [|| Fault::Fail(Unavailable), || Fault::Fail(Internal), || Fault::Garbage] {
        let mut scene = Scene::start(SELDOM, [Run("a", 1)].into_iter().chain(faults(fault))).await;
        scene.emits(&["start a 1 reconciled"]).await;
        scene.emits_nothing_more().await;
        assert_eq!(scene.end().await.observed, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_delays_its_event_and_loses_nothing() {
    let mut scene = Scene::following(SELDOM).await;
    let mut held = scene.containerd.hold(Method::Container(Some("slow")));
    scene
        .play([Run("slow", 1), Send(Event::start("slow", 1)), Run("b", 2), Send(Event::start("b", 2))])
        .await;
    within(held.reached()).await;
    scene.play([Exit("slow", 0), Send(Event::exit("slow", 1, 0))]).await;
    scene.emits(&["start b 2"]).await;
    drop(held);
    scene.emits(&["start slow 1", "stop slow 1 = 0"]).await;
    assert_eq!(scene.end().await.observed, 4);
}

/// Sends more starts than the observer can hold while containerd answers no look-up, then `last`, then garbage, and waits
/// until all of it has arrived.
async fn overflow(scene: &mut Scene, last: Event) {
    scene.play([Stall(Method::Container(None))]).await;
    scene.play((0..FLOOD).map(|pid| Send(Event::start(&format!("short-{pid}"), 1000 + pid)))).await;
    scene.play([Send(last), Send(Event::empty("/tasks/exit"))]).await;
    within(async {
        while !scene.running.accounting.current().dropped.contains_key("undecodable") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_an_overflow_what_runs_is_listed_again() {
    let mut scene = Scene::following(SELDOM).await;
    scene.play([Run("runs", 1)]).await;
    overflow(&mut scene, Event::start("runs", 1)).await;
    scene.play([Resume(Method::Container(None))]).await;
    within(async {
        while text(&scene.running.events.next().await.expect("the observer runs"))
            != "start runs 1 reconciled"
        {}
    })
    .await;
    scene.running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn events_that_an_overflow_lost_are_counted() {
    let mut scene = Scene::following(SELDOM).await;
    overflow(&mut scene, Event::start("runs-not", 1)).await;
    let accounting = scene.running.end().await;
    // The first task, the flood, its last start, and the garbage.
    assert_eq!(accounting.observed, u64::from(FLOOD) + 3, "{accounting:?}");
    assert_eq!(accounting.delivered, 1, "{accounting:?}");
    assert!(accounting.dropped["queue_full"] > 0 && accounting.dropped["ended"] > 0, "{accounting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_waits_does_not_delay_other_workloads() {
    let mut scene = Scene::following(SELDOM).await;
    let held = scene.containerd.hold(Method::Container(Some("slow")));
    scene
        .play([Run("slow", 1), Send(Event::start("slow", 1)), Run("b", 2), Send(Event::start("b", 2))])
        .await;
    scene.emits(&["start b 2"]).await;
    drop(held);
    scene.emits(&["start slow 1"]).await;
    assert_eq!(scene.end().await.observed, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_that_one_list_misses_has_not_stopped() {
    let mut scene = Scene::start(OFTEN, [Run("a", 1)]).await;
    scene.emits(&["start a 1 reconciled"]).await;
    // Two more lists, so that one without the task is handled for certain, and none more than two.
    scene.play([Hide("a")]).await;
    scene.listed(2).await;
    scene.play([Show("a")]).await;
    scene.listed(2).await;
    scene.play([Exit("a", 5), Send(Event::exit("a", 1, 5))]).await;
    scene.emits(&["stop a 1 = 5"]).await;
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 3);
}
