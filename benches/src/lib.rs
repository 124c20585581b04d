//! What the benchmarks share: criterion on processor time instead of wall time.
//!
//! Processor time of the process includes the threads that a benchmark starts, such as the buffer's writer. It does not include what
//! other processes do meanwhile, so ratios hold on a busy machine.

use std::time::Duration;

use criterion::Criterion;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use rustix::time::{ClockId, clock_gettime};

/// Processor time that this process has used, on all its threads.
#[must_use]
pub fn processor_time() -> Duration {
    clock_gettime(ClockId::ProcessCPUTime).try_into().expect("the clock counts from zero")
}

/// The processor time of one call.
pub fn processor_time_of<T>(call: impl FnOnce() -> T) -> Duration {
    let before = processor_time();
    let result = call();
    let spent = processor_time().saturating_sub(before);
    drop(result);
    spent
}

/// Criterion's default settings with [`ProcessorTime`].
#[must_use]
pub fn criterion() -> Criterion<ProcessorTime> {
    Criterion::default().with_measurement(ProcessorTime)
}

/// Measures [`processor_time`].
#[derive(Debug)]
pub struct ProcessorTime;

impl Measurement for ProcessorTime {
    type Intermediate = Duration;
    type Value = Duration;

    fn start(&self) -> Duration {
        processor_time()
    }

    fn end(&self, start: Duration) -> Duration {
        processor_time().saturating_sub(start)
    }

    fn add(&self, one: &Duration, other: &Duration) -> Duration {
        *one + *other
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}
