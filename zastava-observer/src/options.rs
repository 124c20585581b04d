//! `zastava.observer`: what is watched, what is read, and how it is sent.

use std::path::{Path, PathBuf};
use std::time::Duration;

use zastava_core::config::{ByteSize, Section, SettingValue};
use zastava_core::contract::KindStyle;
use zastava_core::options::{BackendOptions, Component, HealthOptions, RuntimeOptions};
use zastava_core::vocabulary::Engine;

/// Where probes and metrics are answered when nobody says.
const HEALTH_PORT: u16 = 9101;
/// Scanner takes no more events in one batch.
const BATCH_EVENTS_MAX: usize = 256;
/// Scanner takes no more bytes in one batch.
const BATCH_BYTES_MAX: ByteSize = ByteSize::mebibytes(1);
/// Sockets where containerd is found, in the order of trying: itself, k3s, microk8s.
const CONTAINERD_SOCKETS: [&str; 3] = [
    "/var/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// Where containerd keeps images and layers when nobody says.
const RUNTIME_STATE: &str = "/var/lib/containerd";

/// Everything that the observer is told.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObserverOptions {
    /// `zastava.runtime`: who this is and where tokens come from.
    pub runtime: RuntimeOptions,
    /// The node's name; stands in every event.
    pub node_name: String,
    /// Which engine is asked for workloads.
    pub engine: EngineChoice,
    /// Sockets of container runtimes, in the order of trying.
    pub runtimes: Vec<RuntimeEndpoint>,
    /// Where the node's `/proc` is mounted.
    pub proc_root_path: PathBuf,
    /// Where the container runtime keeps images and layers.
    pub runtime_state_path: PathBuf,
    /// How often the list of workloads is compared with what is known.
    pub poll_interval: Duration,
    /// What is read of each workload.
    pub collect: CollectOptions,
    /// Where events wait for Scanner.
    pub buffer: EventBufferOptions,
    /// How events are sent.
    pub publish: PublishOptions,
    /// Where Scanner is.
    pub backend: BackendOptions,
    /// Where probes and metrics are answered.
    pub health: HealthOptions,
}

impl ObserverOptions {
    /// Reads `zastava.runtime` and `zastava.observer` below the section `zastava`.
    ///
    /// `NODE_NAME` of the environment, then the host's name, stand in for `nodeName`.
    #[must_use]
    pub fn read(root: &Section<'_>) -> Option<Self> {
        root.skip("webhook");
        let runtime = RuntimeOptions::read(&root.section("runtime")).map(as_observer);
        let section = root.section("observer");
        let engine = EngineChoice::read(&section);
        let backend = BackendOptions::read(&section.section("backend"));
        let node_name = section.value("nodeName", node_name());
        let runtimes = read_runtimes(&section);
        let proc_root_path = section.value("procRootPath", PathBuf::from("/proc"));
        let runtime_state_path = section.value("runtimeStatePath", PathBuf::from(RUNTIME_STATE));
        let poll_interval =
            section.checked("pollInterval", Duration::from_secs(2), "100ms or more", |interval| {
                *interval >= Duration::from_millis(100)
            });
        let collect = CollectOptions::read(&section.section("collect"));
        let buffer = EventBufferOptions::read(&section);
        let publish = PublishOptions::read(&section);
        let health = HealthOptions::read(&section.section("health"), HEALTH_PORT);
        refuse_posture(&section.section("posture"));
        // Before any `?`: every fault is reported, also when something required is missing.
        section.finish();
        let (runtime, backend) = (runtime?, backend?);
        Some(Self {
            runtime,
            node_name,
            engine,
            runtimes,
            proc_root_path,
            runtime_state_path,
            poll_interval,
            collect,
            buffer,
            publish,
            backend,
            health,
        })
    }

    /// The containerd sockets to try, in order.
    pub(crate) fn containerd_sockets(&self) -> Vec<PathBuf> {
        let named = self.runtimes.iter().filter(|runtime| runtime.engine == Engine::Containerd);
        named.map(|runtime| runtime.socket.clone()).collect()
    }
}

/// Which engine is asked for workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineChoice {
    /// containerd when its socket answers, else the host's processes.
    Auto,
    /// This engine.
    Only(Engine),
}

impl EngineChoice {
    fn read(section: &Section<'_>) -> Self {
        let choice = section.value("engine", Self::Auto);
        if let Self::Only(engine) = choice {
            refuse_unbuilt(engine, section);
        }
        choice
    }
}

impl SettingValue for EngineChoice {
    const FORM: &'static str = "auto, containerd, cri-o, docker or host";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "auto" => Some(Self::Auto),
            engine => engine.parse().ok().map(Self::Only),
        }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Only(engine) => engine.to_string(),
        }
    }
}

fn refuse_unbuilt(engine: Engine, section: &Section<'_>) {
    if !matches!(engine, Engine::Containerd | Engine::Host) {
        section.conflict("engine", format!("{engine} is not built yet; auto, containerd and host are"));
    }
}

/// A container runtime's socket.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RuntimeEndpoint {
    /// What listens there.
    pub engine: Engine,
    /// The Unix socket.
    pub socket: PathBuf,
}

/// `unix:///path`, the only form of endpoint.
struct UnixSocket(PathBuf);

impl SettingValue for UnixSocket {
    const FORM: &'static str = "a socket such as unix:///run/containerd/containerd.sock";

    fn parse(text: &str) -> Option<Self> {
        let path = Path::new(text.strip_prefix("unix://")?);
        path.is_absolute().then(|| Self(path.to_owned()))
    }

    fn show(&self) -> String {
        format!("unix://{}", self.0.display())
    }
}

fn read_runtimes(section: &Section<'_>) -> Vec<RuntimeEndpoint> {
    let given = section.items("runtimes", |item| match item {
        Ok(word) => {
            section.conflict("runtimes", format!("{word:?} is no section with engine and endpoint"));
            None
        }
        Err(item) => {
            let engine: Option<Engine> = item.required("engine");
            let socket: Option<UnixSocket> = item.required("endpoint");
            if let Some(engine) = engine {
                refuse_unbuilt(engine, &item);
            }
            item.finish();
            Some(RuntimeEndpoint { engine: engine?, socket: socket?.0 })
        }
    });
    if section.is_set("runtimes") {
        return given;
    }
    let known = CONTAINERD_SOCKETS.map(PathBuf::from);
    known.map(|socket| RuntimeEndpoint { engine: Engine::Containerd, socket }).into()
}

/// What is read of each workload, and how much of it at most.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CollectOptions {
    /// Whether the shared objects of the main process are listed.
    pub loaded_libraries: bool,
    /// How many of them.
    pub libraries_max: usize,
    /// Larger files are listed without a hash.
    pub library_bytes_max: u64,
    /// How many bytes are hashed for one workload.
    pub hash_bytes_max: u64,
    /// How many words of the entrypoint are sent; the program itself always is.
    pub entrypoint_arguments_max: usize,
}

impl Default for CollectOptions {
    fn default() -> Self {
        Self {
            loaded_libraries: true,
            libraries_max: 256,
            library_bytes_max: 32 << 20,
            hash_bytes_max: 64_000_000,
            entrypoint_arguments_max: 32,
        }
    }
}

impl CollectOptions {
    fn read(section: &Section<'_>) -> Self {
        let default = Self::default();
        let options = Self {
            loaded_libraries: section.value("loadedLibs", default.loaded_libraries),
            libraries_max: section
                .checked("maxLibs", default.libraries_max, "4096 or less", |max| *max <= 4096),
            library_bytes_max: section.value("maxLibraryBytes", ByteSize(default.library_bytes_max)).0,
            hash_bytes_max: section.value("maxHashBytesPerContainer", ByteSize(default.hash_bytes_max)).0,
            entrypoint_arguments_max: section.checked(
                "maxEntrypointArguments",
                default.entrypoint_arguments_max,
                "1024 or less",
                |max| *max <= 1024,
            ),
        };
        if section.value("entryTrace", false) {
            section.conflict("entryTrace", "entry traces are not built yet; set it to false");
        }
        let _: usize = section.checked("maxDepth", 48, "1 to 48", |depth| (1..=48).contains(depth));
        section.finish();
        options
    }
}

/// Where events wait for Scanner.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventBufferOptions {
    /// The directory.
    pub path: PathBuf,
    /// How much disk it may take; the oldest events go first.
    pub disk_bytes_max: u64,
    /// How many events may wait in memory for the disk.
    pub memory_events_max: usize,
}

impl EventBufferOptions {
    fn read(section: &Section<'_>) -> Self {
        Self {
            path: section.value("eventBufferPath", PathBuf::from("/var/run/zastava/runtime-events")),
            disk_bytes_max: section
                .checked("maxDiskBufferBytes", ByteSize::mebibytes(64), "4MiB to 1024GiB", |size| {
                    (ByteSize::mebibytes(4)..=ByteSize::mebibytes(1 << 20)).contains(size)
                })
                .0,
            memory_events_max: section
                .checked("maxInMemoryBuffer", 2048, "16 to 65536", |count| (16..=65_536).contains(count)),
        }
    }
}

/// How events are sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishOptions {
    /// Events in one batch.
    pub batch_events_max: usize,
    /// Bytes of one batch's body.
    pub batch_bytes_max: usize,
    /// How long an event waits for others to fill the batch.
    pub flush_interval: Duration,
    /// The first wait after a failure; doubled by each further one, with full jitter.
    pub backoff_initial: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// How many events are sent in a second, on average.
    pub events_per_second: u32,
    /// How many events may be sent at once after a pause.
    pub burst: u32,
    /// How event kinds are spelled.
    pub kind_style: KindStyle,
    /// Where events go that Scanner refuses for good.
    pub dead_letter_path: PathBuf,
    /// How much disk they may take; the oldest go first.
    pub dead_letter_bytes_max: u64,
}

impl PublishOptions {
    fn read(section: &Section<'_>) -> Self {
        let backoff = section.section("backoff");
        let limits = section.section("limits");
        let dead_letter = section.section("deadLetter");
        let options = Self {
            batch_events_max: section
                .checked("publishBatchSize", 32, "1 to 256", |size| (1..=BATCH_EVENTS_MAX).contains(size)),
            batch_bytes_max: batch_bytes(section),
            flush_interval: section.value("publishFlushIntervalSeconds", Duration::from_secs(2)),
            backoff_initial: backoff.checked(
                "initial",
                Duration::from_secs(1),
                "more than nothing",
                |wait| !wait.is_zero(),
            ),
            backoff_max: backoff.value("max", Duration::from_secs(30)),
            events_per_second: limits.checked("eventsPerSecond", 50, "1 or more", |rate| *rate > 0),
            burst: limits.checked("burst", 200, "1 or more", |burst| *burst > 0),
            kind_style: section.value("kindStyle", Style(KindStyle::Pascal)).0,
            dead_letter_path: dead_letter.value("path", PathBuf::from("/var/run/zastava/dead-letter.jsonl")),
            dead_letter_bytes_max: dead_letter
                .checked("maxBytes", ByteSize::mebibytes(4), "64KiB or more", |size| size.0 >= 64 << 10)
                .0,
        };
        if options.backoff_max < options.backoff_initial {
            backoff.conflict("max", "is less than initial");
        }
        backoff.finish();
        limits.finish();
        dead_letter.finish();
        options
    }
}

fn batch_bytes(section: &Section<'_>) -> usize {
    let range = ByteSize(64 << 10)..=BATCH_BYTES_MAX;
    let size =
        section.checked("publishBatchBytes", BATCH_BYTES_MAX, "64KiB to 1MiB", |size| range.contains(size));
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// A spelling of event kinds, as a setting.
struct Style(KindStyle);

impl SettingValue for Style {
    const FORM: &'static str = "pascal or screaming";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "pascal" => Some(Self(KindStyle::Pascal)),
            "screaming" => Some(Self(KindStyle::Screaming)),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self.0 {
            KindStyle::Pascal => "pascal",
            KindStyle::Screaming => "screaming",
        }
        .to_owned()
    }
}

/// Posture is looked up by a later release: asking for it now is a fault, not silence.
fn refuse_posture(section: &Section<'_>) {
    if section.value("enabled", false) {
        section.conflict("enabled", "posture is not built yet; set it to false");
    }
    let _: Duration = section.value("fallbackTtlSeconds", Duration::from_secs(300));
    section.finish();
}

fn as_observer(mut runtime: RuntimeOptions) -> RuntimeOptions {
    if runtime.component == Component::Embedded {
        runtime.component = Component::Observer;
    }
    runtime
}

fn node_name() -> String {
    let named = std::env::var("NODE_NAME").ok().filter(|name| !name.trim().is_empty());
    named.unwrap_or_else(|| rustix::system::uname().nodename().to_string_lossy().into_owned())
}
