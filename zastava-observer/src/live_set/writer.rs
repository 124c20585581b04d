//! The thread that writes the file. A disk that hangs holds up nobody else.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use tokio::sync::oneshot;
use zastava_core::telemetry::Gauge;

use super::Earlier;
use super::log::{Line, encode, read};

/// The most writes that wait while the disk is slow. Further ones are left out, and the file is replaced later.
const WAITING_MAX: usize = 1024;

/// Whether the file holds what it should.
#[derive(Debug)]
pub(super) struct State {
    failure: Mutex<Option<String>>,
    up: Gauge,
}

impl State {
    pub(super) fn new(up: Gauge) -> Self {
        up.set(&[], 1.0);
        Self { failure: Mutex::default(), up }
    }

    /// Why the file lacks something.
    pub(super) fn failure(&self) -> Option<String> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, failure: Option<String>) {
        self.up.set(&[], if failure.is_none() { 1.0 } else { 0.0 });
        let mut last = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*last, &failure) {
            (None, Some(reason)) => tracing::warn!(
                reason,
                "the running workloads are not kept on disk; what stops while the observer is down is not told"
            ),
            (Some(_), None) => tracing::info!("the running workloads are kept on disk again"),
            _ => {}
        }
        *last = failure;
    }
}

enum Work {
    Append(Box<Line>, oneshot::Sender<()>),
    Replace(Vec<Line>),
}

/// Sends lines to the thread, which ends with it.
#[derive(Debug)]
pub(super) struct Writer {
    work: SyncSender<Work>,
    state: Arc<State>,
}

impl Writer {
    /// Locks the file and reads it. If another observer has the lock, nothing is read: it tells what it saw.
    pub(super) fn start(path: PathBuf, state: Arc<State>) -> (Self, Earlier) {
        let (work, waiting) = sync_channel(WAITING_MAX);
        let mut file = LockedFile { path, lock: None, file: None };
        let earlier = file.lock().and_then(|()| read(&file.path)).unwrap_or_else(|error| {
            state.set(Some(file.explain(&error)));
            Earlier::default()
        });
        let writer = Self { work, state: Arc::clone(&state) };
        let thread = thread::Builder::new().name("zastava-live-set".to_owned());
        if let Err(error) = thread.spawn(move || write_all(&waiting, &mut file, &state)) {
            writer.state.set(Some(format!("no thread can be started: {error}")));
        }
        (writer, earlier)
    }

    pub(super) fn state(&self) -> &Arc<State> {
        &self.state
    }

    /// Appends a line. The receiver hears when that is done, or that it failed.
    pub(super) fn write(&self, line: Line) -> oneshot::Receiver<()> {
        let (done, written) = oneshot::channel();
        self.send(Work::Append(Box::new(line), done));
        written
    }

    /// Replaces the file.
    pub(super) fn replace(&self, lines: Vec<Line>) {
        self.send(Work::Replace(lines));
    }

    fn send(&self, work: Work) {
        if self.work.try_send(work).is_err() {
            self.state.set(Some("the disk does not keep up".to_owned()));
        }
    }
}

fn write_all(waiting: &Receiver<Work>, file: &mut LockedFile, state: &State) {
    while let Ok(work) = waiting.recv() {
        let is_replacement = matches!(work, Work::Replace(_));
        let written = match work {
            // What was missed would be missing in between.
            Work::Append(..) if state.failure().is_some() => continue,
            Work::Append(line, done) => file.append(&line).map(|()| {
                // Nobody waits for a line that is no start.
                let _ = done.send(());
            }),
            Work::Replace(lines) => file.replace(&lines),
        };
        match written {
            Ok(()) if is_replacement => state.set(None),
            Ok(()) => {}
            Err(error) => state.set(Some(file.explain(&error))),
        }
    }
}

struct LockedFile {
    path: PathBuf,
    lock: Option<File>,
    file: Option<File>,
}

impl LockedFile {
    fn explain(&self, error: &io::Error) -> String {
        format!("{}: {error}", self.path.display())
    }

    fn lock(&mut self) -> io::Result<()> {
        if self.lock.is_some() {
            return Ok(());
        }
        if let Some(directory) = self.path.parent() {
            DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        }
        let lock = options().truncate(false).open(self.path.with_extension("lock"))?;
        match lock.try_lock() {
            Ok(()) => self.lock = Some(lock),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) => {
                return Err(io::Error::new(io::ErrorKind::WouldBlock, "another observer keeps it"));
            }
        }
        Ok(())
    }

    fn append(&mut self, line: &Line) -> io::Result<()> {
        self.lock()?;
        if self.file.is_none() {
            self.file = Some(options().append(true).open(&self.path)?);
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.write_all(&encode(line)?)
    }

    /// The new file takes the place of the old one once it is on disk.
    fn replace(&mut self, lines: &[Line]) -> io::Result<()> {
        self.lock()?;
        self.file = None;
        let new = self.path.with_extension("new");
        let mut bytes = Vec::new();
        for line in lines {
            bytes.extend(encode(line)?);
        }
        let mut file = options().truncate(true).open(&new)?;
        file.write_all(&bytes)?;
        file.sync_all()?;
        fs::rename(&new, &self.path)?;
        sync_directory(&self.path)
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.create(true).write(true).mode(0o600);
    options
}

fn sync_directory(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
}
