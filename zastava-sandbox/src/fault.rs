//! Faults that a test asks the servers to show.

use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::time::Duration;

use serde::Deserialize;

/// Faults that may wait. A longer list is refused.
pub(crate) const FAULTS_MAX: usize = 1000;
/// No client waits longer than this.
const DELAY_MS_MAX: u64 = 600_000;

/// Final statuses. After a status of 1xx another answer would have to follow.
pub(crate) const STATUSES: RangeInclusive<u16> = 200..=599;

/// A fault to show, and how often. Faults of one route are shown in the order in which they were asked
/// for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "tests write faults down literally")]
pub struct Fault {
    /// Which requests meet it.
    pub route: Route,
    /// What they meet.
    pub kind: FaultKind,
    /// How many requests meet it.
    pub times: u32,
}

/// A kind of request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub enum Route {
    /// Authority's token endpoint.
    Token,
    /// Scanner's batches of events.
    Events,
    /// Scanner's policy questions.
    Policy,
}

/// What a client sees instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum FaultKind {
    /// This status, before tokens and proofs are checked, as a gateway would answer.
    Status {
        /// The status, from 200 to 599. Any other is shown as 500.
        status: u16,
        /// `Retry-After` in seconds.
        retry_after: Option<u64>,
    },
    /// The right answer, late.
    Delay(Duration),
    /// The connection ends without an answer.
    Reset,
    /// 200 with a page of HTML.
    WrongContent,
}

/// Faults that wait for their requests.
#[derive(Debug, Default)]
pub(crate) struct FaultQueue(VecDeque<Fault>);

impl FaultQueue {
    /// Whether there was room.
    pub(crate) fn push(&mut self, fault: Fault) -> bool {
        let room = self.0.len() < FAULTS_MAX;
        if room && fault.times > 0 {
            self.0.push_back(fault);
        }
        room
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Takes one showing of the next fault of the route.
    pub(crate) fn take(&mut self, route: Route) -> Option<FaultKind> {
        let index = self.0.iter().position(|fault| fault.route == route)?;
        let fault = self.0.get_mut(index)?;
        fault.times -= 1;
        let (kind, spent) = (fault.kind.clone(), fault.times == 0);
        if spent {
            self.0.remove(index);
        }
        Some(kind)
    }
}

/// A fault as `PUT /sandbox/faults` takes it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RawFault {
    route: Route,
    kind: RawKind,
    status: Option<u16>,
    retry_after: Option<u64>,
    milliseconds: Option<u64>,
    #[serde(default = "once")]
    times: u32,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum RawKind {
    Status,
    Delay,
    Reset,
    WrongContent,
}

fn once() -> u32 {
    1
}

impl RawFault {
    /// The fault, or what is wrong with it.
    pub(crate) fn resolve(self) -> Result<Fault, &'static str> {
        let (status, retry_after, milliseconds) = (self.status, self.retry_after, self.milliseconds);
        let kind = match (self.kind, status, retry_after, milliseconds) {
            (RawKind::Status, Some(status), retry_after, None) if STATUSES.contains(&status) => {
                FaultKind::Status { status, retry_after }
            }
            (RawKind::Status, ..) => return Err("status takes a status from 200 to 599 and retryAfter"),
            (RawKind::Delay, None, None, Some(milliseconds)) if milliseconds <= DELAY_MS_MAX => {
                FaultKind::Delay(Duration::from_millis(milliseconds))
            }
            (RawKind::Delay, ..) => return Err("delay takes milliseconds, at most 600000"),
            (RawKind::Reset, None, None, None) => FaultKind::Reset,
            (RawKind::WrongContent, None, None, None) => FaultKind::WrongContent,
            (RawKind::Reset | RawKind::WrongContent, ..) => {
                return Err("the kind takes route and times only");
            }
        };
        Ok(Fault { route: self.route, kind, times: self.times })
    }
}
