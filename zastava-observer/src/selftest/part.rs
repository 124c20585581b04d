//! The parts: mounts, capabilities, and directories that the observer writes to.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::capabilities::{CAPABILITIES, Held};
use crate::options::{EngineChoice, EngineEndpoint, ObserverOptions};
use crate::reads::{Place, Reader};

/// `Err` says what is missing.
pub(super) type State = Result<(), String>;

/// A part of the surroundings.
#[derive(Debug)]
pub(super) struct Part {
    /// The key in `/status` and the metric's label.
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    /// What is lost without it.
    pub(super) without: &'static str,
    probe: Probe,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Mount,
    Capability,
    Directory,
}

/// How it is found out whether the part is there.
#[derive(Clone, Debug)]
enum Probe {
    /// One of these can be read.
    Readable(Vec<PathBuf>),
    /// The directory can be written to, or made below one that can.
    Writable(PathBuf),
    /// This process has the capability with this number.
    Capability(u32),
}

impl Part {
    pub(super) fn state(&self, mut reader: Reader) -> State {
        let probe = self.probe.clone();
        let found = reader.read(Place::Node(self.name), move |_| probe.state());
        found.unwrap_or_else(|not_read| Err(not_read.to_string()))
    }
}

impl Probe {
    fn state(&self) -> State {
        match self {
            Self::Readable(paths) => any_readable(paths),
            Self::Writable(path) => writable(path),
            Self::Capability(bit) => match Held::of_this_process() {
                Ok(held) if held.has(*bit) => Ok(()),
                Ok(_) => Err("this process does not have the capability".to_owned()),
                Err(error) => Err(format!("/proc/self/status: {error}")),
            },
        }
    }
}

/// The parts that these options need.
pub(super) fn parts(options: &ObserverOptions) -> Vec<Part> {
    let mount = |name, probe, without| Part { name, kind: Kind::Mount, without, probe };
    let directory = |name, path: &Path, without| Part {
        name,
        kind: Kind::Directory,
        without,
        probe: Probe::Writable(path.to_owned()),
    };
    let mut parts = vec![
        mount(
            "proc",
            Probe::Readable(vec![options.proc_root_path.join("stat")]),
            "events carry no process facts: no build-id, no libraries",
        ),
        mount(
            "scratch",
            Probe::Writable(options.buffer.path.clone()),
            "events wait in memory only and are lost with the process",
        ),
    ];
    if options.engine != EngineChoice::Host {
        parts.push(mount("socket", Probe::Readable(sockets(options)), "containers are not observed"));
    }
    parts.extend(CAPABILITIES.iter().map(|capability| Part {
        name: capability.name,
        kind: Kind::Capability,
        without: capability.without,
        probe: Probe::Capability(capability.bit),
    }));
    let letters = options.publish.dead_letter_path.parent().unwrap_or_else(|| Path::new("."));
    parts.extend([
        directory(
            "deadLetters",
            letters,
            "events that scanner refuses for good are lost instead of set aside",
        ),
        directory(
            "tokenCache",
            &options.runtime.authority.cache_dir,
            "each start asks authority for a new token, and invalidate-op-token reaches no running observer",
        ),
    ]);
    parts
}

/// The sockets of every engine that may be followed.
fn sockets(options: &ObserverOptions) -> Vec<PathBuf> {
    let named = options.engine.engine();
    let may_be_followed = |endpoint: &&EngineEndpoint| named.is_none() || endpoint.engine.engine() == named;
    options.endpoints.iter().filter(may_be_followed).map(|endpoint| endpoint.socket.clone()).collect()
}

/// The first path is the most likely one, so its failure is the one that is reported.
fn any_readable(paths: &[PathBuf]) -> State {
    let mut failure = None;
    for path in paths {
        match access(path, Access::READ_OK) {
            Ok(()) => return Ok(()),
            Err(error) => failure = failure.or_else(|| Some(explain(path, error.into()))),
        }
    }
    Err(failure.unwrap_or_else(|| "no path is configured".to_owned()))
}

/// Root may write where the mode forbids it, so what counts is that it is a directory and its file system takes writes.
fn writable(path: &Path) -> State {
    let found = path.ancestors().find(|ancestor| ancestor.as_os_str().is_empty() || ancestor.exists());
    let nearest = found.filter(|found| !found.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !nearest.metadata().map_err(|error| explain(path, error))?.is_dir() {
        return Err(format!("{} is no directory", nearest.display()));
    }
    access(nearest, Access::WRITE_OK).map_err(|error| explain(path, error.into()))
}

fn explain(path: &Path, error: io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_can_be_made_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(writable(&directory.path().join("a/b")), Ok(()));
        let file = directory.path().join("file");
        std::fs::write(&file, "").expect("can be written");
        for path in [file.clone(), file.join("below")] {
            let reason = writable(&path).expect_err("a file is in the way");
            assert!(reason.contains("is no directory"), "{reason}");
        }
        assert!(writable(Path::new("/proc/self/nothing")).is_err());
    }
}
