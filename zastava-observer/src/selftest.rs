//! What the observer needs of its surroundings, and what is lost without each part.
//!
//! The observer runs without any of them. Each is told once at the start; after that its changes are. Readiness warns while
//! one is missing, `/status` shows all of them below `selfTest`, and the mounts below `mounts` too
//! (docs/design/observer.md#why-does-a-missing-mount-not-stop-the-observer).

mod capabilities;
mod part;

use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Map, Value, json};
use zastava_core::program::{Check, Health};
use zastava_core::telemetry::{Gauge, OBSERVER_CAPABILITY_UP, OBSERVER_MOUNT_UP, Telemetry};

use self::part::{Kind, Part, State, parts};
use crate::options::ObserverOptions;
use crate::reads::{READ_TIME_MAX, Reads};

/// The parts that these options need, each with its state. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct SelfTest {
    parts: Arc<[Part]>,
    reads: Reads,
    mount_up: Gauge,
    capability_up: Gauge,
    check: Check,
    /// What the last test found, in the order of the parts; empty before the first.
    states: Arc<Mutex<Vec<State>>>,
}

impl SelfTest {
    /// Tests each part once, tells the result, and shows it in readiness and `/status`.
    pub(crate) fn new(
        options: &ObserverOptions,
        reads: Reads,
        telemetry: &Telemetry,
        health: &Health,
    ) -> Self {
        let test = Self {
            parts: parts(options).into(),
            reads,
            mount_up: telemetry.gauge(OBSERVER_MOUNT_UP),
            capability_up: telemetry.gauge(OBSERVER_CAPABILITY_UP),
            check: health.check("selfTest"),
            states: Arc::default(),
        };
        test.check();
        let (all, mounts) = (test.clone(), test.clone());
        health.status("selfTest", move || all.status(|_| true));
        health.status("mounts", move || mounts.status(|part| part.kind == Kind::Mount));
        test
    }

    /// Tests each part, and logs what changed since the last test.
    pub(crate) fn check(&self) {
        // A part that does not answer takes no time from the others.
        let state = |part: &Part| part.state(self.reads.reader(READ_TIME_MAX));
        let states: Vec<State> = self.parts.iter().map(state).collect();
        let found = || self.parts.iter().zip(&states);
        let missing: Vec<&str> =
            found().filter(|(_, state)| state.is_err()).map(|(part, _)| part.name).collect();
        match missing.is_empty() {
            true => self.check.holds(),
            false => self.check.warns(format!("{} missing; /status says what is lost", missing.join(", "))),
        }
        // Held only now: `/status` does not wait for a part that does not answer.
        let mut last = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        for (at, (part, state)) in found().enumerate() {
            self.show(part, state);
            if last.get(at) != Some(state) {
                tell(part, last.get(at), state);
            }
        }
        *last = states;
    }

    fn show(&self, part: &Part, state: &State) {
        let up = if state.is_ok() { 1.0 } else { 0.0 };
        match part.kind {
            Kind::Mount => self.mount_up.set(&[part.name], up),
            Kind::Capability => self.capability_up.set(&[part.name], up),
            Kind::Directory => {}
        }
    }

    /// For each of these parts `ok`, or what is missing and what is lost.
    fn status(&self, is_shown: impl Fn(&Part) -> bool) -> Value {
        let states = self.states.lock().unwrap_or_else(PoisonError::into_inner);
        let parts = self.parts.iter().zip(states.iter()).filter(|(part, _)| is_shown(part));
        let shown = parts.map(|(part, state)| {
            let state = match state {
                Ok(()) => json!("ok"),
                Err(reason) => json!({"missing": reason, "without": part.without}),
            };
            (part.name.to_owned(), state)
        });
        Value::Object(shown.collect::<Map<_, _>>())
    }
}

fn tell(part: &Part, before: Option<&State>, state: &State) {
    let Part { name, kind, without, .. } = part;
    match (kind, before, state) {
        (_, Some(Err(_)), Ok(())) => {
            tracing::info!(part = name, "self-test: what was missing is there now");
        }
        (_, _, Ok(())) => tracing::info!(part = name, "self-test: it is there"),
        (Kind::Mount, _, Err(reason)) => {
            tracing::warn!(mount = name, reason, without, "a mount is missing; the observer runs without it");
        }
        (_, _, Err(reason)) => {
            tracing::warn!(
                part = name,
                reason,
                without,
                "self-test: it is missing; the observer runs without it"
            );
        }
    }
}
