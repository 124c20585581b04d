//! A private Docker Engine with its own directories and sockets, and containers without a network.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::support::{skip, within};

pub(super) const BUSYBOX: &str = "/bin/busybox";
pub(super) const IMAGE: &str = "local/demo:1";

/// Docker Engine in front of a containerd that other clients may use too. Its containers outlive it until this is dropped.
pub(super) struct DockerEngine {
    directory: PathBuf,
    child: Option<Child>,
    containerd: Child,
}

impl DockerEngine {
    /// Starts it, with an image that holds busybox alone.
    pub(super) async fn start(directory: &Path) -> Self {
        fs::create_dir_all(directory.join("layer/bin")).expect("a directory");
        let containerd = start_containerd(directory);
        let mut engine = Self { directory: directory.to_owned(), child: None, containerd };
        fs::copy(BUSYBOX, directory.join("layer/bin/busybox")).expect("can be copied");
        engine.start_again().await;
        let layer = directory.join("layer.tar");
        let packed = Command::new("tar")
            .arg("-C")
            .arg(directory.join("layer"))
            .arg("-cf")
            .arg(&layer)
            .arg(".")
            .status();
        assert!(packed.expect("is installed").success());
        let entrypoint = r#"ENTRYPOINT ["/bin/busybox","sleep"]"#;
        engine.docker(&[
            "import",
            "-c",
            entrypoint,
            "-c",
            "CMD [\"300\"]",
            &layer.display().to_string(),
            IMAGE,
        ]);
        engine
    }

    pub(super) async fn start_again(&mut self) {
        let at = |name: &str| self.directory.join(name).display().to_string();
        let log = File::options().create(true).append(true).open(at("log")).expect("can be written");
        let mut command = Command::new("dockerd");
        command.args(["--iptables=false", "--ip6tables=false", "--bridge=none", "--live-restore"]);
        command.args(["--storage-driver", "vfs", "--data-root", &at("data"), "--exec-root", &at("exec")]);
        command.args(["--containerd", &self.containerd_socket().display().to_string()]);
        command.args(["--pidfile", &at("pid"), "-H", &format!("unix://{}", at("docker.sock"))]);
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
        self.child = Some(child.expect("dockerd can be started"));
        within(async {
            while !self.try_docker(&["version"]) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }

    /// Ends it at once. Its containers run on.
    pub(super) fn kill(&mut self) {
        let mut child = self.child.take().expect("runs");
        child.kill().expect("runs");
        child.wait().expect("ends");
        fs::remove_file(self.directory.join("pid")).expect("is there");
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("docker.sock")
    }

    /// The socket of its containerd.
    pub(super) fn containerd_socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// Runs a container without a network. Returns its id.
    pub(super) fn run(&self, options: &[&str], arguments: &[&str]) -> String {
        self.docker(&[&["run", "-d", "--network", "none"], options, &[IMAGE], arguments].concat())
    }

    /// The main process of a container that runs.
    pub(super) fn pid(&self, container: &str) -> u32 {
        self.docker(&["inspect", "-f", "{{.State.Pid}}", container]).parse().expect("is a pid")
    }

    /// What the command prints.
    pub(super) fn docker(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("is installed");
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn try_docker(&self, arguments: &[&str]) -> bool {
        self.command(arguments)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .is_ok_and(|status| status.success())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("docker");
        command.arg("-H").arg(format!("unix://{}", self.socket().display())).args(arguments);
        command
    }
}

impl Drop for DockerEngine {
    fn drop(&mut self) {
        let containers = self.command(&["ps", "-aq"]).output();
        let containers = containers.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        for container in containers.unwrap_or_default().lines() {
            self.try_docker(&["rm", "-f", container]);
        }
        // Either may have ended already.
        for child in self.child.iter_mut().chain([&mut self.containerd]) {
            let _ = child.kill();
            let _ = child.wait();
        }
        // Docker mounts its data on itself, and a Docker that is killed leaves that behind.
        let data = self.directory.join("data");
        let _ = rustix::mount::unmount(&data, rustix::mount::UnmountFlags::DETACH);
        // Empty ones, or the removal fails.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join("docker"));
        }
    }
}

/// Starts a containerd without CRI. Docker uses its namespace `moby`.
fn start_containerd(directory: &Path) -> Child {
    let at = |name: &str| directory.join(name).display().to_string();
    let config = format!(
        "version = 2\nroot = {:?}\nstate = {:?}\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\naddress = {:?}\n",
        at("containerd-root"),
        at("containerd-state"),
        at("containerd.sock"),
    );
    fs::write(at("containerd.toml"), config).expect("can be written");
    let log = File::create(at("containerd.log")).expect("can be written");
    let mut command = Command::new("containerd");
    command.args(["--config", &at("containerd.toml")]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn();
    child.expect("containerd can be started")
}

pub(super) fn is_possible() -> bool {
    let missing = ["dockerd", "docker", "containerd", "runc"]
        .iter()
        .find(|tool| Command::new(tool).arg("--version").output().is_err());
    if !rustix::process::geteuid().is_root() {
        skip("a private Docker Engine needs root");
    } else if let Some(tool) = missing {
        skip(&format!("{tool} is not installed (Debian: docker.io)"));
    } else if !Path::new(BUSYBOX).exists() {
        skip("busybox-static is not installed");
    } else {
        return true;
    }
    false
}
