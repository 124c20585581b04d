//! Docker Engine's source against a private Docker Engine, with an image that the test makes.

mod harness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::vocabulary::{Engine, Platform, Signal};
use zastava_observer::EngineChoice;

use self::harness::{BUSYBOX, DockerEngine, IMAGE, is_possible};
use crate::support::{Running, Stage, note, readelf_build_id, within};

const STORM: usize = 60;

/// An observer of Docker Engine at this socket, and of the containerd at the other one.
fn observe(stage: &Stage, engine: &str, docker: PathBuf, containerd: Option<PathBuf>) -> Running {
    let mut options = stage.options(&[("zastava.observer.engine", engine)]);
    options.endpoints.retain_mut(|endpoint| match (endpoint.engine, &containerd) {
        (EngineChoice::Docker, _) => {
            endpoint.socket.clone_from(&docker);
            true
        }
        (EngineChoice::Containerd, Some(socket)) => {
            endpoint.socket.clone_from(socket);
            true
        }
        _ => false,
    });
    Running::start(options)
}

fn id_of(event: &RuntimeEvent) -> &str {
    event.workload.container_id.as_deref().expect("has an id")
}

/// The next event of this kind for the container.
async fn next(running: &mut Running, kind: EventKind, id: &str) -> Arc<RuntimeEvent> {
    within(async {
        loop {
            let event = running.events.next().await.expect("the observer runs");
            if event.kind == kind && id_of(&event) == format!("docker://{id}") {
                return event;
            }
        }
    })
    .await
}

async fn works(running: &Running, engine: &str) {
    let series = format!("zastava_observer_source_up{{engine=\"{engine}\"}} 1");
    within(async {
        while !running.telemetry.render().contains(&series) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

fn exit_status(event: &RuntimeEvent) -> Option<&str> {
    event.annotations.get("exitStatus").map(String::as_str)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_is_seen_from_start_to_end_and_again_after_a_restart() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let engine = DockerEngine::start(&stage.directory.path().join("docker")).await;
    let early = engine.run(&[], &[]);
    // A container is left to its event while it is young.
    let mut running = observe(&stage, "docker", engine.socket(), None);
    let found = next(&mut running, EventKind::ContainerStart, &early).await;
    assert_eq!(found.process.as_ref().map(|process| process.pid), Some(engine.pid(&early)));

    let labels = ["--label", "com.docker.compose.project=shop", "--label", "com.docker.compose.service=web"];
    let web = engine.run(&[&["--name", "shop-web-1"], &labels[..]].concat(), &["299"]);
    let start = next(&mut running, EventKind::ContainerStart, &web).await;
    let process = start.process.as_ref().expect("has a process");
    assert_eq!(
        (process.pid, process.entrypoint.as_slice()),
        (engine.pid(&web), &[BUSYBOX, "sleep", "299"].map(String::from)[..])
    );
    if let Some(build_id) = readelf_build_id(BUSYBOX) {
        assert_eq!(process.build_id.as_deref(), Some(build_id.as_str()), "{start:#?}");
    }
    assert_eq!(start.engine.name, Engine::Docker);
    assert_eq!(start.workload.platform, Platform::Docker);
    assert!(start.engine.version.is_some() && !start.annotations.contains_key("reconciled"));
    assert_eq!(start.workload.container.as_deref(), Some("shop-web-1"));
    assert_eq!(start.workload.owner.as_ref().map(|owner| owner.name.as_str()), Some("shop/web"));
    // It was never pushed, so no repository has a digest of it.
    assert_eq!(start.workload.image_ref.as_deref(), Some(IMAGE));
    let of_image: Vec<&str> = start
        .evidence
        .iter()
        .filter(|evidence| evidence.signal == Signal::DockerImage)
        .map(|evidence| evidence.value.as_str())
        .collect();
    let image_id = engine.docker(&["image", "inspect", "-f", "{{.Id}}", IMAGE]);
    assert_eq!(of_image[1..], [format!("image id {image_id}")], "{of_image:?}");

    engine.docker(&["restart", "-t", "0", &web]);
    let stop = next(&mut running, EventKind::ContainerStop, &web).await;
    assert_eq!(exit_status(&stop), Some("137"));
    let again = next(&mut running, EventKind::ContainerStart, &web).await;
    assert_eq!(again.process.as_ref().map(|process| process.pid), Some(engine.pid(&web)));
    assert_ne!(again.event_id, start.event_id);

    let short = engine.run(&["--rm", "--entrypoint", BUSYBOX], &["sh", "-c", "exit 7"]);
    next(&mut running, EventKind::ContainerStart, &short).await;
    assert_eq!(exit_status(&*next(&mut running, EventKind::ContainerStop, &short).await), Some("7"));
    let accounting = running.end().await;
    assert_eq!((accounting.observed, accounting.delivered), (6, 6), "{accounting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_ends_while_docker_is_away_is_told_once_and_what_runs_on_is_not_told_again() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let mut engine = DockerEngine::start(&stage.directory.path().join("docker")).await;
    let mut running = observe(&stage, "docker", engine.socket(), None);
    works(&running, "docker").await;
    let (ends, stays) = (engine.run(&[], &[]), engine.run(&[], &[]));
    next(&mut running, EventKind::ContainerStart, &ends).await;
    next(&mut running, EventKind::ContainerStart, &stays).await;

    let pid =
        i32::try_from(engine.pid(&ends)).ok().and_then(rustix::process::Pid::from_raw).expect("is a pid");
    engine.kill();
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("runs");
    engine.start_again().await;
    next(&mut running, EventKind::ContainerStop, &ends).await;

    let later = engine.run(&[], &[]);
    next(&mut running, EventKind::ContainerStart, &later).await;
    engine.docker(&["kill", &stays]);
    assert_eq!(exit_status(&*next(&mut running, EventKind::ContainerStop, &stays).await), Some("137"));
    let accounting = running.end().await;
    // Three starts and two stops.
    assert_eq!((accounting.observed, accounting.delivered), (5, 5), "{accounting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_every_container_starts_and_stops_once() {
    storm("docker").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_a_storm_containerd_hands_over_the_programs_that_docker_does_not_announce() {
    let Some(build_ids) = storm("auto").await else { return };
    let Some(wanted) = readelf_build_id(BUSYBOX) else { return };
    let known = build_ids.iter().filter(|id| id.as_ref() == Some(&wanted)).count();
    note(&format!("MEASURED: build-id of {known} of {} containers of `true`", build_ids.len()));
    // How many depends on the machine: Docker removes a container's root as soon as that ends.
    assert!(known * 100 >= build_ids.len() * 90, "{known} of {}", build_ids.len());
}

/// Runs containers that end at once. The build-ids of their programs.
async fn storm(engine_choice: &str) -> Option<Vec<Option<String>>> {
    if !is_possible() {
        return None;
    }
    let stage = Stage::start().await;
    let engine = DockerEngine::start(&stage.directory.path().join("docker")).await;
    let mut running = observe(&stage, engine_choice, engine.socket(), Some(engine.containerd_socket()));
    works(&running, "docker").await;
    if engine_choice == "auto" {
        works(&running, "containerd").await;
    }
    let ids: Vec<String> = std::thread::scope(|scope| {
        let run = || -> Vec<String> {
            let run = |_| engine.run(&["--entrypoint", BUSYBOX], &["true"]);
            (0..STORM / 2).map(run).collect()
        };
        let lanes = [scope.spawn(run), scope.spawn(run)];
        lanes.into_iter().flat_map(|lane| lane.join().expect("does not panic")).collect()
    });
    let (mut told, mut build_ids) = (BTreeMap::<String, Vec<EventKind>>::new(), Vec::new());
    while told.values().map(Vec::len).sum::<usize>() < 2 * STORM {
        let event = within(running.events.next()).await.expect("the observer runs");
        told.entry(id_of(&event).to_owned()).or_default().push(event.kind);
        let process = event.process.as_ref().expect("has one");
        if event.kind == EventKind::ContainerStart {
            assert_eq!(process.entrypoint, [BUSYBOX, "true"]);
            if engine_choice == "auto" && process.build_id.is_none() {
                note(&format!("incomplete: {:?} {:?}", event.annotations, event.evidence));
            }
            build_ids.push(process.build_id.clone());
        } else {
            assert_eq!(exit_status(&event), Some("0"));
        }
    }
    for id in ids {
        let kinds = told.remove(&format!("docker://{id}"));
        assert_eq!(kinds, Some(vec![EventKind::ContainerStart, EventKind::ContainerStop]), "{id}");
    }
    let accounting = running.end().await;
    let events = 2 * STORM as u64;
    assert_eq!((accounting.observed, accounting.delivered), (events, events), "{accounting:?}");
    Some(build_ids)
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_shared_containerd_docker_tells_its_containers_from_the_moment_it_answers() {
    if !is_possible() {
        return;
    }
    let stage = Stage::start().await;
    let engine = DockerEngine::start(&stage.directory.path().join("docker")).await;
    let appears = stage.directory.path().join("appears.sock");
    let first = engine.run(&[], &[]);
    let mut running = observe(&stage, "auto", appears.clone(), Some(engine.containerd_socket()));
    // containerd tells it while Docker's socket is not there, and says what it does not know.
    let start = running.event(EventKind::ContainerStart, engine.pid(&first)).await;
    assert_eq!(id_of(&start), format!("containerd://{first}"));
    assert_eq!(start.workload.image_ref, None);
    let reason = start.evidence.iter().find(|evidence| evidence.signal == Signal::ContainerdImage);
    assert!(reason.is_some_and(|reason| reason.value.contains("Docker")), "{start:#?}");

    std::os::unix::fs::symlink(engine.socket(), &appears).expect("is free");
    let again = next(&mut running, EventKind::ContainerStart, &first).await;
    assert_eq!(again.workload.image_ref.as_deref(), Some(IMAGE));
    works(&running, "containerd").await;
    works(&running, "docker").await;
    let second = engine.run(&[], &[]);
    next(&mut running, EventKind::ContainerStart, &second).await;
    for id in [&first, &second] {
        engine.docker(&["kill", id]);
        next(&mut running, EventKind::ContainerStop, id).await;
    }
    let accounting = running.end().await;
    // One start of containerd; two starts and two stops of Docker.
    assert_eq!((accounting.observed, accounting.delivered), (5, 5), "{accounting:?}");
    assert!(Path::new(&appears).exists());
}
