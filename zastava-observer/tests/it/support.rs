//! Shared by the tests: a sandbox, an observer in this process, and processes to observe.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use tokio::task::JoinHandle;
use zastava_core::config::{Configuration, Origin};
use zastava_core::contract::{EventKind, Evidence, RuntimeEvent};
use zastava_core::program::{Health, Shutdown};
use zastava_core::telemetry::Telemetry;
use zastava_observer::{Accounting, AccountingHandle, App, Error, Events, ObserverOptions};
use zastava_sandbox::{Sandbox, SandboxOptions};

/// No test waits longer. A test comes near it only if something is broken.
const PATIENCE: Duration = Duration::from_secs(90);

/// Short intervals, and no fixed port that another test may use.
pub(crate) const QUICK: [(&str, &str); 8] = [
    ("zastava.observer.nodeName", "node-1"),
    ("zastava.observer.pollInterval", "100ms"),
    ("zastava.observer.publishFlushIntervalSeconds", "50ms"),
    ("zastava.observer.backoff.initial", "20ms"),
    ("zastava.observer.backoff.max", "100ms"),
    ("zastava.observer.limits.eventsPerSecond", "10000"),
    ("zastava.observer.limits.burst", "10000"),
    ("zastava.observer.health.listen", "127.0.0.1:0"),
];

pub(crate) async fn within<T>(wait: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, wait).await.expect("what is waited for comes")
}

/// Writes past the capture of the test runner, which would hide the line of a test that passes.
pub(crate) fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

pub(crate) fn skip(reason: &str) {
    note(&format!("SKIP: {reason}"));
}

/// A sandbox with a directory of its own.
pub(crate) struct Stage {
    pub(crate) sandbox: Sandbox,
    pub(crate) directory: TempDir,
}

impl Stage {
    pub(crate) async fn start() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let options = SandboxOptions::new(directory.path().join("sandbox"));
        let sandbox = Sandbox::start(options).await.expect("starts");
        Self { sandbox, directory }
    }

    pub(crate) fn yaml(&self) -> String {
        self.sandbox.configuration("acme")
    }

    /// The observer's options: the sandbox's, then `QUICK`, then `settings`.
    pub(crate) fn options(&self, settings: &[(&str, &str)]) -> ObserverOptions {
        read(&self.yaml(), settings)
    }

    /// The same, with containerd expected at this socket.
    pub(crate) fn options_at(&self, socket: &Path, settings: &[(&str, &str)]) -> ObserverOptions {
        let mut options = self.options(settings);
        socket.clone_into(&mut options.endpoints[0].socket);
        options
    }
}

pub(crate) fn read(yaml: &str, settings: &[(&str, &str)]) -> ObserverOptions {
    let mut config = Configuration::from_yaml(yaml, Path::new("zastava.yaml"));
    for (key, value) in QUICK.iter().chain(settings) {
        config.set(key, value, &Origin::Flag("--set".to_owned()));
    }
    match config.read(ObserverOptions::read) {
        Ok((options, _)) => options,
        Err(faults) => panic!("{faults}"),
    }
}

/// An observer in this process.
pub(crate) struct Running {
    pub(crate) events: Events,
    pub(crate) accounting: AccountingHandle,
    pub(crate) telemetry: Telemetry,
    pub(crate) health: Health,
    /// The events that were read so far.
    seen: Vec<Arc<RuntimeEvent>>,
    shutdown: Shutdown,
    task: JoinHandle<Result<(), Error>>,
}

impl Running {
    pub(crate) fn start(options: ObserverOptions) -> Self {
        let telemetry = Telemetry::new(&options.runtime, "0.0.0", "test");
        let health = Health::new();
        let app = App::build(options, &telemetry, &health).expect("can be built");
        let (events, accounting, shutdown) = (app.events(), app.accounting(), Shutdown::new());
        let task = tokio::spawn(app.run(shutdown.clone()));
        Self { events, accounting, telemetry, health, seen: Vec::new(), shutdown, task }
    }

    /// The next event of that kind for that process.
    pub(crate) async fn event(&mut self, kind: EventKind, pid: u32) -> Arc<RuntimeEvent> {
        within(async {
            loop {
                let event = self.events.next().await.expect("the observer runs");
                self.seen.push(Arc::clone(&event));
                if is_of(&event, kind, pid) {
                    return event;
                }
            }
        })
        .await
    }

    /// The event that says how the workload's image is signed.
    pub(crate) async fn status(&mut self, of: &zastava_core::contract::Workload) -> Arc<RuntimeEvent> {
        within(async {
            loop {
                let event = self.events.next().await.expect("the observer runs");
                self.seen.push(Arc::clone(&event));
                if event.kind == EventKind::AttestationStatus && event.workload == *of {
                    return event;
                }
            }
        })
        .await
    }

    /// The event of drift of this container that names the file.
    pub(crate) async fn drift(&mut self, container: &str, path: &str) -> Arc<RuntimeEvent> {
        within(async {
            loop {
                let event = self.events.next().await.expect("the observer runs");
                self.seen.push(Arc::clone(&event));
                let is_of = event
                    .workload
                    .container_id
                    .as_deref()
                    .is_some_and(|id| id.ends_with(&format!("/{container}")));
                let names = |evidence: &Evidence| evidence.value.ends_with(&format!(": {path}"));
                if event.kind == EventKind::Drift && is_of && event.evidence.iter().any(names) {
                    return event;
                }
            }
        })
        .await
    }

    /// The events that were read so far, in their order.
    pub(crate) fn seen(&self) -> &[Arc<RuntimeEvent>] {
        &self.seen
    }

    /// The event of that kind for that process, whether it was read before or is the next.
    pub(crate) async fn event_again(&mut self, kind: EventKind, pid: u32) -> Arc<RuntimeEvent> {
        match self.seen.iter().find(|event| is_of(event, kind, pid)) {
            Some(event) => Arc::clone(event),
            None => self.event(kind, pid).await,
        }
    }

    /// The start events of these processes, in whatever order they come. `comes` hears of each.
    pub(crate) async fn events_of<const N: usize>(
        &mut self,
        pids: [u32; N],
        comes: impl Fn(u32),
    ) -> [Arc<RuntimeEvent>; N] {
        let mut missing: Vec<u32> = pids.to_vec();
        within(async {
            while !missing.is_empty() {
                let event = self.events.next().await.expect("the observer runs");
                self.seen.push(Arc::clone(&event));
                missing.retain(|pid| {
                    !is_of(&event, EventKind::ContainerStart, *pid) || {
                        comes(*pid);
                        false
                    }
                });
            }
        })
        .await;
        let find = |pid| self.seen.iter().find(|event| is_of(event, EventKind::ContainerStart, pid));
        pids.map(|pid| Arc::clone(find(pid).expect("is not missing")))
    }

    /// Ends the observer, which sends what it can, and returns its accounting.
    pub(crate) async fn end(self) -> Accounting {
        self.shutdown.begin();
        within(self.task).await.expect("does not panic").expect("no part fails");
        let accounting = self.accounting.current();
        assert!(accounting.is_balanced(), "{accounting:?}");
        accounting
    }
}

fn is_of(event: &RuntimeEvent, kind: EventKind, pid: u32) -> bool {
    event.kind == kind && event.process.as_ref().is_some_and(|process| process.pid == pid)
}

/// A process of the test's own, ended with the test.
pub(crate) struct Process(Child);

/// A program that repeats its lines, such as `cat`. It has answered once, so everything that it needs to run is loaded.
pub(crate) struct Echo(Process);

impl Echo {
    /// Starts it in a process group of its own.
    pub(crate) fn start(mut command: Command) -> std::io::Result<Self> {
        let command = command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Process(command.spawn()?);
        let (mut stdin, stdout) = (process.0.stdin.take().expect("is piped"), process.0.stdout.take());
        writeln!(stdin, "ready")?;
        let mut answer = String::new();
        BufReader::new(stdout.expect("is piped")).read_line(&mut answer)?;
        process.0.stdin = Some(stdin);
        match answer.trim() {
            "ready" => Ok(Self(process)),
            _ => Err(std::io::Error::other("the program does not run here")),
        }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.pid()
    }
}

impl Process {
    /// `sleep` in a process group of its own, as a shell starts a job; asleep when this returns.
    pub(crate) fn sleep(program: &Path) -> Self {
        let mut command = Command::new(program);
        command.arg("300").process_group(0).stdin(Stdio::null()).stdout(Stdio::null());
        let process = Self(command.spawn().expect("sleep can be started"));
        // `spawn` returns before the kernel has set the command line and the loader has run.
        let stat = format!("/proc/{}/stat", process.pid());
        let deadline = std::time::Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&stat).expect("runs").contains(") S ") {
            assert!(std::time::Instant::now() < deadline, "sleep never sleeps");
            std::thread::yield_now();
        }
        process
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }

    pub(crate) fn end(&mut self) {
        self.0.kill().expect("runs");
        self.0.wait().expect("ends");
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn sleep_path() -> &'static Path {
    Path::new("/bin/sleep")
}

/// What `readelf -n` prints; `None` where there is no `readelf`.
pub(crate) fn readelf_build_id(path: &str) -> Option<String> {
    let Ok(output) = Command::new("readelf").args(["-n", path]).output() else {
        skip("readelf is not installed");
        return None;
    };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let id = text.lines().find_map(|line| line.trim().strip_prefix("Build ID: ").map(str::to_owned));
    Some(id.expect("the program carries a build-id"))
}
