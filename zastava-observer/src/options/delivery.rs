//! The settings of delivery: the buffer, and how events are sent.

use std::path::PathBuf;
use std::time::Duration;

use zastava_core::config::{ByteSize, Section, SettingValue};
use zastava_core::contract::KindStyle;

/// The most events that Scanner takes in one batch.
const BATCH_EVENTS_MAX: usize = 256;
/// A node sends no faster by default, however fast Scanner answers.
const EVENTS_PER_SECOND_MAX: u32 = 5000;
/// The most bytes that Scanner takes in one batch.
const BATCH_BYTES_MAX: ByteSize = ByteSize::mebibytes(1);

/// Where events wait for Scanner.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct EventBufferOptions {
    /// The directory.
    pub path: PathBuf,
    /// The most disk it takes. The oldest events are dropped first.
    pub disk_bytes_max: u64,
    /// The most events that wait in memory while the disk fails.
    pub memory_events_max: usize,
}

impl EventBufferOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        Self {
            path: section.value("eventBufferPath", PathBuf::from("/var/run/zastava/runtime-events")),
            disk_bytes_max: section
                .checked("maxDiskBufferBytes", ByteSize::mebibytes(64), "4MiB to 1024GiB", |size| {
                    (ByteSize::mebibytes(4)..=ByteSize::mebibytes(1 << 20)).contains(size)
                })
                .0,
            memory_events_max: section
                .checked("maxInMemoryBuffer", 2048, "16 to 65536", |count| (16..=65_536).contains(count)),
        }
    }
}

/// How events are sent.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct PublishOptions {
    /// The most events in one batch.
    pub batch_events_max: usize,
    /// The most bytes in one batch's body.
    pub batch_bytes_max: usize,
    /// The most events in one batch of the backlog, if that is more.
    pub backlog_batch_events_max: usize,
    /// How long an event waits for others that fill the batch.
    pub flush_interval: Duration,
    /// The longest wait after the first failure. Each further failure doubles it. Waits have full jitter.
    pub backoff_initial: Duration,
    /// The longest wait after a failure.
    pub backoff_max: Duration,
    /// How many events are sent in a second at first, and at least when Scanner asks to slow down.
    pub events_per_second: u32,
    /// The most events that are sent in a second, however fast Scanner acknowledges them.
    pub events_per_second_max: u32,
    /// How many events may be sent at once after a pause.
    pub burst: u32,
    /// How event kinds are spelled.
    pub kind_style: KindStyle,
    /// The file for dead letters: events that Scanner refused for good.
    pub dead_letter_path: PathBuf,
    /// The most disk that dead letters take. The oldest are dropped first.
    pub dead_letter_bytes_max: u64,
}

impl PublishOptions {
    pub(super) fn read(section: &Section<'_>) -> Self {
        let backoff = section.section("backoff");
        let limits = section.section("limits");
        let dead_letter = section.section("deadLetter");
        let size = |key, default| {
            section.checked(key, default, "1 to 256", |size| (1..=BATCH_EVENTS_MAX).contains(size))
        };
        let events_per_second = limits.checked("eventsPerSecond", 50, "1 or more", |rate| *rate > 0);
        let rate_max = limits.value("maxEventsPerSecond", EVENTS_PER_SECOND_MAX.max(events_per_second));
        let options = Self {
            batch_events_max: size("publishBatchSize", 32),
            backlog_batch_events_max: size("backlogBatchSize", BATCH_EVENTS_MAX),
            batch_bytes_max: batch_bytes(section),
            flush_interval: section.value("publishFlushIntervalSeconds", Duration::from_secs(2)),
            backoff_initial: backoff.checked(
                "initial",
                Duration::from_secs(1),
                "more than nothing",
                |wait| !wait.is_zero(),
            ),
            backoff_max: backoff.value("max", Duration::from_secs(30)),
            events_per_second,
            events_per_second_max: rate_max,
            burst: limits.checked("burst", 200, "1 or more", |burst| *burst > 0),
            kind_style: section.value("kindStyle", Style(KindStyle::Pascal)).0,
            dead_letter_path: dead_letter.value("path", PathBuf::from("/var/run/zastava/dead-letter.jsonl")),
            dead_letter_bytes_max: dead_letter
                .checked("maxBytes", ByteSize::mebibytes(4), "64KiB or more", |size| size.0 >= 64 << 10)
                .0,
        };
        if options.backoff_max < options.backoff_initial {
            backoff.conflict("max", "is less than initial");
        }
        if options.events_per_second_max < options.events_per_second {
            limits.conflict("maxEventsPerSecond", "is less than eventsPerSecond");
        }
        backoff.finish();
        limits.finish();
        dead_letter.finish();
        options
    }
}

fn batch_bytes(section: &Section<'_>) -> usize {
    let range = ByteSize(64 << 10)..=BATCH_BYTES_MAX;
    let size =
        section.checked("publishBatchBytes", BATCH_BYTES_MAX, "64KiB to 1MiB", |size| range.contains(size));
    usize::try_from(size.0).unwrap_or(usize::MAX)
}

/// A spelling of event kinds, as a setting.
struct Style(KindStyle);

impl SettingValue for Style {
    const FORM: &'static str = "pascal or screaming";

    fn parse(text: &str) -> Option<Self> {
        match text {
            "pascal" => Some(Self(KindStyle::Pascal)),
            "screaming" => Some(Self(KindStyle::Screaming)),
            _ => None,
        }
    }

    fn show(&self) -> String {
        match self.0 {
            KindStyle::Pascal => "pascal",
            KindStyle::Screaming => "screaming",
        }
        .to_owned()
    }
}
