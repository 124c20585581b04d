//! What is known of a container from its task's directory on the node. The engine is a script; the directory is real.

use std::fs;
use std::process::Command;

use tonic::Code;
use zastava_core::contract::EventKind;

use crate::scripted::{Event, Fault, Method, ScriptedContainerd, Step};
use crate::support::{Process, Running, Stage, readelf_build_id, sleep_path, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_containerd_has_forgotten_keeps_its_program() {
    let mut process = Command::new("/bin/true").spawn().expect("is installed");
    process.wait().expect("ends");
    is_read_in_its_bundle(process.id(), "gone", "{}").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_root_of_a_process_that_got_the_pid_is_not_taken_for_the_containers() {
    let other = Process::sleep(sleep_path());
    is_read_in_its_bundle(other.pid(), "reused", r#"{"cgroupsPath": "/bundles-test/reused"}"#).await;
}

/// A container with this pid, which containerd does not know any more, has the program in its bundle.
async fn is_read_in_its_bundle(pid: u32, id: &'static str, linux: &str) {
    let stage = Stage::start().await;
    let bundle = stage.directory.path().join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin")).expect("can be made");
    fs::copy("/bin/true", bundle.join("rootfs/bin/app")).expect("can be copied");
    let process = r#"{"args": ["app", "--once"], "env": ["PATH=/sbin:/bin"], "cwd": "/"}"#;
    let spec = format!(r#"{{"process": {process}, "linux": {linux}}}"#);
    fs::write(bundle.join("config.json"), spec).expect("can be written");

    let mut containerd = ScriptedContainerd::start(stage.directory.path());
    let settings = [("zastava.observer.engine", "containerd")];
    let mut running = Running::start(stage.options_at(containerd.socket(), &settings));
    within(containerd.subscribed()).await;
    containerd.play([
        Step::Fault(Method::Container(Some(id)), Fault::Fail(Code::NotFound)),
        Step::Send(Event::create(id, pid, &bundle)),
        Step::Send(Event::start(id, pid)),
        Step::Send(Event::exit(id, pid, 0)),
    ]);
    let event = running.event(EventKind::ContainerStart, pid).await;
    let found = event.process.as_ref().expect("has one");
    assert_eq!(found.entrypoint, ["app", "--once"]);
    assert_eq!(event.annotations["provenance"], "resolved-before-exec");
    assert!(event.evidence.iter().any(|evidence| evidence.value.contains("was gone")), "{event:#?}");
    if let Some(id) = readelf_build_id("/bin/true") {
        assert_eq!(found.build_id, Some(id), "{event:#?}");
    }
    running.event(EventKind::ContainerStop, pid).await;
    running.end().await;
}
