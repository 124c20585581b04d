//! The containerd source against a private containerd, with an image that the test makes.

mod capture;
mod cri;
mod entrypoint;
mod harness;
mod later;
mod posture;
mod sessions;
mod setups;
mod traces;

use std::fs;
use std::path::Path;
use std::time::Duration;

use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::vocabulary::{Engine, Signal};

use self::cri::Pod;
use self::harness::{BUSYBOX, Containerd, Content, IMAGE, container_name, is_possible};
use crate::fuse::{Fuse, Server, Trust};
use crate::support::{Process, Running, Stage, readelf_build_id, sleep_path, within};

const SLEEP: [&str; 3] = [BUSYBOX, "sleep", "300"];
const FIRST: Content = Content { file: "first", label: "first" };

/// An observer that looks for containerd at this socket.
fn observe(stage: &Stage, socket: &Path) -> Running {
    Running::start(stage.options_at(socket, &[("zastava.observer.engine", "auto")]))
}

fn check_start(start: &RuntimeEvent) {
    let process = start.process.as_ref().expect("has a process");
    assert_eq!(process.entrypoint, SLEEP);
    if let Some(id) = readelf_build_id(BUSYBOX) {
        assert_eq!(process.build_id.as_deref(), Some(id.as_str()), "{start:#?}");
    }
    assert_eq!(start.engine.name, Engine::Containerd);
    assert!(start.engine.version.is_some());
    let image = start.workload.image_ref.as_deref().expect("the image is known");
    assert!(image.starts_with("docker.io/local/demo@sha256:"), "{image}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_seen_from_start_to_end_and_across_a_restart_of_containerd() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let mut containerd = Containerd::start(&directory).await;
    containerd.import(FIRST);
    let early = container_name("early");
    let early_pid = containerd.run(&early, &SLEEP);
    let mut running = observe(&stage, &containerd.socket());

    // It ran before the observer started. The first list shows it.
    let found = running.event(EventKind::ContainerStart, early_pid).await;
    assert_eq!(found.workload.container_id, Some(format!("containerd://{early}")));
    assert_eq!(found.annotations["reconciled"], "true");

    // It starts now. The stream reports it.
    let late = container_name("late");
    let late_pid = containerd.run(&late, &SLEEP);
    let start = running.event(EventKind::ContainerStart, late_pid).await;
    check_start(&start);
    containerd.ctr(&["task", "kill", "-s", "KILL", &late]);
    let stop = running.event(EventKind::ContainerStop, late_pid).await;
    assert_eq!(stop.annotations["exitStatus"], "137");

    // It ends while containerd is away. Comparing lists shows it.
    let containerd = containerd.restart_after(|| kill(early_pid)).await;
    let stop = running.event(EventKind::ContainerStop, early_pid).await;
    assert_eq!(stop.workload.container_id, Some(format!("containerd://{early}")));

    let ids = [&found.event_id, &start.event_id, &stop.event_id];
    within(stage.sandbox.wait_until(|_, events| {
        ids.iter().all(|id| events.iter().filter(|found| found.event.event_id == ***id).count() == 1)
    }))
    .await;
    let accounting = running.end().await;
    // Two starts and two stops, however often the engine reported them.
    assert_eq!((accounting.observed, accounting.delivered), (4, 4), "{accounting:?}");
    drop(containerd);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_containerd_that_appears_later_is_followed_and_nothing_is_reported_as_stopped() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let child = Process::sleep(sleep_path());
    let mut running = observe(&stage, &directory.join("containerd.sock"));
    let on_host = running.event(EventKind::ContainerStart, child.pid()).await;
    assert_eq!(on_host.engine.name, Engine::Host);

    let mut containerd = Containerd::start(&directory).await;
    within(async {
        while !running.telemetry.render().contains("zastava_observer_source_up{engine=\"containerd\"} 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    containerd.import(FIRST);
    let name = container_name("later");
    let pid = containerd.run(&name, &SLEEP);
    let start = running.event(EventKind::ContainerStart, pid).await;
    check_start(&start);
    containerd.ctr(&["task", "kill", "-s", "KILL", &name]);
    running.event(EventKind::ContainerStop, pid).await;

    let metrics = running.telemetry.render();
    assert!(!metrics.contains("engine=\"host\""), "a source that is not followed has no series: {metrics}");
    let accounting = running.end().await;
    assert_eq!(accounting.observed, accounting.delivered + accounting.duplicate, "{accounting:?}");
    let is_stop_of_child = |event: &RuntimeEvent| {
        event.kind == EventKind::ContainerStop
            && event.process.as_ref().is_some_and(|process| process.pid == child.pid())
    };
    assert!(!stage.sandbox.accepted().iter().any(|found| is_stop_of_child(&found.event)));
}

fn kill(pid: u32) {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw).expect("is a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("runs");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tag_that_was_moved_does_not_change_what_runs() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let mut containerd = Containerd::start(&directory).await;
    let contents = [FIRST, Content { label: "same layers", ..FIRST }, Content { file: "second", ..FIRST }];
    let mut made = Vec::new();
    for (number, content) in contents.into_iter().enumerate() {
        let digest = containerd.import(content);
        let pid = containerd.run(&container_name(&number.to_string()), &SLEEP);
        made.push((pid, digest));
    }
    let mut running = observe(&stage, &containerd.socket());
    let (last, before) = made.split_last().expect("three");
    for (pid, digest) in before {
        let event = running.event_again(EventKind::ContainerStart, *pid).await;
        assert_eq!(event.workload.image_ref.as_deref(), Some(IMAGE), "{digest}: {event:#?}");
        let reason = event.evidence.iter().find(|evidence| evidence.signal == Signal::ContainerdImage);
        let reason = reason.expect("says why there is no digest");
        assert!(reason.value.contains("changed after the container was made"), "{reason:?}");
    }
    let event = running.event_again(EventKind::ContainerStart, last.0).await;
    assert_eq!(event.workload.image_ref, Some(format!("docker.io/local/demo@{}", last.1)), "{event:#?}");
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_whose_program_does_not_answer_holds_up_no_other() {
    if !is_possible() || !Fuse::is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let mut containerd = Containerd::start(&directory).await;
    containerd.import(FIRST);
    let fuse = Fuse::mount(Trust::Names, &[("busybox", Path::new(BUSYBOX))]);
    let mount = format!("type=bind,src={},dst=/fuse,options=rbind:ro", fuse.path("").display());
    let hung = container_name("hung");
    let hung_pid = containerd.run_with(&hung, &["--mount", &mount], &["/fuse/busybox", "sleep", "300"]);
    within(async {
        while fs::read_link(format!("/proc/{hung_pid}/exe")).expect("runs") != Path::new("/fuse/busybox") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    fuse.set(Server::Stopped);
    let mut running = observe(&stage, &containerd.socket());
    within(async {
        while !running.telemetry.render().contains("zastava_observer_source_up{engine=\"containerd\"} 1") {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
    let beside = container_name("beside");
    let beside_pid = containerd.run(&beside, &SLEEP);
    check_start(&*running.event_again(EventKind::ContainerStart, beside_pid).await);
    let event = running.event_again(EventKind::ContainerStart, hung_pid).await;
    let missing = event.evidence.iter().find(|evidence| evidence.signal == Signal::ElfBuildId);
    assert_eq!(missing.expect("says why it is missing").value, "not read in time");
    assert_eq!(event.workload.container_id, Some(format!("containerd://{hung}")));
    assert!(
        event.workload.image_ref.as_deref().is_some_and(|image| image.contains("@sha256:")),
        "{event:#?}"
    );
    running.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pods_container_keeps_the_image_that_it_was_made_of() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let directory = stage.directory.path().join("containerd");
    let mut containerd = Containerd::start_with_cri(&directory).await;
    let mut made = vec![containerd.import(FIRST)];
    let pod = Pod::run(&containerd.socket()).await;
    let mut ids = vec![pod.id.clone(), pod.run_container("first", &SLEEP).await];
    made.push(containerd.import(Content { label: "same layers", ..FIRST }));
    let mut running = observe(&stage, &containerd.socket());
    let pids: Vec<u32> = ids.iter().map(|id| containerd.adopt(id)).collect();
    let event = running.event(EventKind::ContainerStart, pids[1]).await;
    assert_eq!(event.workload.image_ref, Some(format!("docker.io/local/demo@{}", made[0])), "{event:#?}");
    assert_eq!(event.workload.pod.as_deref(), Some("api-7d"));

    let last = containerd.import(Content { file: "second", ..FIRST });
    ids.push(pod.run_container("second", &SLEEP).await);
    let pid = containerd.adopt(&ids[2]);
    let event = running.event(EventKind::ContainerStart, pid).await;
    // CRI hears of an import a moment later. The file says of which image it made the container.
    let is_last = fs::read_to_string(format!("/proc/{pid}/root/content")).expect("is there") == "second";
    let wanted = if is_last { vec![last] } else { made };
    let wanted: Vec<_> = wanted.iter().map(|digest| Some(format!("docker.io/local/demo@{digest}"))).collect();
    assert!(wanted.contains(&event.workload.image_ref), "{wanted:?}: {event:#?}");

    pod.remove().await;
    ids.iter().for_each(|id| containerd.forget(id));
    for pid in [pids[1], pid] {
        running.event_again(EventKind::ContainerStop, pid).await;
    }
    let accounting = running.end().await;
    // Two containers. The pod's sandbox is none.
    assert_eq!(accounting.observed, 4, "{accounting:?}");
}
