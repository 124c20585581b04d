//! The parts of the node that the observer needs, and what is lost without each.
//!
//! The observer runs without any of them. The log, `/status` below `mounts` and the metric
//! `zastava_observer_mount_up` show which one is missing (docs/design/observer.md#why-does-a-missing-mount-not-stop-the-observer).

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Access, access};
use serde_json::{Value, json};
use zastava_core::program::Health;
use zastava_core::telemetry::{Gauge, OBSERVER_MOUNT_UP, Telemetry};

use crate::options::{EngineChoice, EngineEndpoint, ObserverOptions};
use crate::reads::{Place, READ_TIME_MAX, Reads};

/// The mounts that these options need, each with its state.
#[derive(Clone, Debug)]
pub(crate) struct Mounts {
    needed: Arc<[Mount]>,
    reads: Reads,
    /// The results of the last check, in the order of `needed`; empty before the first.
    states: Arc<Mutex<Vec<State>>>,
    up: Gauge,
}

/// `Err` says what is missing.
pub(crate) type State = Result<(), String>;

#[derive(Debug)]
struct Mount {
    /// The metric's label.
    name: &'static str,
    /// Where it is expected. One of several sockets is enough.
    paths: Vec<PathBuf>,
    probe: fn(&Path) -> io::Result<()>,
    /// What is lost without it.
    without: &'static str,
}

impl Mounts {
    /// Shows the mounts in `/status`. [`check`](Self::check) looks at them.
    pub(crate) fn new(
        options: &ObserverOptions,
        reads: Reads,
        telemetry: &Telemetry,
        health: &Health,
    ) -> Self {
        let (needed, states) = (needed(options).into(), Arc::default());
        let mounts = Self { needed, reads, states, up: telemetry.gauge(OBSERVER_MOUNT_UP) };
        let shown = mounts.clone();
        health.status("mounts", move || shown.status());
        mounts
    }

    /// Checks each mount, and logs what changed since the last check. Returns their names, states, and what is lost without
    /// each.
    pub(crate) fn check(&self) -> Vec<(&'static str, State, &'static str)> {
        let mut reader = self.reads.reader(READ_TIME_MAX);
        let check = |mount: &Mount| {
            let (paths, probe) = (mount.paths.clone(), mount.probe);
            let found = reader.read(Place::Node(mount.name), move |_| check(&paths, probe));
            found.unwrap_or_else(|not_read| Err(not_read.to_string()))
        };
        let states: Vec<State> = self.needed.iter().map(check).collect();
        // Held only now: `/status` does not wait for a mount that does not answer.
        let mut last = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, (mount, state)) in self.needed.iter().zip(&states).enumerate() {
            self.up.set(&[mount.name], if state.is_ok() { 1.0 } else { 0.0 });
            let (name, without) = (mount.name, mount.without);
            match (last.get(at), state) {
                (Some(Err(_)), Ok(())) => {
                    tracing::info!(mount = name, "a mount that was missing is there now")
                }
                (None | Some(Ok(())), Err(reason)) => {
                    tracing::warn!(
                        mount = name,
                        reason,
                        without,
                        "a mount is missing; the observer runs without it"
                    );
                }
                _ => {}
            }
        }
        *last = states.clone();
        drop(last);
        let found = self.needed.iter().zip(states);
        found.map(|(mount, state)| (mount.name, state, mount.without)).collect()
    }

    /// For each mount `ok`, or what is missing and what is lost.
    fn status(&self) -> Value {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let shown = self.needed.iter().zip(states.iter()).map(|(mount, state)| {
            let state = match state {
                Err(reason) => json!({"missing": reason, "without": mount.without}),
                Ok(()) => json!("ok"),
            };
            (mount.name.to_owned(), state)
        });
        Value::Object(shown.collect())
    }
}

/// The first path is the most likely one, so its failure is the one that is reported.
fn check(paths: &[PathBuf], probe: fn(&Path) -> io::Result<()>) -> State {
    let mut failure = None;
    for path in paths {
        match probe(path) {
            Ok(()) => return Ok(()),
            Err(error) => failure = failure.or_else(|| Some(format!("{}: {error}", path.display()))),
        }
    }
    Err(failure.unwrap_or_else(|| "no path is configured".to_owned()))
}

fn needed(options: &ObserverOptions) -> Vec<Mount> {
    let mount = |name, paths, probe, without| Mount { name, paths, probe, without };
    let mut mounts = vec![
        mount(
            "proc",
            vec![options.proc_root_path.join("stat")],
            readable,
            "events carry no process facts: no build-id, no libraries",
        ),
        mount(
            "scratch",
            vec![options.buffer.path.clone()],
            writable,
            "events wait in memory only and are lost with the process",
        ),
    ];
    if options.engine != EngineChoice::Host {
        mounts.push(mount("socket", sockets(options), readable, "containers are not observed"));
    }
    mounts
}

/// The sockets of every engine that may be followed.
fn sockets(options: &ObserverOptions) -> Vec<PathBuf> {
    let named = options.engine.engine();
    let may_be_followed = |endpoint: &&EngineEndpoint| named.is_none() || endpoint.engine.engine() == named;
    options.endpoints.iter().filter(may_be_followed).map(|endpoint| endpoint.socket.clone()).collect()
}

fn readable(path: &Path) -> io::Result<()> {
    Ok(access(path, Access::READ_OK)?)
}

/// Whether the directory can be written. If it does not exist, the nearest one above it counts.
fn writable(path: &Path) -> io::Result<()> {
    let found = path.ancestors().find(|ancestor| ancestor.exists());
    Ok(access(found.unwrap_or(path), Access::WRITE_OK)?)
}
