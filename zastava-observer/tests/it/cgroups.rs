//! `/proc/<pid>/cgroup` as engines and service managers leave it.

use zastava_observer::{CgroupUnit, CgroupUnitKind, cgroup_path, container_id};

const ID: &str = "4c64e1b96ad429ae508be926d6f431fb4c64e1b96ad429ae508be926d6f431fb";
const OTHER: &str = "91fb3a1f8cf1bb5b39ba25f0d5be4be891fb3a1f8cf1bb5b39ba25f0d5be4be8";
const POD: &str = "pod3b1e6f5a_0c57_4d57_9f6e_2b1c8e7f3a11";

#[derive(Clone, Copy, Debug, PartialEq)]
enum Owner {
    Container(&'static str),
    Service(&'static str),
    Nobody,
}

use Owner::{Container, Nobody, Service};

/// In `lines` and in names `ID`, `OTHER` and `POD` stand for the constants.
fn check(origin: &str, lines: &str, wanted: Owner) {
    let fill = |text: &str| text.replace("OTHER", OTHER).replace("ID", ID).replace("POD", POD);
    let path = cgroup_path(fill(lines).as_bytes());
    let unit = path.as_deref().and_then(CgroupUnit::of);
    if let (Some(unit), Some(path)) = (&unit, &path) {
        assert!(path.starts_with(&unit.path), "{origin}: {path} is not below {}", unit.path);
    }
    let found = unit.map(|unit| (unit.kind, unit.name));
    let wanted = match wanted {
        Container(name) => Some((CgroupUnitKind::Container, fill(name))),
        Service(name) => Some((CgroupUnitKind::Service, fill(name))),
        Nobody => None,
    };
    assert_eq!(found, wanted, "{origin}: {lines}");
}

/// Where the line is from, the line, and the owner.
type Row = (&'static str, &'static str, Owner);

const CONTAINERS: [Row; 35] = [
    ("kubelet, cgroupfs", "0::/kubepods/besteffort/POD/ID", Container("ID")),
    ("kubelet, cgroupfs, guaranteed, v1", "4:memory:/kubepods/POD/ID", Container("ID")),
    (
        "kubelet, systemd, containerd",
        "0::/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-POD.slice/cri-containerd-ID.scope",
        Container("ID"),
    ),
    (
        "containerd with the cgroupfs driver on a systemd kubelet",
        "0::/system.slice/containerd.service/kubepods-besteffort-POD.slice:cri-containerd:ID",
        Container("ID"),
    ),
    ("the same without the service", "0::/kubepods-besteffort-POD.slice:cri-containerd:ID", Container("ID")),
    ("CRI-O, systemd", "0::/kubepods.slice/kubepods-POD.slice/crio-ID.scope", Container("ID")),
    ("CRI-O with crun", "0::/kubepods.slice/kubepods-POD.slice/crio-ID.scope/container", Container("ID")),
    ("CRI-O, cgroupfs", "0::/kubepods/burstable/POD/crio-ID", Container("ID")),
    ("cri-dockerd", "0::/kubepods.slice/kubepods-POD.slice/docker-ID.scope", Container("ID")),
    (
        "rootless k3s",
        "0::/user.slice/user-1000.slice/user@1000.service/app.slice/k3s-rootless.service/kubepods/burstable/POD/ID",
        Container("ID"),
    ),
    ("Docker, cgroupfs", "0::/docker/ID", Container("ID")),
    ("Docker, systemd", "0::/system.slice/docker-ID.scope", Container("ID")),
    ("Docker with an init", "0::/system.slice/docker-ID.scope/init", Container("ID")),
    ("Docker, another parent", "0::/ci.slice/ci-jobs.slice/docker-ID.scope", Container("ID")),
    ("Docker, actions runner", "0::/actions_job/ID", Container("ID")),
    (
        "rootless Docker",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope",
        Container("ID"),
    ),
    ("Podman", "0::/machine.slice/libpod-ID.scope/container", Container("ID")),
    ("Podman, payload", "0::/machine.slice/libpod-payload-ID", Container("ID")),
    (
        "rootless Podman",
        "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope/container",
        Container("ID"),
    ),
    (
        "Podman in a pod, systemd",
        "0::/machine.slice/machine-libpod_pod_OTHER.slice/libpod-ID.scope/container",
        Container("ID"),
    ),
    ("Podman in a pod, cgroupfs", "0::/libpod_parent/OTHER/libpod-ID", Container("ID")),
    ("Podman, cgroupfs", "0::/libpod_parent/libpod-ID/container", Container("ID")),
    ("nerdctl", "0::/system.slice/nerdctl-ID.scope", Container("ID")),
    ("nerdctl, cgroupfs", "0::/default/ID", Container("ID")),
    ("ctr", "0::/default/my-container", Container("my-container")),
    ("ECS on EC2", "0::/ecs/0b2f4e0c3ec94d58a9c52b1b4f3a2c11/ID", Container("ID")),
    (
        "ECS on EC2, systemd",
        "0::/ecstasks.slice/ecstasks-0b2f4e0c3ec94d58a9c52b1b4f3a2c11.slice/docker-ID.scope",
        Container("ID"),
    ),
    (
        "ECS on Fargate",
        "0::/ecs/0b2f4e0c3ec94d58a9c52b1b4f3a2c11/0b2f4e0c3ec94d58a9c52b1b4f3a2c11-2731",
        Container("0b2f4e0c3ec94d58a9c52b1b4f3a2c11-2731"),
    ),
    ("Garden", "0::/garden/f2b1c9d4-0a1b-4c2d-3e4f-5a6b", Container("f2b1c9d4-0a1b-4c2d-3e4f-5a6b")),
    ("LXC", "0::/lxc.payload.web/system.slice/nginx.service", Container("web")),
    ("LXC, v1", "1:name=systemd:/lxc/web/init.scope", Container("web")),
    ("Proxmox", "0::/lxc/101/ns/system.slice/postfix.service", Container("101")),
    // In a cgroup namespace the path begins at the reader's own cgroup.
    ("beside the reader", "0::/../cri-containerd-ID.scope", Container("ID")),
    (
        "in another pod",
        "0::/../../../kubepods-burstable.slice/kubepods-burstable-POD.slice/crio-ID.scope",
        Container("ID"),
    ),
    ("of Docker, beside the reader, v1", "4:memory:/../ID\n0::/../ID", Container("ID")),
];

#[test]
fn each_engine_s_containers_are_recognised() {
    for (origin, lines, wanted) in CONTAINERS {
        check(origin, lines, wanted);
    }
}

/// What is below a container, whoever is in it has named.
#[test]
fn the_outermost_container_counts() {
    let rows: [Row; 12] = [
        ("systemd in Docker", "0::/docker/ID/system.slice/web.service", Container("ID")),
        (
            "systemd in Docker, a login",
            "0::/docker/ID/user.slice/user-0.slice/session-1.scope",
            Container("ID"),
        ),
        ("systemd in Docker, its manager", "0::/system.slice/docker-ID.scope/init.scope", Container("ID")),
        (
            "systemd in Podman",
            "0::/machine.slice/libpod-ID.scope/container/system.slice/sshd.service",
            Container("ID"),
        ),
        (
            "systemd in a pod",
            "0::/kubepods.slice/kubepods-POD.slice/cri-containerd-ID.scope/system.slice/a.service",
            Container("ID"),
        ),
        ("Docker in Docker", "0::/docker/ID/docker/OTHER", Container("ID")),
        ("Docker in Docker, systemd", "0::/system.slice/docker-ID.scope/docker/OTHER", Container("ID")),
        ("Docker in a pod", "0::/kubepods/burstable/POD/ID/docker/OTHER", Container("ID")),
        (
            "kind",
            "0::/docker/ID/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-POD.slice/cri-containerd-OTHER.scope",
            Container("ID"),
        ),
        ("k3d", "0::/docker/ID/kubepods/besteffort/POD/OTHER", Container("ID")),
        ("Docker in LXC", "0::/lxc.payload.ci/system.slice/docker-OTHER.scope", Container("ci")),
        ("a name that somebody made up", "0::/docker/ID/cri-containerd-OTHER.scope", Container("ID")),
    ];
    for (origin, lines, wanted) in rows {
        check(origin, lines, wanted);
    }
}

#[test]
fn what_only_looks_like_a_container_is_none() {
    let rows: [Row; 24] = [
        ("BuildKit's steps", "0::/docker/buildx/q5bs4y0lxl6g1wqxbfnrdc0bk", Nobody),
        ("BuildKit's steps, v1", "4:memory:/docker/buildkit/q5bs4y0lxl6g1wqxbfnrdc0bk", Nobody),
        ("Talos, GKE", "0::/podruntime/kubelet", Nobody),
        ("Talos, containerd", "0::/podruntime/runtime", Nobody),
        ("Talos, system", "0::/system/apid", Nobody),
        ("a batch system", "4:memory:/slurm/uid_1000/job_5/step_0", Nobody),
        ("32 digits", "4:memory:/process_api/1bea803f28b597ce73db7cd0c3536d3d", Nobody),
        ("a pod", "0::/kubepods/burstable/POD", Nobody),
        ("a pod's slice", "0::/kubepods.slice/kubepods-POD.slice", Nobody),
        ("a static pod", "0::/kubepods/burstable/podb53dfa9e2dc9b890f7fadb2770857b03", Nobody),
        ("Podman's pod", "0::/machine.slice/machine-libpod_pod_ID.slice", Nobody),
        ("Podman's monitor", "0::/machine.slice/libpod-conmon-ID.scope", Service("libpod-conmon-ID.scope")),
        ("CRI-O's monitor", "0::/kubepods.slice/crio-conmon-ID.scope", Service("crio-conmon-ID.scope")),
        ("LXC's monitor", "0::/lxc.monitor.web", Nobody),
        ("LXC's monitor, Proxmox", "0::/lxc.monitor/101", Nobody),
        ("Kata's machine", "0::/kata_overhead/ID", Nobody),
        ("the engine itself", "0::/system.slice/containerd.service", Service("containerd.service")),
        ("the engine on EKS", "0::/runtime.slice/kubelet.service", Service("kubelet.service")),
        ("a digit too many", "0::/docker/IDa", Nobody),
        ("upper case", "0::/docker/4C64E1B96AD429AE508BE926D6F431FB4C64E1B96AD429AE508BE926D6F431FB", Nobody),
        ("the default namespace alone", "0::/default", Nobody),
        ("above the reader", "0::/..", Nobody),
        ("beside the reader's parent", "0::/../..", Nobody),
        ("the root", "0::/\n1:name=systemd:/", Nobody),
    ];
    for (origin, lines, wanted) in rows {
        check(origin, lines, wanted);
    }
}

#[test]
fn a_service_is_named_by_its_outermost_unit_and_a_login_is_none() {
    let user = "0::/user.slice/user-1000.slice/user@1000.service";
    let rows = [
        ("a service", "0::/system.slice/cron.service".to_owned(), Service("cron.service")),
        ("its own groups", "0::/system.slice/nginx.service/workers".to_owned(), Service("nginx.service")),
        (
            "in a slice",
            "0::/system.slice/system-getty.slice/getty@tty1.service".to_owned(),
            Service("getty@tty1.service"),
        ),
        (
            "nspawn",
            "0::/machine.slice/systemd-nspawn@web.service/payload/system.slice/db.service".to_owned(),
            Service("systemd-nspawn@web.service"),
        ),
        (
            "a machine",
            "0::/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator".to_owned(),
            Service("machine-qemu\\x2d1\\x2dvm.scope"),
        ),
        ("the manager", "0::/init.scope".to_owned(), Service("init.scope")),
        ("a user's service", format!("{user}/app.slice/db.service"), Service("db.service")),
        ("a terminal", format!("{user}/app.slice/app-org.terminal.slice/vte-spawn-1.scope"), Nobody),
        ("a user's manager", user.to_owned(), Nobody),
        ("a login", "0::/user.slice/user-1000.slice/session-3.scope".to_owned(), Nobody),
        ("a slice", "0::/system.slice".to_owned(), Nobody),
        (
            "in a cgroup namespace",
            "0::/../../../../system.slice/cron.service".to_owned(),
            Service("cron.service"),
        ),
    ];
    for (origin, lines, wanted) in rows {
        check(origin, &lines, wanted);
    }
}

#[test]
fn the_line_that_names_the_owner_counts_and_not_the_longest() {
    let long = "a-service-whose-name-is-longer-than-the-path-of-a-container-with-its-64-digits.service";
    let rows = [
        ("Docker, v1", "12:pids:/docker/ID\n11:memory:/docker/ID\n1:name=systemd:/docker/ID\n0::/system.slice/containerd.service".to_owned(), Container("ID")),
        ("Docker, v1, the daemon's unit", "9:perf_event:/docker/ID\n1:name=systemd:/system.slice/docker.service".to_owned(), Container("ID")),
        ("Docker, some controllers only", "13:pids:/\n12:hugetlb:/\n10:perf_event:/docker/ID\n1:name=systemd:/".to_owned(), Container("ID")),
        ("a long service", format!("4:memory:/docker/ID\n1:name=systemd:/system.slice/{long}"), Container("ID")),
        ("a long login", format!("0::/docker/ID\n1:name=systemd:/user.slice/user-1000.slice/{long}.slice/session-3.scope"), Container("ID")),
        ("two containers", "4:memory:/docker/OTHER/and/much/more\n0::/docker/ID".to_owned(), Container("ID")),
        ("a service, v1", format!("4:memory:/system.slice/{long}\n1:name=systemd:/system.slice/cron.service"), Service("cron.service")),
        ("hybrid", "4:memory:/system.slice/x.service\n1:name=systemd:/system.slice/x.service\n0::/system.slice/x.service".to_owned(), Service("x.service")),
        ("nothing but a controller", "4:memory:/docker/buildx/abc\n0::/".to_owned(), Nobody),
    ];
    for (origin, lines, wanted) in rows {
        check(origin, &lines, wanted);
    }
    let path = |lines: &str| cgroup_path(lines.as_bytes());
    assert_eq!(path("5:cpu:/a\n4:memory:/a/b\n0::/\n").as_deref(), Some("/a/b"));
    assert_eq!(path("5:cpu:/a/b/c\n0::/x\n").as_deref(), Some("/x"), "v2 first");
    assert_eq!(path("0::/../../pod1/x:y\n").as_deref(), Some("/../../pod1/x:y"));
    assert_eq!(path("0::/\n"), None);
    assert_eq!(path("nonsense\n::\n0:"), None);
}

#[test]
fn an_id_is_64_digits_and_nothing_else() {
    assert_eq!(container_id(&format!("crio-conmon-{ID}.scope")), None);
    assert_eq!(container_id(&format!("libpod-conmon-{ID}")), None);
    assert_eq!(container_id(&format!("slice:engine:{ID}")), Some(ID));
    for text in ["", "-", "abc", &ID[1..], &ID.to_uppercase(), &format!("{ID}0")] {
        assert_eq!(container_id(text), None, "{text}");
    }
}
