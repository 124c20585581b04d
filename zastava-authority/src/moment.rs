//! Instants that cannot be set back.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use zastava_core::clock::{Clock, Timestamp};

/// An instant by two clocks. The wall clock may be set, the other one stands still for nobody.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) wall: Timestamp,
    boot: Duration,
}

impl Moment {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), boot: clock.since_boot() }
    }

    /// How long ago `earlier` was, by the clock that says more: a token that is thought older than
    /// it is costs a request, one that is thought younger is refused.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.wall.saturating_since(earlier.wall).max(self.boot.saturating_sub(earlier.boot))
    }

    /// The moment, not after this one, at which the wall clock showed this.
    pub(crate) fn at_wall(self, wall: Timestamp) -> Self {
        Self { wall, boot: self.boot.saturating_sub(self.wall.saturating_since(wall)) }
    }
}

/// The system's two clocks.
#[derive(Debug)]
pub(crate) struct SystemClocks;

impl Clock for SystemClocks {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    /// `CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC` it goes on while the machine sleeps.
    fn since_boot(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::try_from(time).unwrap_or_default()
    }
}
