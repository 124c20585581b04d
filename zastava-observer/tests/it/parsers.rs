use zastava_observer::{CgroupUnit, CgroupUnitKind, Stat, cgroup_path, container_id};

const ID: &str = "4c64e1b96ad429ae508be926d6f431fb4c64e1b96ad429ae508be926d6f431fb";

#[test]
fn a_stat_line_is_read_whatever_the_program_is_called() {
    let tail = "S 1 42 40 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1000 200 18446744073709551615";
    for name in ["sleep", "a b", "evil) R 9 9", "((", ")", ""] {
        let stat = Stat::parse(format!("42 ({name}) {tail}\n").as_bytes()).expect("is a stat line");
        assert_eq!((stat.pid, stat.name.as_str(), stat.state), (42, name, 'S'));
        assert_eq!((stat.parent, stat.process_group, stat.session, stat.start_ticks), (1, 42, 40, 987_654));
        assert!(!stat.is_kernel_thread() && !stat.is_ended());
    }
    let thread =
        Stat::parse(b"2 (kthreadd) S 0 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0").expect("is one");
    assert!(thread.is_kernel_thread());
    let zombie = Stat::parse(b"7 (x) Z 1 7 7 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0").expect("is one");
    assert!(zombie.is_ended());
}

#[test]
fn what_is_no_stat_line_is_refused() {
    for text in [
        "",
        "42",
        "42 (x",
        "42 x) S",
        "x (x) S 1",
        "42 (x)",
        "42 (x) S 1 2 3 4 5 6",
        ")(",
        "4294967296 (x) S",
    ] {
        assert_eq!(Stat::parse(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn the_longest_cgroup_path_counts_on_v1_v2_and_hybrid_hosts() {
    let v1 = "12:pids:/docker/abc\n11:memory:/\n1:name=systemd:/docker/abc/init\n0::/\n";
    assert_eq!(cgroup_path(v1.as_bytes()).as_deref(), Some("/docker/abc/init"));
    assert_eq!(
        cgroup_path(b"0::/system.slice/cron.service\n").as_deref(),
        Some("/system.slice/cron.service")
    );
    assert_eq!(cgroup_path(b"0::/../../pod1/x:y\n").as_deref(), Some("/../../pod1/x:y"));
    assert_eq!(cgroup_path(b"0::/\n"), None);
    assert_eq!(cgroup_path(b"nonsense\n::\n0:"), None);
}

/// `kind name` of the unit, or nothing.
#[track_caller]
fn check_unit(path: &str, wanted: Option<(CgroupUnitKind, &str)>) {
    let unit = CgroupUnit::of(path);
    assert_eq!(unit.as_ref().map(|unit| (unit.kind, unit.name.as_str())), wanted, "{path}");
    if let Some(unit) = unit {
        assert!(path.starts_with(&unit.path), "{path} is not below {}", unit.path);
    }
}

#[test]
fn a_cgroup_path_names_its_container() {
    let rows = [
        format!("/kubepods/besteffort/pod3b1e/{ID}"),
        format!("/kubepods.slice/kubepods-pod3b1e.slice/cri-containerd-{ID}.scope"),
        format!("/kubepods.slice/kubepods-pod3b1e.slice/crio-{ID}.scope"),
        format!("/system.slice/docker-{ID}.scope"),
        format!("/docker/{ID}"),
        format!("/docker/{ID}/init"),
        format!("/kubepods-besteffort-pod3b1e.slice:cri-containerd:{ID}"),
        format!("/machine.slice/libpod-{ID}.scope/container"),
        format!("/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{ID}.scope/container"),
        format!("/system.slice/nerdctl-{ID}.scope"),
        format!("/../../../{ID}"),
        format!("/system.slice/containerd.service/kubepods-pod1.slice:cri-containerd:{ID}"),
    ];
    for path in &rows {
        check_unit(path, Some((CgroupUnitKind::Container, ID)));
    }
    let ecs = "4c64e1b96ad429ae508be926d6f431fb-2731";
    check_unit(&format!("/ecs/task/{ecs}"), Some((CgroupUnitKind::Container, ecs)));
    let garden = "f2b1c9d4-0a1b-4c2d-3e4f-5a6b";
    check_unit(&format!("/garden/{garden}"), Some((CgroupUnitKind::Container, garden)));
    check_unit("/default/my-container", Some((CgroupUnitKind::Container, "my-container")));
}

#[test]
fn a_cgroup_path_names_its_service_and_no_login() {
    check_unit("/system.slice/cron.service", Some((CgroupUnitKind::Service, "cron.service")));
    check_unit("/system.slice/nginx.service/workers", Some((CgroupUnitKind::Service, "nginx.service")));
    check_unit("/init.scope", Some((CgroupUnitKind::Service, "init.scope")));
    let user = "/user.slice/user-1000.slice/user@1000.service";
    check_unit(&format!("{user}/app.slice/db.service"), Some((CgroupUnitKind::Service, "db.service")));
    check_unit(&format!("{user}/app.slice/app-org.terminal.slice/vte-spawn-1.scope"), None);
    check_unit(user, None);
    check_unit("/user.slice/user-1000.slice/session-3.scope", None);
    check_unit("/kubepods/burstable", None);
    check_unit("/kubepods/burstable/pod3b1e", None);
    check_unit("/", None);
    check_unit("/system.slice", None);
}

#[test]
fn conmon_stands_beside_its_container() {
    assert_eq!(container_id(&format!("crio-conmon-{ID}.scope")), None);
    assert_eq!(container_id(&format!("libpod-conmon-{ID}")), None);
    let path = format!("/machine.slice/libpod-conmon-{ID}.scope");
    check_unit(&path, Some((CgroupUnitKind::Service, &format!("libpod-conmon-{ID}.scope"))));
    for text in ["", "-", "abc", &ID[1..], &ID.to_uppercase(), &format!("{ID}0")] {
        assert_eq!(container_id(text), None, "{text}");
    }
}
