//! What the health of all sources means for the observer's readiness.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use zastava_core::program::Check;
use zastava_core::vocabulary::Engine;

/// The sources that are followed, each with why it does not work. Readiness fails while none works; while only some work, it
/// warns: others are still observed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Readiness(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    check: Check,
    sources: Mutex<BTreeMap<Engine, State>>,
}

/// `None` while it works.
type State = Option<String>;

impl Readiness {
    pub(super) fn new(check: Check) -> Self {
        Self(Arc::new(Shared { check, sources: Mutex::default() }))
    }

    /// The part of the readiness that is one source's. It does not work before it says so.
    pub(super) fn of(&self, engine: Engine) -> SourceReadiness {
        self.set(engine, Some("starting".to_owned()));
        SourceReadiness { all: self.clone(), engine }
    }

    /// The engine is not followed any longer.
    pub(super) fn remove(&self, engine: Engine) {
        let mut sources = self.sources();
        sources.remove(&engine);
        self.show(&sources);
    }

    /// The engines that are followed, in the order of their names.
    pub(crate) fn followed(&self) -> Vec<Engine> {
        self.sources().keys().copied().collect()
    }

    /// For each engine that is followed `ok`, or why its source does not work.
    pub(crate) fn status(&self) -> Value {
        let sources = self.sources();
        let shown = sources.iter().map(|(engine, state)| (engine.to_string(), state_text(state).into()));
        json!(shown.collect::<serde_json::Map<_, Value>>())
    }

    fn set(&self, engine: Engine, state: State) {
        let mut sources = self.sources();
        sources.insert(engine, state);
        self.show(&sources);
    }

    fn show(&self, sources: &BTreeMap<Engine, State>) {
        let reasons: Vec<&str> = sources.values().filter_map(|state| state.as_deref()).collect();
        let check = &self.0.check;
        match reasons.len() {
            0 if sources.is_empty() => check.fails("starting"),
            0 => check.holds(),
            failing if failing == sources.len() => check.fails(reasons.join("; ")),
            _ => check.warns(reasons.join("; ")),
        }
    }

    fn sources(&self) -> MutexGuard<'_, BTreeMap<Engine, State>> {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn state_text(state: &State) -> &str {
    state.as_deref().unwrap_or("ok")
}

/// One source's part of the readiness.
#[derive(Debug)]
pub(super) struct SourceReadiness {
    all: Readiness,
    engine: Engine,
}

impl SourceReadiness {
    /// The source works.
    pub(super) fn holds(&self) {
        self.all.set(self.engine, None);
    }

    /// The source does not work, for this reason.
    pub(super) fn fails(&self, reason: impl Into<String>) {
        self.all.set(self.engine, Some(reason.into()));
    }
}

#[cfg(test)]
mod tests {
    use zastava_core::program::Health;

    use super::*;

    #[test]
    fn it_fails_only_while_no_source_works() {
        let health = Health::new();
        let readiness = Readiness::new(health.check("source"));
        assert!(!health.is_ready());
        let (containerd, docker) = (readiness.of(Engine::Containerd), readiness.of(Engine::Docker));
        assert!(!health.is_ready());
        containerd.holds();
        assert!(health.is_ready());
        assert_eq!(readiness.status(), json!({"containerd": "ok", "docker": "starting"}));
        containerd.fails("containerd: gone");
        docker.fails("docker: gone");
        assert_eq!(health.failures(), ["source: containerd: gone; docker: gone"]);
        readiness.remove(Engine::Containerd);
        docker.holds();
        assert!(health.is_ready());
        assert_eq!(readiness.followed(), [Engine::Docker]);
    }
}
