//! Starts, uses and removes a cluster, from outside its namespaces.

mod layout;
pub(crate) mod network;
mod pki;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use zastava_oci::LayoutReader;

pub(crate) use self::layout::Layout;
use self::layout::PAUSE_IMAGE;
use crate::cgroups;
use crate::command::{make_directory, output, output_of, wait_for, write};
use crate::images::{busybox_image, write_archive};
use crate::{Error, Tools, Versions};

/// Time for the nodes on two busy cores. Five to ten seconds are usual.
const READY_WITHIN: Duration = Duration::from_secs(120);
/// Time for a killed set of namespaces to disappear when the disk is busy.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// The hidden command by which the program runs as the control plane's first process.
const INIT_COMMAND: &str = "init-control-plane";
/// Where every node mounts directories of its own.
const MASKED: [&str; 3] = ["/run", "/var/lib", "/var/log"];

/// The arguments of `unshare` for every set of namespaces.
pub(crate) const OWN_NAMESPACES: &str = "--pid --mount --net --uts --fork --mount-proc --propagation private";

/// Describes a cluster to start.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClusterOptions {
    /// Holds all files of the cluster. Created if it is missing.
    pub directory: PathBuf,
    /// The number of nodes beside the control plane, named `n1`, `n2` and so on. The default is 2.
    pub nodes: usize,
    /// Versions other than the pinned ones.
    pub versions: Versions,
    /// The program of this crate, which is the first process of every namespace. The default is this program.
    pub program: PathBuf,
}

/// How long a cluster lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Lifetime {
    /// Until the handle is dropped or its process ends, for whatever reason.
    Handle,
    /// Until [`Cluster::remove`] or the machine's shutdown.
    Machine,
}

/// A running cluster.
#[derive(Debug)]
pub struct Cluster {
    layout: Layout,
    tools: Tools,
    nodes: Vec<String>,
    /// The control plane's first process, by its number in our process namespace.
    pid: i32,
    /// Removes the cluster when its standard input ends, which is when we do; and our child, to be
    /// reaped then.
    guard: Option<(Child, Child)>,
}

impl ClusterOptions {
    /// A control plane and two nodes of the pinned versions, below `directory`.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>) -> Self {
        Self {
            directory: directory.into(),
            nodes: 2,
            versions: Versions::default(),
            program: std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into()),
        }
    }
}

impl Cluster {
    /// Starts a cluster and waits until its nodes are ready. Whatever an earlier cluster in the
    /// directory left is removed first.
    ///
    /// # Errors
    /// If something is missing on this machine, or the nodes do not become ready.
    pub fn start(options: &ClusterOptions, lifetime: Lifetime) -> Result<Self, Error> {
        Self::check_machine()?;
        let tools = Tools::locate(&options.versions)?;
        tools.program("kube-apiserver")?;
        Self::remove(&options.directory)?;
        make_directory(&options.directory)?;
        let directory = options.directory.canonicalize().map_err(Error::file(&options.directory))?;
        if let Some(mask) = MASKED.into_iter().find(|mask| directory.starts_with(mask)) {
            return Err(Error::Masked { path: directory, mask });
        }
        if directory.as_os_str().as_encoded_bytes().iter().any(u8::is_ascii_whitespace) {
            return Err(Error::Blank { path: directory });
        }
        let layout = Layout { directory };
        let nodes: Vec<String> = (1..=options.nodes).map(|number| format!("n{number}")).collect();
        layout.write_all(&nodes, &tools)?;
        let Versions { kubernetes, containerd } = &options.versions;
        let kept = json!({"nodes": nodes, "kubernetes": kubernetes, "containerd": containerd});
        write(&layout.directory.join("cluster.json"), kept.to_string())?;

        let guard = if lifetime == Lifetime::Handle { Some(spawn_guard(&layout, options)?) } else { None };
        let init = spawn_init(&layout, options, &nodes)?;
        let pid = wait_for("the control plane's first process", GONE_WITHIN, || {
            init_of(&layout.directory).ok_or_else(|| "no such process".to_owned())
        })?;
        let cluster = Self { layout, tools, nodes, pid, guard: guard.map(|guard| (guard, init)) };
        cluster.wait_until_ready()?;
        let archive = cluster.layout.directory.join("pause.tar");
        write_archive(&busybox_image(PAUSE_IMAGE, &["sleep", "infinity"])?, &archive)?;
        cluster.import_image(&archive)?;
        Ok(cluster)
    }

    /// Checks whether this machine can start clusters.
    ///
    /// # Errors
    /// [`Error::Missing`], with what to do about it.
    pub fn check_machine() -> Result<(), Error> {
        if !rustix::process::geteuid().is_root() {
            let remedy = "namespaces and mounts need it".to_owned();
            return Err(Error::Missing { what: "root".to_owned(), remedy });
        }
        let packages = Tools::missing_packages();
        if !packages.is_empty() {
            let remedy = format!("apt-get install --no-install-recommends {}", packages.join(" "));
            return Err(Error::Missing { what: "a Debian package".to_owned(), remedy });
        }
        Ok(())
    }

    /// Keeps the cluster running without this handle, as [`Lifetime::Machine`] does.
    #[must_use]
    pub fn keep(mut self) -> Self {
        if let Some((mut guard, _)) = self.guard.take() {
            // It only waits, and holds nothing.
            let _ = guard.kill();
            let _ = guard.wait();
        }
        self
    }

    /// The cluster that runs in a directory.
    ///
    /// # Errors
    /// [`Error::Missing`] if there is none.
    pub fn find(directory: &Path) -> Result<Self, Error> {
        let missing = || Error::Missing {
            what: format!("a cluster in {}", directory.display()),
            remedy: "start it with `cargo run -p zastava-e2e -- up`".to_owned(),
        };
        let directory = directory.canonicalize().map_err(|_| missing())?;
        let pid = init_of(&directory).ok_or_else(missing)?;
        let path = directory.join("cluster.json");
        let text = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let kept: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
        let version = |name: &str| kept[name].as_str().map(str::to_owned);
        let versions = Versions { kubernetes: version("kubernetes"), containerd: version("containerd") };
        let nodes = kept["nodes"].as_array().map(Vec::as_slice).unwrap_or_default();
        let nodes = nodes.iter().filter_map(|node| node.as_str().map(str::to_owned)).collect();
        Ok(Self { layout: Layout { directory }, tools: Tools::locate(&versions)?, nodes, pid, guard: None })
    }

    /// Ends the cluster of a directory, if one runs, and removes everything it left, the directory
    /// included. Works after a crash too, and where there is nothing to do.
    ///
    /// # Errors
    /// If something cannot be removed.
    pub fn remove(directory: &Path) -> Result<(), Error> {
        let Ok(directory) = directory.canonicalize() else { return Ok(()) };
        if let Some(pid) = init_of(&directory) {
            output(Command::new("kill").args(["-KILL", &pid.to_string()]))?;
        }
        wait_for("the end of the cluster's processes", GONE_WITHIN, || {
            let left = processes_of(&directory);
            if left.is_empty() { Ok(()) } else { Err(format!("{left:?} are there")) }
        })?;
        let is_ours = directory.join("cluster.json").exists();
        let is_empty = fs::read_dir(&directory).is_ok_and(|mut entries| entries.next().is_none());
        if !is_ours && !is_empty {
            return Err(Error::Missing {
                what: format!("cluster.json in {}, which is not empty,", directory.display()),
                remedy: "name a directory that a cluster was started in, or a new one".to_owned(),
            });
        }
        let layout = Layout { directory };
        cgroups::remove(&layout.name())?;
        fs::remove_dir_all(&layout.directory).map_err(Error::file(&layout.directory))
    }

    /// The nodes' names.
    #[must_use]
    pub fn nodes(&self) -> &[String] {
        &self.nodes
    }

    /// The directory of its files, including logs.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.layout.directory
    }

    /// Runs `kubectl` and returns its standard output.
    ///
    /// # Errors
    /// If it fails. The error holds its output.
    pub fn kubectl<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String, Error> {
        output(self.command("kubectl").args(arguments))
    }

    /// Runs `helm` and returns its standard output.
    ///
    /// # Errors
    /// If it fails. The error holds its output.
    pub fn helm<S: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = S>) -> Result<String, Error> {
        output(self.command("helm").args(arguments))
    }

    /// A program in the control plane's namespaces, with `KUBECONFIG` set and the tools first on
    /// `PATH`. Its working directory is the caller's.
    #[must_use]
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid.to_string()]).args(["--mount", "--net", "--pid", "--uts"]);
        if let Ok(here) = std::env::current_dir() {
            command.arg(format!("--wdns={}", here.display()));
        }
        command.arg("--").arg(program);
        command.env("PATH", self.tools.search_path()).env("KUBECONFIG", self.layout.kubeconfig("admin"));
        // Helm keeps its caches below these.
        command.env("HOME", &self.layout.directory).env_remove("XDG_CACHE_HOME");
        command
    }

    /// A program in the namespaces of a node.
    ///
    /// # Errors
    /// [`Error::File`] if the node was never started.
    pub fn node_command(&self, node: &str, program: impl AsRef<OsStr>) -> Result<Command, Error> {
        let path = self.layout.node_pid(node);
        let pid = fs::read_to_string(&path).map_err(Error::file(&path))?;
        let mut command = self.command("nsenter");
        command.args(["--target", &pid, "--mount", "--net", "--pid", "--uts", "--"]).arg(program);
        Ok(command)
    }

    /// Loads an image archive (an OCI layout as tar) into the containerd of every node, by its tag and by
    /// its digest.
    ///
    /// # Errors
    /// If it is no image archive, or a node's containerd refuses it.
    pub fn import_image(&self, archive: &Path) -> Result<(), Error> {
        let names = image_names(archive)?;
        for node in &self.nodes {
            // Nodes have another working directory, and mounts of their own: they cannot open the path.
            let file = fs::File::open(archive).map_err(Error::file(archive))?;
            let mut command = self.node_command(node, "ctr")?;
            command.args(["--namespace", "k8s.io", "images", "import"]);
            if !self.tools.containerd_version().starts_with("1.") {
                command.arg("--local");
            }
            output_of(command.arg("-"), file)?;
            for (name, pinned) in &names {
                let mut command = self.node_command(node, "ctr")?;
                output(command.args(["--namespace", "k8s.io", "images", "tag", "--force", name, pinned]))?;
            }
        }
        Ok(())
    }

    /// The command prefix that enters the control plane's namespaces from any shell, and stays in its
    /// folder.
    #[must_use]
    pub fn entering(&self) -> String {
        format!(
            "nsenter --target {} --mount --net --pid --uts \"--wdns=$PWD\" env PATH={} KUBECONFIG={}",
            self.pid,
            self.tools.search_path(),
            self.layout.kubeconfig("admin").display()
        )
    }

    fn wait_until_ready(&self) -> Result<(), Error> {
        let outcome = wait_for("ready nodes", READY_WITHIN, || {
            let template = r#"{range .items[*]}{.status.conditions[?(@.type=="Ready")].status} {end}"#;
            let states = self.kubectl(["get", "nodes", "-o", &format!("jsonpath={template}")]);
            let states = states.map_err(|error| error.to_string())?;
            let ready = states.split_whitespace().filter(|state| *state == "True").count();
            if ready < self.nodes.len() {
                return Err(format!("{ready} nodes are ready"));
            }
            // The API server refuses Pods until it exists.
            let account = self.kubectl(["get", "serviceaccount", "default"]);
            account.map(|_| ()).map_err(|error| error.to_string())
        });
        outcome.map_err(|error| match error {
            Error::Late { what, waited, last } => {
                let logs = self.layout.directory.join("logs");
                Error::Late { what, waited, last: format!("{last}; the logs are in {}", logs.display()) }
            }
            other => other,
        })
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if let Some((mut guard, mut init)) = self.guard.take() {
            drop(guard.stdin.take());
            // The next start removes what a failed guard left.
            let _ = guard.wait();
            let _ = init.try_wait();
        }
    }
}

/// The complete names of the archive's images, each with the same image's name by digest.
fn image_names(archive: &Path) -> Result<Vec<(String, String)>, Error> {
    let layout = LayoutReader::open(archive)
        .map_err(|source| Error::Archive { path: archive.to_owned(), source: source.into() })?;
    let named = layout.entries().iter().filter_map(|entry| Some((entry.name()?, entry.digest)));
    let tagged = named.filter_map(|(name, digest)| {
        let (repository, tag) = name.rsplit_once(':')?;
        (!tag.contains('/')).then(|| (name.to_owned(), format!("{repository}@{digest}")))
    });
    Ok(tagged.collect())
}

fn spawn_init(layout: &Layout, options: &ClusterOptions, nodes: &[String]) -> Result<Child, Error> {
    let mut command = Command::new("unshare");
    command.args(OWN_NAMESPACES.split(' '));
    command.arg("--").arg(&options.program).arg(INIT_COMMAND).arg("--directory").arg(&layout.directory);
    command.args(options.versions.arguments()).args(nodes).stdin(Stdio::null());
    spawn_apart(command, &layout.log("control-plane-init"))
}

fn spawn_guard(layout: &Layout, options: &ClusterOptions) -> Result<Child, Error> {
    let mut command = Command::new(&options.program);
    command.arg("guard").arg("--directory").arg(&layout.directory).stdin(Stdio::piped());
    spawn_apart(command, Path::new("/dev/null"))
}

/// Leaves the terminal's process group: Ctrl-C is meant for the command that waits.
fn spawn_apart(mut command: Command, log: &Path) -> Result<Child, Error> {
    let file = fs::File::options().create(true).append(true).open(log).map_err(Error::file(log))?;
    let other = file.try_clone().map_err(Error::file(log))?;
    command.stdout(file).stderr(other).process_group(0);
    let program = command.get_program().to_string_lossy().into_owned();
    command.spawn().map_err(|source| Error::Start { program, source })
}

/// The first process of the cluster in `directory`: known by its command line and by being number
/// 1 where it lives, so that no file can name a process that has ended.
fn init_of(directory: &Path) -> Option<i32> {
    processes_of(directory).into_iter().find(|pid| is_first(*pid).unwrap_or(false))
}

/// The first process and `unshare`, which waits for it.
fn processes_of(directory: &Path) -> Vec<i32> {
    let is_ours = |pid: &i32| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.contains(&INIT_COMMAND.as_bytes()) && words.contains(&directory.as_os_str().as_encoded_bytes())
    };
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_ours).collect()
}

fn is_first(pid: i32) -> Option<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"))?;
    let numbers: Vec<&str> = numbers.split_whitespace().collect();
    Some(numbers.len() > 1 && numbers.last() == Some(&"1"))
}
