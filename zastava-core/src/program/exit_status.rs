//! The exit statuses of all programs.

use std::process::ExitCode;

/// How a program ends. Operators' scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExitStatus {
    /// The program did what was asked.
    Success = 0,
    /// Something failed. The log says what.
    Failure = 1,
    /// The command line is wrong.
    Usage = 2,
    /// `invalidate-op-token` found no token to drop, or `dead-letters` no letter that was meant.
    NothingToDo = 3,
    /// `status` found a program that runs, and a check of it that warns or fails.
    NotWell = 4,
    /// `review` or `policy test` ended in a denial.
    Denied = 5,
    /// The configuration has faults (`EX_CONFIG` of sysexits.h).
    Config = 78,
}

impl ExitStatus {
    /// The status of `invalidate-op-token`: `tokens` were dropped, `unanswered` processes did not answer.
    #[must_use]
    pub fn of_invalidation(tokens: usize, unanswered: usize) -> Self {
        match (tokens, unanswered) {
            (_, 1..) => Self::Failure,
            (0, 0) => Self::NothingToDo,
            (1.., 0) => Self::Success,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status as u8)
    }
}
