//! Dead letters: events that Scanner refused for good, kept in a file for an operator.
//!
//! The observer appends. The command `dead-letters` lists, drops, and moves letters into a second file, from which the
//! observer sends them again. Both take the same lock, so that no letter is lost between them.

mod file;
mod letter;

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use zastava_core::clock::Timestamp;

use self::file::{beside, lines, lock, read, replace};
pub use self::letter::DeadLetter;
use self::letter::write_line;

/// The file of dead letters: one line of JSON for each, `{"at", "reason", "event"}`. Two files share the bound. A full
/// file is renamed to `<name>.1` and replaces the one before it.
#[derive(Clone, Debug)]
pub struct DeadLetters {
    path: PathBuf,
    bytes_max: u64,
}

/// Inode, length and time of each file.
pub(super) type Stamp = [Option<(u64, u64, i64, i64)>; 2];

/// Which letters a command means.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Selection {
    /// Every letter.
    All,
    /// Those whose id starts with one of these.
    Ids(Vec<String>),
}

impl Selection {
    fn includes(&self, letter: &DeadLetter) -> bool {
        match self {
            Self::All => true,
            Self::Ids(ids) => ids.iter().any(|id| !id.is_empty() && letter.id.starts_with(id.as_str())),
        }
    }
}

impl DeadLetters {
    /// The letters in the file at `path` and in the one before it, which take at most `bytes_max` together.
    #[must_use]
    pub fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max }
    }

    /// Where they are.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every letter, oldest first. Lines that are no letters are left out.
    ///
    /// # Errors
    /// The error of the system. A missing file is none.
    pub fn list(&self) -> io::Result<Vec<DeadLetter>> {
        let _lock = lock(&self.path)?;
        self.read_all()
    }

    /// Removes letters, and returns them.
    ///
    /// # Errors
    /// The error of the system. Nothing is removed then.
    pub fn remove(&self, selection: &Selection) -> io::Result<Vec<DeadLetter>> {
        self.take(selection, |_| Ok(()))
    }

    /// Moves letters to where the observer takes them from: within a second if it runs, else when it starts. Leaves out
    /// what is no event. Returns what it moved.
    ///
    /// # Errors
    /// The error of the system. The letters are still there then, and may be sent again all the same.
    pub fn resend(&self, selection: &Selection) -> io::Result<Vec<DeadLetter>> {
        self.take(selection, |letters| {
            let mut bytes = Vec::new();
            letters.retain(DeadLetter::is_event);
            letters.iter().for_each(|letter| bytes.extend_from_slice(&letter.line));
            let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(self.resends())?;
            file.write_all(&bytes)?;
            file.sync_all()
        })
    }

    /// Takes letters out once `first` has done something with them.
    fn take(
        &self,
        selection: &Selection,
        first: impl FnOnce(&mut Vec<DeadLetter>) -> io::Result<()>,
    ) -> io::Result<Vec<DeadLetter>> {
        let _lock = lock(&self.path)?;
        let mut taken: Vec<_> = self.read_all()?;
        taken.retain(|letter| selection.includes(letter));
        if taken.is_empty() {
            return Ok(taken);
        }
        first(&mut taken)?;
        for path in [self.older(), self.path.clone()] {
            let bytes = read(&path, self.bytes_max)?;
            let kept = lines(&bytes).filter(|line| !taken.iter().any(|letter| letter.line == *line));
            let kept: Vec<u8> = kept.flatten().copied().collect();
            if kept.len() != bytes.len() {
                replace(&path, &kept)?;
            }
        }
        Ok(taken)
    }

    /// Appends an event. Returns how many older letters were dropped to keep the bound.
    pub(super) fn write(&self, json: &[u8], reason: &str, at: Timestamp) -> io::Result<u64> {
        let line = write_line(json, reason, at)?;
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        // A command that was stopped must not stop delivery: after some time the letter is written all the same.
        let _lock = lock(&self.path).ok();
        let mut dropped = 0;
        let len = fs::metadata(&self.path).map_or(0, |metadata| metadata.len());
        if len > 0 && len + line.len() as u64 > self.bytes_max / 2 {
            dropped = lines(&read(&self.older(), self.bytes_max)?).count() as u64;
            fs::rename(&self.path, self.older())?;
        }
        let mut file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        file.write_all(&line)?;
        file.sync_data()?;
        Ok(dropped)
    }

    /// The events that are to be sent again. They stay until [`resent`](Self::resent).
    pub(super) fn to_resend(&self) -> io::Result<Vec<DeadLetter>> {
        let under_way = self.under_way();
        if !under_way.exists() {
            if !self.resends().exists() {
                return Ok(Vec::new());
            }
            let _lock = lock(&self.path)?;
            fs::rename(self.resends(), &under_way)?;
        }
        Ok(lines(&read(&under_way, self.bytes_max)?).filter_map(DeadLetter::of_line).collect())
    }

    /// The events of [`to_resend`](Self::to_resend) are in the buffer.
    pub(super) fn resent(&self) -> io::Result<()> {
        fs::remove_file(self.under_way())
    }

    /// How many letters there are, and their bytes.
    pub(super) fn size(&self) -> io::Result<(u64, u64)> {
        let (older, newer) = (read(&self.older(), self.bytes_max)?, read(&self.path, self.bytes_max)?);
        let count = lines(&older).count() + lines(&newer).count();
        Ok((count as u64, (older.len() + newer.len()) as u64))
    }

    /// Changes whenever the files do.
    pub(super) fn stamp(&self) -> Stamp {
        [self.older(), self.path.clone()].map(|path| {
            let metadata = fs::metadata(path).ok()?;
            Some((metadata.ino(), metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
        })
    }

    fn read_all(&self) -> io::Result<Vec<DeadLetter>> {
        let (older, newer) = (read(&self.older(), self.bytes_max)?, read(&self.path, self.bytes_max)?);
        Ok(lines(&older).chain(lines(&newer)).filter_map(DeadLetter::of_line).collect())
    }

    fn older(&self) -> PathBuf {
        beside(&self.path, "1")
    }

    fn resends(&self) -> PathBuf {
        beside(&self.path, "resend")
    }

    fn under_way(&self) -> PathBuf {
        beside(&self.path, "resending")
    }
}

#[cfg(test)]
mod tests;
