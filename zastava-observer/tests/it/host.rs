use std::fs;

use zastava_core::contract::EventKind;
use zastava_core::vocabulary::{Platform, Signal};
use zastava_observer::{
    CollectOptions, InspectError, ProcTree, ProcessInspector, ProcessTarget, host_workload,
};

use crate::support::{Process, Running, Stage, readelf_build_id, sleep_path, within};

fn inspector(options: CollectOptions) -> ProcessInspector {
    ProcessInspector::new(ProcTree::open("/proc").expect("this system has one"), options)
}

fn target(pid: u32) -> ProcessTarget {
    ProcessTarget { pid, ..ProcessTarget::default() }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_command_is_seen_from_start_to_end() {
    let stage = Stage::start().await;
    let mut running = Running::start(stage.options(&[("zastava.observer.engine", "host")]));
    // The observer itself is a workload of the node too.
    let own_group = host_workload(&ProcTree::open("/proc").expect("is one"), std::process::id());
    assert!(own_group.expect("this process runs").id.starts_with("host://"));

    let mut child = Process::sleep(sleep_path());
    let start = running.event(EventKind::ContainerStart, child.pid()).await;
    let process = start.process.as_ref().expect("has a process");
    assert_eq!(process.entrypoint, ["/bin/sleep", "300"]);
    if let Some(id) = readelf_build_id(&format!("/proc/{}/exe", child.pid())) {
        assert_eq!(process.build_id.as_deref(), Some(id.as_str()));
    }
    assert_eq!(start.workload.platform, Platform::Vm);
    assert!(start.workload.owner.is_some());
    let libc = start.loaded_libs.iter().find(|library| library.path.contains("libc.so"));
    let libc = libc.expect("sleep is linked with it");
    assert!(libc.sha256.is_some() && libc.inode.is_some(), "{libc:?}");

    child.end();
    let stop = running.event(EventKind::ContainerStop, child.pid()).await;
    assert_eq!(stop.workload.container_id, start.workload.container_id);
    assert_ne!(stop.event_id, start.event_id);

    within(stage.sandbox.wait_until(|_, events| {
        [&start.event_id, &stop.event_id]
            .iter()
            .all(|id| events.iter().any(|found| found.event.event_id == **id))
    }))
    .await;
    let accounting = running.end().await;
    assert_eq!(accounting.observed, accounting.delivered + accounting.duplicate, "{accounting:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_has_the_same_id_after_a_restart() {
    let stage = Stage::start().await;
    let child = Process::sleep(sleep_path());
    let mut ids = Vec::new();
    for _ in 0..2 {
        let options = stage.options(&[("zastava.observer.engine", "host")]);
        // An observer that has lost its live set tells everything anew.
        let _ = fs::remove_file(options.buffer.path.join("live-set.jsonl"));
        let mut running = Running::start(options);
        ids.push(running.event(EventKind::ContainerStart, child.pid()).await.event_id.clone());
        running.end().await;
    }
    assert_eq!(ids[0], ids[1]);
    assert!(stage.sandbox.counts().events_duplicate > 0, "Scanner recognises the event of the second run");
    let accepted = stage.sandbox.accepted();
    assert_eq!(accepted.iter().filter(|found| found.event.event_id == ids[0]).count(), 1);
}

#[test]
fn a_deleted_executable_still_has_its_build_id() {
    let directory = tempfile::tempdir().expect("a directory");
    let copy = directory.path().join("payments api");
    fs::copy(sleep_path(), &copy).expect("can be copied");
    let wanted = readelf_build_id(&copy.to_string_lossy());
    let child = Process::sleep(&copy);
    fs::remove_file(&copy).expect("can be removed");
    let facts = inspector(CollectOptions::default()).inspect(&target(child.pid())).expect("can be read");
    let deleted = facts.evidence.iter().find(|evidence| evidence.signal == Signal::ProcExeDeleted);
    assert_eq!(deleted.expect("is evidence").value, copy.to_string_lossy());
    assert!(facts.libraries.iter().all(|library| !library.path.contains("payments")), "{facts:?}");
    if wanted.is_some() {
        assert_eq!(facts.build_id, wanted);
    }
}

#[test]
fn another_process_with_the_same_pid_is_refused() {
    let inspector = inspector(CollectOptions::default());
    let own = inspector.inspect(&target(std::process::id())).expect("can be read");
    let start_ticks = Some(own.start_ticks);
    let same = ProcessTarget { start_ticks, ..target(own.pid) };
    inspector.inspect(&same).expect("is the same");
    let other = ProcessTarget { start_ticks: Some(own.start_ticks + 1), ..target(own.pid) };
    assert!(matches!(inspector.inspect(&other), Err(InspectError::Reused)));
    let elsewhere = ProcessTarget { cgroup: Some("no such workload".to_owned()), ..target(own.pid) };
    assert!(matches!(inspector.inspect(&elsewhere), Err(InspectError::OtherCgroup)));
}

#[test]
fn a_process_that_ended_is_reported_as_such() {
    let mut child = Process::sleep(sleep_path());
    let pid = child.pid();
    child.end();
    assert!(matches!(inspector(CollectOptions::default()).inspect(&target(pid)), Err(InspectError::Ended)));
}

#[test]
fn limits_leave_facts_out_and_say_so() {
    let mut options = CollectOptions::default();
    options.hash_bytes_max = 1;
    options.entrypoint_arguments_max = 1;
    let child = Process::sleep(sleep_path());
    let facts = inspector(options.clone()).inspect(&target(child.pid())).expect("can be read");
    assert_eq!(facts.arguments, ["/bin/sleep"]);
    assert!(facts.libraries.iter().all(|library| library.sha256.is_none()));
    assert!(facts.evidence.iter().any(|evidence| evidence.value.contains("budget is used up")), "{facts:?}");

    // This process loaded its libraries long ago.
    options.libraries_max = 1;
    let facts = inspector(options).inspect(&target(std::process::id())).expect("can be read");
    assert_eq!(facts.libraries.len(), 1);
    assert!(facts.evidence.iter().any(|evidence| evidence.value.contains("left out")), "{facts:?}");
}

#[test]
fn a_directory_that_is_no_proc_is_refused_with_its_path() {
    let directory = tempfile::tempdir().expect("a directory");
    let error = ProcTree::open(directory.path()).expect_err("is no /proc");
    assert!(error.to_string().contains(&*directory.path().to_string_lossy()), "{error}");
}
