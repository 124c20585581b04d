//! CRI-O's source against a scripted CRI-O: what becomes of containers when lists, events and calls fail or come late.

mod server;

use tonic::Code;
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::vocabulary::Signal;
use zastava_observer::{Accounting, EngineChoice};

use self::server::ScriptedCrio;
use crate::support::{Process, Running, Stage, sleep_path, within};

const OFTEN: &str = "100ms";
/// Lists only at the beginning of a connection.
const SELDOM: &str = "1h";

/// An observer of a scripted CRI-O.
struct Scene {
    crio: ScriptedCrio,
    running: Running,
    stage: Stage,
}

impl Scene {
    /// Begins with one container that runs, and waits until it is told.
    async fn following(interval: &str, prepare: impl FnOnce(&ScriptedCrio)) -> Self {
        let stage = Stage::start().await;
        let crio = ScriptedCrio::start(stage.directory.path(), "cri-o");
        crio.run("first", 100);
        prepare(&crio);
        let no_proc = stage.directory.path().join("no-proc").display().to_string();
        let running = observe(&stage, &crio, interval, &no_proc);
        let mut scene = Self { crio, running, stage };
        scene.emits(&["start first 100 reconciled"]).await;
        scene
    }

    /// The next events, as many as are expected, are these.
    async fn emits(&mut self, expected: &[&str]) {
        let mut emitted = Vec::new();
        while emitted.len() < expected.len() {
            emitted.push(text(&within(self.running.events.next()).await.expect("the observer runs")));
        }
        assert_eq!(emitted, expected);
    }

    /// Waits for a list that is handled completely.
    async fn listed(&self) {
        within(self.crio.called("ListContainers", 2)).await;
    }

    /// A new container is the next event, so nothing else was emitted before it.
    async fn emits_nothing_more(&mut self) {
        self.crio.run("last", 99);
        self.crio.send("last");
        self.emits(&["start last 99"]).await;
    }

    /// Ends the observer. Scanner has every event that was observed, each once.
    async fn end(self) -> Accounting {
        let accounting = self.running.end().await;
        assert_eq!(accounting.observed, accounting.delivered, "{accounting:?}");
        drop(self.stage);
        accounting
    }
}

fn observe(stage: &Stage, crio: &ScriptedCrio, interval: &str, proc_root: &str) -> Running {
    let settings = [
        ("zastava.observer.engine", "cri-o"),
        ("zastava.observer.pollInterval", interval),
        ("zastava.observer.procRootPath", proc_root),
    ];
    let mut options = stage.options(&settings);
    options.endpoints.retain(|endpoint| endpoint.engine == EngineChoice::CriO);
    crio.socket().clone_into(&mut options.endpoints[0].socket);
    Running::start(options)
}

fn text(event: &RuntimeEvent) -> String {
    let id = event.workload.container_id.as_deref().unwrap_or_default().trim_start_matches("cri-o://");
    let pid = event.process.as_ref().map_or(0, |process| process.pid);
    let kind = if event.kind == EventKind::ContainerStart { "start" } else { "stop" };
    let exit =
        event.annotations.get("exitStatus").map(|status| format!(" exit {status}")).unwrap_or_default();
    let reconciled = if event.annotations.contains_key("reconciled") { " reconciled" } else { "" };
    format!("{kind} {id} {pid}{exit}{reconciled}")
}

#[tokio::test]
async fn without_a_stream_of_events_lists_tell_every_container_once() {
    // It had ended before the observer came.
    let mut scene = Scene::following(OFTEN, |crio| crio.run_and_exit("before", 3)).await;
    scene.crio.run("second", 200);
    scene.emits(&["start second 200"]).await;
    scene.crio.exit("second", 7);
    scene.emits(&["stop second 200 exit 7"]).await;
    // It ends before a list can show that it runs.
    scene.crio.run_and_exit("short", 5);
    scene.emits(&["start short 0", "stop short 0 exit 5"]).await;
    scene.listed().await;
    scene.crio.remove("short");
    scene.crio.remove("before");
    scene.listed().await;
    scene.emits_nothing_more().await;
    // CRI-O is not asked again for a stream that ended at once.
    assert_eq!(scene.crio.calls("GetContainerEvents"), 1);
    scene.end().await;
}

#[tokio::test]
async fn a_container_that_one_list_leaves_out_has_not_ended() {
    let mut scene = Scene::following(OFTEN, |_| {}).await;
    scene.crio.list("first", false);
    scene.listed().await;
    scene.crio.list("first", true);
    scene.listed().await;
    scene.emits_nothing_more().await;
    // A container that does not exist any more has.
    scene.crio.remove("first");
    scene.emits(&["stop first 100 reconciled"]).await;
    scene.end().await;
}

#[tokio::test]
async fn what_happens_while_crio_is_away_is_told_once() {
    let mut scene = Scene::following(OFTEN, |_| {}).await;
    scene.crio.pause().await;
    scene.crio.exit("first", 137);
    scene.crio.run("later", 300);
    scene.crio.run_and_exit("short", 1);
    scene.crio.resume();
    let mut told = Vec::new();
    while told.len() < 4 {
        let text = text(&within(scene.running.events.next()).await.expect("the observer runs"));
        // Between two lists nobody need notice that CRI-O was away.
        told.push(text.trim_end_matches(" reconciled").to_owned());
    }
    told.sort();
    assert_eq!(told, ["start later 300", "start short 0", "stop first 100 exit 137", "stop short 0 exit 1"]);
    scene.emits_nothing_more().await;
    assert_eq!(scene.end().await.observed, 6);
}

#[tokio::test]
async fn a_look_up_that_fails_is_made_again_with_the_next_list() {
    let mut scene = Scene::following(OFTEN, |_| {}).await;
    for code in [Code::DeadlineExceeded, Code::Internal] {
        scene.crio.fail("ContainerStatus", code);
    }
    scene.crio.run("second", 200);
    scene.emits(&["start second 200"]).await;
    scene.crio.fail("ContainerStatus", Code::Unknown);
    scene.crio.exit("second", 0);
    scene.emits(&["stop second 200 exit 0"]).await;
    scene.crio.fail("ContainerStatus", Code::Unknown);
    scene.crio.run_and_exit("short", 4);
    scene.emits(&["start short 0", "stop short 0 exit 4"]).await;
    // A list that fails costs the connection and nothing else.
    scene.crio.fail("ListContainers", Code::Internal);
    scene.listed().await;
    scene.emits_nothing_more().await;
    scene.end().await;
}

#[tokio::test]
async fn events_tell_containers_between_lists_until_the_stream_ends() {
    let mut scene = Scene::following(SELDOM, ScriptedCrio::enable_events).await;
    within(scene.crio.subscribed()).await;
    scene.crio.run("second", 200);
    scene.crio.send("second");
    scene.crio.send("second");
    scene.crio.send("never");
    scene.emits(&["start second 200"]).await;
    scene.crio.exit("second", 7);
    scene.crio.send("second");
    scene.crio.send("second");
    scene.emits(&["stop second 200 exit 7"]).await;
    // The end of a stream that worked is the end of the connection: everything is listed again.
    scene.crio.run("third", 300);
    scene.crio.end_streams();
    scene.emits(&["start third 300 reconciled"]).await;
    scene.end().await;
}

#[tokio::test]
async fn another_engine_behind_the_socket_is_not_asked_for_its_events() {
    let stage = Stage::start().await;
    let crio = ScriptedCrio::start(stage.directory.path(), "containerd");
    crio.enable_events();
    let running = observe(&stage, &crio, OFTEN, "/proc");
    within(crio.called("Version", 3)).await;
    assert_eq!((crio.calls("GetContainerEvents"), crio.calls("ListContainers")), (0, 0));
    assert!(running.telemetry.render().contains("zastava_observer_source_up{engine=\"cri-o\"} 0"));
    assert!(!running.health.is_ready());
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_of_another_cgroup_is_not_taken_for_the_containers() {
    let stage = Stage::start().await;
    let crio = ScriptedCrio::start(stage.directory.path(), "cri-o");
    let other = Process::sleep(sleep_path());
    let id = "c0ffee00".repeat(8);
    crio.run(&id, other.pid());
    let mut running = observe(&stage, &crio, OFTEN, "/proc");
    let start = running.event(EventKind::ContainerStart, other.pid()).await;
    let process = start.process.as_ref().expect("has one");
    assert_eq!(
        (process.build_id.as_deref(), process.entrypoint.as_slice()),
        (None, &["/app".to_owned()][..])
    );
    assert!(start.evidence.iter().any(|evidence| evidence.signal == Signal::Proc), "{start:#?}");
    running.end().await;
}
