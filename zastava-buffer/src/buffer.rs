//! Opens buffers.

use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use crate::consumer::Consumer;
use crate::error::Error;
use crate::options::{BufferOptions, OnUnavailable};
use crate::producer::Producer;
use crate::queue::{QueueHandle, SharedQueue};
use crate::stats::{OpenReport, StorageProblem};
use crate::store::{Disk, Store};
use crate::worker::{Opener, Worker};

/// Opens buffers.
#[derive(Debug)]
#[non_exhaustive]
pub struct Buffer;

impl Buffer {
    /// Opens the directory, creates it if needed, and starts the thread that does all file operations.
    ///
    /// Opening reads the footers of sealed segments and scans only segments without one. It needs no free space in a
    /// directory that was opened before. It does not fail on damaged or unfinished files; see [`OpenReport`].
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for options that are out of range or contradict each other. With
    /// [`OnUnavailable::Fail`] also [`Error::Locked`], without waiting, if another buffer holds the directory, and
    /// [`Error::Storage`] if it cannot be read or written.
    pub fn open(
        directory: impl AsRef<Path>,
        options: BufferOptions,
    ) -> Result<(Producer, Consumer, OpenReport), Error> {
        let (directory, free) = (directory.as_ref().to_owned(), options.free_percent_min);
        Self::open_store(move || Disk::open(&directory, free), options)
    }

    /// Opens a buffer on another [`Store`]. With [`OnUnavailable::MemoryOnly`], `opener` is called again until it
    /// succeeds.
    ///
    /// # Errors
    /// The same as [`open`](Self::open).
    pub fn open_store<S: Store + 'static>(
        mut opener: impl FnMut() -> Result<S, Error> + Send + 'static,
        options: BufferOptions,
    ) -> Result<(Producer, Consumer, OpenReport), Error> {
        let opener: Opener = Box::new(move || Ok(Box::new(opener()?)));
        let (worker, handle, report) = start(opener, options)?;
        let thread = thread::Builder::new().name("zastava-buffer".to_owned());
        thread.spawn(move || worker.run()).map_err(Error::Thread)?;
        Ok((Producer::new(Arc::clone(&handle)), Consumer::new(handle), report))
    }

    /// Opens a buffer without a directory. Its records do not survive the process.
    ///
    /// # Errors
    /// [`Error::InvalidOption`] for options that are out of range or contradict each other.
    pub fn in_memory(mut options: BufferOptions) -> Result<(Producer, Consumer, OpenReport), Error> {
        options.on_unavailable = OnUnavailable::MemoryOnly;
        let none = || Err::<Disk, _>(Error::NotDurable);
        Self::open_store(none, options)
    }
}

pub(crate) fn start(
    opener: Opener,
    options: BufferOptions,
) -> Result<(Worker, Arc<QueueHandle>, OpenReport), Error> {
    options.validate()?;
    let on_unavailable = options.on_unavailable;
    let shared = Arc::new(SharedQueue::new(options));
    let (worker, report) = Worker::new(Arc::clone(&shared), opener);
    let report = match report {
        Err(error) if on_unavailable == OnUnavailable::MemoryOnly => {
            let cause = Some(StorageProblem::of_open(&error));
            shared.update(|queue| queue.set_health(cause, None));
            OpenReport { unavailable: cause, ..OpenReport::default() }
        }
        report => report?,
    };
    Ok((worker, Arc::new(QueueHandle { shared }), report))
}

/// Blocks the thread until the future is ready. For programs without an async runtime.
///
/// ```
/// assert_eq!(zastava_buffer::block_on(async { 1 + 1 }), 2);
/// ```
pub fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
