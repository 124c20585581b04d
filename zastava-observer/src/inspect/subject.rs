//! The process that is inspected, and the reader of its files.

use std::sync::Arc;

use zastava_elf::{KernelPath, Process, ProcessFiles};

use crate::reads::{NotRead, Place, Reader, UnderWay};
use crate::text::reason;

/// One process. Everything of it is read on threads that can be given up.
pub(super) struct Subject {
    process: Process,
    pid: u32,
    reader: Reader,
    files: Option<Result<Arc<ProcessFiles>, String>>,
}

impl Subject {
    pub(super) fn new(process: Process, pid: u32, reader: Reader) -> Self {
        Self { process, pid, reader, files: None }
    }

    /// The same process, whose files another reader reads from now on.
    pub(super) fn read_by(self, reader: Reader) -> Self {
        Self { reader, ..self }
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// What `read` returns; see [`Reader::read`].
    pub(super) fn read<T: Send + 'static>(
        &mut self,
        place: Place,
        read: impl FnOnce(&Process, &UnderWay) -> T + Send + 'static,
    ) -> Result<T, NotRead> {
        let process = self.process.clone();
        self.reader.read(place, move |under_way| read(&process, under_way))
    }

    /// What opens its files, held from the first call on; or the reason why none can be opened.
    pub(super) fn files(&mut self) -> Result<Arc<ProcessFiles>, String> {
        if let Some(known) = &self.files {
            return known.clone();
        }
        let place = Place::Process { pid: self.pid, file: "root" };
        let files = match self.read(place, |process, _| process.files()) {
            Ok(files) => files.map(Arc::new).map_err(|error| reason(&error.into())),
            Err(not_read) => Err(not_read.to_string()),
        };
        self.files = Some(files.clone());
        files
    }

    /// What a link in its directory says; `None` if it cannot be read.
    pub(super) fn link(&mut self, file: &'static str) -> Option<KernelPath> {
        let place = Place::Process { pid: self.pid, file };
        self.read(place, move |process, _| process.link(file)).ok()?.ok()
    }

    /// The look-up of paths below its root.
    pub(super) fn below_root(&self) -> Place {
        Place::LookUp { pid: self.pid }
    }

    /// The first `max` bytes of a file in its directory, or the reason why they are missing.
    pub(super) fn read_file(&mut self, file: &'static str, max: u64) -> Result<Vec<u8>, String> {
        let place = Place::Process { pid: self.pid, file };
        match self.read(place, move |process, _| process.read(file, max)) {
            Ok(content) => content.map_err(|error| reason(&error.into())),
            Err(not_read) => Err(not_read.to_string()),
        }
    }
}
