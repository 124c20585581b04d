//! The containerd source against a private containerd, with an image that the test makes.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use zastava_core::contract::{EventKind, RuntimeEvent};
use zastava_core::image::Digest;
use zastava_core::vocabulary::Engine;

use crate::support::{Process, Running, Stage, readelf_build_id, skip, sleep_path, within};

const IMAGE: &str = "docker.io/local/demo:1";
const BUSYBOX: &str = "/bin/busybox";
const SLEEP: [&str; 3] = [BUSYBOX, "sleep", "300"];

/// containerd with its own root, state and socket. It ends with the test, and so do its containers.
struct Containerd {
    child: Child,
    directory: PathBuf,
    containers: Vec<String>,
}

impl Containerd {
    async fn start(directory: &Path) -> Self {
        fs::create_dir_all(directory).expect("a directory");
        let text = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n\
             [grpc]\n  address = \"{}\"\n",
            text("root"),
            text("run"),
            text("containerd.sock")
        );
        fs::write(directory.join("config.toml"), config).expect("can be written");
        let log = fs::File::create(directory.join("log")).expect("can be made");
        let child = Command::new("containerd")
            .arg("--config")
            .arg(directory.join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("is installed");
        let containerd = Self { child, directory: directory.to_owned(), containers: Vec::new() };
        within(async {
            // It does not announce that it is ready.
            while !containerd.try_ctr(&["version"]) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        containerd
    }

    fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.args(["--timeout", "20s", "-n", &namespace(), "-a"]).arg(self.socket()).args(arguments);
        command
    }

    fn try_ctr(&self, arguments: &[&str]) -> bool {
        self.command(arguments).output().is_ok_and(|output| output.status.success())
    }

    fn ctr(&self, arguments: &[&str]) {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("is installed");
        assert!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Runs a container in the background and returns the pid of its main process.
    fn run(&mut self, id: &str, arguments: &[&str]) -> u32 {
        self.containers.push(id.to_owned());
        let log = self.directory.join(format!("{id}.log"));
        let uri = format!("file://{}", log.display());
        let fixed = ["run", "-d", "--snapshotter", "native", "--log-uri", &uri, IMAGE, id];
        self.ctr(&[&fixed, arguments].concat());
        let output = self.command(&["task", "ls"]).output().expect("is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with(id)).expect("is listed");
        line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("has a pid")
    }

    /// Restarts it as after a crash: its containers keep running.
    async fn restart_after(mut self, meanwhile: impl FnOnce()) -> Self {
        let containers = std::mem::take(&mut self.containers);
        let directory = self.directory.clone();
        drop(self);
        meanwhile();
        let mut again = Self::start(&directory).await;
        again.containers = containers;
        again
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for id in &self.containers {
            self.try_ctr(&["task", "rm", "-f", id]);
            self.try_ctr(&["container", "rm", id]);
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !self.containers.is_empty() {
            remove_leftovers();
        }
    }
}

/// No other run uses the same name.
fn container_name(part: &str) -> String {
    format!("zastava-{}-{part}", std::process::id())
}

/// No other run uses the same namespace.
fn namespace() -> String {
    format!("zastava-test-{}", std::process::id())
}

/// runc leaves the namespace's cgroups and its own directory behind: empty ones, or the removal fails.
fn remove_leftovers() {
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let parents = hierarchies.chain(["/sys/fs/cgroup".into(), "/run/containerd/runc".into()]);
    for parent in parents {
        let _ = fs::remove_dir(parent.join(namespace()));
    }
}

fn is_possible() -> bool {
    let missing = ["containerd", "ctr", "runc"]
        .iter()
        .find(|tool| Command::new(tool).arg("--version").output().is_err());
    if !rustix::process::geteuid().is_root() {
        skip("a private containerd needs root");
    } else if let Some(tool) = missing {
        skip(&format!("{tool} is not installed"));
    } else if !Path::new(BUSYBOX).exists() {
        skip("busybox-static is not installed");
    } else {
        return true;
    }
    false
}

/// An OCI image layout with one layer that holds busybox, as a tar archive.
fn make_image(directory: &Path) -> PathBuf {
    let (layer, layout) = (directory.join("layer"), directory.join("layout"));
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(layer.join("bin")).expect("a directory");
    fs::create_dir_all(&blobs).expect("a directory");
    fs::copy(BUSYBOX, layer.join("bin/busybox")).expect("can be copied");
    fs::set_permissions(layer.join("bin/busybox"), fs::Permissions::from_mode(0o755)).expect("is ours");
    let packed = directory.join("layer.tar");
    tar(&packed, &layer);
    let put = |content: &[u8]| {
        let digest = Digest::of(content);
        let name = digest.to_string().replace("sha256:", "");
        fs::write(blobs.join(name), content).expect("can be written");
        json!({"digest": digest, "size": content.len()})
    };
    let described = |media_type: &str, mut blob: Value| {
        blob["mediaType"] = media_type.into();
        blob
    };
    let layer = put(&fs::read(&packed).expect("is there"));
    let config = json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", put(config.to_string().as_bytes())),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    let mut entry =
        described("application/vnd.oci.image.manifest.v1+json", put(manifest.to_string().as_bytes()));
    entry["annotations"] = json!({"io.containerd.image.name": IMAGE});
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .expect("is ours");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("is ours");
    let archive = directory.join("image.tar");
    tar(&archive, &layout);
    archive
}

fn tar(archive: &Path, directory: &Path) {
    let status = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(directory).arg(".").status();
    assert!(status.expect("is installed").success());
}

/// An observer that looks for containerd at this socket.
fn observe(stage: &Stage, socket: &Path) -> Running {
    Running::start(stage.options_at(socket, &[("zastava.observer.engine", "auto")]))
}

fn import_image(containerd: &Containerd, directory: &Path) {
    let archive = make_image(directory).display().to_string();
    containerd.ctr(&["images", "import", "--snapshotter", "native", &archive]);
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
    import_image(&containerd, &directory);
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
    import_image(&containerd, &directory);
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
