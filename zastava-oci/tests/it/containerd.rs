//! containerd imports what is written, and runs it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;
use zastava_oci::{Compression, ImageBuilder, Layout, Platform};

use crate::skip::{is_installed, skip};

const BUSYBOX: &str = "/bin/busybox";
const START_MAX: Duration = Duration::from_secs(60);

/// containerd with its own root, state and socket, gone with the test.
struct Containerd {
    child: Child,
    folder: TempDir,
    /// No other run, and no other test, has the same.
    namespace: String,
}

impl Containerd {
    fn start(test: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name).display().to_string();
        let config = format!(
            "version = 2\nroot = \"{}\"\nstate = \"{}\"\ndisabled_plugins = [\"io.containerd.grpc.v1.cri\"]\n[grpc]\n  address = \"{}\"\n",
            path("root"),
            path("run"),
            path("containerd.sock")
        );
        fs::write(path("config.toml"), config).expect("can be written");
        let log = fs::File::create(path("log")).expect("can be made");
        let child = Command::new("containerd")
            .args(["--config", &path("config.toml")])
            .stderr(log)
            .stdout(Stdio::null())
            .spawn();
        let namespace = format!("zastava-oci-{test}-{}", std::process::id());
        let containerd = Self { child: child.expect("is installed"), folder, namespace };
        let began = Instant::now();
        // It tells nobody when it is ready.
        while !containerd.command(&["version"]).output().is_ok_and(|output| output.status.success()) {
            assert!(began.elapsed() < START_MAX, "containerd does not start: {}", containerd.log());
            thread::sleep(Duration::from_millis(50));
        }
        containerd
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> String {
        fs::read_to_string(self.path("log")).unwrap_or_default()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        command
            .args(["--timeout", "20s", "-n", &self.namespace, "-a"])
            .arg(self.path("containerd.sock"))
            .args(arguments);
        command.stdin(Stdio::null());
        command
    }

    fn ctr(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("is installed");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "ctr {arguments:?}: {}\n{}", text(&output.stderr), self.log());
        text(&output.stdout)
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // runc leaves the namespace's cgroups and its own folder behind: empty ones, or the removal fails.
        let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
        let parents = hierarchies.map(|entry| entry.path());
        for parent in parents.chain(["/sys/fs/cgroup".into(), "/run/containerd/runc".into()]) {
            let _ = fs::remove_dir(parent.join(&self.namespace));
        }
    }
}

/// Also says so when it is not.
fn is_possible(what: &str) -> bool {
    let missing = [
        (!is_root(), "needs root"),
        (!is_installed("containerd") || !is_installed("ctr"), "containerd is not installed"),
    ];
    match missing.iter().find(|(missing, _)| *missing) {
        Some((_, why)) => skip(&format!("{what}: {why}")),
        None => return true,
    }
    false
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0)
}

#[test]
fn containerd_lists_the_name_the_digest_and_both_platforms() {
    if !is_possible("images imported into containerd") {
        return;
    }
    let containerd = Containerd::start("import");
    let archive = containerd.path("hello.tar");
    let of = |platform: Platform| {
        ImageBuilder::new("registry.internal/demo/hello:1")
            .program("/hello", platform.to_string())
            .platform(platform)
    };
    let layout = Layout::build([Platform::LINUX_AMD64, Platform::LINUX_ARM64].map(of)).expect("can be made");
    layout.write_archive(&archive).expect("can be written");
    let archive = archive.display().to_string();
    let import =
        ["images", "import", "--all-platforms", "--digests", "--base-name", "registry.internal/demo/hello"];
    containerd.ctr(&[&import[..], &[&archive]].concat());
    let list = containerd.ctr(&["images", "list"]);
    for name in [layout.reference(), layout.pinned()] {
        let line = list
            .lines()
            .find(|line| line.starts_with(&format!("{name} ")))
            .unwrap_or_else(|| panic!("{name} in {list}"));
        assert!(line.contains(&layout.digest().to_string()), "{line}");
        assert!(line.contains("linux/amd64,linux/arm64"), "{line}");
    }
    let check = containerd.ctr(&["images", "check"]);
    assert!(check.lines().filter(|line| line.contains("complete (")).count() >= 2, "{check}");
}

#[test]
fn a_container_runs_as_the_image_says() {
    if !is_possible("images run by containerd") {
        return;
    }
    if !Path::new(BUSYBOX).exists() || !is_installed("runc") {
        return skip("images run by containerd: needs busybox-static and runc");
    }
    let containerd = Containerd::start("run");
    let program = fs::read(BUSYBOX).expect("can be read");
    for (name, compression) in [("gzip", Compression::Gzip), ("plain", Compression::None)] {
        let reference = format!("registry.internal/demo/busybox:{name}");
        let layout = ImageBuilder::new(&reference)
            .compression(compression)
            .program("/usr/local/bin/busybox", program.clone())
            .command([
                "sh",
                "-c",
                "id; pwd; echo $GREETING; busybox stat -c '%a %u:%g %Y' /usr/local/bin/busybox",
            ])
            .env("PATH", "/usr/local/bin")
            .env("GREETING", "good day")
            .working_directory("/usr")
            .user(65532, 65533)
            .build()
            .expect("can be made");
        let archive = containerd.path(name);
        layout.write_archive(&archive).expect("can be written");
        containerd.ctr(&["images", "import", "--snapshotter", "native", &archive.display().to_string()]);
        let said = containerd.ctr(&[
            "run",
            "--rm",
            "--snapshotter",
            "native",
            &reference,
            &format!("zastava-oci-{name}"),
        ]);
        assert_eq!(said, "uid=65532 gid=65533 groups=65533\n/usr\ngood day\n755 0:0 0\n");
    }
}
