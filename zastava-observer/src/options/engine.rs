//! `zastava.observer.engine` and `runtimes`: which engines are asked for workloads, and where they listen.

use std::path::{Path, PathBuf};

use zastava_core::config::{Section, SettingValue};
use zastava_core::vocabulary::Engine;

/// Where engines usually listen, in the order of trying: containerd's own socket, k3s, microk8s; CRI-O; Docker Engine.
const USUAL_SOCKETS: [(EngineChoice, &str); 5] = [
    (EngineChoice::Containerd, "/var/run/containerd/containerd.sock"),
    (EngineChoice::Containerd, "/run/k3s/containerd/containerd.sock"),
    (EngineChoice::Containerd, "/var/snap/microk8s/common/run/containerd.sock"),
    (EngineChoice::CriO, "/var/run/crio/crio.sock"),
    (EngineChoice::Docker, "/var/run/docker.sock"),
];

/// Which engines are asked for workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum EngineChoice {
    /// Every container engine that answers on one of its sockets, and the host until the first one does.
    Auto,
    /// containerd's own API.
    Containerd,
    /// CRI-O, through CRI.
    CriO,
    /// Docker Engine's API.
    Docker,
    /// The host's processes: services, and what sessions run.
    Host,
}

impl EngineChoice {
    /// The engine that is named; `None` for [`EngineChoice::Auto`].
    #[must_use]
    pub fn engine(self) -> Option<Engine> {
        match self {
            Self::Auto => None,
            Self::Containerd => Some(Engine::Containerd),
            Self::CriO => Some(Engine::CriO),
            Self::Docker => Some(Engine::Docker),
            Self::Host => Some(Engine::Host),
        }
    }
}

impl SettingValue for EngineChoice {
    const FORM: &'static str = "auto, containerd, cri-o, docker or host";

    fn parse(text: &str) -> Option<Self> {
        if text == "auto" {
            return Some(Self::Auto);
        }
        Some(match text.parse().ok()? {
            Engine::Containerd => Self::Containerd,
            Engine::CriO => Self::CriO,
            Engine::Docker => Self::Docker,
            Engine::Host => Self::Host,
            _ => return None,
        })
    }

    fn show(&self) -> String {
        self.engine().map_or_else(|| "auto".to_owned(), |engine| engine.to_string())
    }
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

/// Reads the list `runtimes`. Without it, the usual sockets are tried. With it, `auto` follows only the engines that it names.
pub(super) fn read_endpoints(section: &Section<'_>) -> Vec<EngineEndpoint> {
    let given = section.items("runtimes", |item| match item {
        Ok(word) => {
            section.conflict("runtimes", format!("{word:?} is no section with engine and endpoint"));
            None
        }
        Err(item) => {
            let engine: Option<EngineChoice> = item.required("engine");
            let socket: Option<UnixSocket> = item.required("endpoint");
            item.finish();
            Some(EngineEndpoint { engine: engine?, socket: socket?.0 })
        }
    });
    if section.is_set("runtimes") {
        return given;
    }
    USUAL_SOCKETS.map(|(engine, socket)| EngineEndpoint { engine, socket: socket.into() }).into()
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
