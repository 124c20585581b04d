//! Dead letters: events that Scanner refused for good, kept in a file for an operator.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;
use zastava_core::clock::Timestamp;

/// Writes one line of JSON for each event: `{"at", "reason", "event"}`. Two files share the bound. A full
/// file is renamed to `<name>.1` and replaces the one before it.
#[derive(Clone, Debug)]
pub(super) struct DeadLetters {
    path: PathBuf,
    bytes_max: u64,
}

#[derive(serde::Serialize)]
struct Letter<'a> {
    at: Timestamp,
    reason: &'a str,
    event: &'a RawValue,
}

impl DeadLetters {
    pub(super) fn new(path: PathBuf, bytes_max: u64) -> Self {
        Self { path, bytes_max }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Appends an event.
    pub(super) fn write(&self, json: &[u8], reason: &str, at: Timestamp) -> io::Result<()> {
        // If an event is not JSON, another program has written to the buffer.
        let text = serde_json::to_string(&String::from_utf8_lossy(json))?;
        let event = serde_json::from_slice(json).or_else(|_| serde_json::from_str(&text))?;
        let mut line = serde_json::to_vec(&Letter { at, reason, event })?;
        line.push(b'\n');
        let mut file = self.open()?;
        if file.metadata()?.len() + line.len() as u64 > self.bytes_max / 2 {
            let mut older = self.path.clone().into_os_string();
            older.push(".1");
            fs::rename(&self.path, older)?;
            file = self.open()?;
        }
        file.write_all(&line)?;
        file.sync_data()
    }

    fn open(&self) -> io::Result<File> {
        if let Some(directory) = self.path.parent() {
            fs::create_dir_all(directory)?;
        }
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_are_lines_of_json_within_the_bound() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("below/dead-letter.jsonl");
        let letters = DeadLetters::new(path.clone(), 64 << 10);
        let event = format!("{{\"event\":\"{}\"}}", "x".repeat(1000));
        for _ in 0..200 {
            letters.write(event.as_bytes(), "not valid", Timestamp::UNIX_EPOCH).expect("is written");
        }
        letters.write(b"no JSON", "\"why\"", Timestamp::UNIX_EPOCH).expect("is written");
        let text = fs::read_to_string(&path).expect("is there");
        let last = serde_json::from_str::<serde_json::Value>(text.lines().last().expect("has lines"))
            .expect("is JSON");
        assert_eq!(last["event"], "no JSON");
        assert_eq!(last["reason"], "\"why\"");
        let older = fs::metadata(path.with_extension("jsonl.1")).expect("was put aside").len();
        assert!(text.len() as u64 + older <= 64 << 10, "{} and {older}", text.len());
    }
}
