//! A private containerd and its containers.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use zastava_oci::{Entry, ImageBuilder, Layout};

const IMAGE: &str = "docker.io/local/measured:1";
const BUSYBOX: &str = "/bin/busybox";

/// containerd with its own root, state and socket. Its containers are removed with it.
#[derive(Debug)]
pub(crate) struct Containerd {
    child: Child,
    directory: PathBuf,
    /// `PATH`, with the folder of the programs in front.
    path: OsString,
    namespace: String,
    snapshotter: String,
}

impl Containerd {
    pub(crate) async fn start(directory: PathBuf, programs: Option<&Path>, snapshotter: &str) -> Self {
        fs::create_dir_all(&directory).expect("can be made");
        let below = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{}\"\n",
            below("root"),
            below("run"),
            below("containerd.sock")
        );
        fs::write(directory.join("config.toml"), config).expect("can be written");
        let mut path = OsString::new();
        if let Some(programs) = programs {
            path.push(programs);
            path.push(":");
        }
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let child = spawn(&directory, &path);
        let namespace = format!("measure-{}", std::process::id());
        let containerd = Self { child, directory, path, namespace, snapshotter: snapshotter.to_owned() };
        containerd.answers().await;
        containerd.import();
        containerd
    }

    /// It does not announce that it is ready.
    async fn answers(&self) {
        while !self.try_ctr(&["version"]) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    fn import(&self) {
        let busybox = fs::read(BUSYBOX).expect("busybox-static is installed");
        let image = ImageBuilder::new(IMAGE)
            .layer([Entry::file("/content", 0o644, "measured\n")])
            .program(BUSYBOX, busybox);
        let archive = self.directory.join("image.tar");
        Layout::build([image]).expect("is an image").write_archive(&archive).expect("can be written");
        self.ctr(&["images", "import", "--snapshotter", &self.snapshotter, &archive.display().to_string()]);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("runs");
        self.child.wait().expect("ends");
    }

    pub(crate) async fn start_again(&mut self) {
        self.child = spawn(&self.directory, &self.path);
        self.answers().await;
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command.env("PATH", &self.path).args(["--timeout", "60s", "-n", &self.namespace, "-a"]);
        command.arg(self.socket()).args(arguments).stdin(Stdio::null());
        command
    }

    pub(crate) fn try_ctr(&self, arguments: &[&str]) -> bool {
        self.command(arguments).output().is_ok_and(|output| output.status.success())
    }

    pub(crate) fn ctr(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("is installed");
        assert!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Runs busybox with these arguments to its end, as a container that is removed then.
    pub(crate) fn run_to_end(&self, id: &str, arguments: &[&str]) {
        self.ctr(
            &[&["run", "--rm", "--snapshotter", &self.snapshotter, IMAGE, id, BUSYBOX], arguments].concat(),
        );
    }

    /// Starts busybox with these arguments. Whether the container could be started.
    pub(crate) fn try_start(&self, id: &str, arguments: &[&str]) -> bool {
        let log = format!("file://{}", self.directory.join("log").display());
        let fixed = ["run", "-d", "--snapshotter", &self.snapshotter, "--log-uri", &log, IMAGE, id, BUSYBOX];
        self.try_ctr(&[&fixed, arguments].concat())
    }

    pub(crate) fn remove(&self, id: &str) {
        self.try_ctr(&["task", "rm", "-f", id]);
        self.try_ctr(&["container", "rm", id]);
    }

    /// The ids of the containers that run.
    pub(crate) fn running(&self) -> Vec<String> {
        let listed = self.ctr(&["task", "ls"]);
        let running = listed.lines().filter(|line| line.ends_with("RUNNING"));
        running.filter_map(|line| Some(line.split_whitespace().next()?.to_owned())).collect()
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let listed = self.command(&["container", "ls", "-q"]).output();
        for id in String::from_utf8_lossy(&listed.map(|output| output.stdout).unwrap_or_default()).lines() {
            self.remove(id);
        }
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
        // runc leaves the namespace's cgroups and its own directory behind.
        let hierarchies =
            fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
        for parent in hierarchies.chain(["/sys/fs/cgroup".into(), "/run/containerd/runc".into()]) {
            let _ = fs::remove_dir(parent.join(&self.namespace));
        }
    }
}

fn spawn(directory: &Path, path: &OsString) -> Child {
    let log = fs::File::create(directory.join("log.txt")).expect("can be made");
    Command::new("containerd")
        .env("PATH", path)
        .arg("--config")
        .arg(directory.join("config.toml"))
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("is installed")
}
