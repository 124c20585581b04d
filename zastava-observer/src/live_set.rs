//! The workloads that run, kept on disk beside the buffer, so that a restart misses neither a stop nor a start.
//!
//! A start is written before its event is stored, as *begun*, and marked as *told* once the event is on disk; a stop removes
//! its workload after that. So whenever the process is killed, the file knows of every workload whose start may have been
//! told (docs/design/observer.md#what-is-not-seen-while-the-observer-is-down).
//!
//! The file is a log of lines with checksums. A thread appends to it, and the pipeline replaces it by the set of live
//! workloads when it has grown. A disk that fails costs what happens while the observer is down, and nothing else.

mod log;
mod stored;
mod writer;

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use zastava_core::clock::Timestamp;
use zastava_core::telemetry::{OBSERVER_LIVE_SET_UP, Telemetry};
use zastava_core::vocabulary::Engine;

use self::log::Line;
use self::stored::StoredWorkload;
use self::writer::{State, Writer};
use crate::tracker::{Restored, Step, Transition};
use crate::workload::Workload;

/// The file's name, in the directory of the buffer.
const FILE: &str = "live-set.jsonl";
/// The longest wait until a start is on disk. After it the event is stored all the same.
const WRITE_WAIT_MAX: Duration = Duration::from_secs(1);
/// The file is replaced when it has so many lines, and four for each live workload, since it was replaced last.
const LINES_MAX: usize = 1024;
/// After a failure the file is replaced, but not more often.
const BETWEEN_REPAIRS: Duration = Duration::from_secs(5);

/// What an earlier run left behind.
#[derive(Debug, Default)]
pub(crate) struct Earlier {
    /// The kernel's boot in which it ran.
    pub(crate) boot_id: String,
    /// When it told something last.
    written: Option<Timestamp>,
    pub(crate) workloads: Vec<Restored>,
}

impl Earlier {
    /// Since when nobody has watched the node, if that began in this boot.
    pub(crate) fn away_since(&self, boot_id: &str) -> Option<Timestamp> {
        self.written.filter(|_| self.boot_id == boot_id)
    }
}

/// The live set on disk.
#[derive(Debug)]
pub(crate) struct LiveSet {
    writer: Writer,
    boot_id: String,
    /// Starts that are begun and not told.
    begun: HashSet<(Engine, String)>,
    /// Lines since the file was replaced.
    lines: usize,
    repaired: Option<Instant>,
}

impl LiveSet {
    /// Reads what an earlier run left in the buffer's directory, and keeps the set there from now on.
    pub(crate) fn open(directory: &Path, boot_id: &str, telemetry: &Telemetry) -> (Self, Earlier) {
        let state = Arc::new(State::new(telemetry.gauge(OBSERVER_LIVE_SET_UP)));
        let path = directory.join(FILE);
        let (writer, earlier) = Writer::start(path, state);
        let set =
            Self { writer, boot_id: boot_id.to_owned(), begun: HashSet::new(), lines: 0, repaired: None };
        (set, earlier)
    }

    /// Shows in `/status` whether the set is kept.
    pub(crate) fn status(&self) -> impl Fn() -> Value + Send + 'static {
        let state = Arc::clone(self.writer.state());
        move || match state.failure() {
            None => json!("kept on disk"),
            Some(reason) => json!({
                "missing": reason,
                "without": "what stops while the observer is down is not told",
            }),
        }
    }

    /// The event of this transition is about to be stored.
    pub(crate) async fn begins(&mut self, transition: &Transition) {
        if transition.step == Step::Start {
            let workload = &transition.workload;
            self.begun.insert((workload.engine, workload.key.clone()));
            let line = Line::Begun(StoredWorkload::of(workload));
            let written = self.writer.write(line);
            self.lines += 1;
            let _ = tokio::time::timeout(WRITE_WAIT_MAX, written).await;
        }
    }

    /// The transition is committed. `is_on_disk` says whether its event survives this process; otherwise the next
    /// one tells it again.
    pub(crate) fn committed(&mut self, transition: &Transition, is_on_disk: bool) {
        let run = (transition.workload.engine, transition.workload.key.clone());
        let (engine, key) = (run.0.to_string(), run.1.clone());
        let line = match transition.step {
            Step::Start => Line::Told { engine, key },
            Step::Stop { .. } => Line::Ended { engine, key },
            Step::Noted(_) => return,
        };
        if is_on_disk {
            self.begun.remove(&run);
            self.append(line);
        }
    }

    /// The engine is not followed any longer.
    pub(crate) fn unfollowed(&mut self, engine: Engine) {
        self.begun.retain(|(of, _)| *of != engine);
        self.append(Line::Unfollowed { engine: engine.to_string() });
    }

    fn append(&mut self, line: Line) {
        self.lines += 1;
        drop(self.writer.write(line));
    }

    /// Replaces the file by these workloads if it has grown or was not written. `told` are the `live` ones; `waiting` were
    /// restored, and their engine has reported nothing yet.
    pub(crate) fn keep_short<'a>(
        &mut self,
        live: usize,
        told: impl Iterator<Item = &'a Workload>,
        waiting: impl Iterator<Item = &'a Restored>,
    ) {
        let may_repair = self.repaired.is_none_or(|repaired| repaired.elapsed() >= BETWEEN_REPAIRS);
        let is_broken = self.writer.state().failure().is_some() && may_repair;
        if self.lines > LINES_MAX + 4 * live || is_broken {
            self.repaired = is_broken.then(Instant::now).or(self.repaired);
            self.replace(told, waiting);
        }
    }

    /// Replaces the file.
    pub(crate) fn replace<'a>(
        &mut self,
        told: impl Iterator<Item = &'a Workload>,
        waiting: impl Iterator<Item = &'a Restored>,
    ) {
        let line = |workload: &Workload, is_told: bool| {
            let workload = StoredWorkload::of(workload);
            if is_told { Line::Live(workload) } else { Line::Begun(workload) }
        };
        let is_told = |workload: &Workload| !self.begun.contains(&(workload.engine, workload.key.clone()));
        let told = told.map(|workload| line(workload, is_told(workload)));
        let waiting = waiting.map(|restored| line(&restored.workload, restored.is_told));
        let boot = Line::Boot { id: self.boot_id.clone() };
        self.writer.replace([boot].into_iter().chain(told).chain(waiting).collect());
        self.lines = 0;
    }
}

#[cfg(test)]
mod tests;
