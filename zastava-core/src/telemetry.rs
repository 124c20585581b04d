//! The metric and log-scope names that operators know, and the registry behind `/metrics`.
//!
//! [`METRICS`] is the committed list: every metric of the family with its type, labels and help.
//! A part asks the [`Telemetry`] for the ones that it moves; nothing outside the list can be asked
//! for, so the list and `/metrics` cannot disagree.

mod instrument;
mod metric;
mod registry;

pub use instrument::{Counter, Gauge, Histogram};
pub(crate) use metric::metric_with_label;
pub use metric::{
    ADMISSION_CACHE_HITS, ADMISSION_DECISIONS, ADMISSION_IN_FLIGHT, ADMISSION_REVIEW_SECONDS,
    BACKEND_LATENCY, BUFFER_BYTES, BUFFER_DEPTH, BUFFER_DROPS, BUFFER_OLDEST_SECONDS, BUILD_INFO,
    CERTIFICATE_EXPIRY, EVENTS_DEAD_LETTERED, EVENTS_DUPLICATE, LOG_LINES_DROPPED, METRICS, Metric,
    MetricKind, OBSERVER_INSPECTIONS, OBSERVER_MOUNT_UP, OBSERVER_WORKLOADS, RUNTIME_EVENTS, RUNTIME_INFO,
    SOURCE_UP, TOKEN_EXPIRY, TOKEN_FALLBACK, TOKEN_REQUESTS,
};
pub use registry::Telemetry;

/// Log scopes that operators search for.
pub mod scope {
    /// A token was issued, or could not be.
    pub const TOKEN_ISSUE: &str = "authority.token.issue";
    /// The static token serves.
    pub const TOKEN_FALLBACK: &str = "authority.token.fallback";
    /// A cached token was dropped.
    pub const TOKEN_INVALIDATE: &str = "authority.token.invalidate";
    /// Records were dropped from the buffer.
    pub const BUFFER_DROPS: &str = "buffer.drops";
}
