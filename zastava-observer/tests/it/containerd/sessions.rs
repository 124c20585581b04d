//! Processes that are started in a container from outside, as `kubectl exec` does.

use zastava_core::contract::EventKind;

use super::harness::{BUSYBOX, Content, begin, container_name};
use crate::support::{Running, readelf_build_id, within};

const IMAGE: Content = Content { file: "sessions", label: "sessions" };

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_comes_in_is_told_with_its_program_and_build_id() {
    let Some((stage, mut containerd)) = begin(IMAGE).await else { return };
    let settings = [("zastava.observer.engine", "containerd")];
    let mut running = Running::start(stage.options_at(&containerd.socket(), &settings));
    let name = container_name("session");
    let pid = containerd.run(&name, &[BUSYBOX, "sleep", "300"]);
    let start = running.event(EventKind::ContainerStart, pid).await;
    for (id, program) in [("of-the-image", BUSYBOX), ("of-nobody", "/sleep")] {
        if program != BUSYBOX {
            std::fs::copy(BUSYBOX, format!("/proc/{pid}/root{program}")).expect("can be copied");
        }
        let command = if program == BUSYBOX { &[BUSYBOX, "sleep", "300"][..] } else { &[program, "300"] };
        containerd.ctr(&[&["task", "exec", "-d", "--exec-id", id, &name], command].concat());
        let session = within(async {
            loop {
                let event = running.events.next().await.expect("the observer runs");
                if event.annotations.get("execId").is_some_and(|found| found == id) {
                    break event;
                }
            }
        })
        .await;
        assert_eq!((session.kind, &session.workload), (EventKind::Drift, &start.workload));
        let process = session.process.as_ref().expect("has one");
        assert_eq!(process.entrypoint, command);
        assert_ne!(process.pid, pid);
        if let Some(build_id) = readelf_build_id(BUSYBOX) {
            assert_eq!(process.build_id.as_deref(), Some(build_id.as_str()), "{session:#?}");
        }
        // The image holds no such program.
        let new = session.delta.iter().flat_map(|delta| &delta.new_binaries);
        let new: Vec<&str> = new.map(|binary| binary.path.as_str()).collect();
        let wanted = (program != BUSYBOX).then_some(program);
        assert_eq!(new, Vec::from_iter(wanted));
    }
    // The end of a session is not that of the container.
    containerd.ctr(&["task", "kill", "-s", "KILL", &name]);
    let stop = running.event(EventKind::ContainerStop, pid).await;
    assert_eq!(stop.annotations["exitStatus"], "137");
    running.end().await;
}
