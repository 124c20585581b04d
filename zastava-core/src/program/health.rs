//! Readiness and status of a program.

mod server;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

pub use server::{HealthError, HealthServer};

use super::Program;

/// The checks of a program's readiness, and what it adds to `/status`. Cheap to clone.
#[derive(Clone, Default)]
pub struct Health(Arc<Mutex<Entries>>);

type StatusSource = Box<dyn Fn() -> Value + Send>;

#[derive(Default)]
struct Entries {
    checks: Vec<(&'static str, State)>,
    sources: Vec<(&'static str, StatusSource)>,
}

#[derive(Debug)]
enum State {
    Holds,
    Warns(String),
    Fails(String),
}

impl Health {
    /// Health without checks, which is ready.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a check. It fails until [`Check::holds`] is called.
    #[must_use]
    pub fn check(&self, name: &'static str) -> Check {
        let check = Check { name, health: self.clone() };
        check.fails("starting");
        check
    }

    /// Adds a member to `/status`. `source` is called for each request and must not block.
    pub fn status(&self, name: &'static str, source: impl Fn() -> Value + Send + 'static) {
        self.lock().sources.push((name, Box::new(source)));
    }

    /// Whether every check holds.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.lock().checks.iter().all(|(_, state)| !matches!(state, State::Fails(_)))
    }

    /// The failing checks with their reasons.
    #[must_use]
    pub fn failures(&self) -> Vec<String> {
        let entries = self.lock();
        let failing = entries.checks.iter().filter_map(|(name, state)| match state {
            State::Fails(reason) => Some(format!("{name}: {reason}")),
            State::Holds | State::Warns(_) => None,
        });
        failing.collect()
    }

    /// One line for each check.
    fn report(&self) -> String {
        let line = |(name, state): &(&str, State)| match state {
            State::Holds => format!("[+] {name} ok\n"),
            State::Warns(reason) => format!("[!] {name} ok, but: {reason}\n"),
            State::Fails(reason) => format!("[-] {name} failed: {reason}\n"),
        };
        self.lock().checks.iter().map(line).collect()
    }

    fn status_json(&self, program: &Program) -> Value {
        let entries = self.lock();
        let checks: serde_json::Map<_, _> = entries
            .checks
            .iter()
            .map(|(name, state)| {
                let text = match state {
                    State::Holds => "ok",
                    State::Warns(reason) | State::Fails(reason) => reason,
                };
                ((*name).to_owned(), text.into())
            })
            .collect();
        let mut status = json!({"program": program.name, "version": program.version, "commit": program.commit, "checks": checks});
        for (name, source) in &entries.sources {
            status[*name] = source();
        }
        status
    }

    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Health").field(&self.lock().checks).finish()
    }
}

/// One condition of readiness.
#[derive(Clone, Debug)]
pub struct Check {
    name: &'static str,
    health: Health,
}

impl Check {
    /// The condition holds.
    pub fn holds(&self) {
        self.set(State::Holds);
    }

    /// The condition holds, but something is wrong that an operator should know.
    pub fn warns(&self, reason: impl Into<String>) {
        self.set(State::Warns(reason.into()));
    }

    /// The condition does not hold, for this reason.
    pub fn fails(&self, reason: impl Into<String>) {
        self.set(State::Fails(reason.into()));
    }

    fn set(&self, state: State) {
        let mut health = self.health.lock();
        match health.checks.iter_mut().find(|(name, _)| *name == self.name) {
            Some((_, found)) => *found = state,
            None => health.checks.push((self.name, state)),
        }
    }
}
