//! Decides which engines are followed. Pure.

use std::collections::BTreeSet;

use zastava_core::vocabulary::Engine;

use crate::options::EngineChoice;

/// The container engines, in the order in which they are named.
const CONTAINER_ENGINES: [Engine; 3] = [Engine::Containerd, Engine::CriO, Engine::Docker];

/// With `auto`, every container engine that answers is followed from then on, and the host until the first one does. An
/// engine that goes away is still followed: its source reconnects
/// (docs/design/observer.md#which-engines-are-followed).
#[derive(Debug)]
pub(super) struct Choice {
    /// The engines whose answer decides.
    candidates: BTreeSet<Engine>,
    asked: BTreeSet<Engine>,
    followed: BTreeSet<Engine>,
}

impl Choice {
    /// `has_socket` says whether the settings name a socket of the engine.
    pub(super) fn new(setting: EngineChoice, has_socket: impl Fn(Engine) -> bool) -> Self {
        let named = setting.engine();
        let candidates = match named {
            Some(_) => BTreeSet::new(),
            None => CONTAINER_ENGINES.into_iter().filter(|engine| has_socket(*engine)).collect(),
        };
        Self { candidates, asked: BTreeSet::new(), followed: named.into_iter().collect() }
    }

    /// The engines that may still be chosen: those to ask.
    pub(super) fn open(&self) -> impl Iterator<Item = Engine> + '_ {
        self.candidates.difference(&self.followed).copied()
    }

    /// Records whether an engine answers now. Once it did, that stays true.
    pub(super) fn asked(&mut self, engine: Engine, answers: bool) {
        self.asked.insert(engine);
        if answers {
            self.followed.insert(engine);
        }
    }

    /// The engines to follow. None until every engine was asked once: only then is it known whether the node has a container
    /// engine, and who tells a container that two of them know.
    pub(super) fn followed(&self) -> BTreeSet<Engine> {
        match (self.asked == self.candidates, self.followed.is_empty()) {
            (false, _) => BTreeSet::new(),
            (true, true) => BTreeSet::from([Engine::Host]),
            (true, false) => self.followed.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Engine::{Containerd, CriO, Docker, Host};

    /// After each answer, the engines that are followed.
    #[track_caller]
    fn check(setting: EngineChoice, answers: &[(Engine, bool)], wanted: &[&[Engine]]) {
        let mut choice = Choice::new(setting, |engine| engine != CriO);
        let mut followed = vec![];
        for (engine, answer) in answers {
            if choice.open().any(|open| open == *engine) {
                choice.asked(*engine, *answer);
            }
            followed.push(choice.followed().into_iter().collect::<Vec<_>>());
        }
        assert_eq!(followed, wanted, "{setting:?} {answers:?}");
    }

    #[test]
    fn auto_follows_the_host_until_an_engine_answers_and_then_every_one_that_does() {
        let auto = EngineChoice::Auto;
        check(
            auto,
            &[(Containerd, false), (Docker, false), (Docker, true), (Containerd, true)],
            &[&[], &[Host], &[Docker], &[Containerd, Docker]],
        );
        check(
            auto,
            &[(Containerd, true), (Docker, false), (Docker, true)],
            &[&[], &[Containerd], &[Containerd, Docker]],
        );
        // CRI-O has no socket here, and an engine that went away is still followed.
        check(
            auto,
            &[(CriO, true), (Docker, true), (Containerd, false), (Docker, false)],
            &[&[], &[], &[Docker], &[Docker]],
        );
    }

    #[test]
    fn a_named_engine_is_followed_whatever_answers() {
        check(EngineChoice::Host, &[(Containerd, true)], &[&[Host]]);
        check(EngineChoice::Docker, &[(Containerd, true), (Docker, false)], &[&[Docker], &[Docker]]);
    }
}
