//! What two clocks show at one instant.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use zastava_core::clock::{Clock, Timestamp};

/// The wall clock and the time since boot, read together. The wall clock can be set back, the time
/// since boot cannot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    pub(crate) wall: Timestamp,
    boot: Duration,
}

impl ClockReading {
    pub(crate) fn now(clock: &dyn Clock) -> Self {
        Self { wall: clock.now(), boot: clock.since_boot() }
    }

    /// How long ago `earlier` was, by the clock that says more. If a token is taken for older than
    /// it is, that costs a request. If it is taken for younger, the server refuses it.
    pub(crate) fn since(self, earlier: Self) -> Duration {
        self.wall.saturating_since(earlier.wall).max(self.boot.saturating_sub(earlier.boot))
    }

    /// The earlier reading at which the wall clock showed `wall`.
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

    /// `CLOCK_BOOTTIME`: unlike `CLOCK_MONOTONIC` it advances while the machine sleeps.
    fn since_boot(&self) -> Duration {
        let time = clock_gettime(ClockId::Boottime);
        Duration::try_from(time).unwrap_or_default()
    }
}
