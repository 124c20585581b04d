//! A cluster with Zastava's images and a platform, and helpers to inspect both.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value;
use zastava_e2e::{Cluster, Lifetime, busybox_image, write_archive};
use zastava_oci::Layout;

use crate::runbook::{Block, Place, blocks};
use crate::support;

/// The release's namespace, as the runbook has it.
pub(crate) const NAMESPACE: &str = "stellaops";
/// The namespace of Authority and Scanner, which are not part of the release.
pub(crate) const PLATFORM: &str = "platform";
/// A second tag of the images, for an upgrade.
pub(crate) const NEXT_TAG: &str = "0.1.0-next";

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    /// What `cargo xtask images` wrote.
    pub(crate) images: Value,
    pub(crate) signed: Layout,
    pub(crate) unsigned: Layout,
    /// Where the runbook's commands are run. It has what they use of the repository's folder, and files
    /// that the operator brings.
    pub(crate) desk: PathBuf,
    runbook: Vec<Block>,
    /// The sections whose commands were run.
    run: RefCell<BTreeSet<String>>,
    started: Instant,
}

impl Lab {
    /// Builds the images, starts the cluster and loads it.
    pub(crate) fn start() -> Option<Self> {
        let options = support::options("story")?;
        let started = Instant::now();
        let output = images();
        // Section 7 of the runbook uses it.
        run(Command::new(env!("CARGO")).args([
            "build",
            "--quiet",
            "-p",
            "stellaops-zastava-elf",
            "--features",
            "cli",
        ]));
        let images = fs::read_to_string(output.join("images.json")).expect("images.json is there");
        let images: Value = serde_json::from_str(&images).expect("is JSON");
        let cluster = Cluster::start(&options, Lifetime::Handle).expect("the cluster starts");
        let desk = cluster.directory().join("desk");
        fs::create_dir_all(desk.join("values")).expect("is made");
        for name in ["deploy", "docs", "target"] {
            let (target, link) = (support::workspace().join(name), desk.join(name));
            std::os::unix::fs::symlink(target, link).expect("is linked");
        }
        let runbook = fs::read_to_string(support::workspace().join("docs/ops/runbook.md")).expect("is there");
        let workload = |name: &str| {
            let reference = format!("registry.sandbox.local/demo/{name}:1");
            busybox_image(&reference, &["sleep", "100000"]).expect("is made")
        };
        let (signed, unsigned) = (workload("signed"), workload("unsigned"));
        let lab = Self {
            cluster,
            images,
            signed,
            unsigned,
            desk,
            runbook: blocks(&runbook),
            run: RefCell::default(),
            started,
        };
        lab.load_images(&output);
        Some(lab)
    }

    fn load_images(&self, output: &Path) {
        for image in self.images["images"].as_array().expect("has images") {
            self.cluster.import_image(&output.join(text(&image["archive"]))).expect("is imported");
            let reference = text(&image["reference"]);
            let next = format!("{}:{NEXT_TAG}", reference.rsplit_once(':').expect("has a tag").0);
            self.tag(reference, &next);
        }
        for image in [&self.signed, &self.unsigned] {
            let archive = self.cluster.directory().join("workload.tar");
            write_archive(image, &archive).expect("is written");
            self.cluster.import_image(&archive).expect("is imported");
        }
    }

    fn tag(&self, name: &str, other: &str) {
        for node in self.cluster.nodes() {
            let mut command = self.cluster.node_command(node, "ctr").expect("the node is there");
            run(command.args(["-n", "k8s.io", "images", "tag", "--force", name, other]));
        }
    }

    /// Prints the next step and the time.
    pub(crate) fn step(&self, what: &str) {
        support::say(&format!("-- {what} ({}s)", self.started.elapsed().as_secs()));
    }

    /// `kubectl` with words that hold no spaces.
    #[track_caller]
    pub(crate) fn kubectl(&self, line: &str) -> String {
        self.try_kubectl(line).unwrap_or_else(|error| panic!("{error}"))
    }

    pub(crate) fn try_kubectl(&self, line: &str) -> Result<String, String> {
        self.cluster.kubectl(line.split_whitespace()).map_err(|error| error.to_string())
    }

    /// An object, as JSON.
    #[track_caller]
    pub(crate) fn object(&self, line: &str) -> Value {
        serde_json::from_str(&self.kubectl(&format!("get {line} -o json"))).expect("is JSON")
    }

    /// Creates the object.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &Value) {
        let path = self.desk.join("manifest.json");
        fs::write(&path, manifest.to_string()).expect("is written");
        self.kubectl(&format!("apply -f {}", path.display()));
    }

    /// Runs a script as an operator would.
    pub(crate) fn shell(&self, script: &str) -> Output {
        self.on_desk(self.cluster.command("bash"), script)
    }

    /// Runs a script on a node.
    pub(crate) fn shell_on(&self, node: &str, script: &str) -> Output {
        self.on_desk(self.cluster.node_command(node, "bash").expect("the node is there"), script)
    }

    fn on_desk(&self, mut shell: Command, script: &str) -> Output {
        let script = format!("cd {}\n{script}", self.desk.display());
        let programs = Path::new(env!("CARGO_BIN_EXE_zastava-e2e")).parent().expect("lies in a folder");
        let path = shell.get_envs().find_map(|(name, value)| (name == "PATH").then_some(value?.to_owned()));
        let path = format!("{}:{}", path.unwrap_or_default().to_string_lossy(), programs.display());
        shell.args(["-euo", "pipefail", "-c", &script]).env("PATH", path);
        shell.env("NODE", &self.cluster.nodes()[0]).env("NEW_TAG", NEXT_TAG).env("REVISION", "1");
        shell.env("SIGNED_IMAGE", self.signed.pinned()).env("UNSIGNED_IMAGE", self.unsigned.pinned());
        shell.env("PROCESS", "zastava-observer").output().expect("bash runs")
    }

    /// Runs every block of a section of the runbook, in order; what they wrote.
    #[track_caller]
    pub(crate) fn runbook(&self, section: &str) -> Vec<String> {
        let mut all = Vec::new();
        self.runbook_step_by_step(section, |_, written| all.push(written.to_owned()));
        all
    }

    /// The same; `after` is called with each block's number and what it wrote.
    #[track_caller]
    pub(crate) fn runbook_step_by_step(&self, section: &str, mut after: impl FnMut(usize, &str)) {
        let blocks: Vec<&Block> = self.runbook.iter().filter(|block| block.section == section).collect();
        assert!(!blocks.is_empty(), "the runbook has no commands in section {section}");
        for (number, block) in blocks.into_iter().enumerate() {
            after(number, &self.block(block));
        }
        self.run.borrow_mut().insert(section.to_owned());
    }

    #[track_caller]
    fn block(&self, block: &Block) -> String {
        let place = format!("runbook.md:{} (section {})", block.line, block.section);
        let output = match &block.place {
            Place::Nowhere(reason) => {
                support::say(&format!("   not run, {place}: {reason}"));
                return String::new();
            }
            Place::Node => self.shell_on(&self.cluster.nodes()[0], &block.commands),
            Place::Here | Place::Cluster => self.shell(&block.commands),
        };
        let written = both(&output);
        assert!(
            output.status.success(),
            "{place} ended with {}:\n{}\n{written}",
            output.status,
            block.commands
        );
        written
    }

    /// The sections that hold commands and were not run.
    pub(crate) fn sections_left_out(&self) -> Vec<&str> {
        let run = self.run.borrow();
        let sections = self.runbook.iter().map(|block| block.section.as_str());
        sections.filter(|section| !run.contains(*section)).collect()
    }

    /// What Scanner answers at one of the sandbox's own paths.
    pub(crate) fn scanner(&self, path: &str) -> Result<Value, String> {
        let answer = self.try_kubectl(&format!("get --raw {}", scanner_path(path)))?;
        serde_json::from_str(&answer).map_err(|error| format!("{error}: {answer}"))
    }

    /// Sends the sandbox a command, such as to be unavailable for a while.
    #[track_caller]
    pub(crate) fn tell_scanner(&self, path: &str) {
        let empty = self.desk.join("empty");
        fs::write(&empty, "").expect("is written");
        self.kubectl(&format!("create --raw {} -f {}", scanner_path(path), empty.display()));
    }

    /// The accepted events of a pod, of one kind.
    pub(crate) fn events(&self, kind: &str, pod: &str) -> Result<Vec<Value>, String> {
        let events = self.scanner("/sandbox/events")?;
        let all = events.as_array().cloned().unwrap_or_default().into_iter();
        let events = all.map(|envelope| envelope["event"].clone());
        Ok(events.filter(|event| event["kind"] == kind && event["workload"]["pod"] == pod).collect())
    }

    /// The names of a part's pods that run and are not terminating.
    pub(crate) fn pods(&self, part: &str) -> Vec<String> {
        let pods = self.object(&format!("-n {NAMESPACE} pods -l app=zastava-{part}"));
        let stays = |pod: &&Value| {
            pod["status"]["phase"] == "Running" && pod["metadata"]["deletionTimestamp"].is_null()
        };
        let pods = pods["items"].as_array().into_iter().flatten().filter(stays);
        pods.map(|pod| text(&pod["metadata"]["name"]).to_owned()).collect()
    }

    /// What a pod answers on its health port.
    pub(crate) fn health(&self, pod: &str, path: &str) -> Result<String, String> {
        let port = if pod.contains("webhook") { 9102 } else { 9101 };
        self.try_kubectl(&format!("get --raw /api/v1/namespaces/{NAMESPACE}/pods/{pod}:{port}/proxy{path}"))
    }

    /// The sum of a metric's series whose labels hold the text.
    pub(crate) fn metric(&self, pod: &str, name: &str, labels: &str) -> Result<f64, String> {
        let page = self.health(pod, "/metrics")?;
        let series = page.lines().filter(|line| line.starts_with(name) && line.contains(labels));
        let values: Vec<f64> = series.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect();
        if values.is_empty() {
            Err(format!("no series {name} with {labels}"))
        } else {
            Ok(values.iter().sum())
        }
    }
}

/// The folder of the images: the one that the variable names, or the usual one, made anew.
fn images() -> PathBuf {
    if let Some(made) = std::env::var_os("ZASTAVA_E2E_IMAGES").filter(|folder| !folder.is_empty()) {
        return support::workspace().join(made);
    }
    let output = support::workspace().join("target/images");
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(support::workspace()).args([
        "xtask",
        "images",
        "--platform",
        "linux/amd64",
        "--output",
    ]);
    run(build.arg(&output));
    output
}

impl Drop for Lab {
    /// A failure that only CI sees must be explained by what CI printed.
    fn drop(&mut self) {
        if std::thread::panicking() {
            let script = "
                kubectl get pods -A -o wide
                kubectl get events -A --sort-by=.lastTimestamp | tail -n 20
                for namespace in platform stellaops; do
                  for pod in $(kubectl -n $namespace get pods -o name); do
                    echo \"== $namespace $pod\"; kubectl -n $namespace logs $pod --tail=15 || true
                  done
                done";
            support::say(&both(&self.shell(script)));
        }
    }
}

fn scanner_path(path: &str) -> String {
    format!("/api/v1/namespaces/{PLATFORM}/services/https:zastava-sandbox:8441/proxy{path}")
}

/// Checks until there is an answer. Panics with the last one at the end of the time.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, seconds: u64, mut look: impl FnMut() -> Result<T, String>) -> T {
    let start = Instant::now();
    loop {
        match look() {
            Ok(found) => return found,
            Err(last) if start.elapsed() >= Duration::from_secs(seconds) => {
                panic!("{what} did not come within {seconds} s: {last}")
            }
            Err(_) => std::thread::sleep(Duration::from_millis(200)),
        }
    }
}

pub(crate) fn both(output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    let errors = errors.split_inclusive('\n').filter(|line| !is_of_client_log(line));
    std::iter::once(&*String::from_utf8_lossy(&output.stdout)).chain(errors).collect()
}

/// Helm and kubectl log at times that a watch has ended, such as `I1129 23:03:18.295660 15846 reflector.go:664] …`.
fn is_of_client_log(line: &str) -> bool {
    line.starts_with(['I', 'W', 'E'])
        && line.get(1..5).is_some_and(|date| date.bytes().all(|byte| byte.is_ascii_digit()))
}

#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = command.output().expect("the program runs");
    assert!(output.status.success(), "{command:?} ended with {}:\n{}", output.status, both(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no text"))
}
