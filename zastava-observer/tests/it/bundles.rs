//! What is known of a container from its task's directory on the node. The engine is a script; the directory is real.

use std::fs;
use std::process::Command;

use tonic::Code;
use zastava_core::contract::EventKind;

use crate::scripted::{Event, Fault, Method, ScriptedContainerd, Step};
use crate::support::{Running, Stage, readelf_build_id, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_containerd_has_forgotten_keeps_its_program() {
    let stage = Stage::start().await;
    let bundle = stage.directory.path().join("bundle");
    fs::create_dir_all(bundle.join("rootfs/bin")).expect("can be made");
    fs::copy("/bin/true", bundle.join("rootfs/bin/app")).expect("can be copied");
    let spec = r#"{"process": {"args": ["app", "--once"], "env": ["PATH=/sbin:/bin"], "cwd": "/"}}"#;
    fs::write(bundle.join("config.json"), spec).expect("can be written");
    let mut process = Command::new("/bin/true").spawn().expect("is installed");
    process.wait().expect("ends");

    let mut containerd = ScriptedContainerd::start(stage.directory.path());
    let settings = [("zastava.observer.engine", "containerd")];
    let mut running = Running::start(stage.options_at(containerd.socket(), &settings));
    within(containerd.subscribed()).await;
    containerd.play([
        Step::Fault(Method::Container(Some("gone")), Fault::Fail(Code::NotFound)),
        Step::Send(Event::create("gone", process.id(), &bundle)),
        Step::Send(Event::start("gone", process.id())),
        Step::Send(Event::exit("gone", process.id(), 0)),
    ]);
    let event = running.event(EventKind::ContainerStart, process.id()).await;
    let found = event.process.as_ref().expect("has one");
    assert_eq!(found.entrypoint, ["app", "--once"]);
    assert_eq!(event.annotations["provenance"], "resolved-before-exec");
    assert!(event.evidence.iter().any(|evidence| evidence.value.contains("was gone")), "{event:#?}");
    if let Some(id) = readelf_build_id("/bin/true") {
        assert_eq!(found.build_id, Some(id), "{event:#?}");
    }
    running.event(EventKind::ContainerStop, process.id()).await;
    running.end().await;
}
