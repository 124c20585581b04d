//! A part of an open file.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Arc;

use super::ReadError;

/// A part of an open file. Several can be read at once, since none moves the file's own position.
#[derive(Clone, Debug)]
pub(super) struct Section {
    file: Arc<File>,
    path: Arc<Path>,
    position: u64,
    end: u64,
}

impl Section {
    pub(super) fn new(file: Arc<File>, path: Arc<Path>, position: u64, end: u64) -> Self {
        Self { file, path, position, end }
    }

    /// A part of this one: `length` bytes from `offset` of the file.
    pub(super) fn part(&self, offset: u64, length: u64) -> Self {
        Self { position: offset, end: offset + length, ..self.clone() }
    }

    pub(super) fn remaining(&self) -> u64 {
        self.end - self.position
    }

    pub(super) fn skip(&mut self, bytes: u64) -> io::Result<()> {
        if bytes > self.remaining() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.position += bytes;
        Ok(())
    }
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = usize::try_from(self.remaining()).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            return Ok(0);
        }
        let read = self.file.read_at(&mut buffer[..wanted], self.position);
        match read.map_err(ReadError::file("read", &self.path))? {
            0 => Err(ReadError::file("read", &self.path)(io::ErrorKind::UnexpectedEof.into()).into()),
            read => {
                self.position += read as u64;
                Ok(read)
            }
        }
    }
}
