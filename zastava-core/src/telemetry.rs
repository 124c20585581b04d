//! The list of metrics, the log scopes, and the registry behind `/metrics`.
//!
//! [`METRICS`] lists every metric of the family with type, labels and help. Operators read the same
//! list in `docs/metrics.md`. Each part requests its instruments from [`Telemetry`] by the constants of
//! the list.
//!
//! ```
//! use zastava_core::telemetry::{BUFFER_DEPTH, BUFFER_DROPS, Telemetry};
//!
//! let telemetry = Telemetry::detached();
//! telemetry.gauge(BUFFER_DEPTH).set(&[], 7.0);
//! telemetry.counter(BUFFER_DROPS).add(&["full", "ContainerStop"], 1);
//!
//! let text = telemetry.render();
//! assert!(text.contains("zastava_buffer_events 7.0\n"));
//! assert!(text.contains("zastava_buffer_drops_total{reason=\"full\",kind=\"ContainerStop\"} 1\n"));
//! ```

mod instrument;
mod metric;
mod registry;

pub use instrument::{Counter, Gauge, Histogram};
pub(crate) use metric::metric_with_label;
pub use metric::{
    ADMISSION_BREAKER_OPEN, ADMISSION_CACHE_HITS, ADMISSION_DECISIONS, ADMISSION_ENFORCED,
    ADMISSION_IN_FLIGHT, ADMISSION_LET_THROUGH, ADMISSION_REFUSALS, ADMISSION_REVIEW_SECONDS,
    ADMISSION_TAG_RESOLUTIONS, ADMISSION_UNENFORCED_UNTIL, BACKEND_LATENCY, BUFFER_BYTES, BUFFER_BYTES_LIMIT,
    BUFFER_DEPTH, BUFFER_DISK_UP, BUFFER_DROPS, BUFFER_LANE, BUFFER_OLDEST_SECONDS, BUILD_INFO,
    CERTIFICATE_ACCEPTED, CERTIFICATE_EXPIRY, DEAD_LETTERS, DEAD_LETTERS_DROPPED, DEAD_LETTERS_RESENT,
    EVENTS_DEAD_LETTERED, EVENTS_DUPLICATE, EVENTS_SUPPRESSED, LOG_LINES_DROPPED, LOG_LINES_SUPPRESSED,
    METRICS, Metric, MetricKind, OBSERVER_CAPABILITY_UP, OBSERVER_INSPECTIONS, OBSERVER_LIVE_SET_UP,
    OBSERVER_MOUNT_UP, OBSERVER_READS_HUNG, OBSERVER_READS_NOT_IN_TIME, OBSERVER_START_TO_BUFFER,
    OBSERVER_WORKLOADS, RUNTIME_EVENTS, RUNTIME_INFO, SOURCE_LAST_EVENT, SOURCE_LIST_SECONDS,
    SOURCE_OVERFLOWS, SOURCE_RESUBSCRIPTIONS, SOURCE_UP, TOKEN_EXPIRY, TOKEN_FALLBACK, TOKEN_REQUESTS,
};
pub use registry::Telemetry;

/// Log scopes that operators search for.
pub mod scope {
    /// A token was issued, or a request for one failed.
    pub const TOKEN_ISSUE: &str = "authority.token.issue";
    /// The static token was used.
    pub const TOKEN_FALLBACK: &str = "authority.token.fallback";
    /// A cached token was dropped.
    pub const TOKEN_INVALIDATE: &str = "authority.token.invalidate";
    /// The buffer dropped events.
    pub const BUFFER_DROPS: &str = "buffer.drops";
}
