//! Every metric of the family.

/// A metric's name, type, labels and meaning.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// The name without the `_total` that counters get in the exposition.
    pub name: &'static str,
    /// Counter, gauge or histogram.
    pub kind: MetricKind,
    /// Label names, without the configured common tags.
    pub labels: &'static [&'static str],
    /// What it measures, without a full stop.
    pub help: &'static str,
}

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// Only rises.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by upper bound.
    Histogram(&'static [f64]),
}

impl MetricKind {
    /// The type's name in the exposition.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        }
    }
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: MetricKind::Gauge, labels, help }
}

const fn histogram(
    name: &'static str,
    bounds: &'static [f64],
    labels: &'static [&'static str],
    help: &'static str,
) -> Metric {
    Metric { name, kind: MetricKind::Histogram(bounds), labels, help }
}

/// Includes the limits of the alert (750 ms) and of the upgrade gate (250 ms).
const LATENCY_MS: &[f64] =
    &[1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0, 500.0, 750.0, 1000.0, 2500.0, 5000.0, 10000.0, 30000.0];
/// From a cache hit to the longest time-out of an API server.
const REVIEW_SECONDS: &[f64] =
    &[0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.008, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0, 30.0];

/// Includes the budget of a start: 5 ms for half of them, 50 ms for nearly all.
const START_SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// A list takes milliseconds, and seconds when a container's shim does not answer.
const LIST_SECONDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0];

/// Events that Scanner acknowledged.
pub const RUNTIME_EVENTS: Metric = counter(
    "zastava_runtime_events",
    &["tenant", "component", "kind"],
    "Runtime events that Scanner acknowledged",
);
/// Latency of Scanner.
pub const BACKEND_LATENCY: Metric = histogram(
    "zastava_runtime_backend_latency_ms",
    LATENCY_MS,
    &["endpoint", "status"],
    "Milliseconds until Scanner answered; status is the HTTP status or the kind of failure",
);
/// Decisions of the webhook.
pub const ADMISSION_DECISIONS: Metric =
    counter("zastava_admission_decisions", &["decision", "result"], "Admission reviews by decision");
/// Verdicts served from the cache.
pub const ADMISSION_CACHE_HITS: Metric =
    counter("zastava_admission_cache_hits", &[], "Image verdicts served from the cache");
/// Records dropped from the event buffer.
pub const BUFFER_DROPS: Metric = counter(
    "zastava_buffer_drops",
    &["reason", "kind"],
    "Events dropped from the buffer before they were sent",
);
/// Denials that were not enforced.
pub const ADMISSION_LET_THROUGH: Metric = counter(
    "zastava_admission_let_through",
    &["reviewed_namespace"],
    "Reviews that were allowed only because denials are not enforced; * stands for the namespaces without an exception of their own",
);
/// Whether denials are enforced.
pub const ADMISSION_ENFORCED: Metric = gauge(
    "zastava_admission_enforced",
    &[],
    "1 while denials are enforced in the namespaces without an exception of their own",
);
/// Ends of exceptions from enforcement.
pub const ADMISSION_UNENFORCED_UNTIL: Metric = gauge(
    "zastava_admission_unenforced_until_timestamp_seconds",
    &["reviewed_namespace"],
    "Unix time until which denials are not enforced in the namespace",
);
/// Reviews in progress.
pub const ADMISSION_IN_FLIGHT: Metric =
    gauge("zastava_admission_in_flight", &[], "Admission reviews in progress");
/// Requests and connections that were refused.
pub const ADMISSION_REFUSALS: Metric = counter(
    "zastava_admission_refusals",
    &["reason"],
    "Requests and connections refused before their review was read, by reason",
);
/// Whether a policy source that does not answer is only probed.
pub const ADMISSION_BREAKER_OPEN: Metric = gauge(
    "zastava_admission_breaker_open",
    &[],
    "1 while the policy source does not answer and is only probed",
);
/// Tags that registries were asked about.
pub const ADMISSION_TAG_RESOLUTIONS: Metric = counter(
    "zastava_admission_tag_resolutions",
    &["result"],
    "Tags that a registry was asked about: resolved to a digest, refused by its answer, or silent when it does not answer",
);
/// Duration of reviews.
pub const ADMISSION_REVIEW_SECONDS: Metric = histogram(
    "zastava_admission_review_seconds",
    REVIEW_SECONDS,
    &["source"],
    "Seconds from a review's arrival to its answer; source names what decided it",
);
/// Records in the event buffer.
pub const BUFFER_DEPTH: Metric = gauge("zastava_buffer_events", &[], "Events in the buffer");
/// Bytes in the event buffer.
pub const BUFFER_BYTES: Metric = gauge("zastava_buffer_bytes", &[], "Bytes that the buffer holds on disk");
/// Age of the oldest record.
pub const BUFFER_OLDEST_SECONDS: Metric =
    gauge("zastava_buffer_oldest_event_seconds", &[], "Age of the oldest event in the buffer");
/// Events that Scanner already had.
pub const EVENTS_DUPLICATE: Metric =
    counter("zastava_runtime_events_duplicate", &[], "Events that Scanner had already accepted");
/// Events that became dead letters.
pub const EVENTS_DEAD_LETTERED: Metric = counter(
    "zastava_runtime_events_dead_lettered",
    &[],
    "Events that Scanner refused for good and that were set aside as dead letters",
);
/// Dead letters that an operator may send again.
pub const DEAD_LETTERS: Metric = gauge(
    "zastava_runtime_dead_letters",
    &[],
    "Dead letters in their files, which an operator can list, send again or drop",
);
/// Dead letters that were sent again.
pub const DEAD_LETTERS_RESENT: Metric =
    counter("zastava_runtime_dead_letters_resent", &[], "Dead letters that an operator had sent again");
/// Dead letters that newer ones replaced.
pub const DEAD_LETTERS_DROPPED: Metric = counter(
    "zastava_runtime_dead_letters_dropped",
    &[],
    "Dead letters that were dropped because their files were full or could not be written",
);
/// Events in each lane of the buffer.
pub const BUFFER_LANE: Metric =
    gauge("zastava_buffer_lane_events", &["lane"], "Events in the buffer by lane: live or backlog");
/// The bound of the buffer's files.
pub const BUFFER_BYTES_LIMIT: Metric =
    gauge("zastava_buffer_bytes_limit", &[], "Bytes that the buffer may take on disk");
/// Whether the buffer uses its disk.
pub const BUFFER_DISK_UP: Metric = gauge(
    "zastava_buffer_disk_up",
    &[],
    "1 while events reach the disk; 0 while they wait in memory, since the disk is full, failing or held by another process",
);
/// Capabilities that the observer needs.
pub const OBSERVER_CAPABILITY_UP: Metric = gauge(
    "zastava_observer_capability_up",
    &["capability"],
    "1 while the observer has a capability that it needs",
);
/// Whether the live set is kept on disk.
pub const OBSERVER_LIVE_SET_UP: Metric = gauge(
    "zastava_observer_live_set_up",
    &[],
    "1 while the set of running workloads is kept on disk, so that a restart misses no stop",
);
/// Log lines that repeated others.
pub const LOG_LINES_SUPPRESSED: Metric = counter(
    "zastava_log_lines_suppressed",
    &[],
    "Log lines left out because they repeated one of the last 30 seconds",
);
/// Events that were left out on purpose.
pub const EVENTS_SUPPRESSED: Metric = counter(
    "zastava_runtime_events_suppressed",
    &["reason", "kind"],
    "Events of workloads that were left out because they repeated others or came too fast",
);
/// Inspections of processes.
pub const OBSERVER_INSPECTIONS: Metric =
    counter("zastava_observer_inspections", &["outcome"], "Process inspections by outcome");
/// Mounts of the node that the observer needs.
pub const OBSERVER_MOUNT_UP: Metric = gauge(
    "zastava_observer_mount_up",
    &["mount"],
    "1 while a mount of the node that the observer needs exists",
);
/// Reads of files that nobody waits for any more.
pub const OBSERVER_READS_HUNG: Metric = gauge(
    "zastava_observer_reads_hung",
    &["place"],
    "Reads of files that hang, by what they wait for: a file system, the look-up of a path, or a file in a process's /proc",
);
/// Reads that gave no answer.
pub const OBSERVER_READS_NOT_IN_TIME: Metric = counter(
    "zastava_observer_reads_not_in_time",
    &[],
    "Reads of files that were given up or refused because a file does not answer",
);
/// Running workloads.
pub const OBSERVER_WORKLOADS: Metric =
    gauge("zastava_observer_workloads", &["engine"], "Workloads running on this node");
/// From the start of a workload to its event in the buffer.
pub const OBSERVER_START_TO_BUFFER: Metric = histogram(
    "zastava_observer_start_to_buffer_seconds",
    START_SECONDS,
    &["engine"],
    "Seconds from a start, by the engine's own clock, until its event was in the buffer; without starts that only a list showed",
);
/// Connections that replace one that failed.
pub const SOURCE_RESUBSCRIPTIONS: Metric = counter(
    "zastava_observer_source_resubscriptions",
    &["engine"],
    "Subscriptions to the events of the engine after the first one",
);
/// Events of an engine that found no room.
pub const SOURCE_OVERFLOWS: Metric = counter(
    "zastava_observer_source_overflows",
    &["engine"],
    "Events of the engine that found the queue full; everything is listed then",
);
/// When an engine was heard last.
pub const SOURCE_LAST_EVENT: Metric = gauge(
    "zastava_observer_source_last_event_timestamp_seconds",
    &["engine"],
    "Unix time of the last event that the engine sent",
);
/// Duration of lists.
pub const SOURCE_LIST_SECONDS: Metric = histogram(
    "zastava_observer_source_list_seconds",
    LIST_SECONDS,
    &["engine"],
    "Seconds until the engine answered a list of everything that runs",
);
/// State of the workload source.
pub const SOURCE_UP: Metric =
    gauge("zastava_observer_source_up", &["engine"], "1 while the workload source works");
/// Token requests.
pub const TOKEN_REQUESTS: Metric = counter(
    "zastava_authority_token_requests",
    &["audience", "result"],
    "Token requests to Authority by result",
);
/// Expiry of tokens.
pub const TOKEN_EXPIRY: Metric = gauge(
    "zastava_authority_token_expiry_timestamp_seconds",
    &["audience"],
    "Unix time at which the current token expires",
);
/// Uses of the static token.
pub const TOKEN_FALLBACK: Metric = counter(
    "zastava_authority_token_fallback",
    &["audience"],
    "Requests that were served with the static token",
);
/// Expiry of certificates.
pub const CERTIFICATE_EXPIRY: Metric = gauge(
    "zastava_certificate_expiry_timestamp_seconds",
    &["certificate"],
    "Unix time at which the certificate in use expires",
);
/// Whether clients accept a certificate.
pub const CERTIFICATE_ACCEPTED: Metric = gauge(
    "zastava_certificate_accepted",
    &["certificate"],
    "1 while API servers can accept the certificate in use: its signer, names and dates hold",
);
/// Dropped log lines.
pub const LOG_LINES_DROPPED: Metric =
    counter("zastava_log_lines_dropped", &[], "Log lines dropped because standard output was not read");
/// The build.
pub const BUILD_INFO: Metric =
    gauge("zastava_build_info", &["version", "commit", "meter"], "1 for the running build");
/// The installation.
pub const RUNTIME_INFO: Metric = gauge(
    "zastava_runtime_info",
    &["tenant", "environment", "deployment", "component"],
    "1 for the running installation",
);

/// All metrics.
pub const METRICS: &[Metric] = &[
    RUNTIME_EVENTS,
    BACKEND_LATENCY,
    ADMISSION_DECISIONS,
    ADMISSION_CACHE_HITS,
    BUFFER_DROPS,
    ADMISSION_LET_THROUGH,
    ADMISSION_ENFORCED,
    ADMISSION_UNENFORCED_UNTIL,
    ADMISSION_IN_FLIGHT,
    ADMISSION_REFUSALS,
    ADMISSION_BREAKER_OPEN,
    ADMISSION_TAG_RESOLUTIONS,
    ADMISSION_REVIEW_SECONDS,
    BUFFER_DEPTH,
    BUFFER_BYTES,
    BUFFER_OLDEST_SECONDS,
    EVENTS_DUPLICATE,
    EVENTS_DEAD_LETTERED,
    DEAD_LETTERS,
    DEAD_LETTERS_RESENT,
    DEAD_LETTERS_DROPPED,
    BUFFER_LANE,
    BUFFER_BYTES_LIMIT,
    BUFFER_DISK_UP,
    OBSERVER_CAPABILITY_UP,
    OBSERVER_LIVE_SET_UP,
    LOG_LINES_SUPPRESSED,
    EVENTS_SUPPRESSED,
    OBSERVER_INSPECTIONS,
    OBSERVER_MOUNT_UP,
    OBSERVER_READS_HUNG,
    OBSERVER_READS_NOT_IN_TIME,
    OBSERVER_WORKLOADS,
    OBSERVER_START_TO_BUFFER,
    SOURCE_RESUBSCRIPTIONS,
    SOURCE_OVERFLOWS,
    SOURCE_LAST_EVENT,
    SOURCE_LIST_SECONDS,
    SOURCE_UP,
    TOKEN_REQUESTS,
    TOKEN_EXPIRY,
    TOKEN_FALLBACK,
    CERTIFICATE_EXPIRY,
    CERTIFICATE_ACCEPTED,
    LOG_LINES_DROPPED,
    BUILD_INFO,
    RUNTIME_INFO,
];

/// The label of histogram buckets in the exposition.
const BUCKET_LABEL: &str = "le";

/// The name of a metric that has this label.
pub(crate) fn metric_with_label(label: &str) -> Option<&'static str> {
    let has = |metric: &&Metric| match metric.kind {
        MetricKind::Histogram(_) if label == BUCKET_LABEL => true,
        _ => metric.labels.contains(&label),
    };
    METRICS.iter().find(has).map(|metric| metric.name)
}
