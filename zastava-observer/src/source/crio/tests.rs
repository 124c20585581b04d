//! CRI-O's answers, as workloads.

use std::collections::HashMap;

use zastava_core::contract::Evidence;
use zastava_core::vocabulary::{Platform, Signal};

use super::container::Container;
use super::messages::{Image, ImageSpec, Metadata, State, Status, StatusResponse};

/// The `info` of a container. The shape is that of `createContainerInfo` in cri-o/cri-o (server/container_status.go, main branch of
/// 2026-08) with checkpoints enabled, the specification as CRI-O 1.36 writes it for systemd; the values are made up.
const INFO: &str = include_str!("info.json");

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn answer(state: State, info: &str) -> StatusResponse {
    let labels = [
        ("io.kubernetes.pod.namespace", "payments"),
        ("io.kubernetes.pod.name", "api-7d"),
        ("io.kubernetes.container.name", "api"),
    ];
    let status = Status {
        id: "c0ffee".to_owned(),
        metadata: Some(Metadata { name: "api".to_owned() }),
        state: state.into(),
        started_at: 1_700_000_000_500_000_000,
        image: Some(ImageSpec { image: "quay.io/pay/api:3".to_owned(), ..ImageSpec::default() }),
        image_ref: format!("quay.io/pay/api@{DIGEST}"),
        labels: labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Status::default()
    };
    StatusResponse { status: Some(status), info: HashMap::from([("info".to_owned(), info.to_owned())]) }
}

fn read(state: State, info: &str) -> Container {
    Container::read(answer(state, info)).expect("names a container")
}

#[test]
fn a_container_carries_its_pod_image_arguments_and_process() {
    let container = read(State::Running, INFO);
    assert_eq!(container.main_process(), Some(4711));
    let found = container.workload("1.36.1", container.main_process(), Some(99), None);
    assert_eq!((found.id.as_str(), found.pid, found.start_ticks), ("cri-o://c0ffee", 4711, Some(99)));
    assert_eq!(found.entrypoint, ["/app/api", "--port", "80"]);
    assert_eq!(found.cgroup.as_deref(), Some("c0ffee"));
    assert_eq!(found.description.platform, Platform::Kubernetes);
    assert_eq!(found.description.namespace.as_deref(), Some("payments"));
    assert_eq!(found.description.pod.as_deref(), Some("api-7d"));
    assert_eq!(found.description.container.as_deref(), Some("api"));
    assert_eq!(found.description.image_ref, Some(format!("quay.io/pay/api@{DIGEST}")));
    assert_eq!(found.evidence, [Evidence::new(Signal::CrioContainer, "5a4db0")]);
    assert_eq!(found.started_at.map(|at| at.to_string()).as_deref(), Some("2023-11-14T22:13:20.5Z"));
}

#[test]
fn a_pid_counts_only_while_the_container_runs() {
    for state in [State::Created, State::Exited, State::Unknown] {
        assert_eq!(read(state, INFO).main_process(), None, "{state:?}");
    }
    for info in ["{}", r#"{"pid":0}"#, r#"{"pid":-1}"#, r#"{"pid":"x"}"#, "no JSON"] {
        assert_eq!(read(State::Running, info).main_process(), None, "{info}");
    }
}

#[test]
fn what_is_not_known_is_not_made_up() {
    let mut answer = answer(State::Running, "no JSON");
    let status = answer.status.as_mut().expect("is there");
    status.image_ref = "2222222222222222222222222222222222222222222222222222222222222222".to_owned();
    status.labels.clear();
    let container = Container::read(answer).expect("names a container");
    let found = container.workload("1.36.1", None, None, None);
    assert_eq!((found.pid, found.description.platform), (0, Platform::Vm.into()));
    assert!(found.entrypoint.is_empty());
    assert_eq!(found.description.image_ref.as_deref(), Some("quay.io/pay/api:3"));
    let values: Vec<&str> = found.evidence.iter().map(|evidence| evidence.value.as_str()).collect();
    assert!(values[0].contains("not the JSON") && values[1].contains("pid is not known"), "{values:?}");
    assert!(values[2] == "the image is gone" && values[3].starts_with("image id 2222"), "{values:?}");

    // The id of the image leads to its digest.
    let image = Image { repo_digests: vec![format!("quay.io/pay/api@{DIGEST}")], ..Image::default() };
    let found = container.workload("1.36.1", None, None, Some(&image));
    assert_eq!(found.description.image_ref, Some(format!("quay.io/pay/api@{DIGEST}")));
    assert!(Container::read(StatusResponse::default()).is_none());
}
