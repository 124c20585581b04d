//! `zastava.observer`: what is observed, what is read, and how it is sent.

mod collect;
mod delivery;
mod engine;
mod posture;

use std::path::PathBuf;
use std::time::Duration;

use zastava_core::config::Section;
use zastava_core::options::{BackendOptions, Component, HealthOptions, RuntimeOptions};
use zastava_core::vocabulary::Engine;

pub use self::collect::CollectOptions;
pub use self::delivery::{EventBufferOptions, PublishOptions};
pub use self::engine::{EngineChoice, EngineEndpoint};
pub use self::posture::PostureOptions;

/// The default port of probes and metrics.
const HEALTH_PORT: u16 = 9101;
/// Where containerd keeps images and layers by default.
const RUNTIME_STATE: &str = "/var/lib/containerd";

/// All settings of the observer.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ObserverOptions {
    /// `zastava.runtime`: which tenant this is, and where tokens come from.
    pub runtime: RuntimeOptions,
    /// The node's name, which every event carries.
    pub node_name: String,
    /// Which engines are asked for workloads.
    pub engine: EngineChoice,
    /// Sockets of engines, in the order of trying.
    pub endpoints: Vec<EngineEndpoint>,
    /// Where the node's `/proc` is mounted.
    pub proc_root_path: PathBuf,
    /// Where the engine keeps images and layers.
    pub runtime_state_path: PathBuf,
    /// How often workloads are listed, and how often an engine is looked for that does not answer.
    pub poll_interval: Duration,
    /// What is read of each workload.
    pub collect: CollectOptions,
    /// Whether events say how images are signed.
    pub posture: PostureOptions,
    /// Where events wait for Scanner.
    pub buffer: EventBufferOptions,
    /// How events are sent.
    pub publish: PublishOptions,
    /// Where Scanner is.
    pub backend: BackendOptions,
    /// Where probes and metrics are served.
    pub health: HealthOptions,
}

impl ObserverOptions {
    /// Reads `zastava.runtime` and `zastava.observer` below the section `zastava`.
    ///
    /// Without `nodeName`, the environment variable `NODE_NAME` names the node, and without that the
    /// host's name does.
    #[must_use]
    pub fn read(root: &Section<'_>) -> Option<Self> {
        root.skip("webhook");
        let runtime = RuntimeOptions::read(&root.section("runtime")).map(as_observer);
        let section = root.section("observer");
        let engine = section.value("engine", EngineChoice::Auto);
        let backend = BackendOptions::read(&section.section("backend"));
        let node_name = section.value("nodeName", node_name());
        let endpoints = engine::read_endpoints(&section);
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
        let posture = PostureOptions::read(&section.section("posture"));
        // Before any `?`: every fault is reported, even if a required setting is missing.
        section.finish();
        let (runtime, backend) = (runtime?, backend?);
        Some(Self {
            runtime,
            node_name,
            engine,
            endpoints,
            proc_root_path,
            runtime_state_path,
            poll_interval,
            collect,
            posture,
            buffer,
            publish,
            backend,
            health,
        })
    }

    /// The sockets of an engine to try, in order.
    pub(crate) fn sockets(&self, engine: Engine) -> Vec<PathBuf> {
        let named = self.endpoints.iter().filter(|endpoint| endpoint.engine.engine() == Some(engine));
        named.map(|endpoint| endpoint.socket.clone()).collect()
    }
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
