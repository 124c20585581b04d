//! What the observer needs of its surroundings, and what is lost without each part.
//!
//! The observer runs without any of them. Each is told once at the start; after that its changes are. Readiness warns while
//! one is missing, `/status` shows all of them below `selfTest`
//! (docs/design/observer.md#why-does-a-missing-mount-not-stop-the-observer).

mod capabilities;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use zastava_core::program::{Check, Health};
use zastava_core::telemetry::{Gauge, OBSERVER_CAPABILITY_UP, Telemetry};

use self::capabilities::{CAPABILITIES, Held};
use crate::mounts::{Mounts, State};
use crate::options::ObserverOptions;
use crate::reads::{Place, READ_TIME_MAX, Reads};

/// The parts that these options need, each with its state. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SelfTest {
    mounts: Mounts,
    directories: Arc<[Directory]>,
    reads: Reads,
    capability_up: Gauge,
    check: Check,
    /// What the last test found, in the order of the parts.
    found: Arc<Mutex<Vec<Part>>>,
}

/// One part, and what the test found.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: &'static str,
    state: State,
    /// What is lost without it.
    without: &'static str,
}

/// A directory that the observer writes to.
#[derive(Debug)]
struct Directory {
    name: &'static str,
    path: PathBuf,
    without: &'static str,
}

impl SelfTest {
    /// Tests each part once, tells the result, and shows it in readiness and `/status`.
    pub(crate) fn new(
        options: &ObserverOptions,
        reads: Reads,
        telemetry: &Telemetry,
        health: &Health,
    ) -> Self {
        let mounts = Mounts::new(options, reads.clone(), telemetry, health);
        let test = Self {
            mounts,
            directories: directories(options).into(),
            reads,
            capability_up: telemetry.gauge(OBSERVER_CAPABILITY_UP),
            check: health.check("selfTest"),
            found: Arc::default(),
        };
        test.check();
        let shown = test.clone();
        health.status("selfTest", move || shown.status());
        test
    }

    /// Tests each part, and logs what changed since the last test.
    pub(crate) fn check(&self) {
        let found: Vec<Part> =
            self.mounts().into_iter().chain(self.capabilities()).chain(self.writable()).collect();
        let missing: Vec<&str> =
            found.iter().filter(|part| part.state.is_err()).map(|part| part.name).collect();
        match missing.is_empty() {
            true => self.check.holds(),
            false => self.check.warns(format!("{} missing; /status says what is lost", missing.join(", "))),
        }
        let mut last = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, part) in found.iter().enumerate() {
            if last.get(at) != Some(part) {
                tell(part);
            }
        }
        *last = found;
    }

    fn mounts(&self) -> Vec<Part> {
        self.mounts.check().into_iter().map(|(name, state, without)| Part { name, state, without }).collect()
    }

    fn capabilities(&self) -> Vec<Part> {
        let held = Held::of_this_process();
        let part = |capability: &capabilities::Capability| {
            let state = match &held {
                Ok(held) if held.has(capability.bit) => Ok(()),
                Ok(_) => Err("this process does not have the capability".to_owned()),
                Err(error) => Err(format!("/proc/self/status: {error}")),
            };
            self.capability_up.set(&[capability.name], if state.is_ok() { 1.0 } else { 0.0 });
            Part { name: capability.name, state, without: capability.without }
        };
        CAPABILITIES.iter().map(part).collect()
    }

    fn writable(&self) -> Vec<Part> {
        let mut reader = self.reads.reader(READ_TIME_MAX);
        let part = |directory: &Directory| {
            let path = directory.path.clone();
            let found = reader.read(Place::Node(directory.name), move |_| writable(&path));
            let state = found.unwrap_or_else(|not_read| Err(not_read.to_string()));
            Part { name: directory.name, state, without: directory.without }
        };
        self.directories.iter().map(part).collect()
    }

    /// For each part `ok`, or what is missing and what is lost.
    fn status(&self) -> Value {
        let found = self.found.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = found.iter().map(|part| {
            let state = match &part.state {
                Ok(()) => json!("ok"),
                Err(reason) => json!({"missing": reason, "without": part.without}),
            };
            (part.name.to_owned(), state)
        });
        Value::Object(shown.collect::<Map<_, _>>())
    }
}

fn tell(part: &Part) {
    let Part { name, state, without } = part;
    match state {
        Ok(()) => tracing::info!(part = name, "self-test: it is there"),
        // `Mounts` has said so, with the mount's name.
        Err(_) if !is_own(name) => {}
        Err(reason) => {
            tracing::warn!(
                part = name,
                reason,
                without,
                "self-test: it is missing; the observer runs without it"
            );
        }
    }
}

/// Whether the part is no mount.
fn is_own(name: &str) -> bool {
    CAPABILITIES.iter().any(|capability| capability.name == name) || DIRECTORIES.contains(&name)
}

/// The names of the directories.
const DIRECTORIES: [&str; 2] = ["deadLetters", "tokenCache"];

fn directories(options: &ObserverOptions) -> Vec<Directory> {
    let letters = options.publish.dead_letter_path.parent().unwrap_or_else(|| Path::new("."));
    let [dead_letters, token_cache] = DIRECTORIES;
    vec![
        Directory {
            name: dead_letters,
            path: letters.to_owned(),
            without: "events that scanner refuses for good are lost instead of set aside",
        },
        Directory {
            name: token_cache,
            path: options.runtime.authority.cache_dir.clone(),
            without: "each start asks authority for a new token, and invalidate-op-token reaches no running observer",
        },
    ]
}

/// Whether the directory can be written to, or made below one that can. Root may write where the mode forbids it, so what
/// counts is that it is a directory and its file system takes writes.
fn writable(path: &Path) -> State {
    use rustix::fs::{Access, access};
    let explain = |error: std::io::Error| format!("{}: {error}", path.display());
    let found = path.ancestors().find(|ancestor| ancestor.as_os_str().is_empty() || ancestor.exists());
    let nearest = found.filter(|found| !found.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    if !fs::metadata(nearest).map_err(explain)?.is_dir() {
        return Err(format!("{} is no directory", nearest.display()));
    }
    access(nearest, Access::WRITE_OK).map_err(|error| explain(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_can_be_made_is_there() {
        let directory = tempfile::tempdir().expect("a directory");
        assert_eq!(writable(&directory.path().join("a/b")), Ok(()));
        let file = directory.path().join("file");
        fs::write(&file, "").expect("can be written");
        for path in [file.clone(), file.join("below")] {
            let reason = writable(&path).expect_err("a file is in the way");
            assert!(reason.contains("is no directory"), "{reason}");
        }
        assert!(writable(Path::new("/proc/self/nothing")).is_err());
    }
}
