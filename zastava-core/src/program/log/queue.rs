//! The lines between the tasks that say something and the thread that writes.
//!
//! A line costs its task a copy. The thread is woken for the first of a batch only: after each write it sleeps for a moment,
//! and what has come by then is the next write.

use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Lines that wait for the writing thread. Further lines are dropped.
const LINES_MAX: usize = 4096;
/// Their bytes. A single line may have more.
const BYTES_MAX: usize = 8 << 20;
/// From this part of a bound on, the thread does not sleep.
const HURRY: usize = 2;
/// How long lines are gathered after a write.
const GATHERING: Duration = Duration::from_millis(10);
/// Memory that is kept for the next batch.
const KEPT_BYTES: usize = 64 << 10;

/// A bounded queue of lines.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    /// The thread waits for lines.
    wake: Condvar,
    /// Others wait for the thread.
    written: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    bytes: Vec<u8>,
    lines: usize,
    /// Of all lines that were taken into the queue.
    queued: u64,
    /// Those of them that are written.
    written: u64,
    /// The thread sleeps until it is woken.
    is_idle: bool,
    /// Somebody waits for what is queued, so that nothing more is gathered.
    is_awaited: bool,
    /// No more lines come.
    is_closed: bool,
}

impl Queue {
    /// Takes a line with its line feed. Returns whether there was room.
    pub(super) fn push(&self, line: &[u8]) -> bool {
        let mut waiting = self.lock();
        let has_room = waiting.lines < LINES_MAX
            && (waiting.bytes.is_empty() || waiting.bytes.len() + line.len() <= BYTES_MAX);
        if !has_room {
            return false;
        }
        waiting.bytes.extend_from_slice(line);
        waiting.lines += 1;
        waiting.queued += 1;
        if waiting.is_idle || waiting.lines == LINES_MAX / HURRY {
            // One wake is enough: whoever comes next finds it awake.
            waiting.is_idle = false;
            self.wake.notify_one();
        }
        true
    }

    /// Waits until what is queued now is written, or the time is over.
    pub(super) fn flush(&self, time_max: Duration) {
        let end = Instant::now() + time_max;
        let mut waiting = self.lock();
        let last = waiting.queued;
        while waiting.written < last {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            waiting.is_awaited = true;
            self.wake.notify_one();
            waiting = self.written.wait_timeout(waiting, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// The thread ends when it has written what is queued.
    pub(super) fn close(&self) {
        self.lock().is_closed = true;
        self.wake.notify_one();
    }

    /// Writes lines until the queue is closed, and tells how many were lost with each write that failed. The work of the thread.
    pub(super) fn write_to(&self, mut out: impl Write, lost: impl Fn(u64)) {
        let mut batch = Vec::new();
        while let Some(lines) = self.take(&mut batch) {
            // Standard output may be closed. The program goes on without a reader.
            if out.write_all(&batch).and_then(|()| out.flush()).is_err() {
                lost(lines);
            }
            batch.clear();
            batch.shrink_to(KEPT_BYTES);
            self.lock().written += lines;
            self.written.notify_all();
        }
    }

    /// Waits for lines, and then a moment for more of them. `None` when there are no more.
    fn take(&self, batch: &mut Vec<u8>) -> Option<u64> {
        let mut waiting = self.lock();
        // Whatever was said during the last write.
        if !waiting.is_closed && !waiting.is_awaited && waiting.lines < LINES_MAX / HURRY {
            waiting = self.wake.wait_timeout(waiting, GATHERING).unwrap_or_else(PoisonError::into_inner).0;
        }
        while waiting.lines == 0 {
            if waiting.is_closed {
                return None;
            }
            waiting.is_idle = true;
            waiting = self.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner);
        }
        waiting.is_idle = false;
        waiting.is_awaited = false;
        std::mem::swap(&mut waiting.bytes, batch);
        Some(std::mem::take(&mut waiting.lines) as u64)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    const LONG: Duration = Duration::from_secs(60);

    /// Tells each write, and then waits to be let go on.
    struct Gate(Sender<Vec<u8>>, Receiver<()>);

    impl Write for Gate {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(bytes.to_vec());
            let _ = self.1.recv();
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn start() -> (Arc<Queue>, Receiver<Vec<u8>>, Sender<()>) {
        let queue = Arc::new(Queue::default());
        let (told, writes) = channel();
        let (go_on, gate) = channel();
        let writer = Arc::clone(&queue);
        std::thread::spawn(move || writer.write_to(Gate(told, gate), |_| ()));
        (queue, writes, go_on)
    }

    #[test]
    fn lines_that_come_during_a_write_are_the_next_write() {
        let (queue, writes, go_on) = start();
        assert!(queue.push(b"first\n"));
        assert_eq!(writes.recv_timeout(LONG).unwrap(), b"first\n");
        let lines: String = (0..1000).map(|number| format!("{number}\n")).collect();
        assert!(lines.split_inclusive('\n').all(|line| queue.push(line.as_bytes())));
        go_on.send(()).unwrap();
        assert_eq!(writes.recv_timeout(LONG).unwrap(), lines.as_bytes());
        drop(go_on);
        queue.flush(LONG);
        queue.close();
        // Its end.
        assert!(writes.recv_timeout(LONG).is_err());
    }

    #[test]
    fn what_does_not_fit_is_refused_and_the_rest_stays() {
        let (queue, writes, go_on) = start();
        queue.push(b"first\n");
        writes.recv_timeout(LONG).unwrap();
        assert!((0..LINES_MAX).all(|_| queue.push(b"x\n")));
        assert!(!queue.push(b"x\n"), "too many lines");
        go_on.send(()).unwrap();
        assert_eq!(writes.recv_timeout(LONG).unwrap().len(), 2 * LINES_MAX);
        let line = vec![b'x'; BYTES_MAX + 1];
        assert!(queue.push(&line), "a long line by itself");
        assert!(!queue.push(b"x\n"), "too many bytes");
        go_on.send(()).unwrap();
        assert_eq!(writes.recv_timeout(LONG).unwrap().len(), line.len());
        drop(go_on);
    }

    #[test]
    fn a_flush_ends_with_the_write_or_with_its_time() {
        let (queue, writes, go_on) = start();
        queue.flush(LONG);
        queue.push(b"a\n");
        writes.recv_timeout(LONG).unwrap();
        queue.flush(Duration::ZERO);
        go_on.send(()).unwrap();
        queue.flush(LONG);
        assert_eq!(queue.lock().written, 1);
        drop(go_on);
        queue.push(b"b\n");
        queue.close();
        assert_eq!(writes.recv_timeout(LONG).unwrap(), b"b\n", "written before the end");
    }

    #[test]
    fn lines_of_a_write_that_fails_are_lost_and_counted() {
        let queue = Queue::default();
        (0..3).for_each(|_| assert!(queue.push(b"x\n")));
        queue.close();
        let (full, lost) = (std::fs::File::options().write(true).open("/dev/full").unwrap(), Cell::new(0));
        queue.write_to(full, |lines| lost.set(lost.get() + lines));
        assert_eq!((lost.get(), queue.lock().written), (3, 3), "nobody waits for them");
    }
}
