//! JSON lines on standard output. One thread writes them, so that no task waits for the reader.
// docs/design/core.md#why-does-the-log-have-a-thread

mod queue;
mod repeats;

use std::cell::Cell;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, SubscriberExt as _};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer};

use crate::clock::Timestamp;
use crate::options::LoggingOptions;
use crate::telemetry::{Counter, LOG_LINES_DROPPED, LOG_LINES_SUPPRESSED, Telemetry, scope};
use queue::Queue;
use repeats::Repeats;

/// How long [`LogWriter::flush`] waits.
const FLUSH_MAX: Duration = Duration::from_secs(2);
/// The memory that each thread keeps to make its lines in.
const LINE_BYTES_KEPT: usize = 16 << 10;

/// Writes lines to standard output without waiting. Cheap to clone.
#[derive(Clone)]
pub struct LogWriter {
    lines: Arc<Lines>,
    dropped: Drops,
    repeats: Arc<Mutex<Option<(Repeats, Counter)>>>,
}

/// Counts lines that nobody will read.
#[derive(Clone, Default)]
struct Drops(Arc<Mutex<Option<Counter>>>);

impl Drops {
    fn add(&self, lines: u64) {
        if let Some(counter) = &*self.0.lock().unwrap_or_else(PoisonError::into_inner) {
            counter.add(&[], lines);
        }
    }
}

/// Ends the writing thread with the last writer.
struct Lines(Arc<Queue>);

impl Drop for Lines {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl LogWriter {
    /// Starts the writing thread.
    #[must_use]
    pub fn stdout() -> Self {
        let queue = Arc::new(Queue::default());
        let lines = Arc::new(Lines(Arc::clone(&queue)));
        let dropped = Drops::default();
        let lost = dropped.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || queue.write_to(std::io::stdout(), |lines| lost.add(lines)))
            .expect("a program that cannot start a thread cannot run");
        Self { lines, dropped, repeats: Arc::default() }
    }

    /// Leaves out warnings and errors that repeat one of the last half minute, from now on. They are counted, and the
    /// next such line has their number in its member `suppressed`. What [`json`](Self::json) writes is never left out.
    pub fn limit_repeats(&self, telemetry: &Telemetry) {
        let counter = telemetry.counter(LOG_LINES_SUPPRESSED);
        counter.add(&[], 0);
        *self.repeats.lock().unwrap_or_else(PoisonError::into_inner) = Some((Repeats::default(), counter));
    }

    /// How many lines like this one were left out, or `None` if it is one of them.
    fn admit(&self, event: &Event<'_>, fields: &Map<String, Value>) -> Option<u64> {
        let mut repeats = self.repeats.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((repeats, counter)) = &mut *repeats else { return Some(0) };
        // An audit has to have each use of the static token.
        let is_audited = fields.get("scope").is_some_and(|scope| scope == scope::TOKEN_FALLBACK);
        if *event.metadata().level() > Level::WARN || is_audited {
            return Some(0);
        }
        let key = repeats::key(&event.metadata().callsite(), fields);
        let admitted = repeats.admit(key, Instant::now());
        if admitted.is_none() {
            counter.add(&[], 1);
        }
        admitted
    }

    /// Counts dropped lines from now on.
    pub fn count_drops(&self, telemetry: &Telemetry) {
        let counter = telemetry.counter(LOG_LINES_DROPPED);
        *self.dropped.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(counter);
    }

    /// Queues a value as one line of JSON. The line is dropped and counted when the queue is full.
    pub fn json(&self, value: &impl Serialize) {
        thread_local!(static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) });
        let mut line = LINE.take();
        if serde_json::to_writer(&mut line, value).is_ok() {
            line.push(b'\n');
            self.line(&line);
        }
        line.clear();
        line.shrink_to(LINE_BYTES_KEPT);
        LINE.set(line);
    }

    fn line(&self, line: &[u8]) {
        if !self.lines.0.push(line) {
            self.dropped.add(1);
        }
    }

    /// Waits until all queued lines are written, two seconds at most: standard output may be a pipe
    /// that nobody reads. Call it before the program ends.
    pub fn flush(&self) {
        self.lines.0.flush(FLUSH_MAX);
    }
}

impl fmt::Debug for LogWriter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogWriter").finish_non_exhaustive()
    }
}

/// Sends all log events of the process to `writer`, as JSON lines. `filter` is a directive such as
/// `info` or `zastava_observer=debug`. An invalid filter means `info`.
///
/// # Errors
/// The process already has a subscriber.
pub fn init_logging(
    options: &LoggingOptions,
    filter: &str,
    writer: &LogWriter,
) -> Result<(), tracing_subscriber::util::TryInitError> {
    let filter = EnvFilter::try_new(filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = JsonLines { options: options.clone(), writer: writer.clone() };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()
}

struct JsonLines {
    options: LoggingOptions,
    writer: LogWriter,
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let mut fields = Map::new();
        event.record(&mut Fields(&mut fields));
        match self.writer.admit(event, &fields) {
            None => return,
            Some(0) => {}
            Some(left_out) => _ = fields.insert("suppressed".to_owned(), left_out.into()),
        }
        let spans = match context.event_scope(event).filter(|_| self.options.include_scopes) {
            Some(spans) => spans.from_root().map(|span| span.name()).collect(),
            None => Vec::new(),
        };
        self.writer.json(&Line {
            timestamp: Timestamp::now(),
            level: event.metadata().level().as_str(),
            target: event.metadata().target(),
            message: fields.remove("message"),
            scope: fields.remove("scope").or_else(|| self.options.static_scope.as_deref().map(Value::from)),
            fields,
            spans,
        });
    }
}

/// An error with its causes, each once: some errors of others have their cause in their own text.
#[must_use]
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |error| error.source()).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The members of a line, in order.
#[derive(Serialize)]
struct Line<'a> {
    timestamp: Timestamp,
    level: &'a str,
    target: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Value>,
    #[serde(flatten)]
    fields: Map<String, Value>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    spans: Vec<&'a str>,
}

/// An event's fields as members of the line.
struct Fields<'a>(&'a mut Map<String, Value>);

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: Value) {
        self.0.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, format!("{value:?}").into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.put(field, with_causes(value).into());
    }
}
