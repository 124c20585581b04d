//! A private containerd, and the images that its containers are made of.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use zastava_core::image::Digest;

use crate::support::{Stage, skip, within};

pub(super) const IMAGE: &str = "docker.io/local/demo:1";
pub(super) const BUSYBOX: &str = "/bin/busybox";

/// containerd with its own root, state and socket. It ends with the test, and so do its containers.
pub(super) struct Containerd {
    child: Child,
    directory: PathBuf,
    setup: Setup,
    namespace: String,
    containers: Vec<String>,
}

/// A test's stage, and a private containerd with an image; `None` where there can be none, and then it says so.
pub(super) async fn begin(image: Content) -> Option<(Stage, Containerd)> {
    if !is_possible() {
        return None;
    }
    let stage = Stage::start().await;
    let containerd = Containerd::start(&stage.directory.path().join("containerd")).await;
    containerd.import(image);
    Some((stage, containerd))
}

/// Which containerd, and how it keeps its images.
#[derive(Clone, Debug)]
pub(super) struct Setup {
    /// The folder of containerd, its shim and ctr; `None` for those that are installed.
    pub(super) programs: Option<PathBuf>,
    pub(super) snapshotter: &'static str,
}

impl Setup {
    const INSTALLED: Self = Self { programs: None, snapshotter: "native" };

    /// One of the programs, which finds the others beside it.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        if let Some(folder) = &self.programs {
            let rest = std::env::var_os("PATH").unwrap_or_default();
            let path = [folder.clone()].into_iter().chain(std::env::split_paths(&rest));
            command.env("PATH", std::env::join_paths(path).expect("has no colon"));
        }
        command
    }

    /// The version of the configuration, and in that what CRI needs to run pods in the node's network.
    fn cri(&self) -> (u8, String) {
        let snapshotter = self.snapshotter;
        let common = "disable_apparmor = true\nrestrict_oom_score_adj = true";
        let stream = "stream_server_address = \"127.0.0.1\"\nstream_server_port = \"0\"";
        match self.programs {
            None => (
                2,
                format!(
                    r#"
[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "{IMAGE}"
{common}
{stream}
[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
"#
                ),
            ),
            // containerd 2. NRI would listen at a fixed path.
            Some(_) => (
                3,
                format!(
                    r#"
[plugins."io.containerd.cri.v1.images"]
snapshotter = "{snapshotter}"
[plugins."io.containerd.cri.v1.images".pinned_images]
sandbox = "{IMAGE}"
[plugins."io.containerd.cri.v1.runtime"]
{common}
[plugins."io.containerd.grpc.v1.cri"]
{stream}
[plugins."io.containerd.nri.v1.nri"]
disable = true
"#
                ),
            ),
        }
    }
}

/// The namespace of all that CRI makes.
const CRI_NAMESPACE: &str = "k8s.io";

impl Containerd {
    pub(super) async fn start(directory: &Path) -> Self {
        let head = "version = 2\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n";
        Self::start_in(directory, Setup::INSTALLED, &namespace(), head, "").await
    }

    /// With CRI, whose containers are known by their ids.
    pub(super) async fn start_with_cri(directory: &Path) -> Self {
        Self::start_as(directory, Setup::INSTALLED).await
    }

    /// With CRI, as this setup says.
    pub(super) async fn start_as(directory: &Path, setup: Setup) -> Self {
        let (version, cri) = setup.cri();
        Self::start_in(directory, setup, CRI_NAMESPACE, &format!("version = {version}\n"), &cri).await
    }

    async fn start_in(directory: &Path, setup: Setup, namespace: &str, head: &str, cri: &str) -> Self {
        fs::create_dir_all(directory).expect("a directory");
        let text = |name: &str| directory.join(name).display().to_string();
        let config = format!(
            "{head}root = \"{}\"\nstate = \"{}\"\n[grpc]\n  address = \"{}\"\n{cri}",
            text("root"),
            text("run"),
            text("containerd.sock")
        );
        fs::write(directory.join("config.toml"), config).expect("can be written");
        let log = fs::File::create(directory.join("log")).expect("can be made");
        let child = setup
            .command("containerd")
            .arg("--config")
            .arg(directory.join("config.toml"))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("is installed");
        let (directory, namespace) = (directory.to_owned(), namespace.to_owned());
        let containerd = Self { child, directory, setup, namespace, containers: Vec::new() };
        within(async {
            // It does not announce that it is ready.
            while !containerd.try_ctr(&["version"]) {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
        containerd
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.directory.join("containerd.sock")
    }

    /// What it has used of the processors so far, without its shims.
    pub(super) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("runs");
        let fields = stat.rsplit(')').next().expect("has fields").split_ascii_whitespace();
        let ticks: u64 =
            fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("is a number")).sum();
        Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = self.setup.command("ctr");
        command.args(["--timeout", "20s", "-n", &self.namespace, "-a"]).arg(self.socket()).args(arguments);
        command
    }

    fn try_ctr(&self, arguments: &[&str]) -> bool {
        self.command(arguments).output().is_ok_and(|output| output.status.success())
    }

    pub(super) fn ctr(&self, arguments: &[&str]) {
        let output = self.command(arguments).stdin(Stdio::null()).output().expect("is installed");
        assert!(output.status.success(), "ctr {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    /// Makes an image and gives it the name [`IMAGE`], which leads to it from now on.
    pub(super) fn import(&self, content: Content) -> Digest {
        let directory = self.directory.join(format!("image-{}-{}", content.file, content.label));
        let digest = make_image(&directory, content);
        let archive = directory.join("image.tar").display().to_string();
        // containerd 2 would unpack by itself, for one snapshotter only. The option is not there before.
        let is_local = self.setup.programs.as_ref().map(|_| "--local");
        let snapshotter = ["--snapshotter", self.setup.snapshotter];
        let import: Vec<&str> = ["images", "import"].into_iter().chain(is_local).chain(snapshotter).collect();
        self.ctr(&[&import[..], &[&archive]].concat());
        // A pull leaves the image under its digest, too.
        let repository = IMAGE.split(':').next().expect("has a tag");
        self.ctr(&[&import[..], &["--digests", "--base-name", repository, &archive]].concat());
        digest
    }

    /// The main process of a container that CRI made. It ends with the test.
    pub(super) fn adopt(&mut self, id: &str) -> u32 {
        self.containers.push(id.to_owned());
        self.pid(id)
    }

    /// A container was removed by whoever made it.
    pub(super) fn forget(&mut self, id: &str) {
        self.containers.retain(|known| known != id);
    }

    /// Runs a container in the background and returns the pid of its main process.
    pub(super) fn run(&mut self, id: &str, arguments: &[&str]) -> u32 {
        self.run_with(id, &[], arguments)
    }

    /// The same, with further options of `ctr run`.
    pub(super) fn run_with(&mut self, id: &str, options: &[&str], arguments: &[&str]) -> u32 {
        self.start_only(id, options, arguments);
        self.pid(id)
    }

    /// The same for a container that may have ended when this returns.
    pub(super) fn start_only(&mut self, id: &str, options: &[&str], arguments: &[&str]) {
        self.containers.push(id.to_owned());
        let log = self.directory.join(format!("{id}.log"));
        let uri = format!("file://{}", log.display());
        let fixed = ["run", "-d", "--snapshotter", self.setup.snapshotter, "--log-uri", &uri];
        self.ctr(&[&fixed, options, &[IMAGE, id], arguments].concat());
    }

    fn pid(&self, id: &str) -> u32 {
        let output = self.command(&["task", "ls"]).output().expect("is installed");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = text.lines().find(|line| line.starts_with(id)).expect("is listed");
        line.split_whitespace().nth(1).and_then(|pid| pid.parse().ok()).expect("has a pid")
    }

    /// Restarts it as after a crash: its containers keep running.
    pub(super) async fn restart_after(mut self, meanwhile: impl FnOnce()) -> Self {
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
        remove_leftovers(&self.namespace);
    }
}

/// No other run uses the same name.
pub(super) fn container_name(part: &str) -> String {
    format!("zastava-{}-{part}", std::process::id())
}

/// No other run uses the same namespace.
fn namespace() -> String {
    format!("zastava-test-{}", std::process::id())
}

/// runc leaves the namespace's cgroups and its own directory behind: empty ones, or the removal fails.
fn remove_leftovers(namespace: &str) {
    let hierarchies =
        fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten().map(|entry| entry.path());
    let parents = hierarchies.chain(["/sys/fs/cgroup".into(), "/run/containerd/runc".into()]);
    for parent in parents {
        let _ = fs::remove_dir(parent.join(namespace));
    }
}

pub(super) fn is_possible() -> bool {
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

/// What distinguishes an image: a file in its layer, and a label in its config.
#[derive(Clone, Copy, Debug)]
pub(super) struct Content {
    pub(super) file: &'static str,
    pub(super) label: &'static str,
}

/// An OCI image layout with one layer that holds busybox, as the archive `image.tar`. Returns the manifest's digest.
fn make_image(directory: &Path, content: Content) -> Digest {
    let (layer, layout) = (directory.join("layer"), directory.join("layout"));
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(layer.join("bin")).expect("a directory");
    fs::create_dir_all(&blobs).expect("a directory");
    fs::write(layer.join("content"), content.file).expect("can be written");
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
        "architecture": "amd64", "os": "linux", "config": {"Entrypoint": [BUSYBOX, "sleep", "300"], "Labels": {"content": content.label}},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": described("application/vnd.oci.image.config.v1+json", put(config.to_string().as_bytes())),
        "layers": [described("application/vnd.oci.image.layer.v1.tar", layer)],
    });
    let manifest = manifest.to_string();
    let mut entry = described("application/vnd.oci.image.manifest.v1+json", put(manifest.as_bytes()));
    entry["annotations"] = json!({"io.containerd.image.name": IMAGE});
    fs::write(layout.join("index.json"), json!({"schemaVersion": 2, "manifests": [entry]}).to_string())
        .expect("is ours");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("is ours");
    tar(&directory.join("image.tar"), &layout);
    Digest::of(manifest.as_bytes())
}

fn tar(archive: &Path, directory: &Path) {
    let status = Command::new("tar").arg("-cf").arg(archive).arg("-C").arg(directory).arg(".").status();
    assert!(status.expect("is installed").success());
}
