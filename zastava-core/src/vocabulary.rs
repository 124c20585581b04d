//! The words of a runtime event, each listed once with its meaning.
//!
//! Engines, platforms, evidence signals, provenance and annotation keys are closed lists for a
//! writer and open ones for a reader: this release writes no other words than those below, while an event from
//! another release may hold more. So each list is an enum with a strict [`FromStr`](std::str::FromStr),
//! and the wire contract holds a [`Word`], which keeps a word that is not listed as it is.
//! `docs/vocabulary.md` lists the words for operators; a test keeps it in step.
//!
//! ```
//! use zastava_core::vocabulary::{Engine, Word};
//!
//! assert_eq!("cri-o".parse(), Ok(Engine::CriO));
//! assert_eq!("podman".parse::<Engine>().unwrap_err().to_string(), "not a listed engine");
//!
//! let word: Word<Engine> = serde_json::from_str("\"podman\"")?;
//! assert_eq!((word.listed(), word.to_string().as_str()), (None, "podman"));
//! # Ok::<(), serde_json::Error>(())
//! ```

mod declare;
mod word;

pub use word::{UnlistedWord, Word};

use crate::config::SettingValue;
use declare::vocabulary;

vocabulary! {
    /// What runs the workloads of a node.
    pub enum Engine("engine") {
        Containerd = "containerd", "containerd";
        CriO = "cri-o", "CRI-O";
        Docker = "docker", "Docker Engine";
        Host = "host", "the node itself: its services, scopes and sessions";
    }
}

impl SettingValue for Engine {
    const FORM: &'static str = "containerd, cri-o, docker or host";

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }

    fn show(&self) -> String {
        self.to_string()
    }
}

vocabulary! {
    /// What a workload belongs to.
    pub enum Platform("platform") {
        Kubernetes = "kubernetes", "a container of a Kubernetes pod";
        Docker = "docker", "a container that Docker Engine started";
        Vm = "vm", "neither: a service, scope or session of the machine, or a container that has no pod and is not Docker's";
    }
}

vocabulary! {
    /// Where a fact of an event came from, or what is missing when the value holds a reason.
    pub enum Signal("signal") {
        ContainerdContainer = "containerd.container",
            "containerd's record of the container: its containerd namespace, or why the record was not read";
        ContainerdImage = "containerd.image", "containerd's record of the image: why the image has no digest";
        SpecProgram = "spec.program",
            "the program that the container's specification names: why it was not found before the container started";
        DockerContainer = "docker.container",
            "Docker Engine's record of the container: the container's name, or why the record was not read, or why the pid is not known";
        DockerImage = "docker.image", "Docker Engine's record of the image: why the image has no digest, and the image's id";
        CrioContainer = "cri-o.container",
            "CRI-O's record of the container: its pod sandbox, or why the record or the pid was not read";
        CrioImage = "cri-o.image", "CRI-O's record of the image: why the image has no digest, and the image's id";
        ProcfsScan = "procfs.scan", "the scan of `/proc` that found the workload: the name of its main process";
        Proc = "proc", "the main process as a whole: why nothing of it was read, or what it looks like";
        ProcStat = "proc.stat", "`/proc/<pid>/stat`: that the process ended while it was read";
        ProcCgroup = "proc.cgroup",
            "`/proc/<pid>/cgroup`: that it does not show whether the process belongs to the workload";
        ProcCmdline = "proc.cmdline", "`/proc/<pid>/cmdline`: why the arguments are missing";
        ProcExe = "proc.exe", "`/proc/<pid>/exe`: the executable's path, or why it is missing";
        ProcExeDeleted = "proc.exe.deleted", "the path of an executable that was deleted while it runs";
        ProcRoot = "proc.root", "`/proc/<pid>/root`: why the libraries have neither build-id nor hash";
        ProcfsMaps = "procfs.maps", "`/proc/<pid>/maps`: which libraries or which of their facts are missing";
        ProcMountinfo = "proc.mountinfo",
            "`/proc/<pid>/mountinfo`: which file that runs is on another mount than the root, or why the files were not compared with the image";
        OverlayUpper = "overlay.upper",
            "the writable layer of overlayfs: which file that runs is in it, and whether the image has it";
        FileTimes = "file.times",
            "when a file was made and changed: which file that runs is younger than the container";
        ElfBuildId = "elf.build-id",
            "the executable's build-id: why it is missing, or that programs share it which have nothing in common";
        ScannerPolicy = "scanner.policy",
            "Scanner's answer on the image: why there is none, or that it is an earlier one";
        EventSize = "event.size", "the limit of an event's size: what was left out to keep it";
    }
}

vocabulary! {
    /// How the facts of a process were obtained: the annotation `provenance` of a start.
    pub enum Provenance("provenance") {
        Observed = "observed", "read from the running program";
        ResolvedBeforeExec = "resolved-before-exec",
            "read from the file that the container was about to execute";
        Declared = "declared", "taken from the container's specification";
    }
}

vocabulary! {
    /// A key in an event's annotations.
    pub enum Annotation("annotation") {
        Amends = "amends",
            "the id of the start that this one completes: its libraries were loaded later";
        ExecId = "execId",
            "the engine's id of a process that was started in the container from outside, as `kubectl exec` and probes do";
        ExitStatus = "exitStatus", "the exit status of the main process, as the engine reported it";
        ImageEntrypoint = "imageEntrypoint",
            "program and arguments that the image declares, as a JSON array; `process.entrypoint` has those of the specification";
        Interpreter = "interpreter",
            "the language whose interpreter or virtual machine the main process is: `python`, `node`, `java`, `ruby`, `php`, `perl`, `dotnet`, `erlang`";
        InterpreterVersion = "interpreterVersion",
            "the version of it, as the names of its files tell";
        InterpretedProgram = "interpretedProgram", "the script, module, jar or class that it runs";
        ObservedEntrypoint = "observedEntrypoint",
            "program and arguments of the main process as it runs, as a JSON array";
        Provenance = "provenance", "how the facts of the main process were obtained: a word of provenance";
        Reconciled = "reconciled", "`true`: found by listing the workloads, since the engine's own event is missing";
        Suppressed = "suppressed",
            "how many events of the workload were left out before this one, since they repeated others or came too fast";
    }
}
