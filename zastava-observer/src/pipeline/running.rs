//! How many workloads run, in `/metrics` and `/status`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use zastava_core::telemetry::{Gauge, OBSERVER_WORKLOADS, Telemetry};
use zastava_core::vocabulary::Engine;

/// How many workloads run of each engine that is followed. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Running {
    gauge: Gauge,
    shown: Arc<Mutex<BTreeMap<Engine, usize>>>,
}

impl Running {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        Self { gauge: telemetry.gauge(OBSERVER_WORKLOADS), shown: Arc::default() }
    }

    /// Shows these numbers. Returns the engines that are not followed any longer.
    pub(super) fn show(&self, live: impl Iterator<Item = (Engine, usize)>) -> Vec<Engine> {
        let live: BTreeMap<Engine, usize> = live.collect();
        let mut shown = self.lock();
        let gone: Vec<Engine> = shown.keys().filter(|engine| !live.contains_key(engine)).copied().collect();
        gone.iter().for_each(|engine| self.gauge.remove(&[engine.as_str()]));
        for (engine, count) in live.iter().filter(|(engine, count)| shown.get(engine) != Some(count)) {
            self.gauge.set(&[engine.as_str()], *count as f64);
        }
        *shown = live;
        gone
    }

    /// The numbers, by the engine's name.
    pub(crate) fn counts(&self) -> BTreeMap<&'static str, usize> {
        self.lock().iter().map(|(engine, count)| (engine.as_str(), *count)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Engine, usize>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_engine_that_is_not_followed_any_longer_is_not_shown() {
        let telemetry = Telemetry::detached();
        let running = Running::new(&telemetry);
        let series = |engine: &str| {
            let name = format!("zastava_observer_workloads{{engine=\"{engine}\"}} ");
            let text = telemetry.render();
            text.lines().find_map(|line| line.strip_prefix(&name).map(str::to_owned))
        };
        assert!(running.show([(Engine::Host, 3), (Engine::Docker, 0)].into_iter()).is_empty());
        assert_eq!(running.counts(), BTreeMap::from([("docker", 0), ("host", 3)]));
        assert_eq!((series("host"), series("docker")), (Some("3.0".to_owned()), Some("0.0".to_owned())));
        assert_eq!(running.show([(Engine::Docker, 2)].into_iter()), [Engine::Host]);
        assert_eq!((series("host"), series("docker")), (None, Some("2.0".to_owned())));
        assert_eq!(running.counts(), BTreeMap::from([("docker", 2)]));
    }
}
