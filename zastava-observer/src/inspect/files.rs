//! Build-id and SHA-256 of files, each read once for a version of a file.

use std::collections::{HashMap, VecDeque};
use std::os::fd::AsFd;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use rustix::io::{Errno, pread};
use sha2::{Digest as _, Sha256};
use zastava_core::image::Digest;
use zastava_elf::{Error, FileVersion};

use crate::text::cause;

/// The most files that are remembered. The oldest are forgotten first.
const FILES_MAX: usize = 4096;
/// How much is read at once to be hashed.
const CHUNK_BYTES: usize = 64 << 10;

/// The build-id in lower-case hex, or the reason why there is none.
pub(super) type BuildIdAnswer = Result<String, String>;

/// What was read of a file so far.
#[derive(Clone, Debug, Default)]
struct FileFacts {
    build_id: Option<BuildIdAnswer>,
    sha256: Option<Digest>,
}

/// What is known about files, by version. Bounded, and shared by all inspections.
#[derive(Debug, Default)]
pub(super) struct Files(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    known: HashMap<FileVersion, FileFacts>,
    order: VecDeque<FileVersion>,
}

impl Files {
    /// The GNU build-id of an ELF file.
    pub(super) fn build_id(&self, version: FileVersion, file: impl AsFd) -> BuildIdAnswer {
        if let Some(known) = self.known(version).build_id {
            return known;
        }
        let answer = match zastava_elf::build_id_of(file) {
            Ok(Some(id)) => Ok(id.to_string()),
            Ok(None) => Err("no GNU build-id note".to_owned()),
            // It may be readable the next time.
            Err(error @ (Error::Io { .. } | Error::Changed { .. })) => return Err(cause(&error)),
            Err(error) => Err(cause(&error)),
        };
        self.learn(version, |known| known.build_id = Some(answer.clone()));
        answer
    }

    /// The file's hash, if it is known or `budget` allows reading the whole file and that is done in time. Reading takes
    /// the file's size from the budget.
    pub(super) fn sha256(
        &self,
        version: FileVersion,
        file: impl AsFd,
        budget: &mut u64,
        until: Instant,
    ) -> Result<Digest, HashMiss> {
        if let Some(known) = self.known(version).sha256 {
            return Ok(known);
        }
        *budget = budget.checked_sub(version.size).ok_or(HashMiss::Budget)?;
        let digest = hash(&file, version.size, until)?;
        // If the file was written meanwhile, the digest belongs to neither version.
        if FileVersion::of(&file).ok() != Some(version) {
            return Err(HashMiss::Changed);
        }
        self.learn(version, |known| known.sha256 = Some(digest));
        Ok(digest)
    }

    /// The hash of an earlier version of the same file, which had last changed by then, in nanoseconds since 1970.
    pub(super) fn sha256_before(&self, version: FileVersion, changed_ns: i128) -> Option<Digest> {
        let table = self.lock();
        let is_earlier = |known: &FileVersion| {
            (known.device, known.inode) == (version.device, version.inode) && known.changed_ns <= changed_ns
        };
        table.known.iter().filter(|(known, _)| is_earlier(known)).find_map(|(_, facts)| facts.sha256)
    }

    fn known(&self, version: FileVersion) -> FileFacts {
        self.lock().known.get(&version).cloned().unwrap_or_default()
    }

    fn learn(&self, version: FileVersion, put: impl FnOnce(&mut FileFacts)) {
        let mut table = self.lock();
        let table = &mut *table;
        if !table.known.contains_key(&version) {
            table.order.push_back(version);
            if table.order.len() > FILES_MAX
                && let Some(oldest) = table.order.pop_front()
            {
                table.known.remove(&oldest);
            }
        }
        put(table.known.entry(version).or_default());
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why a file has no hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HashMiss {
    Budget,
    Changed,
    Time,
    Unreadable(Errno),
}

fn hash(file: impl AsFd, size: u64, until: Instant) -> Result<Digest, HashMiss> {
    let mut hash = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut offset = 0;
    while offset < size {
        if Instant::now() >= until {
            return Err(HashMiss::Time);
        }
        match pread(&file, &mut chunk[..], offset) {
            Ok(0) => return Err(HashMiss::Changed),
            Ok(read) => {
                hash.update(&chunk[..read]);
                offset += read as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(HashMiss::Unreadable(error)),
        }
    }
    // The file grew while it was read.
    if offset != size {
        return Err(HashMiss::Changed);
    }
    Ok(Digest::from_bytes(hash.finalize().into()))
}
