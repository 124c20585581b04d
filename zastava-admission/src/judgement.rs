//! Verdicts, failure mode and enforcement applied: what happens to an object, and why. Pure.
//!
//! | heaviest verdict | namespace fails closed | namespace fails open |
//! | --- | --- | --- |
//! | `pass` | allow | allow |
//! | `warn` | allow, with a warning | allow, with a warning |
//! | none: nobody answered | **deny** | allow, with a warning |
//! | none on this image in an answer | **deny** | **deny** |
//! | `fail` | **deny** | **deny** |
//!
//! | enforcement | what a denial does |
//! | --- | --- |
//! | enforce | denies |
//! | warn | allows, with a warning and the annotation `wouldDeny` |
//! | dry run | allows, with the annotation `wouldDeny` |
//!
//! docs/design/admission.md#why-is-a-judgement-made-in-one-place

use crate::verdict::Level;

/// What happens to an image that has no verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_enums, reason = "an API server knows no third answer")]
pub enum FailureMode {
    /// It is denied.
    Closed,
    /// It is allowed, with a warning.
    Open,
}

/// What a denial does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Enforcement {
    /// The object is denied.
    #[default]
    Enforce,
    /// The object is allowed; a warning tells the user what would have been denied.
    Warn,
    /// The object is allowed; only the audit annotation and the decision record the denial.
    DryRun,
}

/// What happens to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Judgement {
    pub(crate) grounds: Grounds,
    pub(crate) effect: Effect,
}

/// The heaviest verdict, and for an unknown one the failure mode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grounds {
    Passed,
    Warned,
    NoVerdict(FailureMode),
    Unjudged,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Allow,
    Deny,
    /// A denial that is not enforced. `warn`: whether the user is told.
    WouldDeny {
        warn: bool,
    },
}

impl Judgement {
    /// Judges an object by the levels of its verdicts. An object without any passes.
    pub(crate) fn of(
        levels: impl IntoIterator<Item = Level>,
        failure_mode: FailureMode,
        enforcement: Enforcement,
    ) -> Self {
        let grounds = match levels.into_iter().max().unwrap_or(Level::Pass) {
            Level::Pass => Grounds::Passed,
            Level::Warn => Grounds::Warned,
            Level::Unknown => Grounds::NoVerdict(failure_mode),
            Level::Unjudged => Grounds::Unjudged,
            Level::Fail => Grounds::Failed,
        };
        let effect = match (grounds, enforcement) {
            (Grounds::Passed | Grounds::Warned | Grounds::NoVerdict(FailureMode::Open), _) => Effect::Allow,
            (_, Enforcement::Enforce) => Effect::Deny,
            (_, Enforcement::Warn) => Effect::WouldDeny { warn: true },
            (_, Enforcement::DryRun) => Effect::WouldDeny { warn: false },
        };
        Self { grounds, effect }
    }

    pub(crate) fn is_allowed(self) -> bool {
        self.effect != Effect::Deny
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENFORCEMENTS: [Enforcement; 3] = [Enforcement::Enforce, Enforcement::Warn, Enforcement::DryRun];
    const LEVELS: [Level; 5] = [Level::Pass, Level::Warn, Level::Unknown, Level::Unjudged, Level::Fail];
    /// The heaviest level, failure mode, grounds, effect under each enforcement.
    const TABLE: [(Level, FailureMode, Grounds, [Effect; 3]); 10] = {
        use FailureMode::{Closed, Open};
        use Grounds::{Failed, NoVerdict, Passed, Unjudged, Warned};
        const ALLOW: [Effect; 3] = [Effect::Allow; 3];
        const DENY: [Effect; 3] =
            [Effect::Deny, Effect::WouldDeny { warn: true }, Effect::WouldDeny { warn: false }];
        [
            (Level::Pass, Closed, Passed, ALLOW),
            (Level::Warn, Closed, Warned, ALLOW),
            (Level::Unknown, Closed, NoVerdict(Closed), DENY),
            (Level::Unjudged, Closed, Unjudged, DENY),
            (Level::Fail, Closed, Failed, DENY),
            (Level::Pass, Open, Passed, ALLOW),
            (Level::Warn, Open, Warned, ALLOW),
            (Level::Unknown, Open, NoVerdict(Open), ALLOW),
            (Level::Unjudged, Open, Unjudged, DENY),
            (Level::Fail, Open, Failed, DENY),
        ]
    };

    /// Every set of levels, in both directions: the last one of `LEVELS` that is in it decides.
    #[test]
    fn every_cell_of_the_table_is_as_written() {
        for set in 0..1_usize << LEVELS.len() {
            let levels: Vec<_> =
                (0..LEVELS.len()).filter(|bit| set & (1 << bit) != 0).map(|bit| LEVELS[bit]).collect();
            let heaviest = levels.last().copied().unwrap_or(Level::Pass);
            for (_, failure_mode, grounds, effects) in TABLE.iter().filter(|row| row.0 == heaviest) {
                for (enforcement, effect) in ENFORCEMENTS.into_iter().zip(*effects) {
                    let row = format!("{levels:?} {failure_mode:?} {enforcement:?}");
                    let expected = Judgement { grounds: *grounds, effect };
                    let judged = |levels: Vec<Level>| Judgement::of(levels, *failure_mode, enforcement);
                    assert_eq!(judged(levels.clone()), expected, "{row}");
                    assert_eq!(judged(levels.iter().rev().copied().collect()), expected, "{row}, reversed");
                    assert_eq!(expected.is_allowed(), effect != Effect::Deny);
                }
            }
        }
    }
}
