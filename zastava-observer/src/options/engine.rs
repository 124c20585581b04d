//! `zastava.observer.engine` and `runtimes`: which engine is asked for workloads, and where it listens.

use std::path::{Path, PathBuf};

use zastava_core::config::{Section, SettingValue};
use zastava_core::vocabulary::Engine;

/// The sockets where containerd is usually found, in the order of trying: its own, k3s, microk8s.
const CONTAINERD_SOCKETS: [&str; 3] = [
    "/var/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
];

/// Which engine is asked for workloads. There is a variant for each engine that has a source
/// (docs/design/observer.md#why-does-enginechoice-not-list-cri-o-and-docker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineChoice {
    /// The host until containerd answers, and containerd from then on.
    Auto,
    /// containerd's own API.
    Containerd,
    /// The host's processes: services, and what sessions run.
    Host,
}

/// Where an engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EngineEndpoint {
    /// What listens there.
    pub engine: EngineChoice,
    /// The Unix socket.
    pub socket: PathBuf,
}

pub(super) fn read_choice(section: &Section<'_>) -> EngineChoice {
    let named = section.value("engine", NamedEngine::Auto);
    named.choice(section).unwrap_or(EngineChoice::Auto)
}

/// Reads the list `runtimes`. Without it, containerd's usual sockets are tried.
pub(super) fn read_endpoints(section: &Section<'_>) -> Vec<EngineEndpoint> {
    let given = section.items("runtimes", |item| match item {
        Ok(word) => {
            section.conflict("runtimes", format!("{word:?} is no section with engine and endpoint"));
            None
        }
        Err(item) => {
            let engine: Option<NamedEngine> = item.required("engine");
            let socket: Option<UnixSocket> = item.required("endpoint");
            let engine = engine.and_then(|engine| engine.choice(&item));
            item.finish();
            Some(EngineEndpoint { engine: engine?, socket: socket?.0 })
        }
    });
    if section.is_set("runtimes") {
        return given;
    }
    let usual = CONTAINERD_SOCKETS.map(PathBuf::from);
    usual.map(|socket| EngineEndpoint { engine: EngineChoice::Containerd, socket }).into()
}

/// An engine as the configuration names it. It may have no source yet.
enum NamedEngine {
    Auto,
    Engine(Engine),
}

impl NamedEngine {
    /// An engine without a source is a fault of the section: ignoring it would hide that nothing is seen.
    fn choice(&self, section: &Section<'_>) -> Option<EngineChoice> {
        match self {
            Self::Auto => Some(EngineChoice::Auto),
            Self::Engine(Engine::Containerd) => Some(EngineChoice::Containerd),
            Self::Engine(Engine::Host) => Some(EngineChoice::Host),
            Self::Engine(engine) => {
                section
                    .conflict("engine", format!("{engine} is not built yet; auto, containerd and host are"));
                None
            }
        }
    }
}

impl SettingValue for NamedEngine {
    const FORM: &'static str = "auto, containerd, cri-o, docker or host";

    fn parse(text: &str) -> Option<Self> {
        if text == "auto" { Some(Self::Auto) } else { text.parse().ok().map(Self::Engine) }
    }

    fn show(&self) -> String {
        match self {
            Self::Auto => "auto".to_owned(),
            Self::Engine(engine) => engine.to_string(),
        }
    }
}

/// `unix:///path`, the only form of an endpoint.
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
