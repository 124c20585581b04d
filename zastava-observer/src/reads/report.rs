//! Shows the reads that hang: in the metrics, in readiness, in `/status` and in the log.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use zastava_core::program::{Check, Health};
use zastava_core::telemetry::{Counter, Gauge, OBSERVER_READS_HUNG, OBSERVER_READS_NOT_IN_TIME, Telemetry};

use super::table::Hung;
use super::{Place, Reads};

/// Reports the state of all reads.
#[derive(Debug)]
pub(crate) struct ReadsReport {
    reads: Reads,
    hung: Gauge,
    not_in_time: Counter,
    check: Check,
    /// What the last report said.
    counted: u64,
    shown: BTreeMap<&'static str, usize>,
}

impl ReadsReport {
    pub(crate) fn new(reads: Reads, telemetry: &Telemetry, health: &Health) -> Self {
        let shown = reads.clone();
        health.status("reads", move || shown.status());
        let mut report = Self {
            reads,
            hung: telemetry.gauge(OBSERVER_READS_HUNG),
            not_in_time: telemetry.counter(OBSERVER_READS_NOT_IN_TIME),
            check: health.check("reads"),
            counted: 0,
            // The usual places have a series from the start.
            shown: BTreeMap::from([("file_system", 0), ("look_up", 0)]),
        };
        report.report();
        report
    }

    /// Brings metrics, readiness and log up to date. Readiness fails only when workloads lose facts whose own files
    /// answer: a workload must not decide whether the observer is ready.
    pub(crate) fn report(&mut self) {
        let (hung, not_read, is_full) = {
            let table = self.reads.table();
            let hung = table.hung();
            let is_full = hung.iter().any(|read| table.is_full(read.place.kind()));
            (hung, table.not_read(), is_full)
        };
        self.not_in_time.add(&[], not_read - self.counted);
        self.counted = not_read;
        let mut by_kind = BTreeMap::new();
        for read in &hung {
            *by_kind.entry(read.place.kind()).or_insert(0) += 1;
        }
        for kind in self.shown.keys().chain(by_kind.keys()) {
            self.hung.set(&[kind], by_kind.get(kind).copied().unwrap_or(0) as f64);
        }
        match hung.first() {
            None => self.check.holds(),
            Some(_) if is_full => {
                self.check.fails(format!("{}; reads of unknown files are refused", words(&hung)))
            }
            Some(_) => self.check.warns(words(&hung)),
        }
        self.log(&hung, &by_kind);
        let kinds = by_kind.keys().chain(self.shown.keys());
        self.shown = kinds.map(|kind| (*kind, by_kind.get(kind).copied().unwrap_or(0))).collect();
    }

    fn log(&self, hung: &[Hung], by_kind: &BTreeMap<&'static str, usize>) {
        let before: usize = self.shown.values().sum();
        let now: usize = by_kind.values().sum();
        if now > before {
            tracing::warn!(
                hung = now,
                longest = hung.first().map(|read| read.place.to_string()),
                "files do not answer; their workloads are reported without what is in them"
            );
        } else if now == 0 && before > 0 {
            tracing::info!("all files answer again");
        }
    }
}

impl Reads {
    /// Each read that hangs, longest first.
    fn status(&self) -> Value {
        let hung = self.table().hung();
        let shown =
            hung.iter().map(|read| json!({"at": read.place.to_string(), "seconds": read.time.as_secs()}));
        json!({"hung": shown.collect::<Vec<_>>()})
    }
}

fn words(hung: &[Hung]) -> String {
    let longest = hung.first().map(|read| format!(", the longest at {}", read.place));
    format!("{} reads of files hang{}", hung.len(), longest.unwrap_or_default())
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Process { pid, file } => write!(f, "/proc/{pid}/{file}"),
            Self::LookUp { pid } => write!(f, "look-up in /proc/{pid}/root"),
            Self::FileSystem(device) => write!(f, "file system {device}"),
            Self::Socket { engine, .. } => write!(f, "socket of {engine}"),
            Self::Node(part) => f.write_str(part),
        }
    }
}
