//! Decides which engine is followed. Pure.

use zastava_core::vocabulary::Engine;

use crate::options::EngineChoice;

/// An engine that has a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Followed {
    Containerd,
    Host,
}

impl Followed {
    pub(super) fn engine(self) -> Engine {
        match self {
            Self::Containerd => Engine::Containerd,
            Self::Host => Engine::Host,
        }
    }
}

/// With `auto`, the host is followed until containerd answers, and containerd from then on: if it goes
/// away, its source reconnects (docs/design/observer.md#when-is-the-engine-chosen).
#[derive(Debug)]
pub(super) struct Choice {
    setting: EngineChoice,
    containerd_answered: bool,
}

impl Choice {
    pub(super) fn new(setting: EngineChoice) -> Self {
        Self { setting, containerd_answered: false }
    }

    /// Whether the decision depends on an answer of containerd.
    pub(super) fn is_open(&self) -> bool {
        self.setting == EngineChoice::Auto && !self.containerd_answered
    }

    /// Records whether containerd answers now. Once it did, that stays true.
    pub(super) fn probed(&mut self, answers: bool) {
        self.containerd_answered |= answers;
    }

    /// The engine to follow.
    pub(super) fn followed(&self) -> Followed {
        match self.setting {
            EngineChoice::Containerd => Followed::Containerd,
            EngineChoice::Host => Followed::Host,
            EngineChoice::Auto if self.containerd_answered => Followed::Containerd,
            EngineChoice::Auto => Followed::Host,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Probes as long as the choice is open; which engine is followed after each probe.
    #[track_caller]
    fn check(setting: EngineChoice, answers: &[bool], wanted: &[Followed]) {
        let mut choice = Choice::new(setting);
        let mut followed = vec![];
        for answer in answers {
            if choice.is_open() {
                choice.probed(*answer);
            }
            followed.push(choice.followed());
        }
        assert_eq!(followed, wanted, "{setting:?} {answers:?}");
    }

    #[test]
    fn auto_follows_the_host_until_containerd_answers_and_then_containerd() {
        use Followed::{Containerd, Host};
        let auto = EngineChoice::Auto;
        check(auto, &[true, true], &[Containerd, Containerd]);
        check(auto, &[false, false, true], &[Host, Host, Containerd]);
        check(auto, &[false, true, false, false], &[Host, Containerd, Containerd, Containerd]);
    }

    #[test]
    fn a_named_engine_is_followed_whatever_answers() {
        check(EngineChoice::Host, &[true, false], &[Followed::Host, Followed::Host]);
        check(EngineChoice::Containerd, &[false, true], &[Followed::Containerd, Followed::Containerd]);
    }
}
