//! Verdicts, failure mode and enforcement applied: what happens to an object, and why. Pure.
//!
//! | heaviest verdict | namespace fails closed | namespace fails open |
//! | --- | --- | --- |
//! | `pass` | allow | allow |
//! | `warn` | allow, with a warning | allow, with a warning |
//! | unknown | **deny** | allow, with a warning |
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
    /// Verdicts, failure mode, grounds, effect under each enforcement.
    const TABLE: [(&[Level], FailureMode, Grounds, [Effect; 3]); 32] = {
        use FailureMode::{Closed, Open};
        use Grounds::{Failed, NoVerdict, Passed, Warned};
        use Level::{Fail, Pass, Unknown, Warn};
        const ALLOW: [Effect; 3] = [Effect::Allow; 3];
        const DENY: [Effect; 3] =
            [Effect::Deny, Effect::WouldDeny { warn: true }, Effect::WouldDeny { warn: false }];
        [
            (&[], Closed, Passed, ALLOW),
            (&[Pass], Closed, Passed, ALLOW),
            (&[Warn], Closed, Warned, ALLOW),
            (&[Unknown], Closed, NoVerdict(Closed), DENY),
            (&[Fail], Closed, Failed, DENY),
            (&[Pass, Warn], Closed, Warned, ALLOW),
            (&[Pass, Unknown], Closed, NoVerdict(Closed), DENY),
            (&[Pass, Fail], Closed, Failed, DENY),
            (&[Warn, Unknown], Closed, NoVerdict(Closed), DENY),
            (&[Warn, Fail], Closed, Failed, DENY),
            (&[Unknown, Fail], Closed, Failed, DENY),
            (&[Pass, Warn, Unknown], Closed, NoVerdict(Closed), DENY),
            (&[Pass, Warn, Fail], Closed, Failed, DENY),
            (&[Pass, Unknown, Fail], Closed, Failed, DENY),
            (&[Warn, Unknown, Fail], Closed, Failed, DENY),
            (&[Pass, Warn, Unknown, Fail], Closed, Failed, DENY),
            (&[], Open, Passed, ALLOW),
            (&[Pass], Open, Passed, ALLOW),
            (&[Warn], Open, Warned, ALLOW),
            (&[Unknown], Open, NoVerdict(Open), ALLOW),
            (&[Fail], Open, Failed, DENY),
            (&[Pass, Warn], Open, Warned, ALLOW),
            (&[Pass, Unknown], Open, NoVerdict(Open), ALLOW),
            (&[Pass, Fail], Open, Failed, DENY),
            (&[Warn, Unknown], Open, NoVerdict(Open), ALLOW),
            (&[Warn, Fail], Open, Failed, DENY),
            (&[Unknown, Fail], Open, Failed, DENY),
            (&[Pass, Warn, Unknown], Open, NoVerdict(Open), ALLOW),
            (&[Pass, Warn, Fail], Open, Failed, DENY),
            (&[Pass, Unknown, Fail], Open, Failed, DENY),
            (&[Warn, Unknown, Fail], Open, Failed, DENY),
            (&[Pass, Warn, Unknown, Fail], Open, Failed, DENY),
        ]
    };

    #[test]
    fn every_cell_of_the_table_is_as_written() {
        for (levels, failure_mode, grounds, effects) in TABLE {
            for (enforcement, effect) in ENFORCEMENTS.into_iter().zip(effects) {
                let row = format!("{levels:?} {failure_mode:?} {enforcement:?}");
                let expected = Judgement { grounds, effect };
                assert_eq!(
                    Judgement::of(levels.iter().copied(), failure_mode, enforcement),
                    expected,
                    "{row}"
                );
                let reversed = levels.iter().rev().copied();
                assert_eq!(Judgement::of(reversed, failure_mode, enforcement), expected, "{row}, reversed");
                assert_eq!(expected.is_allowed(), effect != Effect::Deny);
            }
        }
    }
}
